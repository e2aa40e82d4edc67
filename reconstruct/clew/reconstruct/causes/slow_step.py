"""``slow_step``: a step began and has not ended, or took much longer than others of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, clue, shortened, who
from clew.reconstruct.causes.wording import at, between, spoken
from clew.reconstruct.detail import Step, StepKind
from clew.reconstruct.model import Status

ALIKE = 5
"""Others of its kind that a handling is compared with, at least."""
TIMES = 10
"""How many times as long as the median of the others."""
LEAST_US = 1_000_000
"""What took less is not slow, whatever the others took."""


def find(scene: Scene) -> Iterator[Cause]:
    """Open spans without open ones below them; handlings that hang; handlings slower than others."""
    if scene.detail.flow.status is not Status.COMPLETED:
        yield from _open(scene)
    yield from _slow(scene)


def _open(scene: Scene) -> Iterator[Cause]:
    overdue = {(one.name, one.since) for one in scene.overdue("end")}
    stuck = scene.detail.flow.status is Status.STUCK
    opened = [step for step in scene.detail.steps if step.open or (stuck and step.id in scene.hung)]
    holding = scene.blamed(opened)
    for step in opened:
        if step.id in holding or not (step.id in scene.hung or _waited(scene, step, overdue)):
            continue
        verb = "read" if step.kind is StepKind.HANDLING else "began"
        since = between(step.start, scene.as_of)
        ago = f", {spoken(since)} ago" if since is not None else ""
        yield Cause(
            "slow_step",
            f"{who(step)} {verb} {scene.event(step)} {at(step.start)}{ago}, and no end of it was told",
            (
                clue(f"{who(step)} {verb} {scene.event(step)}; no record tells its end", step),
                *_lines(scene, step),
            ),
            (
                Action(f"see whether {who(step)} still runs it, or was stopped while it did"),
                Action("see what it did until then", ("show", scene.detail.flow.flow_id, "--logs")),
            ),
        )


def _waited(scene: Scene, step: Step, overdue: set[tuple[str, datetime]]) -> bool:
    """Whether its end is overdue, or that of what it lies in."""
    names = {step.name, *(seen.fields.get("name") for seen in step.observations)}
    return any((name, step.start) in overdue for name in names) or any(
        above.open and (above.name, above.start) in overdue for above in scene.above(step)
    )


def _lines(scene: Scene, step: Step) -> Iterator[Clue]:
    """By which line it is known that it did not end."""
    begun = scene.begun(step) if step.kind is StepKind.HANDLING and not step.open else None
    if begun is None or begun.ended is not False:
        return
    records = [one for one in (*step.observations, *step.logs) if one.fields.get("time")]
    seen = max(records, key=lambda one: one.fields["time"], default=None)
    said = shortened(str(seen.fields.get("body") or "")) if seen is not None else ""
    last = f'its last line is "{said}"' if said else "it told one thing of itself"
    if begun.follows:
        others = f'{begun.others} others like it went on, with "{shortened(begun.follows)}"'
    else:
        others = f"a span tells of {begun.others} others like it, and none of this one"
    yield clue(f"{last}; {others}", step, seen)


def _slow(scene: Scene) -> Iterator[Cause]:
    kinds: dict[tuple[str, str | None], list[tuple[int, Step]]] = {}
    for step in scene.handlings:
        took = between(step.start, step.end)
        if took is not None and step.status != "error":
            kinds.setdefault((step.name, step.service), []).append((took, step))
    for alike in kinds.values():
        if len(alike) <= ALIKE:
            continue
        took, step = max(alike, key=lambda one: (one[0], -one[1].id))
        usual = _median([us for us, other in alike if other is not step])
        if took >= LEAST_US and took > TIMES * usual:
            yield Cause(
                "slow_step",
                f"{who(step)} took {spoken(took)} for {scene.event(step)}, where {spoken(int(usual))} is usual",
                (clue(f"{who(step)} handled {scene.event(step)} in {spoken(took)}", step),),
                (Action("see what took so long", ("show", scene.detail.flow.flow_id, "--logs")),),
            )


def _median(numbers: list[int]) -> float:
    """As ``statistics.median`` has it, which takes 3 ms to import."""
    ranked, middle = sorted(numbers), len(numbers) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2


RULE = Rule(
    "slow_step", "A step began and has not ended, or took much longer than the others of its kind.", find
)
