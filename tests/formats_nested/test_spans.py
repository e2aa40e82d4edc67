"""What spans and OTLP logs become, where recordings of others show nothing of it."""

from __future__ import annotations

import json

import pytest
from tests.formats_nested.decoding import FIXTURES, Row, decode, decode_file, units_of

from clew.collectors import formats
from clew.collectors.formats import Settings


def lines(name: str) -> list[str]:
    return (FIXTURES / name).read_text(encoding="utf-8").splitlines()


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row["name"]: row for row in rows}


def test_every_kind_of_otlp_value_is_kept() -> None:
    rows = by_name(decode_file("otlp", FIXTURES / "otlp-values.json"))
    resource = {"resource": {"service.name": "values"}}
    assert rows["plain"]["attributes"] == resource | {
        "quotes": '}},{"key":"x","value":{"stringValue":"y"}}]',
        "unicode": "naïve ☃ \x01",
        "empty": "",
        "integer": "9223372036854775807",
        "truth": False,
    }
    assert rows["mixed"]["attributes"] == resource | {
        "ratio": 0.25,
        "bytes": "AAE=",
        "list": ["a]b", "2", True],
        "empty list": [],
        "empty map": {},
        "nothing": None,
        "valueless": None,
        "deep": {"outer": [{"inner": "x{}"}, ["1"]]},
    }
    assert rows["turned"]["attributes"] == resource | {"order": "before its key", "number": 3}
    assert rows["bare"]["attributes"] == resource


def test_both_generations_of_messaging_attributes_tell_the_same() -> None:
    sent, handled = decode("otlp", lines("otlp-two-generations.jsonl"))
    columns = ("system", "destination", "partition", "offset", "event_id")
    assert [sent[column] for column in columns] == ["kafka", "orders", 2, 41, "m-1"]
    assert [handled[column] for column in columns] == ["kafka", "orders", 2, 41, "m-1"]
    assert (sent["operation"], handled["operation"]) == ("send", "process")
    assert (sent["span_kind"], handled["span_kind"]) == ("producer", "consumer")
    assert handled["consumer_group"] == "billing"
    assert (handled["time"] - sent["time"]).total_seconds() == 2


def test_a_messages_event_type_names_its_spans_and_no_other_attribute_does() -> None:
    def told(*values: tuple[str, str]) -> Row:
        attributes = [{"key": key, "value": {"stringValue": value}} for key, value in values]
        span = {"traceId": "a1", "spanId": "b1", "name": "send orders", "startTimeUnixNano": "1000"}
        request = {"resourceSpans": [{"scopeSpans": [{"spans": [{**span, "attributes": attributes}]}]}]}
        (row,) = decode("otlp", [json.dumps(request)])
        return row

    system = ("messaging.system", "kafka")
    sent = told(system, ("cloudevents.event_type", "OrderPlaced"), ("cloudevents.event_id", "e-1"))
    assert (sent["name"], sent["event_id"]) == ("OrderPlaced", "e-1")
    assert told(system, ("event_type", "OrderPlaced"))["name"] == "send orders"
    both = told(("messaging.message.id", "m-1"), ("cloudevents.event_id", "e-1"))
    assert (both["name"], both["event_id"]) == ("send orders", "m-1")


def test_dead_letters_are_known_by_their_headers() -> None:
    kafka, rabbit, delayed = decode("otlp", lines("otlp-dead-letter.jsonl"))
    assert kafka["kind"] == "dead_letter"
    assert (kafka["system"], kafka["destination"], kafka["partition"], kafka["offset"]) == (
        "kafka",
        "orders",
        2,
        41,
    )
    assert (kafka["error_type"], kafka["error_message"]) == ("java.lang.IllegalStateException", "no stock")
    assert kafka["consumer_group"] == "billing"
    assert (rabbit["kind"], rabbit["destination"], rabbit["error_type"]) == (
        "dead_letter",
        "orders",
        "rejected",
    )
    assert (delayed["kind"], delayed["destination"]) == ("span", "retry")


def test_elasticsearch_hits_of_jaeger_with_tags_as_fields() -> None:
    (span,) = decode("jaeger", units_of(FIXTURES / "jaeger-dump.json"))
    assert (span["trace_id"], span["service"], span["span_kind"]) == ("a1", "shop", "server")
    assert span["status"] == "error"
    assert span["keys"] == {"order_id": "o-1"}


@pytest.mark.parametrize(
    ("name", "unit", "reason"),
    [
        ("otlp", '{"resourceSpans":[{"scopeSpans"', "not valid JSON"),
        ("otlp", "[]", "no resourceSpans or resourceLogs in it"),
        ("otlp", '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"x"}]}]}]}', "a span without IDs"),
        (
            "otlp",
            '{"resourceSpans":[{"resource":{"attributes":[{"key":"a"}]},"scopeSpans":[]}]}',
            "no spans or log records in it",
        ),
        (
            "otlp",
            '{"resourceSpans":[{}],"resourceLogs":[{}]}',
            "resourceSpans beside resourceLogs: export them apart",
        ),
        ("zipkin", '{"traceId":"a"', "not valid JSON"),
        ("zipkin", "7", "a span without traceId and id"),
        ("jaeger", "{}", "no spans in it"),
        ("jaeger", '{"data":[{"traceID":"a"}]}', "no spans in it"),
        ("jaeger", '{"spans":[{"spanID":"b"}]}', "a span without traceID and spanID"),
    ],
)
def test_what_is_no_span_is_rejected_with_a_reason(name: str, unit: str, reason: str) -> None:
    (row,) = decode(name, [unit])
    assert row["reject"] == reason


