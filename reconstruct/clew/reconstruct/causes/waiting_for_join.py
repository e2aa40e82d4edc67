"""``waiting_for_join``: parts of a join came, and another did not."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Rule
from clew.reconstruct.causes.scene import Scene, clue, event_of, handler, names
from clew.reconstruct.definitions import Role
from clew.reconstruct.detail import Step


def find(scene: Scene) -> Iterator[Cause]:
    """Steps that a definition owes side by side, of which several came.

    Steps that led to each other are a sequence, which has no join, unless one service read
    each that came; where only one came nothing tells the two apart.
    """
    overdue = scene.overdue("step")
    definition = scene.definition
    if not overdue or definition is None:
        return
    lacking = [one.name for one in overdue]
    missing = {event for one in overdue for event in one.events}
    owing = [rule for rule in definition.rules if missing.intersection(rule.events)]
    if any(rule.undoes or rule.role is Role.COMPENSATED for rule in owing):
        # An undoing joins nothing: what is left to undo is a cause of its own.
        return
    # What is owed side by side waits for the same.
    beside = {rule.after for rule in owing}
    events = {event for rule in definition.rules if rule.after in beside for event in rule.events}
    seen: dict[str, Step] = {}
    for step in scene.detail.steps:
        if step.name in events and step.name not in missing:
            seen.setdefault(step.name, step)
    parts = list(seen.values())
    if not lacking or len(parts) <= 1 or not (_apart(scene, parts) or _read_by_one(scene, parts)):
        return
    yield Cause(
        RULE.name,
        f"it has {names(seen)} and lacks {names(lacking)}",
        tuple(clue(f"{step.name} came", step) for step in parts),
        (Action(f"find out why {lacking[0]} did not come", ("show", scene.detail.flow.flow_id, "--logs")),),
    )


def _apart(scene: Scene, parts: list[Step]) -> bool:
    """Whether none of them led to another."""
    above = {step.id: {one.id for one in scene.above(step)} for step in parts}
    return not any(one.id in above[other.id] for one in parts for other in parts)


def _read_by_one(scene: Scene, parts: list[Step]) -> bool:
    """Whether one service read each of them: it gathers what it needs."""
    readers = [
        {handler(step) for step in scene.handlings if event_of(step) == event_of(part)} for part in parts
    ]
    return bool(set.intersection(*readers))


RULE = Rule("waiting_for_join", "Parts of a join came, and another did not.", find)
