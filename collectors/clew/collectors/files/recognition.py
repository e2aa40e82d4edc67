"""What the first units of an input are: binary, of a known format, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clew.collectors.files.framing import framer
from clew.collectors.files.position import Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.collectors.files.slabs import Bytes
    from clew.collectors.files.units import Units
    from clew.collectors.formats.plans import Plan

SAMPLE_UNITS = 200
SPREAD_BYTES = 4096
SAMPLE_BYTES = 1 << 20
BINARY_BYTES = 8192

UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Recognise(Protocol):
    """Finds the plan for what a sample shows."""

    def __call__(self, sample: Sequence[str], /) -> Plan:
        """Raise :class:`clew.collectors.errors.UnknownFormat` where nothing fits."""
        ...


def binary(beginning: bytes) -> str:
    """Why an input that begins so is no text, or ""."""
    if beginning.startswith(UTF16):
        return "UTF-16 text: convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"
    # A file that was truncated under a writer that does not append begins with NUL bytes.
    if b"\0" in beginning.lstrip(b"\0")[:BINARY_BYTES]:
        return "a binary file: it holds NUL bytes"
    return ""


def sample_of(beginning: bytes, kind: str, *, whole: bool) -> list[str]:
    """The first units at most 200, of an input that begins so."""
    import numpy as np

    cut = framer(kind, Position(""), line_bytes=SAMPLE_BYTES, document_bytes=SAMPLE_BYTES)
    data = np.frombuffer(beginning, np.uint8)
    return texts(data, cut.frame(data, final=whole))


def spread(data: Bytes, units: Units) -> list[str]:
    """Up to 200 units from all over these, at most 4 KiB each.

    A log begins with the lines of starting up; what it is full of shows further on.
    """
    step = max(1, len(units.starts) // SAMPLE_UNITS)
    return [
        data[start:end].tobytes().decode()
        for start, end in zip(units.starts[::step], units.ends[::step], strict=True)
        if end - start <= SPREAD_BYTES
    ][:SAMPLE_UNITS]


def texts(data: Bytes, units: Units) -> list[str]:
    """The first units at most 200, but of the first MiB (and one in any case)."""
    found: list[str] = []
    size = 0
    for start, end in zip(units.starts[:SAMPLE_UNITS], units.ends[:SAMPLE_UNITS], strict=True):
        size += int(end - start)
        if found and size > SAMPLE_BYTES:
            break
        found.append(data[start:end].tobytes().decode())
    return found
