"""``source_behind``: whoever would tell of what is owed has not been read up to its deadline."""

from __future__ import annotations

from collections.abc import Iterator

from clew.reconstruct.causes.cause import Action, Cause, Clue, Rule
from clew.reconstruct.causes.scene import Scene, names
from clew.reconstruct.causes.wording import at
from clew.reconstruct.model import Owed


def find(scene: Scene) -> Iterator[Cause]:
    """Overdue waits, all of whose tellers have a watermark before the deadline.

    A source's watermark is the time up to which it has told everything. Without a teller
    that is known, or with one without a watermark, nothing can be said.
    """
    for kind in ("step", "handling", "end"):
        for owed in scene.overdue(kind):
            tellers = scene.detail.tellers.get(owed.name, ())
            if tellers and all(_behind(scene, source, owed) for source in tellers):
                yield _cause(scene, owed, tellers)


def _behind(scene: Scene, source: str, owed: Owed) -> bool:
    mark = scene.watermarks.get(source)
    return mark is not None and owed.deadline is not None and mark < owed.deadline


def _cause(scene: Scene, owed: Owed, tellers: tuple[str, ...]) -> Cause:
    marks = [mark for source in tellers if (mark := scene.watermarks.get(source))]
    until = at(max(marks)).removeprefix("at ")
    return Cause(
        RULE.name,
        f"{names(tellers)} would tell of {owed.name} and was read up to {until} only, "
        f"before it was due {at(owed.deadline)}",
        tuple(
            Clue(f"read up to {at(scene.watermarks.get(source)).removeprefix('at ')}", None, None, source)
            for source in tellers
        ),
        (
            Action("see how far each source was read", ("sources",)),
            Action("read what it wrote since", ("ingest", *tellers)),
        ),
    )


RULE = Rule("source_behind", "Whoever would tell of what is owed has not been read up to its deadline.", find)
