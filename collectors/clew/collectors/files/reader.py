"""Reads one input from its position to its end, as batches."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clew.collectors.errors import UnknownFormat
from clew.collectors.files.framing import framer, framing
from clew.collectors.files.position import HEAD_BYTES, TAIL_BYTES, Position, digest, shown
from clew.collectors.files.recognition import SAMPLE_BYTES, binary, sample_of, spread, texts
from clew.collectors.files.units import RAW_BYTES, table
from clew.collectors.record import Batch, Reject, Watermark, empty_select

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    import pyarrow as pa

    from clew.collectors.files.framing import Framer
    from clew.collectors.files.inputs import Input
    from clew.collectors.files.recognition import Recognise
    from clew.collectors.files.slabs import Bytes, Slabs
    from clew.collectors.files.streams import Stream
    from clew.collectors.files.units import Units
    from clew.collectors.formats.plans import Plan

LATENESS_US = 30_000_000
"""A file that is followed is taken to be complete up to this long ago (DESIGN §3)."""

ONE_MORE = 1
"""Room beyond a file's size, so that its end is seen in the same read."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that bound memory and latency."""

    batch_bytes: int
    batch_rows: int
    line_bytes: int
    document_bytes: int
    latency: float
    """Seconds after which what has come from a pipe is delivered."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is known of the end of a buffer."""

    at_end: bool
    """Nothing follows it now,"""
    last: bool
    """nor will anything,"""
    idle: bool
    """nor has it for a while."""
    following: bool


