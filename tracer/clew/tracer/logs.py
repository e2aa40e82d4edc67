"""A formatter for the standard library's logging: one JSON object per line, with the IDs."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Final

from opentelemetry.trace import get_current_span

from clew.tracer.context import NOTHING, current

_MAX_DEPTH: Final = 20
_MAX_BITS: Final = 1024
_TO_SECONDS: Final = len("2026-03-02T09:00:00")
_SURROGATE = re.compile("[\ud800-\udfff]")
# OpenTelemetry's names for the levels whose names differ.
_SEVERITY: Final = {"WARNING": "WARN", "CRITICAL": "FATAL", "NOTSET": "TRACE"}
_STANDARD: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})
# What only the formatter may say; an extra of that name is written as extra.<name>.
_OWN: Final = frozenset({"timestamp", "severity", "service", "logger"})


class JsonFormatter(logging.Formatter):
    r"""Writes a record as one line of JSON, whatever its message and extras hold.

    Names: ``timestamp`` (ISO 8601, UTC, microseconds, ``Z``), ``severity`` (as
    OpenTelemetry names it), ``service``, ``logger``, ``message``; from the correlation
    context ``event_type``, ``event_id``, ``correlation_id``, ``causation_id``,
    ``operation``, ``destination``, ``schema_version``; from the current span
    ``trace_id``, ``span_id``; of an exception ``error.type``, ``error.message``,
    ``error.stack``. Fields given as ``extra`` stand at top level and replace those of
    the context. What is not known is left out.

    The line is ASCII with everything else escaped, so no message can break it. What
    JSON cannot hold (objects, NaN, cycles, deep nesting) is written as text.
    """

    def __init__(self, service: str | None = None, *, static: Mapping[str, Any] | None = None) -> None:
        """``service`` defaults to OTEL_SERVICE_NAME; ``static`` fields stand in every line."""
        super().__init__()
        self._service = service or os.environ.get("OTEL_SERVICE_NAME") or "unknown_service"
        self._static = dict(static or {})
        self._second = -1
        self._second_text = ""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without a line end."""
        fields = self._fields(record)
        try:
            line = _encode(fields)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return _encode(_plain(fields, _MAX_DEPTH))
        # Python escapes a lone surrogate, but no strict reader accepts it.
        if "\\ud" in line:
            return _encode(_plain(fields, _MAX_DEPTH))
        return line

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        level = record.levelname
        fields: dict[str, Any] = {
            "timestamp": self._timestamp(record.created),
            "severity": _SEVERITY.get(level, level),
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
        }
        if self._static:
            fields.update(self._static)
        _add_context(fields)
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                fields[f"extra.{name}" if name in _OWN else name] = value
        if record.exc_info:
            _add_error(fields, record.exc_info)
        return fields

    def _timestamp(self, created: float) -> str:
        second, micros = divmod(round(created * 1_000_000), 1_000_000)
        # Lines come in bursts: the calendar is worked out once a second.
        if second != self._second:
            self._second_text = datetime.fromtimestamp(second, UTC).isoformat()[:_TO_SECONDS]
            self._second = second
        return f"{self._second_text}.{micros:06d}Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit must not cost the line
        return f"{_text(record.msg)} {_text(record.args)}"


def _add_context(fields: dict[str, Any]) -> None:
    context = current()
    if context is not NOTHING:
        _add(fields, "event_type", context.event_type)
        _add(fields, "event_id", context.event_id)
        _add(fields, "correlation_id", context.correlation_id)
        _add(fields, "causation_id", context.causation_id)
    span = get_current_span().get_span_context()
    if span.is_valid:
        fields["trace_id"] = f"{span.trace_id:032x}"
        fields["span_id"] = f"{span.span_id:016x}"
    if context is not NOTHING:
        _add(fields, "operation", context.operation)
        _add(fields, "destination", context.destination)
        _add(fields, "schema_version", context.schema_version)


def _add(fields: dict[str, Any], name: str, value: str | None) -> None:
    if value is not None:
        fields[name] = value


def _add_error(fields: dict[str, Any], exc_info: Any) -> None:
    kind, error, trace = exc_info
    if kind is None:
        return
    module = kind.__module__
    fields["error.type"] = kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
    fields["error.message"] = _text(error)
    try:
        fields["error.stack"] = "".join(traceback.format_exception(kind, error, trace))
    except Exception as broken:  # noqa: BLE001 - an exception whose own text fails
        fields["error.stack"] = f"unprintable: {type(broken).__qualname__}"


def _default(value: Any) -> Any:
    """Write what JSON has no type for."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="backslashreplace")
    if isinstance(value, set | frozenset):
        return sorted(_text(item) for item in value)
    if isinstance(value, Mapping):
        return {_text(key): item for key, item in value.items()}
    return _text(value)


def _plain(value: Any, depth: int) -> Any:
    """Rebuild a value from what JSON holds: bounded depth, text keys, no NaN, no lone surrogate."""
    if value is None or isinstance(value, bool | int | float | str):
        return _scalar(value)
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {_plain(_text(key), 1): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value]
    return _plain(_default(value), depth - 1)


def _scalar(value: str | float | None) -> str | float | None:
    if isinstance(value, str):
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    # Python refuses to write integers of many thousand digits in decimal.
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return hex(value)
    return value


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a foreign __str__ must not cost the line
        return f"<unprintable {type(value).__qualname__}>"


_encode: Final[Callable[[Any], str]] = json.JSONEncoder(
    allow_nan=False, separators=(",", ":"), default=_default
).encode
