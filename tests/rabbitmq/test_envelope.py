"""What a message becomes; no broker is needed to know."""

from __future__ import annotations

import gzip
import json
import struct
from datetime import UTC, datetime
from typing import Any

import pika.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pika import BasicProperties

from clew.collectors.formats import explain
from clew.collectors.rabbitmq import fields
from clew.collectors.rabbitmq.address import Address
from clew.collectors.rabbitmq.envelope import Message, Unreadable, line
from clew.collectors.rabbitmq.position import Position
from clew.collectors.rabbitmq.settings import RabbitSettings
from clew.tracer import Event

NOW = 1_772_366_400_250
WHEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(body: bytes = b"{}", key: str = "k", **properties: Any) -> Message:
    return Message("orders", key, BasicProperties(**properties), body, NOW)


def record(given: Message, **more: Any) -> dict[str, Any]:
    found = explain(line(given, more), "rabbitmq")[0].record
    assert found is not None
    return dict(found)


def test_properties_become_the_fields_of_a_record() -> None:
    found = record(
        message(
            b'{"order_id": "o-1"}',
            message_id="m-1",
            correlation_id="c-1",
            type="OrderPlaced",
            app_id="order-service",
            timestamp=1_772_000_000,
            headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", "x-retry": 2},
        )
    )
    assert {
        name: found[name] for name in ("event_id", "correlation_id", "name", "service", "destination")
    } == {
        "event_id": "m-1",
        "correlation_id": "c-1",
        "name": "OrderPlaced",
        "service": "order-service",
        "destination": "orders",
    }
    assert found["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert found["time"] == datetime.fromtimestamp(1_772_000_000, UTC).replace(tzinfo=None)
    assert found["keys"] == {"order_id": "o-1"}
    assert found["attributes"]["message_headers"]["x-retry"] == 2


def test_the_ids_of_an_event_go_before_those_of_its_envelope() -> None:
    found = record(
        message(
            b'{"event_id": "e-1", "correlation_id": "flow-1"}', message_id="m-1", correlation_id="reply-to-17"
        )
    )
    assert (found["event_id"], found["correlation_id"]) == ("e-1", "flow-1")


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_cloud_events_are_read_in_both_modes(mode: str) -> None:
    event = Event(
        type="OrderPlaced",
        source="/order-service",
        id="e-1",
        correlation_id="c-1",
        causation_id="e-0",
        data={"n": 1},
    )
    if mode == "binary":
        headers, body = event.to_binary("amqp")
        given = message(body or b"", headers=headers, content_type="application/json")
    else:
        given = message(event.to_json().encode(), content_type="application/cloudevents+json")
    found = record(given)
    names = ("event_id", "correlation_id", "causation_id", "name", "service")
    assert [found[name] for name in names] == ["e-1", "c-1", "e-0", "OrderPlaced", "order-service"]
    assert event.time is not None
    assert found["time"] == event.time.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("headers", "kind", "error"),
    [
        (
            {"x-death": [{"queue": "q", "reason": "rejected", "count": 3, "time": WHEN}]},
            "dead_letter",
            "rejected",
        ),
        ({"x-death": [{"queue": "delay", "reason": "expired", "count": 1, "time": WHEN}]}, "message", None),
        (
            {"x-first-death-reason": "delivery_limit", "x-first-death-queue": "q"},
            "dead_letter",
            "delivery_limit",
        ),
    ],
)
def test_what_died_is_a_dead_letter_unless_it_only_waited(
    headers: dict[str, Any], kind: str, error: str | None
) -> None:
    found = record(message(headers=headers))
    assert (found["kind"], found.get("error_type")) == (kind, error)
    if "x-death" in headers:
        assert found["time"] == WHEN.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("properties", "time"),
    [
        ({}, NOW),
        ({"timestamp": NOW // 1000}, NOW),
        ({"timestamp": 1_700_000_000}, 1_700_000_000_000),
        ({"timestamp": 1_700_000_000_123}, 1_700_000_000_123),
        ({"timestamp": 1_700_000_000, "headers": {"timestamp_in_ms": 1_700_000_000_321}}, 1_700_000_000_321),
    ],
)
def test_the_time_is_as_exact_as_it_is_told(properties: dict[str, Any], time: int) -> None:
    assert message(**properties).time_ms == time


@pytest.mark.parametrize(
    ("body", "properties", "text"),
    [
        (b"plain words", {}, "plain words"),
        (b'{"looks": "like JSON', {"content_type": "text/plain"}, '{"looks": "like JSON'),
        (b"[1, 2]", {"content_type": "application/json"}, "[1, 2]"),
        (b"\x00\xff", {}, '{"base64":"AP8="}'),
        (gzip.compress(b"packed", mtime=0), {"content_encoding": "gzip"}, "packed"),
        (b"", {}, None),
    ],
)
def test_a_body_that_is_no_object_is_text(body: bytes, properties: dict[str, Any], text: str | None) -> None:
    assert record(message(body, **properties)).get("body") == text


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (b"{\xff}", {}),
        (b"words", {"content_type": "application/json"}),
        (b"words", {"content_encoding": "gzip"}),
        (gzip.compress(b"words", mtime=0)[:-4], {"content_encoding": "gzip"}),
    ],
)
def test_what_is_not_what_it_says_is_unreadable_or_text_where_nothing_may_be_lost(
    body: bytes, properties: dict[str, Any]
) -> None:
    with pytest.raises(Unreadable):
        line(message(body, **properties), {})
    assert json.loads(line(message(body, **properties), {}, lenient=True))["rabbitmq.text"]


