"""Consumer lag among OTLP's metrics: what of them helps to say why a flow waits.

Sources of the names: the OpenTelemetry Collector's kafkametricsreceiver (``kafka.consumer_group.lag``) and
rabbitmqreceiver (``rabbitmq.message.current``), OpenTelemetry's Java instrumentation of Kafka's clients
(``kafka.consumer.records_lag``), and Prometheus' kafka_exporter (``kafka_consumergroup_lag``).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from clew.collectors.otlp.requests import Encoding
from clew.collectors.otlp.wire import BYTES, Malformed, next_field, to_json
from clew.collectors.record import Lag

MOST: Final = 20_000
"""Points of one request."""
HINTS: Final = (b"lag", b"rabbitmq.message.current")
"""A request without any of these holds no lag."""

_KAFKA: Final = re.compile(r"kafka[._]consumer[\w.]*lag(_sum)?")
_QUEUE: Final = "rabbitmq.message.current"
_WAITING: Final = "ready"
_CONSUMER: Final = (
    "group",
    "consumergroup",
    "consumer_group",
    "messaging.consumer.group.name",
    "messaging.kafka.consumer.group",
    "rabbitmq.queue.name",
    "service.name",
)
_DESTINATION: Final = ("topic", "messaging.destination.name", "rabbitmq.queue.name")
_PARTITION: Final = ("partition", "messaging.destination.partition.id")
_FUTURE_US: Final = 86_400_000_000


def holds_lag(body: bytes) -> bool:
    """Whether a request may hold any; to look costs next to nothing."""
    return any(hint in body for hint in HINTS)


def lags(encoding: Encoding, body: bytes) -> list[Lag]:
    """What a request of metrics tells of consumers' lag; anything else in it is passed over.

    Raises:
        Malformed: it is no such request, or holds more than MOST of them.
    """
    told = _from_protobuf(body) if encoding is Encoding.PROTOBUF else _from_json(body)
    found = list(islice(_lags(told), MOST + 1))
    if len(found) > MOST:
        raise Malformed(f"more than {MOST:,} points of lag in one request")
    return found


Told = Iterator[tuple[Mapping[str, str], dict[str, Any]]]
"""Attributes of the resource, and each metric whose name is one of those."""


def _from_protobuf(body: bytes) -> Told:
    for resource_metrics in _messages(body, 1):
        resource = b"".join(_messages(resource_metrics, 1))
        attributes = _attributes(json.loads(to_json(resource, "Resource")))
        for scope in _messages(resource_metrics, 2):
            for metric in _messages(scope, 2):
                name = b"".join(_messages(metric, 1))
                if _is_lag(name.decode(errors="replace")):
                    yield attributes, json.loads(to_json(metric, "Metric"))


def _from_json(body: bytes) -> Told:
    try:
        for resource_metrics in json.loads(body)["resourceMetrics"]:
            attributes = _attributes(resource_metrics.get("resource") or {})
            for scope in resource_metrics.get("scopeMetrics") or ():
                for metric in scope.get("metrics") or ():
                    if _is_lag(metric.get("name", "")):
                        yield attributes, metric
    except RecursionError:
        raise Malformed("nested too deep") from None
    except ValueError:
        raise Malformed("not valid JSON") from None
    except (KeyError, TypeError, AttributeError):
        raise Malformed("no resourceMetrics in it, or not as OTLP has them") from None


def _lags(metrics: Told) -> Iterator[Lag]:
    now_us = time.time_ns() // 1000
    for resource, metric in metrics:
        try:
            points = [
                point
                for kind in ("gauge", "sum")
                for point in (metric.get(kind) or {}).get("dataPoints") or ()
            ]
            for point in points:
                lag = _lag(metric["name"], {**resource, **_attributes(point)}, point, now_us)
                if lag is not None:
                    yield lag
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise Malformed(f"the points of {metric.get('name')} are not as OTLP has them") from None


def _lag(name: str, told: Mapping[str, str], point: Mapping[str, Any], now_us: int) -> Lag | None:
    """One point; None where it does not say of what, or of something else."""
    consumer, destination = _first(told, _CONSUMER), _first(told, _DESTINATION)
    if not consumer or not destination or (name == _QUEUE and told.get("state") != _WAITING):
        return None
    partition = _first(told, _PARTITION)
    messages = int(point["asInt"] if "asInt" in point else float(point["asDouble"]))
    time_us = int(point.get("timeUnixNano") or 0) // 1000 or now_us
    if messages < 0 or time_us > now_us + _FUTURE_US:
        return None
    return Lag(consumer, destination, int(partition) if partition.isdecimal() else None, time_us, messages)


def _is_lag(name: object) -> bool:
    return isinstance(name, str) and (name == _QUEUE or _KAFKA.fullmatch(name) is not None)


def _first(told: Mapping[str, str], names: Sequence[str]) -> str:
    return next((told[name] for name in names if told.get(name)), "")


def _attributes(holder: Mapping[str, Any]) -> dict[str, str]:
    return {
        str(one.get("key")): str(value)
        for one in holder.get("attributes") or ()
        for value in (one.get("value") or {}).values()
        if isinstance(value, str | int | float)
    }


def _messages(body: bytes, wanted: int) -> Iterator[bytes]:
    """The values of one field of a message, in their order."""
    at, end = 0, len(body)
    while at < end:
        number, wire, start, at, _ = next_field(body, at, end)
        if number == wanted and wire == BYTES:
            yield body[start:at]
