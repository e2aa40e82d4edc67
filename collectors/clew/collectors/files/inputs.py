"""One open file or pipe: its first bytes, and its stream from any point on."""

from __future__ import annotations

import os
import stat
from hashlib import blake2b
from typing import TYPE_CHECKING, BinaryIO, Protocol

from clew.collectors.files.position import HEAD_BYTES, digest
from clew.collectors.files.streams import ObjectStream, PackedStream, PipeStream, PlainStream, packing

if TYPE_CHECKING:
    from clew.collectors.files.streams import Stream

ENDS_BYTES = 4096
MAGIC_BYTES = 6
STDIN = "-"
STEP = 1 << 18
BEGINNING_BYTES = 1 << 20
"""How much of the beginning of an input can be read again at any time."""


class Input(Protocol):
    """What a reader reads. The descriptor is the input's until :meth:`close`."""

    path: str
    live: bool
    """It comes as it is written, and may pause."""
    packed: str
    """Fingerprint of a packed file as it is now, else ""."""

    def head(self) -> bytes:
        """The first 4 KiB, unpacked; less where there is no more (yet)."""
        ...

    def beginning(self) -> tuple[bytes, bool]:
        """The first MiB at most, and whether that is all."""
        ...

    def start(self, offset: int, tail: tuple[int, str]) -> Stream | None:
        """The stream from ``offset`` on; None where the bytes before are others, or too few."""
        ...

    def holds(self, head: bytes, offset: int) -> bool:
        """Whether what was read from ``offset`` on follows ``head``, the first bytes.

        A file that was truncated meanwhile, and written to beyond ``offset``, gave the end of
        another content.
        """
        ...

    def size(self) -> int | None:
        """Bytes of the source itself, packed where it is; None for a pipe."""
        ...

    def state(self) -> tuple[int, int]:
        """Size and time of the last change: while they stay, so does the content."""
        ...

    def close(self) -> None:
        """Give the descriptor back."""
        ...


