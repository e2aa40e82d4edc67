"""Texts put together from pieces of one buffer: gathered, not copied one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clew.collectors.otlp.wire import Malformed, any_text

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from clew.collectors.otlp.fields import Bytes, Places

    Mask = npt.NDArray[np.bool_]

_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)
"""Two letters for each byte."""
_QUOTE, _BACKSLASH, _SPACE = 0x22, 0x5C, 0x20


def must_escape(data: Bytes) -> Mask:
    """Which bytes cannot stand in a JSON string as they are."""
    found: Mask = (data < _SPACE) | (data == _QUOTE) | (data == _BACKSLASH)
    return found


class Pool:
    """A buffer, and what is added to it to be part of texts."""

    def __init__(self, buffer: Bytes) -> None:
        self._parts = [buffer]
        self._size = len(buffer)
        self._escapes: npt.NDArray[np.int32] | None = None
        self._buffer = buffer

    def add(self, text: bytes) -> tuple[int, int]:
        """Where the text stands, and its length."""
        return self.add_all(np.frombuffer(text, np.uint8)), len(text)

    def add_all(self, texts: Bytes) -> int:
        """Where the texts begin."""
        begin = self._size
        self._parts.append(texts)
        self._size += len(texts)
        return begin

    def escaped(self, starts: Places, lengths: Places) -> None:
        """Replace, in place, each string of the buffer that JSON must escape by one that is escaped."""
        if self._escapes is None:
            bad = np.flatnonzero(must_escape(self._buffer))
            self._escapes = np.zeros(len(self._buffer) + 1, np.int32)
            self._escapes[bad + 1] = 1
            np.cumsum(self._escapes, out=self._escapes)
        ends = starts + lengths
        for place in np.flatnonzero(self._escapes[ends] > self._escapes[starts]).tolist():
            raw = self._buffer[starts[place] : ends[place]].tobytes()
            starts[place], lengths[place] = self.add(any_text(raw)[1:-1].encode())

    def gather(self, starts: Places, lengths: Places) -> Bytes:
        """The pieces, end to end."""
        whole = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._parts = [whole]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        places = np.repeat(starts - (ends - lengths), lengths)
        places += np.arange(total)
        gathered: Bytes = whole[places]
        return gathered


def strings(data: Bytes, lengths: Places, valid: Mask | None = None) -> pa.StringArray:
    """Texts that lie end to end; NULL where not ``valid``.

    Raises:
        Malformed: one of them is not UTF-8.
    """
    import pyarrow as pa

    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    bits = None
    if valid is not None and not valid.all():
        bits = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    made = pa.StringArray.from_buffers(
        len(lengths), pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes()), bits
    )
    try:
        made.validate(full=True)
    except pa.ArrowInvalid:
        raise Malformed("a string that is not UTF-8") from None
    return made


def hexadecimal(buffer: Bytes, starts: Places, size: int, valid: Mask) -> pa.StringArray:
    """IDs of ``size`` bytes as text; NULL where not ``valid``."""
    raw = buffer[np.where(valid, starts, 0)[:, None] + np.arange(size)]
    return strings(_HEX[raw].view(np.uint8).reshape(-1), np.full(len(starts), 2 * size, np.int64), valid)


def fixed64(buffer: Bytes, starts: Places) -> npt.NDArray[np.uint64]:
    """Little-endian numbers of eight bytes."""
    raw = np.ascontiguousarray(buffer[starts[:, None] + np.arange(8)])
    return raw.view("<u8").reshape(-1)
