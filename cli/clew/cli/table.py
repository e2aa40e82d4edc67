"""Tables that fit: columns leave in order of importance, long text is cut, numbers stay whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.cli.look import Line, Look

GAP = 2
ESSENTIAL = 4
"""Columns up to this rank share what is there; the others come when those have enough."""


class Column(NamedTuple):
    """One column. ``rank`` 1 is the last to leave."""

    title: str
    rank: int
    least: int
    """What it needs to be worth a place."""
    good: int = 0
    """What it has before columns of a higher rank get a place; ``least`` unless more."""
    most: int = 1000
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[Line]], look: Look) -> Iterator[Line]:
    """A heading and the rows, at most ``look.width`` wide. A column in which nothing stands is left out."""
    natural = [
        min(max([len(column.title), *(row[at].cells for row in rows)]), column.most)
        for at, column in enumerate(columns)
    ]
    filled = [at for at in range(len(columns)) if not rows or any(row[at].cells for row in rows)]
    widths = _widths(columns, filled, natural, look.width)
    heading = look.line()
    for at, width in widths.items():
        _cell(heading, look.line(columns[at].title, "heading"), width, columns[at], look)
    yield heading
    for row in rows:
        line = look.line()
        for at, width in widths.items():
            _cell(line, row[at], width, columns[at], look)
        yield line


def _widths(columns: Sequence[Column], filled: list[int], natural: list[int], width: int) -> dict[int, int]:
    kept: dict[int, int] = {}
    by_rank = sorted(filled, key=lambda at: columns[at].rank)
    least, good = -GAP, -GAP
    for at in by_rank:
        column = columns[at]
        needed = min(column.least, natural[at]) + GAP
        if kept and (least if column.rank <= ESSENTIAL else good) + needed > width:
            continue
        kept[at] = needed - GAP
        least += needed
        good += min(max(column.good, column.least), natural[at]) + GAP
    left = width - least
    for wanted in ("good", "most"):
        for at, given in kept.items():
            column = columns[at]
            aim = natural[at] if wanted == "most" else min(natural[at], max(column.good, column.least))
            more = max(min(aim - given, left), 0)
            kept[at] = given + more
            left -= more
    return {at: min(kept[at], width) for at in sorted(kept)}


def _cell(line: Line, content: Line, width: int, column: Column, look: Look) -> None:
    if line.cells:
        line.add(" " * GAP)
    fitted = content.fit(width, look.glyphs.cut)
    blank = " " * (width - fitted.cells)
    if column.right:
        line.add(blank).extend(fitted)
    else:
        line.extend(fitted).add(blank)
