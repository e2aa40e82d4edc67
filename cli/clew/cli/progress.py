"""Progress of long work on stderr: how much, how fast, how long still."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from clew.cli.units import count, duration, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clew.cli.terminal import Terminal

_SECOND = 1_000_000


@contextmanager
def shown(
    terminal: Terminal, *, wanted: bool
) -> Iterator[Callable[[int, int | None, int, float], None] | None]:
    """A callback for ``ingest`` that moves a bar on stderr; None where nobody would see it."""
    if not (wanted and terminal.interactive):
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=terminal.console("stderr"), transient=True, refresh_per_second=5) as bar:
        task = bar.add_task("reading", total=None, told="")

        def move(read: int, total: int | None, records: int, seconds: float) -> None:
            bar.update(task, completed=read, total=total, told=told(read, total, records, seconds))

        yield move


def told(read: int, total: int | None, records: int, seconds: float) -> str:
    """``312 MB of 650 MB, 480,000 records, 227,000/s, 1.50s left``."""
    parts = [size(read) + (f" of {size(total)}" if total else ""), count(records, "record")]
    if seconds > 0:
        parts.append(f"{count(round(records / seconds))}/s")
    if total and 0 < read <= total:
        parts.append(f"{duration(int(seconds * (total - read) / read * _SECOND))} left")
    return ", ".join(parts)
