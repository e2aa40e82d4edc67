"""``waiting_for_flow``: a flow that descends from this one is not completed."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene
from clew.reconstruct.causes.wording import short
from clew.reconstruct.model import Status

WAITING = frozenset({Status.STUCK, Status.IN_PROGRESS})


def find(scene: Scene) -> Iterator[Cause]:
    """Children of a flow that is not at its end itself, with the cause of each."""
    if scene.detail.flow.status not in WAITING:
        return
    for child in scene.children:
        because = f": {child.said}" if child.said else ""
        scope = ("--scope", child.scope) if child.scope else ()
        yield Cause(
            RULE.name,
            f"its child {child.type} {short(child.flow_id)} is {child.status}{because}",
            (Clue(f"{child.flow_id} descends from it, by {child.via}"),),
            (Action("find out why the child is not completed", ("why", child.flow_id, *scope)),),
        )


RULE = Rule("waiting_for_flow", "A flow that descends from this one is not completed.", find)
