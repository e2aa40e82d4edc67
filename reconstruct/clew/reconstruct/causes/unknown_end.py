"""``unknown_end``: nothing is owed, and nothing says where the flow ends."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Rule
from clew.reconstruct.causes.scene import Scene, clue
from clew.reconstruct.causes.wording import at


def find(scene: Scene) -> Iterator[Cause]:
    """As the store judges it."""
    flow = scene.detail.flow
    if flow.cause != RULE.name:
        return
    last = scene.last
    yield Cause(
        RULE.name,
        f"nothing says where it ends; its last record is of {at(flow.last).removeprefix('at ')}"
        if flow.last
        else "nothing says where it ends",
        (clue(f"the last step: {last.name}", last),) if last is not None else (),
        (
            Action(
                f"write down where {flow.type or 'such a flow'} ends (flows: ends:), then apply it",
                ("rebuild", "--definitions", "FILE"),
            ),
        ),
    )


RULE = Rule("unknown_end", "Nothing is owed, and nothing says where the flow ends.", find)
