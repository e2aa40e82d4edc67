"""Lines of a buffer: where they start and end, and which cannot be text.

This is the path of nearly all input, so it works on whole buffers: one pass in blocks
that stay in the cache finds the newlines, NUL bytes and bytes beyond ASCII; Python
looks only at lines that have something wrong with them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from clew.collectors.files.units import RAW_BYTES, Units
from clew.collectors.files.validity import nul_rejects, utf8_rejects
from clew.collectors.record import Reject

if TYPE_CHECKING:
    from clew.collectors.files.slabs import Bytes
    from clew.collectors.files.units import Offsets

BLOCK = 1 << 20
"""Bytes looked at in one go: with its masks it stays in the second-level cache."""

MOST = 1 << 20
"""Lines found in one go, so that a buffer of very short ones does not fill the memory."""

BOM = b"\xef\xbb\xbf"
NUL, NEWLINE, RETURN = 0, 10, 13
BEGUN_JSON = re.compile(rb'\s*(\{|\[\s*[\[{"])')


class Scan(NamedTuple):
    """What one pass over a buffer tells."""

    newlines: Offsets
    nul: bool
    beyond_ascii: bool
    upto: int
    """How many bytes were looked at."""


def scan(data: Bytes) -> Scan:
    """Find the newlines, and whether any byte is NUL or beyond ASCII; stop after :data:`MOST`."""
    import numpy as np

    found, nul, beyond, count = [], False, False, 0
    for at in range(0, len(data), BLOCK):
        if count > MOST:
            data = data[:at]
            break
        block = data[at : at + BLOCK]
        where = np.flatnonzero(block == NEWLINE)
        where += at
        found.append(where)
        count += len(where)
        nul = nul or block.min() == NUL
        beyond = beyond or bool(block.max() & 0x80)
    newlines = np.concatenate(found) if found else np.empty(0, np.int64)
    return Scan(newlines, nul, beyond, len(data))


class LineFramer:
    r"""Cuts a stream into lines, buffer by buffer.

    The end of a line is not part of it, be it ``\n`` or ``\r\n``; nor is a byte-order
    mark at the very beginning. Empty lines are counted and left out. Rejected are lines
    that are not UTF-8, hold NUL bytes (lines of a run that are found together are one reject) or are longer
    than ``line_bytes``, which are not kept in memory.

    ``number`` is the number of lines before, ``at_start`` says that there are none, and
    ``unended`` that the last of them was counted although its end was not there: what
    continues it is rejected, because a part of a line would else be stored beside the
    whole.
    """

    name = "lines"

    def __init__(
        self, *, line_bytes: int, number: int = 0, at_start: bool = True, unended: bool = False
    ) -> None:
        self._number = number
        self._line_bytes = line_bytes
        self._at_start = at_start
        self._unended = unended
        self._long = b""
        self._long_bytes = 0

    def frame(self, data: Bytes, *, final: bool) -> Units:
        """Find the lines of ``data``, which starts where the last call's ``consumed`` was.

        With ``final`` nothing follows: what is left without a newline is a line too,
        unless it is the beginning of a JSON value, which is rejected and ``held``.
        """
        import numpy as np

        newlines, nul, beyond_ascii, upto = scan(data)
        more = upto < len(data)
        data, final = data[:upto], final and not more
        rejects: list[Reject] = []
        begin = self._begin(data, newlines, rejects, final=final)
        ends = newlines[1:] if begin and len(newlines) and newlines[0] < begin else newlines
        starts = np.empty_like(ends)
        if len(ends):
            starts[0] = begin
            starts[1:] = ends[:-1] + 1
        consumed = int(ends[-1]) + 1 if len(ends) else begin
        resume, unended, held = consumed, self._unended and final, False
        if len(data) > consumed:
            if final:
                held = _begun_json(data[consumed:].tobytes())
                if not held:
                    starts, ends = np.append(starts, consumed), np.append(ends, len(data))
                    consumed = resume = len(data)
                    unended = True
            elif len(data) - consumed > self._line_bytes:
                self._long = data[consumed : consumed + RAW_BYTES].tobytes()
                self._long_bytes = len(data) - consumed
                consumed = len(data)
        numbers = np.arange(self._number + 1, self._number + 1 + len(starts), dtype=np.int64)
        self._number += len(starts)
        if resume:
            self._at_start, self._unended = False, unended
        if held:
            raw = data[consumed : consumed + RAW_BYTES].tobytes()
            rejects.append(Reject(self._number + 1, "the input ends within this JSON value", raw))
        afters = ends + 1
        if unended:
            afters[-1:] = len(data)
        units = Units(
            starts,
            ends,
            afters,
            numbers,
            consumed,
            resume,
            self._number,
            rejects,
            unended=unended,
            held=held,
            more=more,
        )
        self._drop(data, units, nul=nul, beyond_ascii=beyond_ascii)
        return units

    def back(self, units: Units) -> None:
        """Go on at the ``resume`` of ``units``, which was set back."""
        self._number = units.number

    def _begin(self, data: Bytes, newlines: Offsets, rejects: list[Reject], *, final: bool) -> int:
        """Where the first whole line starts, after what is left of one that was begun before."""
        if self._at_start and not self._long_bytes and data[: len(BOM)].tobytes() == BOM:
            return len(BOM)
        if not (self._long_bytes or self._unended):
            return 0
        end = int(newlines[0]) if len(newlines) else len(data)
        ended = len(newlines) > 0
        if self._long_bytes:
            self._long_bytes += end
            if ended or final:
                self._number += 1
                self._unended = not ended
                rejects.append(self._too_long(self._number, self._long_bytes, self._long))
                self._long_bytes = 0
        elif not (ended or final):
            return 0
        else:
            text = data[:end].tobytes()
            if text.strip(b"\r"):
                rejects.append(
                    Reject(
                        self._number,
                        "continues a line that was counted before its end was written; "
                        "follow a file that is being written, or read it once it is complete",
                        text[:RAW_BYTES],
                    )
                )
            self._unended = not ended
        return end + ended

    def _too_long(self, number: int, size: int, raw: bytes) -> Reject:
        return Reject(number, f"a line of {size:,} bytes: more than {self._line_bytes:,}", raw[:RAW_BYTES])

    def _drop(self, data: Bytes, units: Units, *, nul: bool, beyond_ascii: bool) -> None:
        """Leave out what is empty or cannot be text, and say so of the latter."""
        import numpy as np

        starts, ends = units.starts, units.ends
        if not len(starts):
            return
        returns = data[np.maximum(ends - 1, 0)] == RETURN
        returns &= ends > starts
        units.ends = ends - returns
        good = units.ends > starts
        bad: list[Reject] = []
        for row in np.flatnonzero(ends - starts > self._line_bytes):
            good[row] = False
            raw = data[starts[row] : starts[row] + RAW_BYTES].tobytes()
            bad.append(self._too_long(int(units.numbers[row]), int(ends[row] - starts[row]), raw))
        if nul:
            bad += nul_rejects(data, units, good)
        if beyond_ascii:
            bad += utf8_rejects(data, units, good)
        units.rejects += bad
        units.rejects.sort(key=lambda reject: reject.position)
        if not good.all():
            units.keep(good)


def _begun_json(text: bytes) -> bool:
    """Whether it is the beginning of a JSON value, and not all of one."""
    if not BEGUN_JSON.match(text):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return True
    return False
