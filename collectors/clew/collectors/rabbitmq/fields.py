"""Values of AMQP's fields that pika decodes to something else, or cannot decode at all.

pika (1.4) makes integers of floats and doubles, so that 1.5 becomes 1, and raises for NaN, infinities
and times beyond the year 9999, which would end the connection each time such a message comes. Its
decoder of tables calls ``pika.data.decode_value`` for each value.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pika.data

_decode = pika.data.decode_value


def decode_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    """The value at ``offset``, and where the next one begins."""
    kind = encoded[offset : offset + 1]
    if kind == b"d":
        return struct.unpack_from(">d", encoded, offset + 1)[0], offset + 9
    if kind == b"f":
        return struct.unpack_from(">f", encoded, offset + 1)[0], offset + 5
    if kind == b"T":
        seconds = struct.unpack_from(">Q", encoded, offset + 1)[0]
        try:
            return datetime.fromtimestamp(seconds, UTC), offset + 9
        except (ValueError, OverflowError, OSError):
            return seconds, offset + 9
    value, after = _decode(encoded, offset)
    return value, after


def install() -> None:
    """Let pika decode so, in this whole process. Safe to call twice."""
    pika.data.decode_value = decode_value
