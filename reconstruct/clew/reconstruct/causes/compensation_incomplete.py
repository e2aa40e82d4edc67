"""``compensation_incomplete``: undoing began or the flow ended, and a step that was done is not undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, bounded, clue, names
from clew.reconstruct.causes.wording import at
from clew.reconstruct.detail import Step, StepKind
from clew.reconstruct.model import Owed, Status

if TYPE_CHECKING:
    from clew.reconstruct.definitions import Definition

MOST = 10
"""Steps that are named."""


def find(scene: Scene) -> Iterator[Cause]:
    """What is left to undo of a flow that ended half undone, or whose undoing is overdue; one cause for all."""
    flow, definition = scene.detail.flow, scene.definition
    if definition is None:
        return
    ended = flow.cause == RULE.name
    lacking = scene.owes("step") if ended else scene.overdue("step")
    left = [(owed, done) for owed in lacking if (done := _left(scene, definition, owed))]
    if left and (ended or flow.status is Status.STUCK):
        yield _cause(scene, definition, left)


def _left(scene: Scene, definition: Definition, owed: Owed) -> list[Step]:
    """The steps that one of the owed events would undo, as the flow did them."""
    undoing = [rule for rule in definition.rules if rule.undoes and set(rule.events) & set(owed.events)]
    if not set(owed.events) <= {event for rule in undoing for event in rule.events}:
        return []
    undone = {number for rule in undoing for number in rule.undoes}
    events = {event for rule in definition.rules if rule.number in undone for event in rule.events}
    return _told(scene, events)


def _told(scene: Scene, events: set[str]) -> list[Step]:
    """The last step of each name: the one that emits the event, where that is told."""
    found: dict[str, Step] = {}
    for step in sorted(scene.detail.steps, key=lambda step: step.kind is not StepKind.HANDLING):
        if step.name in events and not step.dead_letter:
            found[step.name] = step
    return list(found.values())


def _cause(scene: Scene, definition: Definition, left: list[tuple[Owed, list[Step]]]) -> Cause:
    steps = list({step.id: step for _, done in left for step in done}.values())
    lacks = names(bounded(owed.name) for owed, _ in left)
    by = names((name for owed, _ in left for name in scene.senders(owed)), "or")
    were = "was" if len(steps) == 1 else "were"
    return Cause(
        RULE.name,
        f"{names(_done(step) for step in steps[:MOST])} {were} not undone: {lacks} never came"
        + (f" from {by}" if by else ""),
        (
            *(
                clue(f"{_done(one)}; {bounded(owed.name)} never came", one)
                for owed, done in left
                for one in done
            ),
            *_undone(scene, definition),
        ),
        (
            Action(f"undo {names(step.name for step in steps)} by hand, or have {lacks} sent"),
            Action("see what was undone, and when", ("show", scene.detail.flow.flow_id, "--logs")),
        ),
    )


def _undone(scene: Scene, definition: Definition) -> Iterator[Clue]:
    """Each undoing that came, with what it undid."""
    by_number = {rule.number: rule for rule in definition.rules}
    for rule in definition.rules:
        undone = names(by_number[number].events[0] for number in rule.undoes)
        for step in _told(scene, set(rule.events)) if rule.undoes else ():
            yield clue(f"{bounded(step.name)} undid {bounded(undone)}", step)


def _done(step: Step) -> str:
    by = f" by {step.service}" if step.service else ""
    return f"{bounded(step.name)}{by} {at(step.start)}".rstrip()


RULE = Rule(
    "compensation_incomplete",
    "A step that was done is not undone, although undoing began or the flow ended.",
    find,
)
