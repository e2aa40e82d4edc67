"""What cannot be text is rejected: NUL bytes, and bytes that are not UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.collectors.files.units import RAW_BYTES, Units
from clew.collectors.record import Reject

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from clew.collectors.files.slabs import Bytes
    from clew.collectors.files.units import Flags

BLOCK = 1 << 20
NUL = 0
CHECK_ROWS = 1024
"""Units validated in one go; those of a group that fails are looked at one by one."""


def nul_rejects(data: Bytes, units: Units, good: Flags) -> list[Reject]:
    """Reject units with NUL bytes, a run of them at once: a crash leaves whole blocks."""
    import numpy as np

    first, last = int(units.starts[0]), int(units.ends[-1])
    found = [np.flatnonzero(data[at : min(at + BLOCK, last)] == NUL) + at for at in range(first, last, BLOCK)]
    zeros = np.concatenate(found) if found else np.empty(0, np.int64)
    rows = np.unique(np.searchsorted(units.ends, zeros, side="right"))
    rows = rows[good[rows]]
    good[rows] = False
    rejects = []
    for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        if not len(run):
            continue
        start, end = int(units.starts[run[0]]), int(units.ends[run[-1]])
        reason = "holds NUL bytes" if len(run) == 1 else f"{len(run):,} lines from here on hold NUL bytes"
        raw = data[start : min(start + RAW_BYTES, end)].tobytes()
        rejects.append(Reject(int(units.numbers[run[0]]), reason, raw))
    return rejects


def utf8_rejects(data: Bytes, units: Units, good: Flags) -> list[Reject]:
    """Reject units that are not UTF-8, saying at which byte."""
    import numpy as np
    import pyarrow as pa

    rejects = []
    starts, ends, count = units.starts, units.ends, len(units.starts)
    for at in range(0, count, CHECK_ROWS):
        until = min(at + CHECK_ROWS, count)
        # Strings that lie end to end: each unit with what separates it from the next.
        offsets: npt.NDArray[np.int32] = np.append(starts[at:until], ends[until - 1]).astype(np.int32)
        strings = pa.StringArray.from_buffers(until - at, pa.py_buffer(offsets.data), pa.py_buffer(data.data))
        try:
            strings.validate(full=True)
        except pa.ArrowInvalid:
            for row in at + np.flatnonzero(good[at:until]):
                unit = data[starts[row] : ends[row]].tobytes()
                try:
                    unit.decode()
                except UnicodeDecodeError as error:
                    good[row] = False
                    reason = f"not UTF-8 at byte {error.start + 1} (0x{unit[error.start]:02x})"
                    rejects.append(Reject(int(units.numbers[row]), reason, unit[:RAW_BYTES]))
    return rejects
