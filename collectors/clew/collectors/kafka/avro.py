"""Avro values. Each is decoded by itself: no library gives columns of payloads without a file around them."""

from __future__ import annotations

import base64
import io
import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from clew.collectors.kafka.registry import Schema, SchemaError, beginning, with_members

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECOND = timedelta(seconds=1)


class AvroDecoder:
    """Decodes the payloads of one schema; bytes become base64, times ISO 8601, decimals text."""

    def __init__(self, number: int, schema: Schema) -> None:
        import fastavro
        from fastavro.schema import SchemaParseException, UnknownType

        self._read = fastavro.schemaless_reader
        named: dict[str, Any] = {}
        try:
            for one in _in_order(schema.references):
                fastavro.parse_schema(json.loads(one), named)
            self._schema = fastavro.parse_schema(json.loads(schema.text), named)
        except (ValueError, KeyError, TypeError, SchemaParseException, UnknownType) as error:
            raise SchemaError(f"not an Avro schema: {error}") from error
        name = self._schema.get("name") if isinstance(self._schema, dict) else None
        self._start = beginning(number, name if isinstance(name, str) else None)

    def __call__(self, payload: bytes) -> bytes:
        """See :class:`clew.collectors.kafka.registry.Decoder`."""
        stream = io.BytesIO(payload)
        try:
            value = self._read(stream, self._schema)
        except (
            EOFError,
            IndexError,
            ValueError,
            KeyError,
            TypeError,
            OverflowError,
            ArithmeticError,
        ) as error:
            raise SchemaError(f"not Avro of its schema: {error or type(error).__name__}") from error
        if stream.read(1):
            raise SchemaError("not Avro of its schema: something follows it")
        return with_members(self._start, written(value))


def _in_order(references: Mapping[str, Schema]) -> list[str]:
    """Texts of the schemas referred to, each after those that it refers to itself."""
    return [text for one in references.values() for text in (*_in_order(one.references), one.text)]


def written(value: Any) -> bytes:
    """A decoded value as JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain, allow_nan=False)
    except ValueError:
        # JSON has no number for these.
        text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode(errors="backslashreplace")


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | UUID():
            return str(value)
        case timedelta():
            return value / _SECOND
    return str(value)


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {name: _finite(inner) for name, inner in value.items()}
        case list():
            return [_finite(inner) for inner in value]
        case float() if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  NaN alone differs from itself
            return str(value)
    return value