FIELD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")) | st.binary()
    | st.floats() | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    headers=st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), FIELD, max_size=4),
    body=st.binary(),
)
def test_whatever_the_headers_hold_the_line_is_json(headers: dict[str, Any], body: bytes) -> None:
    told = json.loads(line(message(body, headers=headers), {}, lenient=True), parse_constant=pytest.fail)
    assert told["messaging.destination.name"] == "orders"
    assert message(body, headers=headers).digest() == message(body, headers=headers).digest()


def test_floats_and_far_times_in_headers_are_decoded_as_they_are() -> None:
    fields.install()
    table = b"".join(
        [
            b"\x01dd" + struct.pack(">d", 1.5),
            b"\x01ff" + struct.pack(">f", 0.25),
            b"\x01td" + struct.pack(">d", float("nan")),
            b"\x01wT" + struct.pack(">Q", 1_772_366_400),
            b"\x01xT" + struct.pack(">Q", 1_772_366_400_000),
        ]
    )
    found, _ = pika.data.decode_table(struct.pack(">I", len(table)) + table, 0)
    assert str(found.pop("t")) == "nan"
    assert found == {"d": 1.5, "f": 0.25, "w": WHEN, "x": 1_772_366_400_000}


def test_a_position_comes_back_as_it_was_and_others_are_none() -> None:
    position = Position("q", scope="s", count=3, lost=1, last="ab", again=2, waiting=0, deliveries=4)
    assert Position.parse(position.text()) == position
    assert Position.parse(Position("q").text()) == Position("q")
    for text in (
        "",
        "{}",
        "[]",
        '{"v":1}',
        '{"v":1,"rabbitmq":{"no":1}}',
        '{"v":2,"rabbitmq":{"queue":"q"}}',
    ):
        assert Position.parse(text) is None


def test_a_password_is_shown_nowhere() -> None:
    assert Address(RabbitSettings(url="amqp://user@h/%2F")).vhost == "/"
    address = Address(RabbitSettings(url="amqp://user:s3cret@127.0.0.1:1/shop"))
    told = str(address.unavailable(OSError(111, "Connection refused"), "reading"))
    assert told == "amqp://127.0.0.1:1/shop: reading: Connection refused"
    for url in ("s3cret", "http://user:s3cret@h/", "amqp://user:s3cret@h:port/", "amqp://user:s3cret@/"):
        with pytest.raises(Exception, match="cannot be read") as error:
            Address(RabbitSettings(url=url))
        assert "s3cret" not in str(error.value)
        assert error.value.__cause__ is None
