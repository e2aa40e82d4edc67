"""JSON documents that span lines, and the elements of top-level JSON arrays.

The structure is found without parsing: brackets outside of strings, whole blocks at a
time (after Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019, stage 1).
Whether a document is valid is the format's to say. JSON allows no raw newline within a
string (RFC 8259, section 7), so a quotation mark that is missing spoils one line only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from clew.collectors.files.units import RAW_BYTES, Units
from clew.collectors.files.validity import NUL, nul_rejects, utf8_rejects
from clew.collectors.record import Reject

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from clew.collectors.files.slabs import Bytes
    from clew.collectors.files.units import Flags, Offsets

BLOCK = 1 << 20
QUOTE, BACKSLASH, NEWLINE = 0x22, 0x5C, 0x0A
OPEN, CLOSE = 0x7B, 0x7D
"""``{`` and ``}``; setting bit 5 of ``[`` and ``]`` gives the same."""
BRACE = 0x7B
BETWEEN = b" \t\r\n,[]\x1e\xef\xbb\xbf"
"""What may stand between documents: white space, the array's own signs, RFC 7464's
record separator and a byte-order mark."""


RESYNCS = 32
"""Broken documents in one buffer after which the rest of it is given up: each costs a pass."""

KEY_BYTES = 64


class Structure(NamedTuple):
    """Brackets outside of strings: where they are, +1 or -1 each, and whether it is a brace."""

    where: Offsets
    step: npt.NDArray[np.int8]
    brace: Flags
    in_string: bool
    """The data ends within a string,"""
    escaped: bool
    """and before a character that is escaped."""


def structure(data: Bytes, *, in_string: bool = False, escaped: bool = False) -> Structure:
    """The brackets of ``data``, which starts outside of any string unless said otherwise."""
    import numpy as np

    wheres, steps, braces = [np.empty(0, np.int64)], [np.empty(0, np.int8)], [np.empty(0, np.bool_)]
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        quotes = block == QUOTE
        slashes = np.flatnonzero(block == BACKSLASH)
        if escaped:
            quotes[0] = False
        if len(slashes) or escaped:
            escaped = _unquote(quotes, slashes, len(block), escaped=escaped)
        marks = np.flatnonzero(quotes)
        folded = block | 0x20
        opening = folded == OPEN
        brackets = np.flatnonzero(opening | (folded == CLOSE))
        newlines = np.flatnonzero(block == NEWLINE)
        # Quotation marks since the line began tell whether a bracket is within a string.
        before = np.searchsorted(marks, brackets)
        at_line = np.searchsorted(marks, newlines)
        line = np.searchsorted(newlines, brackets)
        parity = before.copy()
        first = line == 0
        parity[first] += in_string
        parity[~first] -= at_line[line[~first] - 1]
        outside = brackets[(parity & 1) == 0]
        wheres.append(outside + at)
        steps.append(np.where(opening[outside], 1, -1).astype(np.int8))
        braces.append((block[outside] & 0x20) != 0)
        so_far = -int(at_line[-1]) if len(newlines) else int(in_string)
        in_string = bool((len(marks) + so_far) & 1)
    return Structure(
        np.concatenate(wheres), np.concatenate(steps), np.concatenate(braces), in_string, escaped
    )


def _unquote(quotes: Flags, slashes: Offsets, size: int, *, escaped: bool) -> bool:
    """Take escaped quotation marks out; whether the next block's first byte is escaped too."""
    import numpy as np

    if escaped and len(slashes) and slashes[0] == 0:
        slashes = slashes[1:]
    if not len(slashes):
        return False
    breaks = np.flatnonzero(np.diff(slashes) != 1)
    firsts = slashes[np.append(0, breaks + 1)]
    lasts = slashes[np.append(breaks, len(slashes) - 1)]
    odd = lasts[((lasts - firsts) & 1) == 0] + 1
    quotes[odd[odd < size]] = False
    return bool(len(odd) and odd[-1] == size)


class Documents(NamedTuple):
    """The documents of one piece of a buffer."""

    starts: Offsets
    ends: Offsets
    nested: Flags
    pending: int | None
    """Where a document starts that does not end in the piece."""
    pending_nested: bool
    depth: int
    """How many brackets are open at the end."""
    in_string: bool
    """The piece ends within a string,"""
    escaped: bool
    """and before a character that is escaped."""


