"""OTLP's protobuf, read from its bytes alone, as the OTLP JSON that means the same.

https://protobuf.dev/programming-guides/encoding/ and, for the JSON,
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: names in camelCase, trace
and span IDs hexadecimal, other bytes in base64, 64-bit integers as strings, enums as numbers,
and fields of their default value left out.
"""

from __future__ import annotations

import json
import re
import struct
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from math import isfinite
from typing import Any, Final

from clew.collectors.otlp.requests import Signal

MOST_DEPTH: Final = 32
"""Messages within each other. Three more levels of lists than this are no use to anybody."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIZES: Final = {FIXED64: 8, FIXED32: 4}
_VARINT_BITS: Final = 70
_CONTROL: Final = re.compile(r"\\\\|\\u[0-9a-f]{4}")
"""An escape in JSON; DuckDB writes its digits large."""
_SMALLEST, _LARGEST = 1e-6, 1e21
"""Numbers between them are written without an exponent."""
_string: Callable[[str], str] = partial(json.dumps, ensure_ascii=False)


class Malformed(ValueError):
    """The bytes are no such message; the text says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message."""

    name: str
    wire: int
    write: Callable[[Any], str | None] | None = None
    """Its value in JSON; None for the default, which is left out."""
    message: str = ""
    """Instead of ``write``: the message that it holds."""
    repeated: bool = False


def _text(value: bytes) -> str | None:
    return any_text(value) if value else None


def any_text(value: bytes) -> str:
    """A string in JSON, an empty one too."""
    try:
        text = _string(value.decode())
    except UnicodeDecodeError as error:
        raise Malformed(f"a string that is not UTF-8: 0x{value[error.start]:02x}") from None
    return _CONTROL.sub(lambda found: found[0][:2] + found[0][2:].upper(), text) if "\\u" in text else text


def _hex(value: bytes) -> str | None:
    return f'"{value.hex()}"' if value else None


def _base64(value: bytes) -> str:
    return f'"{b64encode(value).decode()}"'


def _number(value: int) -> str | None:
    return str(value) if value else None


def _int64(value: int) -> str:
    return f'"{value - (1 << 64) if value >> 63 else value}"'


def _enum(value: int) -> str | None:
    value &= 0xFFFFFFFF
    return _number(value - (1 << 32) if value >> 31 else value)


def _bool(value: int) -> str:
    return "true" if value else "false"


def _fixed64(value: bytes) -> str | None:
    number = int.from_bytes(value, "little")
    return f'"{number}"' if number else None


def _sfixed64(value: bytes) -> str:
    return f'"{int.from_bytes(value, "little", signed=True)}"'


def _fixed32(value: bytes) -> str | None:
    return _number(int.from_bytes(value, "little"))


def _double(value: bytes) -> str:
    number: float = struct.unpack("<d", value)[0]
    return double_text(number)


def double_text(number: float) -> str:
    """A double in JSON as DuckDB writes it, which is as JavaScript does but for ``.0``."""
    if not isfinite(number):
        return '"NaN"' if number != number else '"Infinity"' if number > 0 else '"-Infinity"'  # noqa: PLR0124
    text = repr(number)
    if "e" not in text:
        return text
    if _SMALLEST <= abs(number) < _LARGEST:
        plain = format(Decimal(text), "f")
        return plain if "." in plain else f"{plain}.0"
    digits, exponent = text.split("e")
    return f"{digits}e{int(exponent)}"


def _many(name: str, message: str) -> Field:
    return Field(name, BYTES, message=message, repeated=True)


_RESOURCE: Final = Field("resource", BYTES, message="Resource")
_SCOPE: Final = Field("scope", BYTES, message="InstrumentationScope")
_DROPPED: Final = Field("droppedAttributesCount", VARINT, _number)
_FLAGS: Final = Field("flags", FIXED32, _fixed32)
_ATTRIBUTES: Final = _many("attributes", "KeyValue")

MESSAGES: Final[dict[str, dict[int, Field]]] = {
    Signal.TRACES: {1: _many("resourceSpans", "ResourceSpans")},
    "ResourceSpans": {1: _RESOURCE, 2: _many("scopeSpans", "ScopeSpans")},
    "ScopeSpans": {1: _SCOPE, 2: _many("spans", "Span")},
    Signal.LOGS: {1: _many("resourceLogs", "ResourceLogs")},
    "ResourceLogs": {1: _RESOURCE, 2: _many("scopeLogs", "ScopeLogs")},
    "ScopeLogs": {1: _SCOPE, 2: _many("logRecords", "LogRecord")},
    "Resource": {1: _ATTRIBUTES, 2: _DROPPED},
    "InstrumentationScope": {
        1: Field("name", BYTES, _text),
        2: Field("version", BYTES, _text),
        3: _ATTRIBUTES,
        4: _DROPPED,
    },
    "Span": {
        1: Field("traceId", BYTES, _hex),
        2: Field("spanId", BYTES, _hex),
        3: Field("traceState", BYTES, _text),
        4: Field("parentSpanId", BYTES, _hex),
        5: Field("name", BYTES, _text),
        6: Field("kind", VARINT, _enum),
        7: Field("startTimeUnixNano", FIXED64, _fixed64),
        8: Field("endTimeUnixNano", FIXED64, _fixed64),
        9: _ATTRIBUTES,
        11: _many("events", "Event"),
        13: _many("links", "Link"),
        15: Field("status", BYTES, message="Status"),
    },
    "Event": {
        1: Field("timeUnixNano", FIXED64, _fixed64),
        2: Field("name", BYTES, _text),
        3: _ATTRIBUTES,
        4: _DROPPED,
    },
    "Link": {
        1: Field("traceId", BYTES, _hex),
        2: Field("spanId", BYTES, _hex),
        3: Field("traceState", BYTES, _text),
        4: _ATTRIBUTES,
        5: _DROPPED,
        6: _FLAGS,
    },
    "Status": {2: Field("message", BYTES, _text), 3: Field("code", VARINT, _enum)},
    "LogRecord": {
        1: Field("timeUnixNano", FIXED64, _fixed64),
        2: Field("severityNumber", VARINT, _enum),
        3: Field("severityText", BYTES, _text),
        5: Field("body", BYTES, message="AnyValue"),
        6: _ATTRIBUTES,
        9: Field("traceId", BYTES, _hex),
        10: Field("spanId", BYTES, _hex),
        11: Field("observedTimeUnixNano", FIXED64, _fixed64),
        12: Field("eventName", BYTES, _text),
    },
    "KeyValue": {1: Field("key", BYTES, _text), 2: Field("value", BYTES, message="AnyValue")},
    "AnyValue": {
        1: Field("stringValue", BYTES, any_text),
        2: Field("boolValue", VARINT, _bool),
        3: Field("intValue", VARINT, _int64),
        4: Field("doubleValue", FIXED64, _double),
        5: Field("arrayValue", BYTES, message="ArrayValue"),
        6: Field("kvlistValue", BYTES, message="KeyValueList"),
        7: Field("bytesValue", BYTES, _base64),
    },
    "ArrayValue": {1: _many("values", "AnyValue")},
    "Metric": {
        1: Field("name", BYTES, _text),
        5: Field("gauge", BYTES, message="NumberDataPoints"),
        7: Field("sum", BYTES, message="NumberDataPoints"),
    },
    "NumberDataPoints": {1: _many("dataPoints", "NumberDataPoint")},
    "NumberDataPoint": {
        3: Field("timeUnixNano", FIXED64, _fixed64),
        4: Field("asDouble", FIXED64, _double),
        6: Field("asInt", FIXED64, _sfixed64),
        7: _ATTRIBUTES,
    },
    "KeyValueList": {1: _many("values", "KeyValue")},
}
"""What a Record or a Lag is made of, of opentelemetry-proto's messages; any other field is passed over.

