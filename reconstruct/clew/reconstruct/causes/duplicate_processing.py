"""``duplicate_processing``: one event was handled twice with success, and each time with effects."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Rule
from clew.reconstruct.causes.scene import Scene, clue, names, who
from clew.reconstruct.causes.wording import times
from clew.reconstruct.model import Step, StepKind


def find(scene: Scene) -> Iterator[Cause]:
    """Several attempts by one handler that went well and did something.

    An effect is a publish or a span below it. A redelivery after a failure, one without
    effects (an idempotent consumer's), and a batch shared by several flows are not it.
    """
    for tries in scene.attempts.values():
        done = [step for step in tries if step.status != "error" and not step.open and _did(scene, step)]
        if len(done) > 1 and not any(step.shared for step in done):
            yield _cause(scene, done)


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