def documents(data: Bytes, *, within: bool) -> Documents:
    """Objects and arrays at the top level, or one level deeper in an array there.

    ``within`` says that ``data`` starts in such an array. Closing brackets beyond the top
    level are passed over.
    """
    import numpy as np

    found = structure(data)
    after = int(within) + np.cumsum(found.step, dtype=np.int64)
    after -= np.minimum(np.minimum.accumulate(after), 0) if len(after) else 0
    opening = found.step > 0
    top = opening & (after == 1)
    # Whether the last bracket opened at the top level, seen from each, is that of an array.
    latest = np.maximum.accumulate(np.where(top, np.arange(len(top)), -1)) if len(top) else after
    in_array = np.where(latest >= 0, ~found.brace[latest], within) if len(top) else found.brace
    opens = np.flatnonzero((top & found.brace) | (opening & (after == 2) & in_array))  # noqa: PLR2004
    before = np.append(int(within), after[:-1]) if len(after) else after
    closes = np.flatnonzero(
        ~opening & np.where(in_array, (after == 1) & (before == 2), (after == 0) & (before == 1))  # noqa: PLR2004
    )
    pending = int(found.where[opens[-1]]) if len(opens) > len(closes) else None
    nested = in_array[opens]
    count = len(closes)
    return Documents(
        found.where[opens[:count]],
        found.where[closes] + 1,
        nested[:count],
        pending,
        bool(nested[-1]) if pending is not None else False,
        int(after[-1]) if len(after) else int(within),
        found.in_string,
        found.escaped,
    )


class _Skipping(NamedTuple):
    """A document that is too large to keep, so far."""

    raw: bytes
    size: int
    depth: int
    in_string: bool
    escaped: bool


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
        begin = self._skip(data, rejects, final=final) if self._skipping else 0
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
        starts, ends = found.starts + at, found.ends + at
        unlike = np.flatnonzero(data[ends - 1] != data[starts] + (CLOSE - OPEN))
        if len(unlike):
            # Ends with a bracket of the other kind: it has swallowed what follows it.
            first = int(unlike[0])
            found = found._replace(pending=int(found.starts[first]), pending_nested=bool(found.nested[first]))
            starts, ends = starts[:first], ends[:first]
        numbers = np.arange(self._number + 1, self._number + 1 + len(starts), dtype=np.int64)
        units.rejects += _garbage(data, np.append(at, ends[:-1]) if len(ends) else ends, starts, numbers)
        units.starts = np.append(units.starts, starts)
        units.ends = units.afters = np.append(units.ends, ends)
        units.numbers = np.append(units.numbers, numbers)
        if units.nested is not None:
            units.nested = np.append(units.nested, found.nested[: len(ends)])
        self._number += len(starts)
        if len(ends):
            units.consumed = units.resume = int(ends[-1])
            self._within = bool(found.nested[len(ends) - 1])
        if not (final or len(unlike) or len(data) - units.consumed > self._document_bytes):
            return False
        gap = len(data) if found.pending is None else at + found.pending
        between = _garbage(data, [units.consumed], [gap], [self._number + 1])
        units.rejects += between
        if found.pending is None:
            if between or not final:
                units.consumed = units.resume = len(data)
                self._within = found.depth > 0
            return False
        self._within = found.pending_nested
        return self._broken(data, units, gap, found, final=final or len(unlike) > 0)

    def _broken(self, data: Bytes, units: Units, start: int, found: Documents, *, final: bool) -> bool:
        """Reject the document that starts at ``start`` and does not end; whether to go on behind it."""
        following = _similar(data, start)
        if following is not None:
            reason = "this JSON document does not end before the next one begins"
            units.rejects.append(self._reject(data, start, following, reason))
            self._number += 1
            units.consumed = units.resume = following
            return True
        units.consumed = units.resume = start
        if final:
            units.held = True
            units.rejects.append(
                self._reject(data, start, len(data), "the input ends within this JSON document")
            )
        else:
            raw = data[start : start + RAW_BYTES].tobytes()
            depth = found.depth - found.pending_nested
            self._skipping = _Skipping(raw, len(data) - start, depth, found.in_string, found.escaped)
            units.consumed = len(data)
        return False

    def _skip(self, data: Bytes, rejects: list[Reject], *, final: bool) -> int:
        """Pass over the document that is too large; where it ends."""
        import numpy as np

        skipping = self._skipping
        if skipping is None:
            return 0
        found = structure(data, in_string=skipping.in_string, escaped=skipping.escaped)
        depth = skipping.depth + np.cumsum(found.step, dtype=np.int64)
        closed = np.flatnonzero(depth == 0)
        end = int(found.where[closed[0]]) + 1 if len(closed) else len(data)
        size = skipping.size + end
        if len(closed) or final:
            self._number += 1
            self._skipping = None
            reason = (
                f"a JSON document of {size:,} bytes: more than {self._document_bytes:,}; "
                "write its parts one per line (for example with jq -c '.[]')"
            )
            rejects.append(Reject(self._number, reason, skipping.raw))
        else:
            last = int(depth[-1]) if len(depth) else skipping.depth
            self._skipping = _Skipping(skipping.raw, size, last, found.in_string, found.escaped)
        return end

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
    # The bytes of all gaps, one after the other, and the gap that each is in.
    gap = np.repeat(np.arange(len(lengths)), lengths)
    where = np.arange(len(gap)) + np.repeat(np.subtract(ends, np.cumsum(lengths)), lengths)
    allowed = np.zeros(256, np.bool_)
    allowed[list(BETWEEN)] = True
    rejects = []
    for row in np.unique(gap[~allowed[data[where]]]):
        text = data[starts[row] : ends[row]].tobytes().strip(BETWEEN)
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