class Reader:
    """Reads on in ``input`` where ``position`` says; ``stream`` stands there.

    ``position`` is always where the last batch that was given ends. ``plan`` is None until
    there is something to recognise, and can be given by who read the same source before.
    """

    def __init__(
        self,
        opened: Input,
        stream: Stream,
        source: str,
        position: Position,
        *,
        known: bool,
        limits: Limits,
        slabs: Slabs,
        recognise: Recognise,
        stop: threading.Event,
        plan: Plan | None = None,
    ) -> None:
        self.source = source
        self.position = position
        self.plan = plan
        self.ended = False
        """Nothing more can come: a pipe's end, a packed file's, or what cannot be read."""
        self.replaced = False
        """It was truncated and written anew while it was read: what came of that was left out."""
        self._input = opened
        self._stream = stream
        self._limits = limits
        self._slabs = slabs
        self._recognise = recognise
        self._stop = stop
        self._framer: Framer | None = None
        self._framing = position.framing
        self._head = opened.head()[: position.offset]
        self._base = position.offset
        """Offset of the next buffer's first byte."""
        self._fresh = position.offset
        """Offset of the first byte in it that was not read before."""
        self._carry: Bytes | None = None
        self._first = position.offset == 0
        self._raw_before = stream.raw_bytes()
        self._known = known

    def read(self, *, final: bool, following: bool = False, idle: bool = False) -> Iterator[Batch]:
        """Everything there is now.

        ``final`` says that the end found is the end: what is incomplete there is counted or
        rejected. When ``following`` and ``idle`` it is taken for complete where it can be,
        but what cannot is left for later. A live input is read to its end, when
        ``following`` until it pauses.
        """
        follows = following and (self._input.live or not final)
        while not self.ended:
            data, at_end = self._fill()
            if data is None:
                if following or self._stop.is_set():
                    return
                continue
            if len(self._head) < HEAD_BYTES:
                self._head = self._head[: self._base] + data[: HEAD_BYTES - self._base].tobytes()
            if not self._input.holds(self._head, self._fresh):
                self.ended = self.replaced = True
                return
            whole = self._input.live or (self._input.packed and not self._stream.damage)
            last = bool(at_end and (final or idle or whole))
            if len(data):
                yield from self._take(data, _Moment(at_end=at_end, last=last, idle=idle, following=follows))
            if at_end and not self.ended:
                yield from self._finish(final=final or self._input.live, following=follows)
            if at_end:
                return

    def _fill(self) -> tuple[Bytes | None, bool]:
        """What was carried over and what follows it, and whether that is the end; None for nothing yet."""
        carry = self._carry
        kept = 0 if carry is None else len(carry)
        self._fresh = self._base + kept
        size = max(self._limits.batch_bytes, 2 * kept)
        whole = self._input.size()
        if whole is not None and not self._input.packed:
            size = min(size, max(whole - self._base, kept))
        slab = self._slabs.take(size + ONE_MORE)
        room = slab.data
        if carry is not None:
            slab[:kept] = carry
        got, since = kept, 0.0
        while got < len(room):
            more = self._stream.readinto(room[got:])
            if more == 0:
                self._carry = None
                return slab[:got], True
            got += more or 0
            if self._input.live:
                since = since or (time.monotonic() if got > kept else 0.0)
                if (more is None and got == kept) or (
                    since and time.monotonic() - since > self._limits.latency
                ):
                    break
        if got == kept:
            return None, False
        self._carry = None
        return slab[:got], False

    def _take(self, data: Bytes, moment: _Moment) -> Iterator[Batch]:
        if self._framer is None:
            reason = self._begin(data, moment)
            if reason:
                yield from self._unreadable(reason, data, moment)
                return
            if self._framer is None:
                self._carry = data
                return
        more = True
        while more:
            units = self._framer.frame(data, final=moment.last and not self._stream.damage)
            more = units.more
            if units.held and moment.idle:
                units.rejects.pop()
                units.held = False
            if self.plan is None and len(units.starts):
                try:
                    self.plan = self._recognised(data, units)
                except UnknownFormat as error:
                    reason = f"{error}; {error.help}" if error.help else str(error)
                    yield from self._unreadable(reason, data, moment)
                    return
            now = replace(moment, at_end=False, last=False) if more else moment
            yield from self._batches(self._framer, data, units, now)
            self._base += units.consumed
            data = data[units.consumed :]
        if len(data):
            self._carry = data

    def _begin(self, data: Bytes, moment: _Moment) -> str:
        """Find out how to cut the input; why it cannot be read, or ""."""
        kind = self.position.framing
        if not kind:
            beginning, whole = self._input.beginning()
            if self._input.live:
                beginning, whole = data[:SAMPLE_BYTES].tobytes(), moment.at_end and len(data) <= SAMPLE_BYTES
            reason = binary(beginning)
            if reason:
                return reason
            growing = len(beginning) < SAMPLE_BYTES and not moment.last
            if growing and b"\n" not in beginning and (whole or self._input.live):
                return ""
            kind = framing(beginning)
        self._framing = kind
        self._framer = framer(
            kind,
            self.position,
            line_bytes=self._limits.line_bytes,
            document_bytes=self._limits.document_bytes,
        )
        return ""

    def _recognised(self, data: Bytes, units: Units) -> Plan:
        """The plan for what the first units show: of the whole input, not of what is left of it."""
        beginning, whole = self._input.beginning()
        sample = sample_of(beginning, self._framing, whole=whole) or texts(data, units)
        if sample[0].lstrip().startswith("{"):
            sample += spread(data, units)
        return self._recognise(sample)

    def _unreadable(self, reason: str, data: Bytes, moment: _Moment) -> Iterator[Batch]:
        """Say once that, and why, nothing of this input is read."""
        self.ended = True
        raw = self._input.head() or data[:RAW_BYTES].tobytes()
        held = digest(reason.encode() + raw)
        if held != self.position.held:
            place = replace(self.position, path=self._input.path, held=held)
            yield self._batch(None, place, [Reject(place.number + 1, reason, raw[:RAW_BYTES])], moment)

    def _batches(self, cut: Framer, data: Bytes, units: Units, moment: _Moment) -> Iterator[Batch]:
        """The units in batches, each with the rejects up to it; a small rest goes with what follows it."""
        rows, row = len(units.starts), 0
        step = self._limits.batch_rows
        held = digest(data[units.resume :].tobytes()) if units.held else ""
        if held and held == self.position.held:
            units.rejects.pop()
        release = moment.last or units.resume < units.consumed
        rejects = units.rejects
        raw_bytes = self._stream.raw_bytes()
        while row < rows:
            if row and rows - row < step and not (moment.at_end or units.more or self._input.live):
                break
            raw = self._whole_records(data, units, row, step, release=release)
            if raw is None:
                break
            row += len(raw)
            if row < rows:
                after = int(units.afters[row - 1])
                place = self._place(data, after, int(units.numbers[row - 1]), within=_nested(units, row - 1))
                read = self._raw_before + (raw_bytes - self._raw_before) * after // len(data)
            else:
                place, read = self._end_place(data, units, held, moment), raw_bytes
            now = [reject for reject in rejects if row == rows or reject.position <= place.number]
            rejects = rejects[len(now) :]
            here = moment if row == rows else replace(moment, at_end=False)
            yield self._batch(raw, place, now, here, read)
        if row < rows:
            units.hold_back(row)
            cut.back(units)
            rejects = [reject for reject in rejects if reject.position <= units.number]
        if rejects:
            yield self._batch(None, self._end_place(data, units, held, moment), rejects, moment, raw_bytes)

    def _whole_records(
        self, data: Bytes, units: Units, row: int, step: int, *, release: bool
    ) -> pa.Table | None:
        """Rows from ``row`` on that hold whole records: about ``step``, or as many as that takes."""
        rows = until = len(units.starts)
        until = row
        while until < rows:
            until = min(until + step, rows)
            raw = table(data, units.starts[row:until], units.ends[row:until], units.numbers[row:until])
            endless = len(data) - int(units.starts[row]) > self._limits.line_bytes or (units.more and not row)
            if until == rows and (release or endless):
                return raw
            whole = self.plan.complete(raw["line"]) if self.plan else 0
            if whole:
                return raw.slice(0, whole)
        return None

    def _end_place(self, data: Bytes, units: Units, held: str, moment: _Moment) -> Position:
        """Where reading goes on after all of ``units``."""
        place = self._place(data, units.resume, units.number, within=units.within)
        whole = moment.at_end and not self._stream.damage
        return replace(place, unended=units.unended, held=held, packed=self._input.packed if whole else "")

    def _place(self, data: Bytes, after: int, number: int, *, within: bool) -> Position:
        offset = self._base + after
        before = data[max(0, after - TAIL_BYTES) : after].tobytes()
        tail = (len(before), digest(before)) if before else (0, "")
        if not before and offset == self.position.offset:
            tail = self.position.tail
        head = self._head[:offset]
        return replace(
            self.position,
            path=self._input.path,
            offset=offset,
            number=number,
            head=(len(head), digest(head)) if head else (0, ""),
            tail=tail,
            format=self.plan.format if self.plan else self.position.format,
            framing=self._framing if offset else "",
            within=within,
            unended=False,
            held="",
            packed="",
        )

    def _finish(self, *, final: bool, following: bool) -> Iterator[Batch]:
        """Say why a packed input ended too early, or that there was nothing in it."""
        moment = _Moment(at_end=True, last=final, idle=False, following=following)
        place = replace(self.position, path=self._input.path, packed=self._input.packed)
        damage = self._stream.damage
        if damage and final:
            rest = b"" if self._carry is None else self._carry[:RAW_BYTES].tobytes()
            place = replace(place, held=digest(damage.encode() + rest))
            if place != replace(self.position, path=place.path):
                reject = Reject(place.number + 1, damage, rest)
                yield self._batch(None, place, [reject], moment)
        elif not damage and (
            place.packed != self.position.packed
            or not self._known
            or (final and self.position.partial and not following)
        ):
            yield self._batch(None, place, [], moment)
        self.ended = bool(self._input.live or self._input.packed)
        self._carry = None

    def _batch(
        self,
        raw: pa.Table | None,
        place: Position,
        rejects: list[Reject],
        moment: _Moment,
        read: int | None = None,
    ) -> Batch:
        """A batch, after which reading stands at ``place``."""
        read = self._stream.raw_bytes() if read is None else read
        more = not (moment.at_end or self._input.live)
        place = replace(place, partial=more or moment.following)
        batch = Batch(
            source=self.source,
            raw=raw,
            select=self.plan.select if raw is not None and self.plan else empty_select(),
            short=self.plan.short if raw is not None and self.plan else None,
            position=place.text(),
            rejects=tuple(rejects),
            watermark=estimated() if moment.following and moment.at_end else None,
            more=more,
            scope=place.scope,
            format=place.format,
            first=self._first,
            rowwise=self.plan is not None and self.plan.multiline is None,
            bytes=read - self._raw_before,
            total_bytes=self._input.size(),
            files=(shown(self._input.path),),
        )
        self.position = place
        self._first, self._known = False, True
        self._raw_before = read
        return batch


def estimated() -> Watermark:
    """Up to when a followed file has told all that is read from it to its end now."""
    return Watermark(time.time_ns() // 1000 - LATENESS_US, exact=False)


def _nested(units: Units, row: int) -> bool:
    return units.nested is not None and bool(units.nested[row])
