"""What the processes that write to a store do, as ``clew sources`` tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli.units import count, duration, microseconds, moment
from clew.cli.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.cli.look import Line, Look
    from clew.reconstruct.running import RunningProcess

SILENT_US = 15_000_000
"""Each process tells of itself every two seconds."""
_STYLES = {"reading": "work", "receiving": "work", "waiting": "warning", "ended": "faint", "wrong": "error"}


def processes(found: Sequence[RunningProcess], look: Look) -> Iterator[Line]:
    """A paragraph for each process."""
    from datetime import UTC, datetime

    from clew.cli.table import Column, table

    now = datetime.now(UTC)

    columns = (
        Column("NAME", 1, 8, good=20),
        Column("STATE", 2, 7),
        Column("RECORDS", 3, 7, right=True),
        Column("RATE", 4, 6, right=True),
        Column("BEHIND", 5, 6, right=True),
        Column("REJECTS", 6, 7, right=True),
        Column("LAST ERROR", 4, 20, good=60),
    )
    for process in found:
        who = f"process {process.pid} on {visible(process.host)}"
        head = look.line(visible(process.command), "name")
        if process.running:
            head.add(f"  {who}, since {moment(process.started)}")
            silent = microseconds(process.updated, now)
            if silent is not None and silent > SILENT_US:
                head.add(f"; it hangs: nothing was heard of it for {duration(silent)}", "warning")
            yield head
        else:
            yield head.add("  not running", "error").add(
                f": {who} was killed after {moment(process.updated)}"
            )
        if process.error:
            at = f"{process.error_time:%H:%M:%S}Z " if process.error_time else ""
            yield look.line("store ", "warning").add(f"{at}{visible(process.error)}")
        rows = [
            [
                look.line(visible(one.name), "name"),
                look.line(one.state, _STYLES.get(one.state, "")) if process.running else look.line(""),
                look.line(count(one.records)),
                look.line(f"{count(round(one.rate))}/s" if process.running else ""),
                look.line(duration(one.behind_us) if process.running else ""),
                look.line(count(one.rejects) if one.rejects else "", "warning"),
                look.line(
                    (f"{one.error_time:%H:%M:%S}Z " if one.error_time else "") + visible(one.error), "warning"
                ),
            ]
            for one in process.sources
        ]
        if rows:
            yield from table(columns, rows, look)
        yield look.line()
