"""``duplicate_processing``: one event was handled twice with success, and each time with effects."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from datetime import datetime

from clew.reconstruct.causes.cause import Action, Cause, Rule
from clew.reconstruct.causes.scene import Scene, clue, event_of, names, who
from clew.reconstruct.causes.wording import times
from clew.reconstruct.detail import Step, StepKind


def find(scene: Scene) -> Iterator[Cause]:
    """Several attempts by one handler that went well and did something.

    An effect is a publish or a span below it. A redelivery after a failure, one without
    effects (an idempotent consumer's), and a batch shared by several flows are not it. Nor is
    a new attempt after the message was given up: whoever sent it again wanted that.
    """
    for done in _duplicates(scene):
        yield _cause(scene, done)


def is_duplicate(scene: Scene) -> bool:
    """Whether the rule holds."""
    return next(_duplicates(scene), None) is not None


def _duplicates(scene: Scene) -> Iterator[list[Step]]:
    for (event, _), tries in scene.attempts.items():
        done = [step for step in tries if step.status != "error" and not step.open and _did(scene, step)]
        if len(done) < 2 or any(step.shared for step in done):  # noqa: PLR2004  twice
            continue
        redriven = _given_up(scene, event)
        for number in range(len(redriven) + 1):
            between = [step for step in done if _after(step, redriven) == number]
            if len(between) > 1:
                yield between


def _given_up(scene: Scene, event: Hashable) -> list[datetime]:
    """When the event went to a dead-letter queue, whoever had failed to handle it."""
    return sorted(
        seen.fields["time"]
        for step in scene.detail.steps
        if step.dead_letter and event_of(step) == event
        for seen in (*step.logs, *step.observations)
        if seen.fields.get("kind") == "dead_letter" and seen.fields.get("time") is not None
    )


def _after(step: Step, given_up: list[datetime]) -> int:
    """After how many of the times a step began."""
    return sum(1 for time in given_up if step.start is not None and time < step.start)


def _did(scene: Scene, step: Step) -> list[str]:
    return [
        one.name for one in scene.effects.get(step.id, ()) if one.kind in {StepKind.PUBLISH, StepKind.SPAN}
    ]


def _cause(scene: Scene, done: list[Step]) -> Cause:
    first = done[0]
    return Cause(
        RULE.name,
        f"{who(first)} handled {scene.event(first)} {times(len(done))}, each time with effects",
        tuple(
            clue(f"{who(step)} handled {scene.name(step)} and did {names(_did(scene, step))}", step)
            for step in done
        ),
        (
            Action(f"make {who(first)} skip events that it knows, by event ID"),
            Action("compare what it did each time", ("show", scene.detail.flow.flow_id, "--logs")),
        ),
    )


RULE = Rule(
    "duplicate_processing", "One event was handled twice with success, and each time with effects.", find
)