https://github.com/open-telemetry/opentelemetry-proto
"""
_ONE_OF: Final = "AnyValue"


def to_json(body: bytes, message: str, depth: int = 0) -> str:
    """The JSON object of a message.

    Raises:
        Malformed: it is none, or is nested too deep.
    """
    if depth > MOST_DEPTH:
        raise Malformed(f"nested deeper than {MOST_DEPTH} messages")
    fields = MESSAGES[message]
    found: dict[int, Any] = {}
    value: Any
    at, end = 0, len(body)
    while at < end:
        number, wire, start, at, value = next_field(body, at, end)
        field = fields.get(number)
        if field is None or field.wire != wire:
            continue
        if wire != VARINT:
            value = body[start:at]
        if message == _ONE_OF:
            found.clear()
        if field.repeated:
            found.setdefault(number, []).append(value)
        elif field.message and number in found:
            # Two parts of one message: together they are one.
            found[number] += value
        else:
            found[number] = value
    members = []
    for number in sorted(found):
        text = _member(fields[number], found[number], depth)
        if text is not None:
            members.append(f'"{fields[number].name}":{text}')
    return "{" + ",".join(members) + "}"


def _member(field: Field, value: Any, depth: int) -> str | None:
    if field.write is not None:
        return field.write(value)
    if field.repeated:
        return "[" + ",".join([to_json(one, field.message, depth + 1) for one in value]) + "]"
    return to_json(value, field.message, depth + 1)


def next_field(body: bytes, at: int, end: int) -> tuple[int, int, int, int, int]:
    """Number and wire type of the field at ``at``, start and end of its value, and a varint's value.

    Raises:
        Malformed: there is none.
    """
    tag, at = _varint(body, at, end)
    number, wire = tag >> 3, tag & 7
    if not number:
        raise Malformed("a field without a number: this is no protobuf")
    if wire == VARINT:
        value, after = _varint(body, at, end)
        return number, wire, at, after, value
    if wire == BYTES:
        size, at = _varint(body, at, end)
    elif wire in _SIZES:
        size = _SIZES[wire]
    else:
        raise Malformed(f"wire type {wire}: this is no protobuf, or is damaged")
    if size > end - at:
        raise Malformed("it ends within a field: cut off, or damaged")
    return number, wire, at, at + size, 0


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < _VARINT_BITS:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise Malformed("it ends within a number: cut off, or damaged")
