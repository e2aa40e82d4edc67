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
    Column("TYPE", 5, 10, good=16, most=32),
    Column("BEFORE", 4, 6, right=True),
    Column("AFTER", 4, 6, right=True),
    Column("CHANGE", 4, 9, right=True),
    Column("P95", 7, 15, right=True),
    Column("N", 6, 9, right=True),
    Column("SURE BY", 8, 7, right=True),
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
        several = len({change.type for change in shown}) > 1
        yield from table(COLUMNS, [_row(change, look, several=several) for change in shown], look)


def _row(change: Change, look: Look, *, several: bool) -> list[Line]:
    if change.kind is None:
        what = look.line(change.name or "all flows", "name" if change.name else "")
    else:
        what = step_name(change.kind, change.name or "", change.service, look)
    return [
        look.line(look.glyphs.warn if change.significant else "", "warning"),
        look.line(WORDS.get(change.measure, str(change.measure))),
        what,
        look.line(change.type if several else ""),
        look.line(_value(change.before)),
        look.line(_value(change.after)),
        look.line(_difference(change), "warning" if change.significant else ""),
        look.line(_both(duration(change.before.p95_us), duration(change.after.p95_us), look)),
        look.line(_both(count(change.before.of), count(change.after.of), look)),
        look.line("" if change.z is None else f"{abs(change.z):.1f} se"),
    ]


def _both(before: str, after: str, look: Look) -> str:
    return f"{before or '?'} {look.glyphs.sends} {after or '?'}" if before or after else ""


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
