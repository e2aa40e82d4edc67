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
    from clew.reconstruct.detail import Step

MOST_BREAKS = 3
BREAK_CELLS = 2
SHORT_IDLE = 10_000_000
"""Idle stretches shorter than this, in microseconds, are always drawn."""
_LEAST_IDLE = 0.1
_MOSTLY_IDLE = 0.85
"""Long idle stretches are cut out of the scale where so much of the flow's time is idle."""
_LABELLED_MIDDLE = 30


class Break(NamedTuple):
    """An idle stretch cut out of the scale: offsets in microseconds."""

    start: int
    end: int


class Segment(NamedTuple):
    """A stretch between breaks: its offsets in microseconds, its first column, its columns."""

    start: int
    end: int
    column: int
    width: int


class Scale:
    """Maps times to columns 0 … ``width`` - 1; linear within each stretch between breaks."""

    def __init__(self, steps: Iterable[Step], width: int) -> None:
        self.width = width
        busy = [span for step in steps if (span := _busy(step)) is not None]
        self.start: datetime | None = min((first for first, _ in busy), default=None)
        end = max((last for _, last in busy), default=None)
        self.total = microseconds(self.start, end) or 0
        self.breaks = self._find_breaks(busy) if width > BREAK_CELLS * MOST_BREAKS * 2 else []
        self._segments = self._lay_out()

    def offset(self, time: datetime | None) -> int | None:
        """Microseconds since the flow's first moment; None where the time is not known."""
        return microseconds(self.start, time)

    def column(self, offset: int) -> int:
        """The column in which ``offset`` lies."""
        segment = self._segment(offset)
        return segment.column + min(int(_part(offset, segment) * segment.width), segment.width - 1)

    def edge(self, offset: int) -> int:
        """The column before which something ends that ends at ``offset``, at least 1."""
        segment = self._segment(offset)
        return max(segment.column + round(_part(offset, segment) * segment.width), 1)

    def break_columns(self) -> list[tuple[Break, int]]:
        """Each break and its first column."""
        return [
            (cut, after.column - BREAK_CELLS)
            for cut, after in zip(self.breaks, self._segments[1:], strict=True)
        ]

    def _segment(self, offset: int) -> Segment:
        for segment in self._segments:
            if offset <= segment.end:
                return segment
        return self._segments[-1]

    def _lay_out(self) -> list[Segment]:
        edges = [0, *(edge for cut in self.breaks for edge in cut), self.total]
        stretches = list(zip(edges[::2], edges[1::2], strict=True))
        room = self.width - BREAK_CELLS * len(self.breaks)
        drawn = sum(end - start for start, end in stretches) or 1
        widths = [max(1, int((end - start) / drawn * room)) for start, end in stretches]
        widths[widths.index(max(widths))] += room - sum(widths)
        segments: list[Segment] = []
        column = 0
        for (start, end), width in zip(stretches, widths, strict=True):
            segments.append(Segment(start, end, column, max(width, 1)))
            column += width + BREAK_CELLS
        return segments

    def _find_breaks(self, busy: Sequence[tuple[datetime, datetime]]) -> list[Break]:
        idle: list[Break] = []
        reached = 0
        for first, last in sorted(busy):
            begins, ends = microseconds(self.start, first) or 0, microseconds(self.start, last) or 0
            if begins > reached:
                idle.append(Break(reached, begins))
            reached = max(reached, ends)
        idle = [cut for cut in idle if cut.end - cut.start >= max(_LEAST_IDLE * self.total, SHORT_IDLE)]
        idle = sorted(idle, key=lambda cut: cut.start - cut.end)[:MOST_BREAKS]
        cut_out = sum(cut.end - cut.start for cut in idle)
        return sorted(idle) if _MOSTLY_IDLE * self.total <= cut_out < self.total else []


def axis(scale: Scale, look: Look) -> Line:
    """The heading of the bars: from 0 to the flow's length, and how long each cut-out stretch is."""
    cells = [" "] * scale.width
    end = duration(scale.total)
    if scale.total:
        _put(cells, 0, "0")
        _put(cells, scale.width - len(end), end)
    for cut, column in scale.break_columns():
        label = duration(cut.end - cut.start)
        middle = column + 1 - len(label) // 2
        any(_put(cells, middle + shift, label) for shift in (0, *range(-1, -len(label) - len(end), -1)))
    if scale.total and not scale.breaks and scale.width >= _LABELLED_MIDDLE:
        half = duration(scale.total // 2)
        _put(cells, scale.width // 2 - len(half) // 2, half)
    return look.line("".join(cells), "heading")


def bar(step: Step, scale: Scale, look: Look) -> Line:
    """One step: its wait in the queue, then its work; open-ended where it has not ended."""
    glyphs = look.glyphs
    cells = [(" ", "")] * scale.width
    for _, column in scale.break_columns():
        cells[column : column + BREAK_CELLS] = [(glyphs.idle, "faint")] * BREAK_CELLS
    begin = scale.offset(step.start)
    if begin is not None and cells:
        edge = scale.width - 1
        at = scale.column(begin)
        if step.queue_wait_us and step.queue_wait_us > 0:
            waited_from = scale.column(max(begin - step.queue_wait_us, 0))
            cells[waited_from:at] = [(glyphs.wait, "wait")] * (at - waited_from)
        style, full = ("error", glyphs.error) if step.status == "error" else ("work", glyphs.work)
        end = scale.offset(step.end)
        if step.open:
            cells[at:] = [(glyphs.rule, style)] * (scale.width - at)
            cells[at], cells[edge] = (full, style), (glyphs.open, style)
        elif end is None or end <= begin:
            cells[at] = (glyphs.point, style)
        else:
            until = max(at + 1, scale.edge(end))
            cells[at:until] = [(full, style)] * (until - at)
    return _joined(cells, look)


def _part(offset: int, segment: Segment) -> float:
    length = segment.end - segment.start
    return min(max((offset - segment.start) / length, 0.0), 1.0) if length > 0 else 0.0


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
