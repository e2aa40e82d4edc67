"""The status of ``clew collect``: one line for each source, drawn anew as it changes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clew.cli.units import count, duration
from clew.cli.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from clew.cli.collecting import Live
    from clew.cli.terminal import Terminal
    from clew.collectors.supervision import Status
    from clew.reconstruct.ingest import Progress

_STYLES = {"reading": "work", "waiting": "warning", "ended": "faint", "wrong": "error"}


@contextmanager
def watched(sources: Live, terminal: Terminal, *, wanted: bool) -> Iterator[Progress | None]:
    """Lines on stderr while the block runs."""
    if not (wanted and terminal.interactive):
        yield None
        return
    from rich.live import Live as Drawn

    with Drawn(
        get_renderable=lambda: drawn(sources.statuses),
        console=terminal.console("stderr"),
        refresh_per_second=2,
        transient=True,
    ):
        yield None


def drawn(statuses: Sequence[Status]) -> Table:
    """``shop  reading  1,204,311 records  5,012/s  2.10s behind  3 rejects  cannot reach Kafka …``."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for one in statuses:
        cells = [Text(visible(one.name), "name"), Text(one.state.value, _STYLES[one.state.value])]
        cells += [Text(text) for text in told(one)]
        rejects = f"{count(one.rejects, 'reject')}" if one.rejects else ""
        cells += [Text(rejects, "warning"), Text(visible(one.error), "warning")]
        table.add_row(*cells)
    return table


def told(status: Status) -> list[str]:
    """How much, how fast, and how far behind."""
    mark = status.watermark_us
    behind = duration(max(0, time.time_ns() // 1000 - mark)) + " behind" if mark is not None else ""
    return [count(status.records, "record"), f"{count(round(status.rate()))}/s", behind]
