"""``processing_failed``: a step's last word is an error, and nothing answered it."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, clue, error, failure, is_history, who
from clew.reconstruct.causes.wording import at, times
from clew.reconstruct.detail import Step, StepKind
from clew.reconstruct.model import Status

MOST = 3
"""Failures of one flow that are told."""


def find(scene: Scene) -> Iterator[Cause]:
    """Failed handlings that were not answered; else the innermost error; else the bad end itself."""
    flow = scene.detail.flow
    if Status.FAILED not in (flow.status, *flow.also):
        return
    found = [_cause(scene, tries) for tries in unanswered(scene)[:MOST]]
    if not found:
        found = [_broken(scene, step) for step in innermost(scene)[:MOST]]
    if not found and flow.cause == RULE.name:
        found = [_bad_end(scene)]
    yield from found


def unanswered(scene: Scene, *, dead: bool = False) -> list[list[Step]]:
    """Attempts at one event by one handler whose last word is an error, the latest first.

    Those that went to a dead-letter queue are told apart: ``dead`` asks for them.
    """
    found = [
        tries
        for tries in scene.attempts.values()
        if tries[-1].status == "error" and any(step.dead_letter for step in tries) is dead
    ]
    return found[::-1]


def innermost(scene: Scene) -> list[Step]:
    """The steps where failures began, the latest first.

    Of calls that pass an error on it is the innermost: nothing below it failed. A
    history's events follow one another instead of lying in each other: of those it is the
    first of each row. A history's end repeats what failed before it, and counts where
    nothing else failed.
    """
    bad = {step.id: step for step in scene.detail.steps if step.status == "error" and not step.dead_letter}
    blamed = scene.blamed(bad.values())
    began = [
        step
        for step in bad.values()
        if (step.parent not in bad if is_history(step) else step.id not in blamed)
    ]
    other = [step for step in began if not _ends(step)]
    return sorted(other or began, key=lambda step: (step.start is not None, step.start, step.id))[::-1]


def _ends(step: Step) -> bool:
    return any(seen.fields.get("outcome") for seen in step.observations)


def failed(scene: Scene, tries: list[Step]) -> str:
    """``payment-service read OrderPlaced (orders/3@812) and failed 3 times with …``."""
    last = tries[-1]
    bad = [step for step in tries if step.status == "error"]
    number = max(len(bad), last.attempt if last.status == "error" else 0)
    return f"{who(last)} read {scene.event(last)} and failed {times(number)}{failure(last)}"


def clues(scene: Scene, tries: list[Step]) -> tuple[Clue, ...]:
    """Each failed attempt."""
    return tuple(
        clue(f"attempt {step.attempt} of {scene.name(step)} failed{failure(step)}", step)
        for step in tries
        if step.status == "error"
    )


def _cause(scene: Scene, tries: list[Step]) -> Cause:
    last = tries[-1]
    when = at(last.end or last.start)
    return Cause(
        RULE.name,
        failed(scene, tries) + (f", the last time {when}" if when and len(tries) > 1 else ""),
        clues(scene, tries),
        look(scene, f"read what {who(last)} logged while it failed"),
    )


def _broken(scene: Scene, step: Step) -> Cause:
    return Cause(
        RULE.name,
        _history_said(scene, step) if is_history(step) else _said(step),
        (clue(f"{step.name}{'' if is_history(step) else ' failed'}{failure(step)}", step),),
        look(scene, "see what led to it, with its log lines"),
    )


def _said(step: Step) -> str:
    if step.kind is StepKind.EVENT and step.service:
        return f"{step.service} told {step.name}{failure(step)}"
    name = f"{step.name} of {step.service}" if step.service else step.name
    return f"{name} failed{failure(step)}"


def _history_said(scene: Scene, step: Step) -> str:
    """What failed, and in which activity or state."""
    if step.kind is StepKind.HANDLING:
        return f"{scene.name(step)} failed{failure(step)}"
    told, ends = _told(scene, step), _ends(step)
    bare = ends or not error(step)
    within = next((above for above in scene.above(step) if _is_state(above, any_kind=bare)), None)
    where = scene.name(within) if within is not None else ""
    if ends:
        return f"it ended with {step.name}{' after ' + where if where else ''}{': ' + told if told else ''}"
    inside = f" {'after' if bare else 'in'} {where}" if where and where != step.name else ""
    return f"{step.name}{inside} failed{' with ' + told if told else ''}"


def _told(scene: Scene, step: Step) -> str:
    """The error of a history's event, or of those that repeat its failure with more words."""
    while not error(step):
        after = [one for one in scene.effects.get(step.id, ()) if one.status == "error"]
        if not after:
            return ""
        step = after[0]
    return error(step)


def _is_state(step: Step, *, any_kind: bool) -> bool:
    """Whether a history's event is a state or an activity; what a bare failure follows is one whatever it is."""
    return step.status != "error" and (any_kind or step.kind in {StepKind.PUBLISH, StepKind.HANDLING})


def _bad_end(scene: Scene) -> Cause:
    definition = scene.definition
    bad = {name for name, outcome in definition.ends if outcome == "failed"} if definition else set()
    for step in sorted(scene.detail.steps, key=lambda step: (step.kind is StepKind.HANDLING, step.id)):
        if step.name in bad or any(seen.fields.get("outcome") == "failed" for seen in step.observations):
            by = f" by {step.service}" if step.service else ""
            return Cause(
                RULE.name,
                f"it ended with {step.name}{by}, and no error was told",
                (clue(f"{step.name} ends it as failed", step),),
                look(scene, f"see what led to {step.name}"),
            )
    return Cause(RULE.name, "it ended badly, and no record says why", (), look(scene, "read its log lines"))


def look(scene: Scene, do: str) -> tuple[Action, ...]:
    """Draw the flow with its logs."""
    return (Action(do, ("show", scene.detail.flow.flow_id, "--logs")),)


RULE = Rule("processing_failed", "A step failed, and nothing answered it.", find)
