"""Time as columns: one scale for all steps of a flow, and a bar for each."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from clew.cli.units import duration, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from clew.cli.look import Line, Look
    from clew.reconstruct.model import Step

MOST_BREAKS = 3
BREAK_CELLS = 2
_LONG_IDLE = 0.4
"""Nothing happening for this part of what is drawn is cut out of the scale."""
_LABELLED_MIDDLE = 30


class Break(NamedTuple):
    """An idle stretch cut out of the scale: offsets in microseconds."""

    start: int
    end: int


class Scale:
    """Maps times to columns 0 … ``width``; linear but for the idle stretches cut out."""

    def __init__(self, steps: Iterable[Step], width: int) -> None:
        self.width = width
        busy = [span for step in steps if (span := _busy(step)) is not None]
        self.start: datetime | None = min((first for first, _ in busy), default=None)
        end = max((last for _, last in busy), default=None)
        self.total = microseconds(self.start, end) or 0
        self.breaks = self._find_breaks(busy) if width > BREAK_CELLS * MOST_BREAKS * 2 else []
        self._drawn = self.total - sum(cut.end - cut.start for cut in self.breaks)
        self._room = width - BREAK_CELLS * len(self.breaks)

    def offset(self, time: datetime | None) -> int | None:
        """Microseconds since the flow's first moment; None where the time is not known."""
        return microseconds(self.start, time)

    def column(self, offset: int) -> float:
        """The column of an offset, 0.0 to ``width``."""
        if self._drawn <= 0:
            return 0.0
        drawn, jumps = offset, 0
        for cut in self.breaks:
            if offset >= cut.end:
                drawn -= cut.end - cut.start
                jumps += 1
            elif offset > cut.start:
                drawn -= offset - cut.start
        place = drawn / self._drawn * self._room + jumps * BREAK_CELLS
        return min(max(place, 0.0), float(self.width))

    def break_column(self, cut: Break) -> int:
        """The first column of a break."""
        return min(round(self.column(cut.end)) - BREAK_CELLS, self.width - BREAK_CELLS)

    def _find_breaks(self, busy: Sequence[tuple[datetime, datetime]]) -> list[Break]:
        idle: list[Break] = []
        reached = 0
        for first, last in sorted(busy):
            begins, ends = microseconds(self.start, first) or 0, microseconds(self.start, last) or 0
            if begins > reached:
                idle.append(Break(reached, begins))
            reached = max(reached, ends)
        idle.sort(key=lambda cut: cut.start - cut.end)
        left, found = self.total, []
        for cut in idle[:MOST_BREAKS]:
            long = cut.end - cut.start
            if long < _LONG_IDLE * left or long == left:
                break
            found.append(cut)
            left -= long
        return sorted(found)


def axis(scale: Scale, look: Look) -> Line:
    """The heading of the bars: from 0 to the flow's length, and how long each cut-out stretch is."""
    cells = [" "] * scale.width
    end = duration(scale.total)
    _put(cells, 0, "0")
    _put(cells, scale.width - len(end), end)
    for cut in scale.breaks:
        label = duration(cut.end - cut.start)
        middle = scale.break_column(cut) + 1 - len(label) // 2
        any(_put(cells, middle + shift, label) for shift in (0, *range(-1, -len(label) - len(end), -1)))
    if not scale.breaks and scale.width >= _LABELLED_MIDDLE:
        half = duration(scale.total // 2)
        _put(cells, scale.width // 2 - len(half) // 2, half)
    return look.line("".join(cells), "heading")


def bar(step: Step, scale: Scale, look: Look) -> Line:
    """One step: its wait in the queue, then its work; open-ended where it has not ended."""
    glyphs = look.glyphs
    cells = [(" ", "")] * scale.width
    for cut in scale.breaks:
        column = scale.break_column(cut)
        cells[column : column + BREAK_CELLS] = [(glyphs.idle, "faint")] * BREAK_CELLS
    begin = scale.offset(step.start)
    if begin is not None and cells:
        edge = scale.width - 1
        at = min(int(scale.column(begin)), edge)
        if step.queue_wait_us and step.queue_wait_us > 0:
            waited_from = min(int(scale.column(max(begin - step.queue_wait_us, 0))), edge)
            cells[waited_from:at] = [(glyphs.wait, "wait")] * (at - waited_from)
        style, full = ("error", glyphs.error) if step.status == "error" else ("work", glyphs.work)
        end = scale.offset(step.end)
        if step.open:
            cells[at:] = [(glyphs.rule, style)] * (scale.width - at)
            cells[at], cells[edge] = (full, style), (glyphs.open, style)
        elif end is None or end <= begin:
            cells[at] = (glyphs.point, style)
        else:
            until = max(at + 1, min(round(scale.column(end)), scale.width))
            cells[at:until] = [(full, style)] * (until - at)
    return _joined(cells, look)


def _busy(step: Step) -> tuple[datetime, datetime] | None:
    if step.start is None:
        return None
    try:
        since = step.start - timedelta(microseconds=step.queue_wait_us or 0)
    except OverflowError:
        since = step.start
    return since, max(step.end or step.start, step.start)


def _put(cells: list[str], at: int, text: str) -> bool:
    """Write ``text`` where it is free of others by a blank on each side; says whether it was."""
    around = cells[max(at - 1, 0) : at + len(text) + 1]
    free = at >= 0 and at + len(text) <= len(cells) and all(cell == " " for cell in around)
    if free:
        cells[at : at + len(text)] = text
    return free


def _joined(cells: list[tuple[str, str]], look: Look) -> Line:
    line = look.line()
    starts = [
        0,
        *(at for at, (one, next_) in enumerate(pairwise(cells), 1) if one[1] != next_[1]),
        len(cells),
    ]
    for begin, end in pairwise(starts):
        line.add("".join(char for char, _ in cells[begin:end]), cells[begin][1])
    return line
