"""OpenTelemetry SDK spans as OTLP JSON, one request per line as the collector's file exporter writes.

Source: opentelemetry-proto 1.x, trace.proto, and its JSON mapping: hexadecimal IDs,
64-bit integers as text, enums as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from json.encoder import encode_basestring_ascii as quote
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

# The SDK counts kinds from 0, the protocol from 1 (0 is unspecified).
_KIND_OFFSET: Final = 1
# trace.proto, SpanFlags: bit 8 says that bit 9 (the parent is remote) is known.
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200


def request_line(resource: Mapping[str, Any], scope: str, version: str, spans: Sequence[str]) -> str:
    """Give one ExportTraceServiceRequest of encoded spans, with its line end."""
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":{_attributes(resource)}}},'
        f'"scopeSpans":[{{"scope":{{"name":{quote(scope)},"version":{quote(version)}}},'
        f'"spans":[{",".join(spans)}]}}]}}]}}\n'
    )


def span_json(span: ReadableSpan) -> str:
    """Give one ended SDK span as the JSON of an OTLP span."""
    context = span.context
    parent = span.parent
    head = f'{{"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",'
    if parent is not None:
        head += f'"parentSpanId":"{parent.span_id:016x}",'
    text = (
        f'{head}"flags":{_flags(context, parent)},"name":{quote(span.name)},'
        f'"kind":{span.kind.value + _KIND_OFFSET},'
        f'"startTimeUnixNano":"{span.start_time}","endTimeUnixNano":"{span.end_time}",'
        f'"attributes":{_attributes(span.attributes or {})}'
    )
    # The SDK copies these each time it is asked.
    events, links = span.events, span.links
    if events:
        text += f',"events":[{",".join(map(_event, events))}]'
    if links:
        text += f',"links":[{",".join(map(_link, links))}]'
    return f'{text},"status":{_status(span)}}}'


def _flags(context: SpanContext, parent: SpanContext | None) -> int:
    remote = _IS_REMOTE if parent is not None and parent.is_remote else 0
    return int(context.trace_flags) | _HAS_IS_REMOTE | remote


def _status(span: ReadableSpan) -> str:
    code = span.status.status_code.value
    if not code:
        return "{}"
    description = span.status.description
    message = f'"message":{quote(description)},' if description else ""
    return f'{{{message}"code":{code}}}'


def _event(event: Any) -> str:
    return (
        f'{{"timeUnixNano":"{event.timestamp}","name":{quote(event.name)},'
        f'"attributes":{_attributes(event.attributes or {})}}}'
    )


def _link(link: Any) -> str:
    context = link.context
    return (
        f'{{"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",'
        f'"flags":{int(context.trace_flags) | _HAS_IS_REMOTE | _IS_REMOTE}}}'
    )


def _attributes(attributes: Mapping[str, Any]) -> str:
    parts = [
        f'{_key(key)}"stringValue":{quote(value)}}}}}'
        if type(value) is str
        else f"{_key(key)}{_value(value)}}}}}"
        for key, value in attributes.items()
    ]
    return f"[{','.join(parts)}]"


@cache
def _key(key: str) -> str:
    return f'{{"key":{quote(key)},"value":{{'


def _value(value: Any) -> str:
    """Give what stands between the braces of an AnyValue."""
    if isinstance(value, str):
        return f'"stringValue":{quote(value)}'
    if isinstance(value, bool):
        return f'"boolValue":{"true" if value else "false"}'
    if isinstance(value, int):
        return f'"intValue":"{value}"'
    if isinstance(value, float):
        return f'"doubleValue":{value!r}'
    items = ",".join(f"{{{_value(item)}}}" for item in value)
    return f'"arrayValue":{{"values":[{items}]}}'
