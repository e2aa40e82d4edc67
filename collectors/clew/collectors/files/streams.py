"""Bytes of a source, unpacked where they are packed, in bounded pieces.

How a file is packed is told by its first bytes (gzip RFC 1952, Zstandard RFC 8878,
bzip2 and xz by their format notes), never by its name.
"""

from __future__ import annotations

import bz2
import lzma
import os
import select
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC: tuple[tuple[str, bytes], ...] = (
    ("gzip", b"\x1f\x8b\x08"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("bzip2", b"BZh"),
    ("xz", b"\xfd7zXZ\x00"),
)
SKIPPABLE_FRAME = (b"\x2a\x4d\x18", range(0x50, 0x60))
"""Zstandard's skippable frame (RFC 8878, 3.1.2): any of sixteen first bytes, then these three."""

PIECE = 1 << 16
"""Bytes read from a packed file at once."""

ZSTD_PIECE = 1 << 12
"""Its decoder gives all that a piece unpacks to; a block of 4 bytes can mean 128 KiB."""


def packing(head: bytes) -> str:
    """How a file that starts so is packed: gzip, zstd, bzip2, xz, or "" for not at all."""
    for name, magic in MAGIC:
        if head.startswith(magic):
            return name
    if head[1:4] == SKIPPABLE_FRAME[0] and head[0] in SKIPPABLE_FRAME[1]:
        return "zstd"
    return ""


class Stream(Protocol):
    """Where bytes come from."""

    @property
    def damage(self) -> str:
        """Why the bytes ended too early, "" where they did not."""
        ...

    def readinto(self, buffer: memoryview) -> int | None:
        """Fill some of ``buffer``: how many bytes; 0 at the end (for now); None for not yet."""
        ...

    def raw_bytes(self) -> int:
        """How many bytes of the source itself were read, packed where it is."""
        ...


class PlainStream:
    """A file as it is, from ``offset`` on. Reads what is appended later."""

    damage: str = ""

    def __init__(self, descriptor: int, offset: int = 0) -> None:
        self._descriptor = descriptor
        self._offset = offset

    def readinto(self, buffer: memoryview) -> int:
        """Fill some of ``buffer``."""
        got = os.preadv(self._descriptor, [buffer], self._offset)
        self._offset += got
        return got

    def raw_bytes(self) -> int:
        """Offset in the file."""
        return self._offset


class PipeStream:
    """Standard input or a named pipe: waits at most ``patience`` seconds for more."""

    damage: str = ""

    def __init__(self, descriptor: int, patience: float) -> None:
        self._descriptor = descriptor
        self._patience = patience
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._read = 0

    def readinto(self, buffer: memoryview) -> int | None:
        """Fill some of ``buffer``; None where nothing came in time."""
        if not self._poll.poll(self._patience * 1000):
            return None
        try:
            got = os.readv(self._descriptor, [buffer])
        except BlockingIOError:
            return None
        self._read += got
        return got

    def raw_bytes(self) -> int:
        """Bytes read so far."""
        return self._read


class ObjectStream:
    """A binary file object that has no descriptor."""

    damage: str = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._read = 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill some of ``buffer``."""
        piece = self._file.read(min(len(buffer), PIECE))
        buffer[: len(piece)] = piece
        self._read += len(piece)
        return len(piece)

    def raw_bytes(self) -> int:
        """Bytes read so far."""
        return self._read


class PackedStream:
    """Unpacks another stream: any number of members or frames, one after the other.

    What was unpacked before a damaged or missing part is given; then ``damage`` says why
    there is no more.
    """

    def __init__(self, source: Stream, kind: str) -> None:
        self.damage = ""
        self._source = source
        self._kind = kind
        self._decoder: Any = None
        self._input = b""
        self._output = memoryview(b"")
        self._piece = ZSTD_PIECE if kind == "zstd" else PIECE

    def raw_bytes(self) -> int:
        """Packed bytes read so far."""
        return self._source.raw_bytes()

    def readinto(self, buffer: memoryview) -> int | None:
        """Fill some of ``buffer``."""
        while not self._output:
            if self.damage:
                return 0
            more = self._unpack(len(buffer))
            if not more:
                return more
        got = min(len(buffer), len(self._output))
        buffer[:got] = self._output[:got]
        self._output = self._output[got:]
        return got

    def _unpack(self, wanted: int) -> int | None:
        """Unpack the next piece: 1 when there may be more, 0 at the end, None for not yet."""
        decoder = self._decoder
        if not self._input and (decoder is None or getattr(decoder, "needs_input", True)):
            piece = bytearray(self._piece)
            got = self._source.readinto(memoryview(piece))
            if got is None:
                return None
            if not got:
                if decoder is not None:
                    self.damage = (
                        f"the {self._kind} data ends too early: it is cut off, or still being written"
                    )
                return 0
            self._input = bytes(memoryview(piece)[:got])
        if decoder is None:
            # gzip allows zero bytes after its last member (RFC 1952 is silent, gzip(1) skips them).
            if self._kind == "gzip":
                self._input = self._input.lstrip(b"\0")
            if not self._input:
                return 1
            decoder = self._decoder = DECODERS[self._kind]()
        try:
            self._output = memoryview(self._decode(decoder, max(wanted, PIECE)))
        except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
            self.damage = f"the {self._kind} data is damaged: {error}"
            return 1
        if decoder.eof:
            self._input = decoder.unused_data
            self._decoder = None
        return 1

    def _decode(self, decoder: Any, wanted: int) -> bytes:
        piece, self._input = self._input, b""
        if self._kind == "zstd":
            from zstandard import ZstdError

            try:
                output: bytes = decoder.decompress(piece)
            except ZstdError as error:
                raise ValueError(str(error)) from error
        else:
            output = decoder.decompress(piece, wanted)
        if self._kind == "gzip":
            self._input = decoder.unconsumed_tail
        return output


def _zstd() -> Any:
    from zstandard import ZstdDecompressor

    return ZstdDecompressor().decompressobj()


DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
    "zstd": _zstd,
}
