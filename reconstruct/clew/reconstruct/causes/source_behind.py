"""``source_behind``: whoever would tell of what is owed has not been read up to its deadline."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, bounded, names
from clew.reconstruct.causes.wording import at
from clew.reconstruct.model import Owed


def find(scene: Scene) -> Iterator[Cause]:
    """Waits whose deadline passed while a source that would tell of them was not read so far."""
    for owed in scene.detail.waits:
        tellers = scene.detail.tellers.get(owed.name, ())
        if owed.held and tellers:
            yield _cause(scene, owed, tellers)


def _cause(scene: Scene, owed: Owed, tellers: tuple[str, ...]) -> Cause:
    marks = [mark for source in tellers if (mark := scene.watermarks.get(source))]
    until = f" up to {at(min(marks)).removeprefix('at ')} only" if marks else " only in part"
    was = "was" if len(tellers) == 1 else "were"
    return Cause(
        RULE.name,
        f"{names(tellers)} would tell of {bounded(owed.name)} and {was} read{until}, "
        f"before it was due {at(owed.deadline)}",
        tuple(
            Clue(f"read up to {at(scene.watermarks.get(source)).removeprefix('at ')}", None, None, source)
            for source in tellers
        ),
        (
            Action("see how far each source was read", ("sources",)),
            Action(f"read on what {names(tellers)} tells"),
        ),
    )


RULE = Rule("source_behind", "Whoever would tell of what is owed has not been read up to its deadline.", find)
