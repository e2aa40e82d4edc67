"""OTLP requests of any content, and the roads by which they become Records."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from google.protobuf import json_format
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from clew.collectors.otlp.decoding import Decoded, Decoder
from clew.collectors.otlp.requests import Encoding, Request, Signal
from clew.collectors.record import Batch

Message = ExportTraceServiceRequest | ExportLogsServiceRequest
_IDS = ("traceId", "spanId", "parentSpanId")


def otlp_json(message: Message) -> str:
    """The request as OTLP JSON: protobuf's own mapping, but that IDs are hexadecimal and enums numbers."""
    made = json_format.MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(_with_hexadecimal_ids(made), ensure_ascii=False, separators=(",", ":"))


def _with_hexadecimal_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hexadecimal_ids(one) for one in value]
    if isinstance(value, dict):
        return {
            name: base64.b64decode(one).hex() if name in _IDS else _with_hexadecimal_ids(one)
            for name, one in value.items()
        }
    return value


def signal_of(message: Message) -> Signal:
    return Signal.LOGS if isinstance(message, ExportLogsServiceRequest) else Signal.TRACES


def decoded(encoding: Encoding, messages: Sequence[tuple[Signal, bytes]]) -> Decoded:
    """What requests, numbered from 1, are decoded to."""
    requests = [
        (number, Request(encoding, signal, body, lambda _: None))
        for number, (signal, body) in enumerate(messages, 1)
    ]
    return Decoder().decode(encoding, requests)


def records(given: Decoded) -> list[dict[str, Any]]:
    """Records and rejects, in an order of their own."""
    if given.raw is None:
        return []
    batch = Batch(source="otlp", raw=given.raw, select=given.select, position="1")
    table: pa.Table = batch.records()
    return sorted(table.to_pylist(), key=repr)


def key_value(key: str, **value: Any) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(**value))


_TEXT = st.text(max_size=12)
_SHORT = st.sampled_from(
    [
        "",
        "a",
        'q"',
        "back\\slash",
        "line\nend",
        "\x01\x1f\x7f",
        "žluť",
        "日本",
        "x" * 127,
        "y" * 128,
        "z" * 300,
    ]
)
_STRINGS = _TEXT | _SHORT
_SCALARS = st.one_of(
    _STRINGS.map(lambda text: AnyValue(string_value=text)),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: AnyValue(int_value=number)),
    st.booleans().map(lambda truth: AnyValue(bool_value=truth)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: AnyValue(double_value=number)),
)
_VALUES = st.one_of(
    _SCALARS,
    st.just(AnyValue()),
    st.binary(max_size=5).map(lambda raw: AnyValue(bytes_value=raw)),
    st.lists(_SCALARS, max_size=3).map(lambda values: AnyValue(array_value=ArrayValue(values=values))),
    st.lists(st.tuples(st.sampled_from("abc"), _SCALARS), max_size=2).map(
        lambda pairs: AnyValue(
            kvlist_value=KeyValueList(values=[KeyValue(key=key, value=value) for key, value in pairs])
        )
    ),
)
_KEYS = st.sampled_from(
    [
        "order_id",
        "correlation_id",
        "messaging.system",
        "messaging.message.id",
        "messaging.kafka.offset",
        "a",
        'k"',
        "ž",
        "n" * 130,
    ]
)


def _attributes(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[list[KeyValue]]:
    pairs = st.dictionaries(_KEYS, values, max_size=4)
    return pairs.map(lambda given: [KeyValue(key=key, value=value) for key, value in given.items()])


_ATTRIBUTES = _attributes(_SCALARS) | _attributes(_VALUES)
_NANOS = st.integers(1_700_000_000_000_000_000, 1_800_000_000_000_000_000)
_TRACE, _SPAN = st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)
_EVENTS = st.builds(Span.Event, time_unix_nano=_NANOS, name=_STRINGS, attributes=_attributes(_SCALARS))
_LINKS = st.builds(Span.Link, trace_id=_TRACE, span_id=_SPAN)
_SPANS = st.builds(
    Span,
    trace_id=_TRACE | st.just(b""),
    span_id=_SPAN,
    parent_span_id=_SPAN | st.just(b""),
    trace_state=st.sampled_from(["", "", "k=v"]),
    name=_STRINGS,
    kind=st.integers(0, 5),
    start_time_unix_nano=_NANOS,
    end_time_unix_nano=_NANOS | st.just(0),
    attributes=_ATTRIBUTES,
    events=st.lists(_EVENTS, max_size=2) | st.just([]),
    links=st.lists(_LINKS, max_size=2) | st.just([]),
    status=st.builds(Status, code=st.integers(0, 2), message=st.sampled_from(["", "no stock", "ž\n"])),
    flags=st.sampled_from([0, 257]),
)
_LOGS = st.builds(
    LogRecord,
    time_unix_nano=_NANOS | st.just(0),
    observed_time_unix_nano=_NANOS,
    severity_number=st.integers(0, 24),
    severity_text=st.sampled_from(["", "INFO", "warn"]),
    body=_VALUES,
    attributes=_ATTRIBUTES,
    trace_id=_TRACE | st.just(b""),
    span_id=_SPAN | st.just(b""),
    event_name=st.sampled_from(["", "order.placed"]),
)
_RESOURCE = st.builds(
    Resource, attributes=_ATTRIBUTES.map(lambda given: [key_value("service.name", string_value="s"), *given])
)
_SCOPE = st.builds(
    InstrumentationScope, name=_STRINGS, version=st.sampled_from(["", "1"]), attributes=_attributes(_SCALARS)
)
TRACES = st.lists(
    st.builds(
        ResourceSpans,
        resource=_RESOURCE,
        scope_spans=st.lists(
            st.builds(ScopeSpans, scope=_SCOPE, spans=st.lists(_SPANS, min_size=1, max_size=3)),
            min_size=1,
            max_size=2,
        ),
    ),
    min_size=1,
    max_size=2,
).map(lambda given: ExportTraceServiceRequest(resource_spans=given))
LOGS = st.lists(
    st.builds(
        ResourceLogs,
        resource=_RESOURCE,
        scope_logs=st.lists(
            st.builds(ScopeLogs, scope=_SCOPE, log_records=st.lists(_LOGS, min_size=1, max_size=3)),
            min_size=1,
            max_size=2,
        ),
    ),
    min_size=1,
    max_size=2,
).map(lambda given: ExportLogsServiceRequest(resource_logs=given))
REQUESTS = TRACES | LOGS
