"""How well definitions fit, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli.report_tables import percent
from clew.cli.table import Column, table
from clew.cli.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.cli.look import Line, Look
    from clew.reconstruct.reports import Deviation, Fitness

COLUMNS = (
    Column("FLOWS", 2, 5, right=True),
    Column("SHARE", 6, 5, right=True),
    Column("KIND", 4, 10),
    Column("WHAT THEY DO", 1, 24, good=44, most=100),
    Column("EXAMPLE", 3, 10, most=40),
)


def fitness_view(found: Sequence[Fitness], most: int | None, look: Look) -> Iterator[Line]:
    """For each type how many flows fit, then a line for each deviation, and a blank one."""
    for one in found:
        yield from look.wrap(_told(one), first=look.line(one.type, "name").add(": "))
        shown = one.deviations[:most]
        if shown:
            yield from table(COLUMNS, [_row(deviation, look) for deviation in shown], look)
        left = len(one.deviations) - len(shown) + one.truncated
        if left:
            yield look.line(f"{count(left, 'more deviation')}; --limit 0 lists them", "faint")
        yield look.line()


def _told(one: Fitness) -> str:
    if not one.flows:
        return "no flow begins with its start"
    going_on = f"; {count(one.going_on)} came to no end" if one.going_on else ""
    return f"{percent(one.fitness)} fit, {count(one.fits)} of {count(one.flows, 'flow')}{going_on}"


def _row(one: Deviation, look: Look) -> list[Line]:
    return [
        look.line(count(one.flows)),
        look.line(percent(one.share)),
        look.line(one.kind, "warning"),
        look.line(said(one)),
        look.line(one.example, "name"),
    ]


def said(one: Deviation) -> str:
    """What a flow does that deviates so."""
    step, other = one.step, one.other
    return {
        "missing": f"{step} is missing",
        "unexpected": f"{step} of {other} is not asked for" if other else f"{step} is not in the definition",
        "order": f"{step} comes before {other}",
        "after_end": f"{step} comes after {other}, the end",
        "repeats": f"{step} comes too often",
        "choice": f"{step} and {other} both come",
        "late": f"{step} is later than its limit" if step else "it takes longer than the whole's limit",
        "ended": f"{step}, and no end of the definition came",
    }[one.kind]
