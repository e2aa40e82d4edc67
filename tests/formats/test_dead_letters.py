"""What brokers write on dead letters is found in whatever format carries it (REFERENCE: the brokers' own sources)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clew.collectors.formats import explain

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Kafka Connect": (
        {
            "__connect.errors.topic": "orders", "__connect.errors.partition": "2", "__connect.errors.offset": "812",
            "__connect.errors.exception.class.name": "org.E", "__connect.errors.exception.message": "bad",
            "__connect.errors.connector.name": "sink",
        },
        {"system": "kafka", "destination": "orders", "partition": 2, "offset": 812, "error_type": "org.E",
         "error_message": "bad", "consumer_group": "sink"},
    ),
    "Kafka Streams": (
        {"__streams.errors.exception": "org.E", "__streams.errors.message": "bad", "__streams.errors.topic": "orders",
         "__streams.errors.partition": "0", "__streams.errors.offset": "1"},
        {"system": "kafka", "destination": "orders", "partition": 0, "offset": 1, "error_type": "org.E",
         "error_message": "bad"},
    ),
    "Spring Kafka": (
        {"kafka_dlt-exception-fqcn": "L", "kafka_dlt-exception-cause-fqcn": "java.E", "kafka_dlt-exception-message": "bad",
         "kafka_dlt-original-topic": "orders", "kafka_dlt-original-partition": 1, "kafka_dlt-original-offset": 9,
         "kafka_dlt-original-consumer-group": "billing"},
        {"system": "kafka", "destination": "orders", "partition": 1, "offset": 9, "error_type": "java.E",
         "error_message": "bad", "consumer_group": "billing"},
    ),
    "RabbitMQ": (
        {"x-death": [{"queue": "orders", "reason": "rejected", "count": 1}]},
        {"system": "rabbitmq", "destination": "orders", "consumer_group": "orders", "error_type": "rejected"},
    ),
    "Spring AMQP": (
        {"x-original-exchange": "orders", "x-original-routingKey": "placed", "x-exception-message": "bad",
         "x-exception-stacktrace": "java.E: bad"},
        {"system": "rabbitmq", "destination": "orders", "error_message": "bad"},
    ),
    "NServiceBus": (
        {"NServiceBus.FailedQ": "orders@h", "NServiceBus.ExceptionInfo.ExceptionType": "E",
         "NServiceBus.ExceptionInfo.Message": "bad", "NServiceBus.ProcessingEndpoint": "billing"},
        {"destination": "orders@h", "error_type": "E", "error_message": "bad", "consumer_group": "billing"},
    ),
    "MassTransit": (
        {"MT-Reason": "fault", "MT-Fault-ExceptionType": "E", "MT-Fault-Message": "bad", "MT-Fault-InputAddress": "q",
         "MT-Fault-ConsumerType": "C"},
        {"destination": "q", "error_type": "E", "error_message": "bad", "consumer_group": "C"},
    ),
    "Azure Service Bus": (
        {"DeadLetterReason": "MaxDeliveryCountExceeded", "DeadLetterErrorDescription": "10 times",
         "DeadLetterSource": "orders"},
        {"system": "servicebus", "error_type": "MaxDeliveryCountExceeded", "error_message": "10 times",
         "destination": "orders"},
    ),
    "Google Pub/Sub": (
        {"CloudPubSubDeadLetterSourceSubscription": "s", "CloudPubSubDeadLetterSourceDeliveryCount": "5",
         "CloudPubSubDeadLetterSourceDeliveryErrorMessage": "bad"},
        {"system": "gcp_pubsub", "consumer_group": "s", "attempt": 5, "error_message": "bad"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("within", ["", "headers"])
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_dead_letter_is_told_with_its_origin(
    case: tuple[dict[str, Any], dict[str, Any]], within: str
) -> None:
    headers, wanted = case
    line = json.dumps(
        {"msg": "gave up", "destination": "orders.dlq", **({within: headers} if within else headers)}
    )
    for format in ("json", "clew"):
        record = explain(line, format)[0].record
        assert record is not None
        assert record["kind"] == "dead_letter"
        assert {column: record.get(column) for column in wanted} == wanted


@pytest.mark.parametrize(
    "headers", [{"x-death": [{"queue": "delay", "reason": "expired"}]}, {"MT-Reason": "expired"}]
)
def test_what_only_expired_is_no_dead_letter(headers: dict[str, Any]) -> None:
    record = explain(json.dumps({"msg": "m", "destination": "orders", **headers}), "json")[0].record
    assert record is not None
    assert (record["kind"], record["destination"]) == ("log", "orders")


def test_the_next_record_is_judged_by_itself() -> None:
    record = explain('{"msg":"m","headers":{"x-retry":1}}', "json")[0].record
    assert record is not None
    assert record["kind"] == "log"
