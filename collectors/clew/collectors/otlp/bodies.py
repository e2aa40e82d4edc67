"""Packed bodies, opened within bounds."""

from __future__ import annotations

import zlib

GZIP = b"\x1f\x8b"
"""The first bytes of what gzip packed. No OTLP message begins with them."""
STEP = 1 << 20
_EITHER = 32 + zlib.MAX_WBITS
"""zlib's word for: gzip or zlib, as the first bytes say."""
IDENTITY = "identity"
ENCODINGS = ("gzip", "x-gzip", "deflate")


class TooLarge(ValueError):
    """A body is larger than is taken, packed or opened."""


class NotPacked(ValueError):
    """A body is not packed as it says, or is damaged."""


def opened(body: bytes, most: int) -> bytes:
    """What gzip or zlib packed; nothing beyond ``most`` bytes is ever opened.

    Raises:
        TooLarge: it holds more.
        NotPacked: it is not packed, or cut off.
    """
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest:
            opener = zlib.decompressobj(_EITHER)
            while not opener.eof:
                part = opener.decompress(rest, STEP)
                rest = opener.unconsumed_tail
                size += len(part)
                if size > most:
                    raise TooLarge(f"it opens to more than {most:,} bytes")
                parts.append(part)
                if not part and not rest and not opener.eof:
                    raise NotPacked("the packed body is cut off")
            # gzip allows several members, one after the other.
            rest = opener.unused_data
    except zlib.error as error:
        raise NotPacked(f"the body is not packed as it says: {error}") from None
    return b"".join(parts)
