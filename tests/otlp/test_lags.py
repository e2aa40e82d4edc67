"""Consumers' lag, as metrics tell it, says why a flow waits; it is kept in a bounded form."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from tests.otlp.running import Running, running

from clew.collectors.otlp import lags as reading
from clew.collectors.otlp.requests import Encoding
from clew.collectors.otlp.wire import Malformed
from clew.collectors.record import Batch, Lag, empty_select
from clew.reconstruct import open_store
from clew.reconstruct.causes.why import why
from clew.reconstruct.duckdb import lags as keeping
from clew.reconstruct.store import Store

PROTOBUF = "application/x-protobuf"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def receiving(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "clew.duckdb") as here:
        yield here


def metric(
    name: str, *points: tuple[int, dict[str, str], int], resource: dict[str, str] | None = None
) -> bytes:
    """A request in OTLP JSON: (value, attributes, seconds after NOW)."""

    def listed(told: dict[str, str]) -> list[dict[str, Any]]:
        return [{"key": key, "value": {"stringValue": value}} for key, value in told.items()]

    data = [
        {
            "asInt": str(value),
            "timeUnixNano": str(int((NOW + timedelta(seconds=after)).timestamp()) * 10**9),
            "attributes": listed(told),
        }
        for value, told, after in points
    ]
    scope = {"metrics": [{"name": "other"}, {"name": name, "gauge": {"dataPoints": data}}]}
    attributes = {"attributes": listed(resource or {})}
    return json.dumps({"resourceMetrics": [{"resource": attributes, "scopeMetrics": [scope]}]}).encode()


def span(order: str, service: str, operation: str, **more: str) -> dict[str, Any]:
    """What ``service`` does with the event of an order, at NOW or right after."""
    at = int(NOW.timestamp() * 10**9) + (1_000_000 if operation == "process" else 0)
    attributes = {
        "correlation_id": order,
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.destination.name": "orders",
        "messaging.message.id": f"e-{order}",
        "cloudevents.event_type": "OrderPlaced",
        **more,
    }
    made = {
        "traceId": f"{int(order[2:]) + 1:032x}",
        "spanId": f"{int(order[2:]) * 2 + (operation == 'process') + 1:016x}",
        "name": f"{operation} orders",
        "kind": 5 if operation == "process" else 4,
        "startTimeUnixNano": str(at),
        "endTimeUnixNano": str(at + 1000),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }
    owner = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resource": owner, "scopeSpans": [{"spans": [made]}]}


def sent(receiving: Running) -> None:
    """``order-service`` sends two orders; one is handled, by a group that tells no offset, and o-1 is not."""
    place = {"messaging.destination.partition.id": "3"}
    spans = [
        span("o-0", "order-service", "send", **place, **{"messaging.kafka.offset": "811"}),
        span("o-0", "payment-service", "process", **{"messaging.consumer.group.name": "payments"}),
        span("o-1", "order-service", "send", **place, **{"messaging.kafka.offset": "812"}),
    ]
    assert receiving.post("/v1/traces", json.dumps({"resourceSpans": spans}).encode()).status == 200


def told(receiving: Running, after: int, order: str = "o-1") -> tuple[str | None, str]:
    """The first cause so many seconds after NOW, and what is said of it."""
    with receiving.store() as store:
        found = why(store, order, "", NOW + timedelta(seconds=after))
    assert found is not None
    return found.cause, found.causes[0].said


def kept(path: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(
            "SELECT consumer, destination, partition, messages FROM lags ORDER BY time, consumer, partition"
        ).fetchall()


GROUP = {"group": "payments", "topic": "orders", "partition": "3"}


def test_why_tells_that_a_consumer_was_behind_and_how_it_goes(receiving: Running) -> None:
    sent(receiving)
    assert told(receiving, 600)[0] == "never_consumed"
    points = [(12_100, GROUP, 60), (12_400, GROUP, 300), (5, {**GROUP, "partition": "4"}, 300)]
    answer = receiving.post("/v1/metrics", metric("kafka.consumer_group.lag", *points))
    assert (answer.status, answer.body) == (200, b"{}")
    cause, said = told(receiving, 600)
    assert cause == "consumer_behind"
    assert said == (
        "payments has not come to OrderPlaced (orders/3@812) yet: it was 12,400 messages behind on orders/3 "
        "at 2026-03-01 12:05:00Z"
    )
    with receiving.store() as store:
        found = why(store, "o-1", "", NOW + timedelta(seconds=600))
    assert found is not None
    behind = found.causes[0]
    assert [one.said for one in behind.clues[1:]] == [
        "payments was 12,400 messages behind on orders/3",
        "payments was 12,100 messages behind",
    ]
    assert behind.next[0].do == ("look at payments: it falls behind: 300 more than at 2026-03-01 12:01:00Z")


@pytest.mark.parametrize(
    ("points", "shows"),
    [
        ([(12_400, GROUP, -60)], "it was before the message was sent"),
        ([(12_400, GROUP, 700)], "it was after as-of"),
        ([(9, GROUP, 60), (0, GROUP, 300)], "it caught up"),
        ([(12_400, {**GROUP, "topic": "others"}, 60)], "it was elsewhere"),
    ],
)
def test_lag_that_says_nothing_of_the_message_changes_nothing(
    receiving: Running, points: list[tuple[int, dict[str, str], int]], shows: str
) -> None:
    sent(receiving)
    assert receiving.post("/v1/metrics", metric("kafka.consumer_group.lag", *points)).status == 200
    assert told(receiving, 600)[0] == "never_consumed", shows


@pytest.mark.parametrize("road", ["http", "grpc"])
def test_the_sdk_s_own_exporters_tell_it(tmp_path: Path, road: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    def lag(_options: CallbackOptions) -> Iterator[Observation]:
        yield Observation(7, {"group": "payments", "topic": "orders", "partition": 3})
        yield Observation(8.0, {"group": "mail", "topic": "orders", "partition": "0"})

    with running(tmp_path / "clew.duckdb") as receiving:
        exporter: MetricExporter = (
            HttpMetrics(f"http://127.0.0.1:{receiving.http}/v1/metrics")
            if road == "http"
            else GrpcMetrics(f"http://127.0.0.1:{receiving.grpc}", insecure=True)
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        meters = MeterProvider(metric_readers=[reader])
        meter = meters.get_meter("kafkametrics")
        meter.create_observable_gauge("kafka.consumer_group.lag", [lag])
        meter.create_counter("orders").add(1)
        assert meters.force_flush()
        meters.shutdown()
    assert caplog.records == []
    assert sorted(set(kept(tmp_path / "clew.duckdb"))) == [
        ("mail", "orders", 0, 8),
        ("payments", "orders", 3, 7),
    ]


@pytest.mark.parametrize(
    ("name", "attributes", "resource", "wanted"),
    [
        ("kafka.consumer_group.lag_sum", {"group": "g", "topic": "t"}, {}, ("g", "t", None)),
        ("kafka.consumer.records_lag", {"client-id": "c", "topic": "t", "partition": "1"}, {"service.name": "s"},
         ("s", "t", 1)),
        ("kafka_consumergroup_lag", {"consumergroup": "g", "topic": "t", "partition": "2"}, {}, ("g", "t", 2)),
        ("rabbitmq.message.current", {"state": "ready"}, {"rabbitmq.queue.name": "q"}, ("q", "q", None)),
        ("rabbitmq.message.current", {"state": "unacknowledged"}, {"rabbitmq.queue.name": "q"}, None),
        ("kafka.consumer.records_lag_max", {"client-id": "c"}, {"service.name": "s"}, None),
        ("kafka.consumer_group.lag", {"group": "g"}, {}, None),
    ],
)  # fmt: skip
def test_the_names_that_others_use_are_known(
    name: str,
    attributes: dict[str, str],
    resource: dict[str, str],
    wanted: tuple[str, str, int | None] | None,
) -> None:
    found = reading.lags(Encoding.JSON, metric(name, (5, attributes, 0), resource=resource))
    place = [(lag.consumer, lag.destination, lag.partition) for lag in found]
    assert place == ([] if wanted is None else [wanted])
    assert all((lag.messages, lag.time_us) == (5, int(NOW.timestamp()) * 10**6) for lag in found)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b'{"resourceMetrics": "lag"', "application/json", "not valid JSON"),
        (b'{"lag": []}', "application/json", "no resourceMetrics in it, or not as OTLP has them"),
        (
            metric("kafka.consumer_group.lag", (1, GROUP, 0)).replace(b'"1"', b'"many"'),
            "application/json",
            "the points of kafka.consumer_group.lag are not as OTLP has them",
        ),
        (b"\x0a\x05lag", PROTOBUF, "it ends within a field: cut off, or damaged"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    receiving: Running, body: bytes, content_type: str, reason: str
) -> None:
    answer = receiving.post("/v1/metrics", body, content_type)
    assert answer.status == 400
    assert reason.encode() in answer.body
    with receiving.store() as store:
        assert [one.reason for one in store.rejects()] == [reason]


def test_too_much_in_one_request_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST", 3)
    body = metric("kafka.consumer_group.lag", *[(1, GROUP, after) for after in range(4)])
    with pytest.raises(Malformed, match="more than 3 points of lag in one request"):
        reading.lags(Encoding.JSON, body)


def put(store: Store, *lags: Lag) -> None:
    store.write(Batch(source="otlp", raw=None, select=empty_select(), position="1", format="otlp", lags=lags))


def lag(consumer: str, after: int, messages: int = 1, partition: int | None = None) -> Lag:
    return Lag(consumer, "orders", partition, int(NOW.timestamp() + after) * 10**6, messages)


def test_of_each_series_the_newest_points_are_kept_and_what_is_told_again_adds_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "clew.duckdb"
    with open_store(path) as store:
        for begin in range(0, 60, 20):
            points = [lag("payments", after, after) for after in range(begin, begin + 20)]
            put(store, *points)
            put(store, *points, lag("mail", begin, 3, 1))
        store.release()
    found = kept(path)
    assert [row[3] for row in found if row[0] == "payments"] == list(range(60 - keeping.POINTS, 60))
    assert [row for row in found if row[0] == "mail"] == [("mail", "orders", 1, 3)] * 3


def test_more_consumers_than_are_kept_are_said_once_and_cost_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "SERIES", 3)
    path = tmp_path / "clew.duckdb"
    with open_store(path) as store:
        put(store, lag("a", 0), lag("b", 0))
        for after in (1, 2):
            put(store, lag("a", after), *[lag("c", after, 1, number) for number in range(3)])
        (said,) = store.rejects()
        (source,) = store.sources()
        store.release()
    assert (said.reason, source.rejects) == (keeping.FULL, 1)
    assert kept(path) == [
        ("a", "orders", None, 1), ("b", "orders", None, 1), ("a", "orders", None, 1), ("c", "orders", 0, 1),
        ("a", "orders", None, 1), ("c", "orders", 0, 1),
    ]  # fmt: skip


def test_a_store_made_before_there_was_lag_keeps_it_from_now_on_and_a_rebuild_keeps_it_too(
    tmp_path: Path,
) -> None:
    path = tmp_path / "clew.duckdb"
    with open_store(path) as store:
        put(store)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "DROP TABLE lags; ALTER TABLE flows DROP COLUMN shape; UPDATE clew SET version = 3"
        )
    with open_store(path) as store:
        assert [one.source for one in store.sources()] == ["otlp"]
        put(store, lag("payments", 0))
        store.rebuild()
        store.release()
    assert kept(path) == [("payments", "orders", None, 1)]


def test_metrics_without_lag_wait_for_no_store(receiving: Running) -> None:
    begun = receiving.receiver.tally.requests
    answer = receiving.post("/v1/metrics", b'{"resourceMetrics":[{}]}')
    assert (answer.status, b"of metrics, clew keeps consumers' lag" in answer.body) == (200, True)
    assert receiving.receiver.tally.requests == begun
