"""Two windows compared, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli.report_tables import percent, step_name
from clew.cli.table import Column, table
from clew.cli.units import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.cli.look import Line, Look
    from clew.reconstruct.reports import Change, Comparison, Side

COLUMNS = (
    Column("", 1, 1),
    Column("WHAT", 3, 9),
    Column("OF", 2, 20, good=36, most=72),
    Column("TYPE", 9, 10, good=16, most=32),
    Column("BEFORE", 4, 6, right=True),
    Column("AFTER", 4, 6, right=True),
    Column("CHANGE", 4, 9, right=True),
    Column("P95 BEFORE", 7, 10, right=True),
    Column("P95 AFTER", 7, 9, right=True),
    Column("N BEFORE", 8, 8, right=True),
    Column("N AFTER", 8, 7, right=True),
    Column("SURE BY", 10, 7, right=True),
)
WORDS = {"share": "occurs in", "error_type": "error type", "schema_version": "schema"}
_WHOLE = 100


def change_table(found: Comparison, shown: Sequence[Change], look: Look) -> Iterator[Line]:
    """How many flows each window holds, and a line for each change of ``shown``."""
    yield from look.wrap(
        f"{count(found.before_flows, 'flow')} before, {count(found.after_flows)} after", first=look.line()
    )
    if shown:
        yield look.line()
        yield from table(COLUMNS, [_row(change, look) for change in shown], look)


def _row(change: Change, look: Look) -> list[Line]:
    if change.kind is None:
        what = look.line(change.name or "all flows", "name" if change.name else "")
    else:
        what = step_name(change.kind, change.name or "", change.service, look)
    return [
        look.line(look.glyphs.warn if change.significant else "", "warning"),
        look.line(WORDS.get(change.measure, str(change.measure))),
        what,
        look.line(change.type),
        look.line(_value(change.before)),
        look.line(_value(change.after)),
        look.line(_difference(change), "warning" if change.significant else ""),
        look.line(duration(change.before.p95_us)),
        look.line(duration(change.after.p95_us)),
        look.line(count(change.before.of)),
        look.line(count(change.after.of)),
        look.line("" if change.z is None else f"{abs(change.z):.1f} se"),
    ]


def _value(side: Side) -> str:
    return duration(side.p50_us) if side.count is None else percent(side.share)


def _difference(change: Change) -> str:
    if change.appeared:
        return "new"
    if change.vanished:
        return "gone"
    if change.difference is None:
        return ""
    if change.before.count is None:
        sign = "+" if change.difference > 0 else ""
        return sign + duration(round(change.difference))
    return f"{change.difference * _WHOLE:+.1f} pp"
