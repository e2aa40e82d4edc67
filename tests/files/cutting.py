"""Runs a framer over bytes that come in pieces, as the reader does."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.collectors.files.framing import Framer

Found = tuple[int, bytes]
Rejected = tuple[int, str]


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """``data`` cut at the places ``cuts``, whatever their order."""
    at = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(at)] + [b""]


def cut(framer: Framer, parts: Sequence[bytes]) -> tuple[list[Found], list[Rejected]]:
    """Units and rejects with their numbers; the last part is followed by nothing."""
    found: list[Found] = []
    rejected: list[Rejected] = []
    carry = b""
    for number, part in enumerate(parts):
        data = np.frombuffer(carry + part, np.uint8)
        more = True
        while more:
            units = framer.frame(data, final=number == len(parts) - 1)
            spans = zip(units.numbers, units.starts, units.ends, strict=True)
            found += [(int(n), data[start:end].tobytes()) for n, start, end in spans]
            rejected += [(reject.position, reject.reason) for reject in units.rejects]
            assert all(len(reject.raw) <= 4096 for reject in units.rejects)
            more = units.more
            assert units.consumed or not more
            data = data[units.consumed :]
        carry = data.tobytes()
    return found, rejected