def test_a_bad_line_hinders_no_other() -> None:
    good = lines("otlp-two-generations.jsonl")
    rows = decode("otlp", [good[0], '{"resourceSpans":', good[1]])
    assert [(row["position"], row.get("reject")) for row in rows] == [
        (1, None),
        (2, "not valid JSON"),
        (3, None),
    ]


def test_an_empty_request_is_neither_a_record_nor_a_reject() -> None:
    assert decode("otlp", ['{"resourceSpans":[]}', '{"resourceLogs":[{"scopeLogs":[]}]}']) == []


def test_zipkin_marks_an_error_by_the_tag_but_not_by_error_false() -> None:
    tagged = [
        json.dumps({"traceId": "a", "id": str(place), "tags": {"error": said}})
        for place, said in enumerate(("", "true", "timeout", "false"))
    ]
    rows = decode("zipkin", tagged)
    assert [row["status"] for row in rows] == ["error", "error", "error", "unset"]
    assert [row.get("error_message") for row in rows] == [None, None, "timeout", None]


def test_keys_of_ones_own_are_found_among_attributes() -> None:
    span = {"traceId": "a", "id": "b", "tags": {"parcel": "p-1", "claim": "c-1", "tenant": "t-1"}}
    settings = Settings(keys={"parcel": "instance", "claim": "entity"})
    (row,) = decode("zipkin", [json.dumps(span)], settings=settings)
    assert (row["correlation_id"], row["correlation_key"]) == ("p-1", "parcel")
    assert row["keys"] == {"claim": "c-1", "tenant": "t-1"}


def test_the_preferred_instance_key_correlates_and_the_others_stay_keys() -> None:
    span = {"traceId": "a", "id": "b", "tags": {"workflowId": "w-1", "correlation_id": "c-1"}}
    (row,) = decode("zipkin", [json.dumps(span)])
    assert (row["correlation_id"], row["correlation_key"]) == ("c-1", "correlation_id")
    assert row["keys"] == {"workflowId": "w-1"}


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("otlp", lines("otlp-two-generations.jsonl")),
        ("otlp", [(FIXTURES / "otlp-values.json").read_text(encoding="utf-8")]),
        ("jaeger", units_of(FIXTURES / "jaeger-dump.json")),
        ("temporal", [(FIXTURES / "temporal-child.json").read_text(encoding="utf-8")]),
        ("step-functions", [(FIXTURES / "step-functions-map.json").read_text(encoding="utf-8")]),
        ("zipkin", ['{"traceId":"a","id":"b","name":"x","timestamp":1}']),
    ],
)
def test_nested_input_is_recognised_by_its_content(name: str, units: list[str]) -> None:
    assert formats.recognise(units).format == name


def test_an_empty_id_or_name_among_attributes_is_none() -> None:
    blank = [
        "messaging.message.id",
        "messaging.destination.name",
        "messaging.system",
        "causation_id",
        "event_type",
    ]
    tags = dict.fromkeys(blank, "") | {"topic": "", "messaging.message_id": "m-1"}
    (row,) = decode("zipkin", [json.dumps({"traceId": "a", "id": "b", "tags": tags})])
    columns = ("destination", "system", "causation_id", "name")
    assert [row.get(column) for column in columns] == [None] * 4
    assert row["event_id"] == "m-1"


BARE = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "name": "x"}


def otlp(*spans: object, **of_resource: object) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}], **of_resource}]})


@pytest.mark.parametrize("written", [{"a": 1}, "text", 5, [1], [{"key": "a"}, {"key": 1, "value": 5}]])
def test_what_are_no_attributes_stays_as_it_is_written(written: object) -> None:
    (row,) = decode("otlp", [otlp({**BARE, "attributes": written})])
    assert row["attributes"] == {"attributes": written}
    (row,) = decode("otlp", [otlp(BARE, resource={"attributes": written})])
    assert row["attributes"] == {"resource": {"attributes": written}}


def test_what_are_no_tags_stays_as_it_is_written() -> None:
    (row,) = decode("zipkin", [json.dumps({"traceId": "a", "id": "b", "tags": ["x"]})])
    assert row["attributes"] == {"tags": ["x"]}
    (row,) = decode("jaeger", [json.dumps({"traceID": "a", "spanID": "b", "tags": {"x": 1}})])
    assert row["attributes"] == {"tags": {"x": 1}}


def test_a_span_that_is_rejected_among_others_tells_what_it_holds() -> None:
    lost = {"name": "lost", "attributes": [{"key": "a", "value": {"stringValue": "b"}}]}
    good, bad = decode("otlp", [otlp(BARE, lost)])
    assert good["name"] == "x"
    assert (bad["reject"], json.loads(bad["body"])) == (
        "a span without IDs",
        {"name": "lost", "attributes": {"a": "b"}},
    )


@pytest.mark.parametrize(
    ("body", "read"),
    [("text", "text"), (7, "7"), (["x"], '["x"]'), ('{"a', '{"a'), ({"bytesValue": "AAE="}, "AAE=")],
)
def test_a_log_body_is_read_whatever_it_is(body: object, read: str) -> None:
    (row,) = decode(
        "otlp", [json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": body}]}]}]})]
    )
    assert row["body"] == read


def test_a_duration_beyond_all_time_ends_nothing() -> None:
    (row,) = decode(
        "zipkin", [json.dumps({"traceId": "a", "id": "b", "timestamp": 1, "duration": 2**63 - 1})]
    )
    assert "end_time" not in row
    span = {"traceID": "a", "spanID": "b", "startTime": 1, "duration": 2**63 - 1}
    (row,) = decode("jaeger", [json.dumps(span)])
    assert "end_time" not in row
