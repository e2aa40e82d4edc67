"""What becomes of a message: key, headers, time, value."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.kafka.reading import read
from tests.kafka.topics import Topics

from clew.collectors.kafka.collector import KafkaCollector
from clew.collectors.kafka.settings import KafkaSettings, Values
from clew.reconstruct import open_store
from clew.reconstruct.causes.why import why
from clew.reconstruct.ingest import ingest

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
MOMENT_MS = 1_772_366_400_250
MOMENT = datetime(2026, 3, 1, 12, 0, 0, 250_000)  # noqa: DTZ001  records are UTC without saying so


def rows(topics: Topics, topic: str, **settings: Any) -> list[dict[str, Any]]:
    """Every message of a topic as a record, decoded, less what is empty."""
    received = read(KafkaSettings(topics.bootstrap, (topic,), **settings))
    found = []
    for row in sorted(received.rows(), key=lambda row: int(row["position"])):
        kept = {name: value for name, value in row.items() if value is not None}
        for name in ("keys", "attributes"):
            if name in kept:
                kept[name] = json.loads(kept[name])
        found.append(kept)
    return found


def test_a_message_is_a_send_with_its_coordinates_its_key_and_its_ids(topics: Topics, topic: str) -> None:
    topics.make(topic, 2)
    headers = [
        ("traceparent", f"00-{TRACE}-{SPAN}-01".encode()),
        ("X-Correlation-ID", b"c-1"),
        ("empty", None),
    ]
    event = {
        "event_type": "OrderPlaced",
        "event_id": "e-1",
        "causation_id": "e-0",
        "order_id": "o-1",
        "time": "soon",
    }
    topics.write(topic, [event], key="o-1", headers=headers, partition=1, time_ms=MOMENT_MS)
    (row,) = rows(topics, topic)
    assert row.pop("identity").endswith("/1@0")
    assert row == {
        "kind": "message", "operation": "send", "time": MOMENT, "position": 0,
        "system": "kafka", "destination": topic, "partition": 1, "offset": 0,
        "name": "OrderPlaced", "event_id": "e-1", "causation_id": "e-0",
        "correlation_id": "c-1", "correlation_key": "X-Correlation-ID", "trace_id": TRACE, "span_id": SPAN,
        "keys": {"order_id": "o-1"},
        "attributes": {
            "messaging.kafka.message.key": "o-1",
            "time": "soon",
            "message_headers": {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Correlation-ID": "c-1", "empty": None},
        },
    }  # fmt: skip


def test_cloudevents_are_read_in_both_modes(topics: Topics, topic: str) -> None:
    topics.make(topic)
    structured = {
        "specversion": "1.0", "id": "e-1", "source": "/orders", "type": "order.placed",
        "time": "2026-03-01T12:00:00.25Z", "correlationid": "c-1", "data": {"orderId": "o-1"},
    }  # fmt: skip
    topics.write(topic, [structured], headers=[("content-type", b"application/cloudevents+json")])
    binary = {"specversion": "1.0", "id": "e-1", "source": "/orders", "type": "order.placed",
              "time": "2026-03-01T12:00:00.25Z", "correlationid": "c-1"}  # fmt: skip
    topics.write(
        topic, [{"orderId": "o-1"}], headers=[(f"ce_{name}", text.encode()) for name, text in binary.items()]
    )
    both = rows(topics, topic)
    for row in both:
        found = {
            name: row.get(name) for name in ("time", "name", "event_id", "service", "correlation_id", "keys")
        }
        assert found == {
            "time": MOMENT, "name": "order.placed", "event_id": "e-1", "service": "orders",
            "correlation_id": "c-1", "keys": {"orderId": "o-1"},
        }  # fmt: skip


def test_what_is_no_object_is_kept_too(topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, ["placed", "[1, 2]", "17", None, b'  {"event_id": "e-1"}\n', "{}", "{ }"], key="k")
    text, array, number, tombstone, spaced, empty, hollow = rows(topics, topic)
    assert text["body"] == "placed"
    assert array["attributes"]["kafka.value"] == [1, 2]
    assert number["attributes"]["kafka.value"] == 17
    assert tombstone["attributes"] == {"kafka.tombstone": True, "messaging.kafka.message.key": "k"}
    assert spaced["event_id"] == "e-1"
    for row in (empty, hollow):
        assert row["attributes"] == {"messaging.kafka.message.key": "k"}


def test_raw_values_are_not_looked_into(topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, ['{"event_id": "e-1"}', b"\x00\xff"])
    text, binary = rows(topics, topic, values=Values.RAW)
    assert text["body"] == '{"event_id": "e-1"}'
    assert binary["attributes"] == {"kafka.base64": "AP8="}


def test_keys_and_headers_may_hold_anything(topics: Topics, topic: str) -> None:
    topics.make(topic)
    headers = [("a", b'say "hi"\n'), ("b", b"\x00\x01"), ("a", b"last"), ('q"uote', "å".encode())]
    topics.write(topic, [{}], key=b"\xff\xfe", headers=headers)
    topics.write(topic, [{}], key='"k"\\')
    first, second = rows(topics, topic)
    assert first["attributes"] == {
        "messaging.kafka.message.key": {"base64": "//4="},
        "message_headers": {"a": "last", "b": {"base64": "AAE="}, 'q"uote': "å"},
    }
    assert second["attributes"] == {"messaging.kafka.message.key": '"k"\\', "message_headers": {}}


def test_a_poison_message_is_a_reject_with_its_reason_and_the_rest_goes_on(
    topics: Topics, topic: str
) -> None:
    topics.make(topic)
    good = {"event_id": "e"}
    topics.write(
        topic,
        [
            good,
            '{"event_id": ',
            good,
            b"\x80\x81",
            good,
            b'{"a": "\xff"}',
            good,
            b"\x00\x00\x00\x00\x07x",
            good,
        ],
    )
    received = read(KafkaSettings(topics.bootstrap, (topic,)))
    found = received.rows()
    assert [row["position"] for row in found if row["reject"] is None] == [0, 2, 4, 6, 8]
    assert [(row["position"], row["reject"]) for row in found if row["reject"]] == [(1, "not valid JSON")]
    rejects = {one.position: one.reason for batch in received.batches for one in batch.rejects}
    assert rejects == {
        3: "neither JSON nor text",
        5: "not UTF-8 at byte 8 (0xff)",
        7: "of schema 7: no schema registry is given",
    }


def test_only_json_is_taken_where_only_json_is_expected(topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, ["placed", {"event_id": "e"}])
    received = read(KafkaSettings(topics.bootstrap, (topic,), values=Values.JSON))
    assert [reject.reason for batch in received.batches for reject in batch.rejects] == ["not JSON"]
    assert list(received.events) == ["e"]


def test_dead_letters_are_known_by_name_by_settings_and_by_headers(topics: Topics, topic: str) -> None:
    event = {"event_id": "e-1", "event_type": "OrderPlaced"}
    for name in (f"{topic}-dlt", f"{topic}-parked", f"{topic}-retry"):
        topics.make(name)
    topics.write(f"{topic}-dlt", [event])
    topics.write(f"{topic}-parked", [event])
    spring = [
        ("kafka_dlt-original-topic", topic.encode()),
        ("kafka_dlt-original-partition", (5).to_bytes(4)),
        ("kafka_dlt-original-offset", (29).to_bytes(8)),
        ("kafka_dlt-original-consumer-group", b"billing"),
        ("kafka_dlt-exception-fqcn", b"java.io.IOException"),
        ("kafka_dlt-exception-message", b"no\nanswer"),
    ]
    topics.write(f"{topic}-retry", [event], headers=spring)
    (by_name,) = rows(topics, f"{topic}-dlt")
    assert (by_name["kind"], by_name["destination"], by_name["event_id"]) == (
        "dead_letter",
        f"{topic}-dlt",
        "e-1",
    )
    assert rows(topics, f"{topic}-parked")[0]["kind"] == "message"
    assert rows(topics, f"{topic}-parked", dead_letters=("parked$",))[0]["kind"] == "dead_letter"
    (by_headers,) = rows(topics, f"{topic}-retry")
    assert {name: by_headers[name] for name in ("kind", "destination", "partition", "offset", "consumer_group")} == {
        "kind": "dead_letter", "destination": topic, "partition": 5, "offset": 29, "consumer_group": "billing",
    }  # fmt: skip
    assert (by_headers["error_type"], by_headers["error_message"]) == ("java.io.IOException", "no\nanswer")


def test_why_names_the_topic_in_which_a_dead_letter_lies_and_where_it_came_from(
    topics: Topics, topic: str, tmp_path: Path
) -> None:
    event = {"event_id": "e-1", "event_type": "OrderPlaced", "correlation_id": "c-1"}
    origin = [
        ("kafka_dlt-original-topic", topic.encode()),
        ("kafka_dlt-original-partition", (0).to_bytes(4)),
        ("kafka_dlt-original-offset", (0).to_bytes(8)),
        ("kafka_dlt-exception-message", b"no answer"),
    ]
    for name, headers in ((topic, None), (f"{topic}-dlt", origin)):
        topics.make(name)
        topics.write(name, [event], headers=headers)
    collector = KafkaCollector(KafkaSettings(topics.bootstrap, (f"^{topic}",)), follow=False)
    with open_store(tmp_path / "clew.duckdb", create=True) as store:
        assert ingest(store, collector, signals=False).new == 2
        collector.close()
        told = why(store, "c-1", "", None)
    assert told is not None
    assert told.causes[0].said == f"OrderPlaced was given up (no answer); the message is in {topic}-dlt"
    assert told.causes[0].clues[-1].said == f"dead letter in {topic}-dlt, from {topic}/0@0: no answer"


def test_a_message_without_a_time_of_its_own_has_the_broker_s(topics: Topics, topic: str) -> None:
    topics.make(topic, config={"message.timestamp.type": "LogAppendTime"})
    before = datetime.now(UTC).replace(tzinfo=None)
    topics.write(topic, [{}], time_ms=MOMENT_MS)
    (row,) = rows(topics, topic)
    assert abs((row["time"] - before).total_seconds()) < 60
