"""What the first units of an input are: binary, of a known format, or neither."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from clew.collectors.files.framing import framer
from clew.collectors.files.position import Position

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from clew.collectors.files.slabs import Bytes
    from clew.collectors.files.units import Units
    from clew.collectors.formats.plans import Plan

SAMPLE_UNITS = 200
LOOKED_AT = 2000
"""Units among which the sample is chosen."""
GOLDEN = 0.6180339887498949
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
    """Up to 200 units from all over these, at most 4 KiB each, of as many makes as there are.

    A log begins with the lines of starting up; what it is full of shows further on. A rare
    make of line is worth as much as a common one, so that of each only some are taken. The
    places follow the golden ratio, which no period of the input does.
    """
    import numpy as np

    count = min(len(units.starts), LOOKED_AT)
    places = np.unique((np.arange(count) * GOLDEN % 1.0 * len(units.starts)).astype(np.int64))
    found: dict[Hashable, list[str]] = {}
    for start, end in zip(units.starts[places], units.ends[places], strict=True):
        if end - start <= SPREAD_BYTES:
            line = data[start:end].tobytes().decode()
            alike = found.setdefault(_make(line), [])
            if len(alike) < SAMPLE_UNITS:
                alike.append(line)
    each = max(1, SAMPLE_UNITS // max(1, len(found)))
    return [line for alike in found.values() for line in alike[:each]][:SAMPLE_UNITS]


def _make(line: str) -> Hashable:
    """What lines of one kind have in common: the names of their members and the types of these."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return type(value).__name__
    return tuple((name, type(one).__name__) for name, one in value.items())


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
