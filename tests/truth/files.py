"""Records as services and exporters write them: JSON lines of three makes, and OTLP requests.

Lines of all services of a node stand in one file, as a log shipper collects them; spans stand in
one file, as the OpenTelemetry collector's file exporter writes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from tests.truth.flows import SPANS, Message, Record, S, Told

NODES: Final = {
    "a": ("shop", "payments", "warehouse", "courier", "insights", "planner", "signer"),
    "b": ("portal", "accounts", "billing", "analytics", "taxes", "bank", "clerk", "ledger", "matcher"),
    "c": ("mailer", "uploads", "encoder", "thumbnails", "captions", "publisher", "scanner"),
    "d": ("reporting", "auditor", "inspector", "newsletters"),
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXPORT_US: Final = 5 * S
_EXPORT_SPANS: Final = 200
_KINDS: Final = {Told.SERVED: 2, Told.WORKED: 3, Told.PRODUCED: 4, Told.HANDLED: 5}
_LEVELS: Final = {Told.WARNED: "WARN", Told.FAILED: "ERROR", Told.DEAD: "ERROR", Told.GAVE_UP: "ERROR"}
_PINO: Final = {"INFO": 30, "WARN": 40, "ERROR": 50}
ERROR: Final = "no answer within 2000 ms"
TOPICS: Final = {"shop": "orders", "portal": "users", "uploads": "videos", "publisher": "videos"}
_READS: Final = frozenset(
    {Told.BEGUN, Told.DONE, Told.FAILED, Told.SKIPPED, Told.WARNED, Told.GAVE_UP, Told.DEAD}
)


def topic(message: Message) -> str:
    """Where a service sends what it sends."""
    return TOPICS.get(message.service, f"{message.service}-events")


def write(folder: Path, records: Iterable[Record], clocks: Mapping[str, int]) -> list[Path]:
    """Write all, in the order in which they came to be; ``clocks`` says how far each service's is ahead."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(records, key=lambda record: record.written)
    paths = []
    for node, services in NODES.items():
        path = folder / f"node-{node}.jsonl"
        lines = [
            _line(record, clocks.get(record.service, 0))
            for record in ordered
            if record.told not in SPANS and record.service in services
        ]
        path.write_text("".join(lines), encoding="utf-8")
        paths.append(path)
    path = folder / "traces.jsonl"
    with path.open("w", encoding="utf-8") as file:
        spans = [record for record in ordered if record.told in SPANS]
        for (_, service), together in groupby(
            sorted(spans, key=_export), key=lambda record: (_export(record)[0], record.service)
        ):
            exported = [_span(record, clocks.get(record.service, 0)) for record in together]
            for first in range(0, len(exported), _EXPORT_SPANS):
                file.write(_request(service, exported[first : first + _EXPORT_SPANS]))
    return [*paths, path]


def _export(record: Record) -> tuple[int, str]:
    return record.end // _EXPORT_US, record.service


# Lines.


def _line(record: Record, ahead: int) -> str:
    make = _MAKES.get(record.service, _flat)
    return json.dumps(make(record, record.time + ahead), separators=(",", ":")) + "\n"


def _flat(record: Record, time: int) -> dict[str, Any]:
    """As a formatter of the service's own."""
    line: dict[str, Any] = {
        "timestamp": _iso(time),
        "level": _level(record),
        "service": record.service,
        "message": _text(record),
        "trace_id": record.trace,
        "span_id": record.span,
    }
    message = record.message
    if message is None or not message.scratched:
        line["correlation_id"] = record.flow.id
        line[record.flow.workflow.key] = f"{record.flow.workflow.key[:3]}-{record.flow.key}"
    if message is not None and not message.scratched:
        line |= {"event_type": message.event, "event_id": message.id}
        if record.told is Told.SENT:
            line |= {"messaging.operation.type": "send", "topic": topic(message)}
            line |= {"causation_id": message.cause} if message.cause else {}
        else:
            line |= {"messaging.operation.type": "process"} | _place(message)
            line["consumer_group"] = record.service
    return line | _failure(record, "error.type", "error.message")


def _camel(record: Record, time: int) -> dict[str, Any]:
    """As a JVM service whose logger puts its context's entries beside the rest."""
    line: dict[str, Any] = {
        "@timestamp": _iso(time),
        "severity": _level(record),
        "serviceName": record.service,
        "logger": f"com.example.{record.service}.Listener",
        "message": _text(record),
        "traceId": record.trace,
        "spanId": record.span,
    }
    message = record.message
    if message is None or not message.scratched:
        line["correlationId"] = record.flow.id
    if message is not None and not message.scratched:
        line |= {"eventType": message.event, "messageId": message.id}
        if record.told is Told.SENT:
            line |= {"messaging.operation": "send", "messaging.destination.name": topic(message)}
        else:
            line |= {
                "messaging.operation": "process",
                "messaging.destination.name": topic(message),
                "messaging.kafka.partition": message.partition,
                "messaging.kafka.message.offset": message.offset,
                "messaging.consumer.group.name": record.service,
            }
    return line | _failure(record, "exception.type", "exception.message")


