"""Nothing that a line holds vanishes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clew.collectors.formats import explain, plan
from clew.collectors.formats.checking import explained

RICH = {
    "timestamp": "2026-03-01T12:00:00.123456789Z",
    "severity": "INFO",
    "message": "x",
    "big": 123456789012345678901234567890,
    "nothing": None,
    "nested": {"deep": {"er": [1, {"x": None}]}, "empty": {}},
    "list": [],
    "é": 'quote " and \\ and \n',
    "correlation_id": "c-1",
    "blank": "",
    "truth": True,
}


def record(line: str, format: str | None = None) -> dict[str, Any]:
    found = explain(line, format)
    assert len(found) == 1
    assert found[0].record is not None
    return found[0].record


@pytest.mark.parametrize("format", ["json", "clew", "structlog", "logstash"])
def test_attributes_hold_what_no_column_took(format: str) -> None:
    attributes = record(json.dumps(RICH), format)["attributes"]
    for name in ("big", "nothing", "nested", "list", "é", "blank", "truth"):
        assert attributes[name] == RICH[name]


def test_a_value_that_a_column_could_not_hold_stays() -> None:
    found = record('{"timestamp":"at noon","severity":"LOUD","message":"m","partition":"p-1"}', "clew")
    assert found["attributes"] == {"timestamp": "at noon", "severity": "LOUD", "partition": "p-1"}


def test_the_second_of_two_alternatives_stays() -> None:
    found = record('{"time":"2026-03-01T12:00:00Z","ts":1,"message":"m","msg":"n"}', "json")
    assert (str(found["time"]), found["body"]) == ("2026-03-01 12:00:00", "m")
    assert found["attributes"] == {"ts": 1, "msg": "n"}


def test_duplicate_members_cost_nothing() -> None:
    raw = '{"message":"m","a":1,"a":2,"message":"n"}'
    for sample in ([], [raw], ['{"message":"m","a":1}']):
        (found,) = explained(plan("json", sample), [raw])
        assert found.record is not None
        assert found.record["body"] == "m"


def test_ids_in_containers_are_keys_and_stay_where_they_are() -> None:
    found = record('{"message":"m","headers":{"X-Correlation-ID":"c-1"},"data":{"orderId":7}}', "json")
    assert (found["correlation_id"], found["correlation_key"]) == ("c-1", "X-Correlation-ID")
    assert found["keys"] == {"orderId": "7"}
    assert found["attributes"] == {"headers": {"X-Correlation-ID": "c-1"}, "data": {"orderId": 7}}


def test_the_unit_outranks_its_containers_and_the_first_container_the_next() -> None:
    found = record(
        '{"msg":"m","order_id":"top","headers":{"order_id":"h"},"data":{"order_id":"d","user_id":"u"}}',
        "json",
    )
    assert found["keys"] == {"order_id": "top", "user_id": "u"}


def test_every_instance_key_but_the_first_is_among_the_keys() -> None:
    found = record('{"msg":"m","workflow_id":"w","correlation_id":"c","saga_id":"s"}', "json")
    assert (found["correlation_id"], found["correlation_key"]) == ("c", "correlation_id")
    assert found["keys"] == {"workflow_id": "w", "saga_id": "s"}


def test_an_empty_id_is_none() -> None:
    found = record('{"msg":"m","correlation_id":"","workflow_id":"w","order_id":""}', "json")
    assert (found["correlation_id"], found["correlation_key"]) == ("w", "workflow_id")
    assert "keys" not in found
    assert found["attributes"] == {"correlation_id": "", "order_id": ""}


def test_both_generations_of_messaging_attributes_are_read() -> None:
    old = {"messaging.operation": "publish", "messaging.destination": "q", "messaging.kafka.partition": 3,
           "messaging.kafka.consumer_group": "g", "messaging.conversation_id": "c"}  # fmt: skip
    new = {"messaging.operation.type": "send", "messaging.destination.name": "q", "messaging.destination.partition.id": "3",
           "messaging.consumer.group.name": "g", "messaging.message.conversation_id": "c"}  # fmt: skip
    nested = {"messaging": {"operation": {"type": "send"}, "destination": {"name": "q", "partition": {"id": "3"}},
                            "consumer": {"group": {"name": "g"}}, "message": {"conversation_id": "c"}}}  # fmt: skip
    wanted = ("send", "q", 3, "g", "c")
    columns = ("operation", "destination", "partition", "consumer_group", "correlation_id")
    for attributes in (old, new, nested):
        found = record(json.dumps({"msg": "m", **attributes}), "json")
        assert tuple(found.get(column) for column in columns) == wanted
