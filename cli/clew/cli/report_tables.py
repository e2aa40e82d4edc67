"""Reports over many flows as tables that fit the width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli.look import STATUS_GLYPHS
from clew.cli.table import Column, table
from clew.cli.units import count, duration, moments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clew.cli.look import Line, Look
    from clew.reconstruct.reports import Spread, StepReport, TypeReport, VariantReport, VariantStep

_FULL = 0.9995
"""A share that is shown as 100 %."""

TYPE_COLUMNS = (
    Column("TYPE", 1, 12, good=24, most=48),
    Column("FLOWS", 2, 5, right=True),
    Column("SUCCESS", 3, 7, right=True),
    Column("COMPLETED", 13, 9, right=True),
    Column("IN PROGRESS", 12, 11, right=True),
    Column("STUCK", 5, 5, right=True),
    Column("FAILED", 6, 6, right=True),
    Column("DEAD", 7, 4, right=True),
    Column("COMPENSATED", 16, 11, right=True),
    Column("COMPENSATING", 18, 12, right=True),
    Column("CANCELLED", 17, 9, right=True),
    Column("LATE", 12, 4, right=True),
    Column("DUPLICATES", 8, 10, right=True),
    Column("TOOK P50", 4, 8, right=True),
    Column("TOOK P95", 8, 8, right=True),
    Column("TOOK P99", 14, 8, right=True),
    Column("SETTLED P50", 10, 11, right=True),
    Column("SETTLED P95", 11, 11, right=True),
    Column("SETTLED P99", 15, 11, right=True),
    Column("VARIANTS", 9, 8, right=True),
    Column("FIRST", 20, 8),
    Column("LAST", 19, 8),
)
STATUS_COLUMNS = (
    "completed",
    "in_progress",
    "stuck",
    "failed",
    "dead_lettered",
    "compensated",
    "compensating",
    "cancelled",
)

STEP_COLUMNS = (
    Column("STEP", 1, 20, good=36, most=72),
    Column("TYPE", 15, 10, most=32),
    Column("TIME", 2, 5, right=True),
    Column("TOTAL", 13, 6, right=True),
    Column("IN", 3, 5, right=True),
    Column("COUNT", 12, 5, right=True),
    Column("WAIT P50", 5, 8, right=True),
    Column("WAIT P95", 9, 8, right=True),
    Column("WAIT P99", 11, 8, right=True),
    Column("WORK P50", 4, 8, right=True),
    Column("WORK P95", 8, 8, right=True),
    Column("WORK P99", 10, 8, right=True),
    Column("WORK TOLD BY", 14, 12),
    Column("ERRORS", 6, 6, right=True),
    Column("RETRIES", 7, 7, right=True),
)
SIGNS = {"publish": "sends", "handling": "handles", "event": "event", "span": "span"}


def percent(share: float | None) -> str:
    """A share to a tenth of a percent; never 100 % or 0 % for what is not all or nothing."""
    if share is None:
        return ""
    if share in {0.0, 1.0}:
        return f"{share:.0%}"
    if share >= _FULL:
        return ">99.9%"
    return "<0.1%" if share < 1 - _FULL else f"{share:.1%}"


def step_name(kind: str, name: str, service: str | None, look: Look) -> Line:
    """A step in the signs of ``clew show``: ``order-service → OrderPlaced``."""
    sign = getattr(look.glyphs, SIGNS[kind]).strip()
    line = look.line(service or "", "service")
    for text in (sign, name):
        if text:
            line.add(" " if line.cells else "").add(text, "name" if text == name else "")
    return line


def type_table(found: Sequence[TypeReport], look: Look) -> Iterator[Line]:
    """A line for each type."""
    if not found:
        yield look.line("no flow matches")
        return
    first, last = moments([one.first for one in found]), moments([one.last for one in found])
    rows = [
        [
            look.line(one.type, "name"),
            look.line(count(one.flows)),
            look.line(percent(one.success)),
            *(look.line(_number(one.by_status.get(status, 0)), status) for status in STATUS_COLUMNS),
            look.line(_number(one.late), "warning"),
            look.line(_number(one.duplicates), "warning"),
            *_quantiles(one.duration, look),
            *_quantiles(one.consistency, look),
            look.line(count(one.variants)),
            look.line(begin),
            look.line(end),
        ]
        for one, begin, end in zip(found, first, last, strict=True)
    ]
    yield from table(TYPE_COLUMNS, rows, look)


def step_table(found: Sequence[StepReport], look: Look, *, several: bool) -> Iterator[Line]:
    """A line for each step; its type where there are ``several``."""
    if not found:
        yield look.line("no step of such a flow is known")
        return
    rows = [
        [
            step_name(one.kind, one.name, one.service, look),
            look.line(one.type if several else ""),
            look.line(percent(one.time_share)),
            look.line(duration(one.total_us) if one.total_us else ""),
            look.line(percent(one.share)),
            look.line(count(one.count)),
            *_quantiles(one.wait, look, "wait"),
            *_quantiles(one.work, look, "work"),
            look.line(", ".join(one.work_from)),
            look.line(_number(one.errors), "error"),
            look.line(_number(one.retries), "warning"),
        ]
        for one in found
    ]
    yield from table(STEP_COLUMNS, rows, look)


def variant_list(found: VariantReport, look: Look) -> Iterator[Line]:
    """For each variant how many flows went that way, how they stand, its steps, and one to look at."""
    if not found.listed:
        yield look.line("no flow matches")
        return
    several = len({one.type for one in found.listed}) > 1
    for one in found.listed:
        head = [
            (f"{percent(one.share)} {count(one.flows, 'flow')}", "strong"),
            *(((one.type, "name"),) if several else ()),
            *_statuses(one.by_status, look),
            *(((f"median {duration(one.median_us)}", ""),) if one.median_us is not None else ()),
        ]
        yield from look.join(head, first=look.line())
        yield from _sequence(one.steps, one.truncated, look)
        yield look.line("  e.g. ", "faint").add(one.example, "name").fit(look.width, look.glyphs.cut)
        yield look.line()
    left = found.variants - len(found.listed)
    said = f"{count(found.variants, 'variant')} of {count(found.flows, 'flow')}"
    yield look.line(said + (f"; --limit 0 lists the other {count(left)}" if left else ""), "faint")


def _sequence(steps: Sequence[VariantStep], truncated: int, look: Look) -> Iterator[Line]:
    """The steps one after another, broken between them; each line begins under the first."""
    indent = "  "
    line = look.line(indent)
    for place, one in enumerate(steps):
        part = step_name(one.kind, one.name, one.service, look)
        if one.most > 1:
            times = f"{one.least}" if one.least == one.most else f"{one.least}-{one.most}"
            part.add(f" {look.glyphs.times}{times}", "warning")
        if place < len(steps) - 1 or truncated:
            part.add(",", "faint")
        if line.cells > len(indent) and line.cells + 1 + part.cells > look.width:
            yield line
            line = look.line(indent)
        elif line.cells > len(indent):
            line.add(" ")
        line.extend(part.fit(look.width - len(indent), look.glyphs.cut))
    if truncated:
        yield line
        line = look.line(indent).add(f"and {count(truncated)} more", "faint")
    if not steps:
        line.add("no step is told", "faint")
    yield line


def _statuses(by_status: Mapping[str, int], look: Look) -> Iterator[tuple[str, str]]:
    ascii_ = look.encoding != "utf-8"
    for status, number in by_status.items():
        yield f"{STATUS_GLYPHS[status][ascii_]} {count(number)} {status}", status


def _quantiles(found: Spread | None, look: Look, style: str = "") -> list[Line]:
    values = (None, None, None) if found is None else (found.p50_us, found.p95_us, found.p99_us)
    return [look.line(duration(value), style) for value in values]


def _number(value: int) -> str:
    return count(value) if value else ""
