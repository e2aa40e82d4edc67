"""Values that are framed for a schema registry, decoded by what a real one knows."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tests.kafka.reading import following, read
from tests.kafka.test_messages import rows
from tests.kafka.topics import Topics
from tests.servers.kafka import free_ports
from tests.servers.registry import Registry

from clew.collectors.errors import CollectError, SourceUnavailable
from clew.collectors.kafka.settings import KafkaSettings

CUSTOMER = {
    "type": "record",
    "name": "Customer",
    "namespace": "shop",
    "fields": [{"name": "id", "type": "string"}],
}
ORDER = {
    "type": "record", "name": "OrderPlaced", "namespace": "shop",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "correlation_id", "type": ["null", "string"]},
        {"name": "customer", "type": "shop.Customer"},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "due", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "weight", "type": "double"},
        {"name": "seal", "type": "bytes"},
    ],
}  # fmt: skip
PROTO = """
syntax = "proto3";
package shop;
import "customer.proto";
import "google/protobuf/timestamp.proto";
message Ignored { string name = 1; }
message Order {
  message Placed {
    string event_id = 1;
    string correlation_id = 2;
    Customer customer = 3;
    google.protobuf.Timestamp due = 4;
  }
}
"""
CUSTOMER_PROTO = 'syntax = "proto3"; package shop; message Customer { string id = 1; }'


def framed(number: int, payload: bytes) -> bytes:
    return b"\x00" + number.to_bytes(4) + payload


def avro(number: int, *values: dict[str, Any]) -> list[bytes]:
    named: dict[str, Any] = {}
    fastavro.parse_schema(CUSTOMER, named)
    schema = fastavro.parse_schema(ORDER, named)
    made = []
    for value in values:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, value)
        made.append(framed(number, out.getvalue()))
    return made


def test_avro_is_decoded_with_what_its_schema_refers_to(
    topics: Topics, topic: str, registry: Registry
) -> None:
    topics.make(topic)
    registry.register(f"{topic}-customer", "AVRO", CUSTOMER)
    refers = {"name": "shop.Customer", "subject": f"{topic}-customer", "version": 1}
    number = registry.register(topic, "AVRO", ORDER, [refers])
    order = {
        "event_id": "e-1", "correlation_id": "c-1", "customer": {"id": "cus-1"}, "amount": Decimal("12.50"),
        "due": datetime(2026, 3, 1, 12, tzinfo=UTC), "weight": float("nan"), "seal": b"\xff",
    }  # fmt: skip
    topics.write(topic, avro(number, order))
    (row,) = rows(topics, topic, registry=registry.url)
    assert {name: row[name] for name in ("kind", "name", "event_id", "correlation_id")} == {
        "kind": "message", "name": "shop.OrderPlaced", "event_id": "e-1", "correlation_id": "c-1",
    }  # fmt: skip
    assert row["attributes"] == {
        "kafka.schema_id": number, "customer": {"id": "cus-1"}, "amount": "12.50",
        "due": "2026-03-01T12:00:00+00:00", "weight": "nan", "seal": "/w==",
    }  # fmt: skip


def test_protobuf_is_decoded_whichever_message_of_its_file_it_is(
    topics: Topics, topic: str, registry: Registry
) -> None:
    topics.make(topic)
    registry.register(f"{topic}-customer", "PROTOBUF", CUSTOMER_PROTO)
    refers = {"name": "customer.proto", "subject": f"{topic}-customer", "version": 1}
    number = registry.register(topic, "PROTOBUF", PROTO, [refers])
    file = descriptor_pb2.FileDescriptorProto(name="placed.proto", package="test", syntax="proto3")
    message = file.message_type.add(name="Placed")
    for place, name in enumerate(("event_id", "correlation_id"), 1):
        message.field.add(name=name, number=place, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    placed = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Placed"))
    payload = placed(event_id="e-1", correlation_id="c-1").SerializeToString()
    # Two indexes, 1 and 0, as zigzag varints: the first message within the second one.
    topics.write(topic, [framed(number, bytes((4, 2, 0)) + payload)])
    # A single zero: the first message of the file.
    topics.write(topic, [framed(number, b"\x00" + b"\x0a\x01n"), framed(number, bytes((2, 10)))])
    received = read(KafkaSettings(topics.bootstrap, (topic,), registry=registry.url))
    first, second = sorted(received.rows(), key=lambda row: int(row["position"]))
    assert (first["name"], first["event_id"], first["correlation_id"]) == ("shop.Order.Placed", "e-1", "c-1")
    assert second["name"] == "shop.Ignored"
    assert json.loads(second["keys"] or "{}") == {}
    assert [str(reject) for reject in received.rejects if "no message (5,)" not in str(reject)] == []


def test_json_of_a_schema_is_read_as_it_is(topics: Topics, topic: str, registry: Registry) -> None:
    topics.make(topic)
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "OrderPlaced", "type": "object"}
    number = registry.register(topic, "JSON", schema)
    topics.write(
        topic, [framed(number, b'{"event_id": "e-1"}'), framed(number, b"{ }"), framed(number, b"17")]
    )
    first, second, third = rows(topics, topic, registry=registry.url)
    assert (first["name"], first["event_id"]) == ("OrderPlaced", "e-1")
    assert second["attributes"] == {"kafka.schema_id": number}
    assert third["attributes"] == {"kafka.schema_id": number, "kafka.value": 17}


def test_an_unknown_schema_and_a_broken_payload_are_rejects_and_the_rest_goes_on(
    topics: Topics, topic: str, registry: Registry
) -> None:
    topics.make(topic)
    number = registry.register(topic, "AVRO", CUSTOMER)
    good = framed(number, b"\x02a")
    topics.write(
        topic, [good, framed(987_654, b"x"), good, framed(number, b"\x7e"), framed(number, b"\x02a!"), good]
    )
    received = read(KafkaSettings(topics.bootstrap, (topic,), registry=registry.url))
    assert [row["position"] for row in received.rows()] == [0, 2, 5]
    rejects = {one.position: one.reason for batch in received.batches for one in batch.rejects}
    assert rejects[1] == "schema 987654: the schema registry does not know it"
    assert rejects[3].startswith("not Avro of its schema")
    assert rejects[4] == "not Avro of its schema: something follows it"


def test_a_registry_that_does_not_answer_rejects_nothing(topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, [framed(1, b"x")])
    (port,) = free_ports(1)
    kafka = KafkaSettings(topics.bootstrap, (topic,), registry=f"http://127.0.0.1:{port}")
    with pytest.raises(SourceUnavailable, match="does not answer"):
        read(kafka)
    with following(kafka) as received:
        received.wait(lambda: any("waits for it" in text for text in received.said))
    assert not received.batches


def test_a_registry_is_a_url() -> None:
    with pytest.raises(CollectError, match="no URL of a schema registry"):
        KafkaSettings("broker", ("orders",), registry="file:///etc")