def open_input(path: str, patience: float) -> Input:
    """Open what stands at ``path``.

    Raises:
        OSError: it cannot be opened or read.
    """
    # Without O_NONBLOCK, opening a named pipe waits for who writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return PipeInput(path, PipeStream(descriptor, patience), descriptor)
        return _file(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def look_again(opened: Input) -> Input:
    """The same file as it is now: by its first and last bytes, which may be others. It takes the place of ``opened``."""
    if not isinstance(opened, PlainFile | PackedFile):
        return opened
    return _file(opened.path, opened.descriptor)


def _file(path: str, descriptor: int) -> PlainFile | PackedFile:
    kind = packing(os.pread(descriptor, MAGIC_BYTES, 0))
    return PackedFile(path, descriptor, kind) if kind else PlainFile(path, descriptor)


def standard_input(stdin: BinaryIO, patience: float) -> Input:
    """What comes on ``stdin``, which stays the caller's."""
    try:
        descriptor = stdin.fileno()
    except OSError:
        return PipeInput(STDIN, ObjectStream(stdin))
    return PipeInput(STDIN, PipeStream(descriptor, patience))


class PlainFile:
    """A regular file that is not packed."""

    live = False
    packed = ""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        os.pread(descriptor, 1, 0)

    def head(self) -> bytes:
        """The first 4 KiB."""
        return os.pread(self.descriptor, HEAD_BYTES, 0)

    def beginning(self) -> tuple[bytes, bool]:
        """The first MiB at most."""
        data = os.pread(self.descriptor, BEGINNING_BYTES, 0)
        return data, len(data) >= self.size()

    def start(self, offset: int, tail: tuple[int, str]) -> Stream | None:
        """The stream from ``offset`` on."""
        before = os.pread(self.descriptor, tail[0], offset - tail[0])
        if self.size() < offset or (tail[0] and digest(before) != tail[1]):
            return None
        return PlainStream(self.descriptor, offset)

    def holds(self, head: bytes, offset: int) -> bool:
        """Whether its first bytes are still ``head``, or it is too short for others."""
        return os.pread(self.descriptor, len(head), 0) == head or self.size() <= offset

    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self.descriptor).st_size

    def state(self) -> tuple[int, int]:
        """Size and time of the last change."""
        return _state(self.descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


class PackedFile:
    """A regular file of packed bytes: to go on within it, it is unpacked from the start."""

    live = False

    def __init__(self, path: str, descriptor: int, kind: str) -> None:
        self.path = path
        self.descriptor = descriptor
        self._kind = kind
        size = self.size()
        mark = blake2b(size.to_bytes(8, "little"), digest_size=12)
        mark.update(os.pread(descriptor, ENDS_BYTES, 0))
        mark.update(os.pread(descriptor, ENDS_BYTES, max(0, size - ENDS_BYTES)))
        self.packed = mark.hexdigest()

    def head(self) -> bytes:
        """The first 4 KiB, unpacked."""
        return _take(self._unpacked(), HEAD_BYTES)

    def beginning(self) -> tuple[bytes, bool]:
        """The first MiB at most, unpacked."""
        data = _take(self._unpacked(), BEGINNING_BYTES)
        return data, len(data) < BEGINNING_BYTES

    def start(self, offset: int, tail: tuple[int, str]) -> Stream | None:
        """The stream from ``offset`` on."""
        stream = self._unpacked()
        return stream if _skip(stream, offset, tail) else None

    def holds(self, head: bytes, offset: int) -> bool:  # noqa: ARG002  the unpacker tells
        """What does not belong together cannot be unpacked."""
        return True

    def size(self) -> int:
        """Bytes of the packed file."""
        return os.fstat(self.descriptor).st_size

    def state(self) -> tuple[int, int]:
        """Size and time of the last change."""
        return _state(self.descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def _unpacked(self) -> PackedStream:
        return PackedStream(PlainStream(self.descriptor), self._kind)


class PipeInput:
    """Standard input, a named pipe or a device, packed or not: read once, from its start."""

    live = True
    packed = ""

    def __init__(self, path: str, stream: Stream, descriptor: int | None = None) -> None:
        self.path = path
        self._descriptor = descriptor
        source = Begun(stream)
        kind = packing(source.peek(MAGIC_BYTES))
        self._stream = Begun(PackedStream(source, kind)) if kind else source

    def head(self) -> bytes:
        """Nothing: it is not compared with anything."""
        return b""

    def beginning(self) -> tuple[bytes, bool]:
        """Nothing: it cannot be read twice."""
        return b"", False

    def start(self, offset: int, tail: tuple[int, str]) -> Stream | None:
        """The stream, where it is wanted from its start."""
        return None if offset or tail[0] else self._stream

    def holds(self, head: bytes, offset: int) -> bool:  # noqa: ARG002  a pipe has no other content
        """Always."""
        return True

    def size(self) -> None:
        """Unknown."""
        return

    def state(self) -> tuple[int, int]:
        """Nothing to go by."""
        return (0, 0)

    def close(self) -> None:
        """Close what was opened here; standard input is the caller's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _state(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


class Begun:
    """A stream whose first bytes were looked at."""

    def __init__(self, source: Stream) -> None:
        self._source = source
        self._ahead = b""

    @property
    def damage(self) -> str:
        """Why the bytes ended too early."""
        return self._source.damage

    def raw_bytes(self) -> int:
        """Bytes of the source itself read so far."""
        return self._source.raw_bytes()

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, waiting for them; less only at the end."""
        buffer = memoryview(bytearray(size))
        while len(self._ahead) < size:
            got = self._source.readinto(buffer[: size - len(self._ahead)])
            if got == 0:
                break
            self._ahead += bytes(buffer[: got or 0])
        return self._ahead

    def readinto(self, buffer: memoryview) -> int | None:
        """Fill some of ``buffer``."""
        if not self._ahead:
            return self._source.readinto(buffer)
        got = min(len(buffer), len(self._ahead))
        buffer[:got] = self._ahead[:got]
        self._ahead = self._ahead[got:]
        return got


def _take(stream: Stream, size: int) -> bytes:
    """The next ``size`` bytes of a file, less only at its end."""
    parts, missing = [], size
    while missing:
        buffer = bytearray(min(missing, STEP))
        got = stream.readinto(memoryview(buffer))
        if not got:
            break
        parts.append(bytes(buffer[:got]))
        missing -= got
    return b"".join(parts)


def _skip(stream: Stream, offset: int, tail: tuple[int, str]) -> bool:
    """Read up to ``offset``; whether the bytes just before it are those of ``tail``."""
    buffer = memoryview(bytearray(STEP))
    missing = offset - tail[0]
    while missing:
        got = stream.readinto(buffer[: min(missing, STEP)])
        if not got:
            return False
        missing -= got
    last = _take(stream, tail[0])
    return len(last) == tail[0] and (not last or digest(last) == tail[1])
