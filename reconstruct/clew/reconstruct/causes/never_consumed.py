"""``never_consumed``: a message was sent, and nobody handled it."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, clue, is_history, who
from clew.reconstruct.causes.wording import at
from clew.reconstruct.detail import Step, StepKind
from clew.reconstruct.model import Owed


def find(scene: Scene) -> Iterator[Cause]:
    """Overdue handlings: the store owes one only where others of its channel are handled."""
    for owed in scene.overdue("handling"):
        yield _cause(scene, owed)


def _sent(scene: Scene, owed: Owed) -> Step | None:
    alike = [step for step in scene.detail.steps if step.kind is StepKind.PUBLISH and step.name == owed.name]
    exact = [step for step in alike if step.start == owed.since]
    return next(iter(exact or alike), None)


def _cause(scene: Scene, owed: Owed) -> Cause:
    step = _sent(scene, owed)
    if step is not None and is_history(step):
        return Cause(
            RULE.name,
            f"{step.name} was scheduled {at(owed.since)}, and nothing took it up",
            (clue(f"{step.name} scheduled", step),),
            (Action(f"see whether a worker runs that takes {step.name}"),),
        )
    what = scene.event(step) if step is not None else owed.name
    sender = who(step) if step is not None else owed.service or "somebody"
    others = f"others on {owed.destination} are handled" if owed.destination else "others like it are handled"
    said = f"{sender} sent {what} {at(owed.since)}, and nobody handled it, although {others}"
    told = (
        clue(f"{who(step)} sent {what}", step)
        if step is not None
        else Clue(f"{sender} sent {what}", owed.since, owed.service)
    )
    consumers = f"the consumers of {owed.destination}" if owed.destination else f"who handles {owed.name}"
    return Cause(
        RULE.name,
        said,
        (told,),
        (
            Action(f"look at {consumers}: records do not tell lag, only the broker knows it"),
            Action("see whether one consumer stopped for many flows", ("stuck", "--by", "cause")),
        ),
    )


RULE = Rule("never_consumed", "A message was sent, and nobody handled it although others like it are.", find)
