"""Raw units: the lines or documents of a buffer, without a copy of their bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from clew.collectors.files.slabs import Bytes
    from clew.collectors.record import Reject

    Offsets = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

RAW_BYTES = 4096
"""How much of what was rejected is kept."""

CHUNK_ROWS = 16_384
"""Rows of a record batch: small enough that a scan of some hundred thousand uses every core."""

CHUNK_BYTES = 4 << 20
"""Likewise, where rows are large."""

INLINE = 12
"""Longest string that an Arrow view holds within itself (Arrow columnar format, "view layout")."""


@dataclass(slots=True)
class Units:
    """What a framer found in a buffer. All offsets are into that buffer.

    ``starts`` and ``ends`` bound each unit's bytes, ``afters`` is where to go on after
    it, ``numbers`` its line or element number, the first is 1. What lies behind
    ``consumed`` is not yet a whole unit and is wanted again with what follows it.
    """

    starts: Offsets
    ends: Offsets
    afters: Offsets
    numbers: Offsets
    consumed: int
    resume: int
    """Where a later run goes on after all of them: before what is being skipped."""
    number: int
    """The last number given up to ``resume``."""
    rejects: list[Reject] = field(default_factory=list)
    nested: Flags | None = None
    """Whether each unit is an element of a top-level array; None for lines."""
    within: bool = False
    """Whether ``resume`` lies in a top-level array."""
    more: bool = False
    """The framer stopped early: what lies behind ``consumed`` can be framed at once."""
    unended: bool = False
    """The last unit is a line whose end was not there."""
    held: bool = False
    """What lies behind ``resume`` was rejected, and is wanted again once it is complete."""

    def keep(self, good: Flags) -> None:
        """Leave out the units that are not ``good``."""
        self.starts, self.ends = self.starts[good], self.ends[good]
        self.afters, self.numbers = self.afters[good], self.numbers[good]
        if self.nested is not None:
            self.nested = self.nested[good]

    def hold_back(self, row: int) -> None:
        """Leave ``row`` and what follows it for the next buffer."""
        self.consumed = self.resume = int(self.starts[row])
        self.number = int(self.numbers[row]) - 1
        self.within = self.nested is not None and bool(self.nested[row])
        self.unended = self.held = False


def table(data: Bytes, starts: Offsets, ends: Offsets, numbers: Offsets) -> pa.Table:
    """Columns ``line`` (string view) and ``position`` (int64) over the bytes of ``data``.

    Nothing is copied but what is at most 12 bytes long; ``data`` lives as long as the
    table. The units must be valid UTF-8.
    """
    import pyarrow as pa

    fields: list[pa.Field[Any]] = [pa.field("line", pa.string_view()), pa.field("position", pa.int64())]
    schema = pa.schema(fields)
    columns: list[pa.Array[Any]] = [views(data, starts, ends), pa.array(numbers)]
    batches = [
        pa.RecordBatch.from_arrays([column.slice(at, until - at) for column in columns], schema=schema)
        for at, until in pairwise(_cuts(starts, ends))
    ]
    return pa.Table.from_batches(batches, schema=schema)


def _cuts(starts: Offsets, ends: Offsets) -> list[int]:
    """Where record batches begin: after so many rows, or fewer where those are large."""
    import numpy as np

    rows = len(starts)
    if not rows:
        return []
    large = int(ends[-1] - starts[0]) // CHUNK_BYTES
    if large <= rows // CHUNK_ROWS:
        return [*range(0, rows, CHUNK_ROWS), rows]
    full = np.searchsorted(ends - starts[0], np.arange(1, large + 1) * CHUNK_BYTES)
    return sorted({0, *(int(row) for row in full if row < rows), *range(0, rows, CHUNK_ROWS), rows})


def views(data: Bytes, starts: Offsets, ends: Offsets) -> pa.Array[Any]:
    """A string-view array over ``data`` (Arrow columnar format, "variable-size binary view")."""
    import numpy as np
    import pyarrow as pa

    count = len(starts)
    layout = np.dtype([("length", "<i4"), ("prefix", "<u4"), ("buffer", "<i4"), ("offset", "<i4")])
    view = np.zeros(count, layout)
    view["length"] = ends - starts
    long = view["length"] > INLINE
    if long.any():
        words = np.ndarray((len(data) - 3,), "<u4", buffer=data, strides=(1,))
        # Short ones get a wrong prefix and offset for now, so that no mask is needed.
        view["prefix"] = words[np.minimum(starts, len(words) - 1)]
        view["offset"] = starts
    if not long.all():
        inline = view.view(np.uint8).reshape(count, layout.itemsize)[:, 4:]
        columns = np.arange(INLINE)
        short = np.flatnonzero(~long)
        for at in range(0, len(short), CHUNK_ROWS):
            some = short[at : at + CHUNK_ROWS]
            reach = columns < (ends - starts)[some, None]
            where = np.minimum(starts[some, None] + columns, len(data) - 1)
            inline[some] = np.where(reach, data[where] if len(data) else 0, 0)
    buffers = [None, pa.py_buffer(view.data), pa.py_buffer(data.data)]
    return pa.Array.from_buffers(pa.string_view(), count, buffers)
