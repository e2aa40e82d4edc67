"""JSON documents that span lines, and the elements of top-level JSON arrays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from clew.collectors.files.brackets import CLOSE, OPEN, Documents, State, documents, end_of_document
from clew.collectors.files.units import RAW_BYTES, Units
from clew.collectors.files.validity import NUL, nul_rejects, utf8_rejects
from clew.collectors.record import Reject

if TYPE_CHECKING:
    from clew.collectors.files.slabs import Bytes
    from clew.collectors.files.units import Flags, Offsets

BETWEEN = b" \t\r\n,[]\x1e\xef\xbb\xbf"
"""What may stand between documents: white space, the array's own signs, RFC 7464's
record separator and a byte-order mark."""

LARGE_GAP = 64
"""Bytes between two documents from which they are looked at by themselves."""

RESYNCS = 32
"""Broken documents in one buffer after which the rest of it is given up: each costs a pass."""

KEY_BYTES = 64


class _Skipping(NamedTuple):
    """A document that is too large to keep, so far."""

    raw: bytes
    size: int
    state: State


class DocumentFramer:
    """Cuts a stream into JSON documents, buffer by buffer.

    A document is an object or array at the top level, or an element (object or array) of
    an array at the top level; they are numbered from 1 over all of them. Rejected are what
    stands between and is no document; a document of more than ``document_bytes``, which is
    not kept in memory; and one that does not end. After the latter, reading goes on where a
    later one starts with the same key, written in the same way.

    ``number`` is the number of documents before, ``within`` says that the stream starts in
    a top-level array.
    """

    name = "documents"

    def __init__(self, *, document_bytes: int, number: int = 0, within: bool = False) -> None:
        self._document_bytes = document_bytes
        self._number = number
        self._within = within
        self._skipping: _Skipping | None = None

    def frame(self, data: Bytes, *, final: bool) -> Units:
        """Find the documents of ``data``, which starts where the last call's ``consumed`` was.

        With ``final`` nothing follows: a document that has not ended is rejected and ``held``.
        """
        import numpy as np

        rejects: list[Reject] = []
        begin = self._skip(data, rejects, final=final)
        none = np.empty(0, np.int64)
        units = Units(none, none, none, none, begin, begin, 0, rejects, nested=np.empty(0, np.bool_))
        for _ in range(RESYNCS):
            if not self._take(data, units, final=final):
                break
        else:
            reason = f"after {RESYNCS} broken JSON documents the rest of this part is left out"
            rejects.append(self._reject(data, units.consumed, len(data), reason))
            units.consumed = units.resume = len(data)
        units.number, units.within = self._number, self._within
        _drop(data, units)
        return units

    def back(self, units: Units) -> None:
        """Go on at the ``resume`` of ``units``, which was set back."""
        self._number, self._within = units.number, units.within

    def _take(self, data: Bytes, units: Units, *, final: bool) -> bool:
        """Add the documents behind ``consumed``; whether there may be more behind a broken one."""
        import numpy as np

        at = units.consumed
        found = documents(data[at:], within=self._within)
        units.more = at + found.upto < len(data)
        starts, ends = found.starts + at, found.ends + at
        unlike = np.flatnonzero(data[ends - 1] != data[starts] + (CLOSE - OPEN))
        count = int(unlike[0]) if len(unlike) else len(ends)
        self._add(data, units, starts[:count], ends[:count], found.nested[:count])
        if len(unlike):
            # Ends with a bracket of the other kind: it may have swallowed what follows it.
            self._within = bool(found.nested[count])
            start, end = int(starts[count]), int(ends[count])
            self._leave(data, units, start, _similar(data[:end], start) or end)
            return True
        if units.more or not (final or len(data) - units.consumed > self._document_bytes):
            return False
        gap = len(data) if found.pending is None else at + found.pending
        garbage = _garbage(data, [units.consumed], [gap], [self._number + 1])
        units.rejects += garbage
        if found.pending is None:
            if garbage or not final:
                units.consumed = units.resume = len(data)
                self._within = found.state.depth > 0
            return False
        units.consumed = units.resume = gap
        return self._broken(data, units, gap, found, final=final)

    def _add(self, data: Bytes, units: Units, starts: Offsets, ends: Offsets, nested: Flags) -> None:
        """Add documents, and rejects for what stands before each."""
        import numpy as np

        numbers = np.arange(self._number + 1, self._number + 1 + len(starts), dtype=np.int64)
        units.rejects += _garbage(data, np.append(units.consumed, ends)[: len(ends)], starts, numbers)
        units.starts = np.append(units.starts, starts)
        units.ends = units.afters = np.append(units.ends, ends)
        units.numbers = np.append(units.numbers, numbers)
        if units.nested is not None:
            units.nested = np.append(units.nested, nested)
        self._number += len(starts)
        if len(ends):
            units.consumed = units.resume = int(ends[-1])
            self._within = bool(nested[-1])

    def _broken(self, data: Bytes, units: Units, start: int, found: Documents, *, final: bool) -> bool:
        """Reject the document that starts at ``start`` and does not end; whether to go on behind it."""
        # One deeper than the document's own bracket is an element of a top-level array.
        self._within = found.state.in_array
        following = _similar(data, start)
        if following is not None:
            self._leave(data, units, start, following)
            return True
        units.consumed = units.resume = start
        if final:
            units.held = True
            reason = "the input ends within this JSON document"
            units.rejects.append(self._reject(data, start, len(data), reason))
        else:
            raw = data[start : start + RAW_BYTES].tobytes()
            self._skipping = _Skipping(raw, len(data) - start, found.state)
            units.consumed = len(data)
        return False

    def _leave(self, data: Bytes, units: Units, start: int, following: int) -> None:
        """Reject the document that starts at ``start``, and go on at ``following``."""
        reason = "this JSON document does not end before the next one begins"
        units.rejects += _garbage(data, [units.consumed], [start], [self._number + 1])
        units.rejects.append(self._reject(data, start, following, reason))
        self._number += 1
        units.consumed = units.resume = following

    def _skip(self, data: Bytes, rejects: list[Reject], *, final: bool) -> int:
        """Pass over a document that is too large; where it ends."""
        skipping = self._skipping
        if skipping is None:
            return 0
        end = end_of_document(data, skipping.state)
        size = skipping.size + (len(data) if end is None else end)
        if end is None and not final:
            self._skipping = skipping._replace(size=size)
            return len(data)
        self._number += 1
        self._skipping = None
        reason = (
            f"a JSON document of {size:,} bytes: more than {self._document_bytes:,}; "
            "write its parts one per line (for example with jq -c '.[]')"
        )
        rejects.append(Reject(self._number, reason, skipping.raw))
        return len(data) if end is None else end

    def _reject(self, data: Bytes, start: int, end: int, reason: str) -> Reject:
        return Reject(self._number + 1, reason, data[start : min(end, start + RAW_BYTES)].tobytes())


def _garbage(
    data: Bytes, starts: Offsets | list[int], ends: Offsets | list[int], numbers: Offsets | list[int]
) -> list[Reject]:
    """Reject what stands between documents and does not belong there."""
    import numpy as np

    if not len(starts):
        return []
    lengths = np.subtract(ends, starts)
    small = np.where(lengths < LARGE_GAP, lengths, 0)
    # The bytes of all small gaps, one after the other, and the gap that each is in.
    gap = np.repeat(np.arange(len(small)), small)
    where = np.arange(len(gap)) + np.repeat(np.subtract(starts, np.cumsum(small) - small), small)
    allowed = np.zeros(256, np.bool_)
    allowed[list(BETWEEN)] = True
    rejects = []
    for row in np.union1d(gap[~allowed[data[where]]], np.flatnonzero(lengths >= LARGE_GAP)):
        text = data[starts[row] : ends[row]].tobytes().strip(BETWEEN)
        if text:
            rejects.append(Reject(int(numbers[row]), "no JSON object or array", text[:RAW_BYTES]))
    return rejects


def _similar(data: Bytes, start: int) -> int | None:
    """Where a document starts behind ``start`` as the one there does: same column, same first key."""
    key = data[start : start + KEY_BYTES].tobytes()
    colon = key.find(b":")
    if colon < 0:
        return None
    before = data[max(0, start - KEY_BYTES) : start].tobytes()
    line = before.rfind(b"\n")
    indent = before[line:] if line >= 0 and not before[line:].strip() else b""
    found = re.compile(re.escape(indent + key[: colon + 1])).search(data.data, start + 1)
    return found.start() if found else None


def _drop(data: Bytes, units: Units) -> None:
    """Leave out documents that cannot be text, and say so."""
    import numpy as np

    if not len(units.starts):
        return
    good: Flags = np.ones(len(units.starts), np.bool_)
    if data.min() == NUL:
        units.rejects += nul_rejects(data, units, good)
    if data.max() & 0x80:
        units.rejects += utf8_rejects(data, units, good)
    units.rejects.sort(key=lambda reject: reject.position)
    if not good.all():
        units.keep(good)