def _pino(record: Record, time: int) -> dict[str, Any]:
    """As a Node service: milliseconds, levels as numbers, and no correlation ID."""
    line: dict[str, Any] = {
        "level": _PINO[_level(record)],
        "time": time // 1000,
        "pid": 17,
        "hostname": "node-c",
        "service": record.service,
        "trace_id": record.trace,
        "span_id": record.span,
        "msg": _text(record),
    }
    message = record.message
    if message is not None and not message.scratched:
        line |= {"event_type": message.event, "message_id": message.id}
        if record.told is Told.SENT:
            line |= {"messaging.operation.type": "send", "topic": topic(message)}
        else:
            line |= {"messaging.operation.type": "process"} | _place(message)
            line["consumer_group"] = record.service
    return line | _failure(record, "error.type", "error.message")


_MAKES: Final[Mapping[str, Callable[[Record, int], dict[str, Any]]]] = {
    "payments": _camel,
    "accounts": _camel,
    "encoder": _camel,
    "matcher": _camel,
    "mailer": _pino,
    "thumbnails": _pino,
}


def _place(message: Message) -> dict[str, Any]:
    return {"topic": topic(message), "partition": message.partition, "offset": message.offset}


def _level(record: Record) -> str:
    return _LEVELS.get(record.told, "INFO")


def _text(record: Record) -> str:
    if record.text:
        return record.text
    name = record.message.event if record.message is not None else "a message"
    again = f" (attempt {record.attempt})" if record.attempt > 1 else ""
    return f"{record.told.value} {name or 'a message'}{again}"


def _failure(record: Record, kind: str, said: str) -> dict[str, Any]:
    if not record.bad:
        return {}
    told: dict[str, Any] = {kind: "upstream.Timeout", said: ERROR, "attempt": record.attempt}
    if record.told is Told.DEAD and record.message is not None:
        told |= {
            "kafka_dlt-original-topic": topic(record.message),
            "kafka_dlt-original-partition": record.message.partition,
            "kafka_dlt-original-offset": record.message.offset,
            "kafka_dlt-original-consumer-group": record.service,
            "kafka_dlt-exception-fqcn": "upstream.Timeout",
            "kafka_dlt-exception-message": ERROR,
        }
    return told


def _iso(time: int) -> str:
    return (_EPOCH + timedelta(microseconds=time)).isoformat(timespec="microseconds").replace("+00:00", "Z")


# Spans.


def _request(service: str, spans: list[dict[str, Any]]) -> str:
    resource = {"attributes": _attributes({"service.name": service, "service.version": "2.3.1"})}
    scopes = [{"scope": {"name": "app"}, "spans": spans}]
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}
    return json.dumps(request, separators=(",", ":")) + "\n"


def _span(record: Record, ahead: int) -> dict[str, Any]:
    span: dict[str, Any] = {
        "traceId": record.trace,
        "spanId": record.span,
        "name": _span_name(record),
        "kind": _KINDS[record.told],
        "startTimeUnixNano": str((record.time + ahead) * 1000),
        "endTimeUnixNano": str((record.end + ahead) * 1000),
        "attributes": _attributes(_span_values(record)),
        "status": {"code": 2, "message": ERROR} if record.bad else {},
    }
    if record.parent:
        span["parentSpanId"] = record.parent
    return span


def _span_name(record: Record) -> str:
    message = record.message
    if record.told is Told.PRODUCED and message is not None:
        return f"send {topic(message)}"
    if record.told is Told.HANDLED and message is not None:
        return "poll" if message.scratched else f"process {topic(message)}"
    return record.text


def _span_values(record: Record) -> dict[str, Any]:
    message = record.message
    if record.told is Told.SERVED:
        return {"http.request.method": record.text.split()[0], "http.response.status_code": 202}
    if record.told is Told.WORKED or message is None:
        return {"db.system.name": "postgresql", "server.address": f"{record.service}-db"}
    values: dict[str, Any] = {"messaging.system": "kafka"}
    if message.scratched:
        return values | {"messaging.operation.type": "receive"}
    values |= {
        "messaging.destination.name": topic(message),
        "messaging.message.id": message.id,
        "messaging.message.conversation_id": record.flow.id,
        "cloudevents.event_type": message.event,
    }
    if record.told is Told.PRODUCED:
        return values | {"messaging.operation.type": "send"}
    return values | {
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": record.service,
        "messaging.destination.partition.id": str(message.partition),
        "messaging.kafka.offset": message.offset,
    }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]
