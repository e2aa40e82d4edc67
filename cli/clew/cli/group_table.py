"""Groups of flows as a table, and what changed before each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli.table import Column, table
from clew.cli.units import count, duration, microseconds, moment, moments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from clew.cli.look import Line, Look
    from clew.reconstruct.answers import Change, FlowGroup

NOTHING = {
    "cause": "(no cause)",
    "step": "(no step)",
    "service": "(no service told)",
    "type": "(no type)",
}


def group_table(groups: Sequence[FlowGroup], by: str, as_of: datetime | None, look: Look) -> Iterator[Line]:
    """A line per group under a heading, below it what changed; nothing for no groups."""
    if not groups:
        return
    columns = (
        Column("FLOWS", 1, 5, right=True),
        Column(by.upper(), 2, 16, good=28, most=60),
        Column("WHY", 5, 20, good=40, most=72),
        Column("OLDEST", 4, 6, right=True),
        Column("NEWEST", 6, 6, right=True),
        Column("FIRST SEEN", 4, 10),
        Column("EXAMPLE", 3, 12, good=36, most=64),
        Column("SCOPE", 8, 6, most=20),
    )
    first = moments([group.first for group in groups])
    rows = [_row(group, by, as_of, seen, look) for group, seen in zip(groups, first, strict=True)]
    lines = table(columns, rows, look)
    yield next(lines)
    for group, line in zip(groups, lines, strict=True):
        yield line
        for change in group.changes:
            yield from _change(change, group.first, look)


def _row(group: FlowGroup, by: str, as_of: datetime | None, first: str, look: Look) -> list[Line]:
    causes = [f"{count(number)} {cause}" for cause, number in group.causes.items()] if by != "cause" else []
    return [
        look.line(count(group.flows), "strong"),
        look.line(group.value, "") if group.value is not None else look.line(NOTHING[by], "faint"),
        look.line(", ".join(causes)),
        look.line(duration(microseconds(group.oldest, as_of)), "wait"),
        look.line(duration(microseconds(group.newest, as_of))),
        look.line(first),
        look.line(group.example, "name"),
        look.line(group.scope),
    ]


def _change(change: Change, first: datetime | None, look: Look) -> Iterator[Line]:
    """What was new, and how long before the group's first sighting."""
    said = {
        "schema_version": f"schema version {change.value} of {change.name}",
        "error_type": f"{change.value} in {change.name}",
        "service": f"the service {change.value}",
    }[change.kind]
    before = microseconds(change.time, first)
    gap = f"{duration(before)} before" if before else "when"
    text = f"{said} was new {gap} the first of them stopped, at {moment(change.time)}"
    yield from look.wrap(text, "warning", first=look.line(f"       {look.glyphs.warn} ", "warning"))
