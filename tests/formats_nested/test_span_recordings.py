"""Spans that others recorded decode to what independent scripts counted in them."""

from __future__ import annotations

import json

import pytest
from tests.formats_nested.decoding import decode, decode_file, errors, ids, links, orphans, recording, roots

CRISP_ERROR_PATTERNS = 8


def test_otlp_examples_of_the_specification() -> None:
    (span,) = decode_file("otlp", recording("otlp-proto/trace.json"))
    assert span["parent_span_id"] == "eee19b7ec3c1b173"
    assert orphans([span]) == [span]
    (log,) = decode_file("otlp", recording("otlp-proto/logs.json"))
    assert (log["kind"], log["severity"], log["body"]) == ("log", "INFO", "Example log record")
    assert log["attributes"]["array.attribute"] == ["many", "values"]
    assert log["attributes"]["map.attribute"] == {"some.map.key": "some value"}
    (event,) = decode_file("otlp", recording("otlp-proto/events.json"))
    assert event["name"] == "browser.page_view"


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("jaeger/otlp2jaeger-in.json", {"spans": 2, "traces": 1, "roots": 0, "errors": 0, "links": 0}),
        ("jaeger/otel_traces_01.json", {"spans": 4, "traces": 2, "roots": 0, "errors": 4, "links": 8}),
        ("jaeger/link_attributes_trace.json", {"spans": 1, "traces": 1, "roots": 1, "errors": 0, "links": 3}),
        (
            "jaeger-ui/otlp2jaeger-multi-in-combined.json",
            {"spans": 4, "traces": 1, "roots": 1, "errors": 0, "links": 0},
        ),
    ],
)
def test_otlp_documents_of_jaeger(name: str, counted: dict[str, int]) -> None:
    rows = decode_file("otlp", recording(name))
    assert counted == {
        "spans": len(rows),
        "traces": len({row["trace_id"] for row in rows}),
        "roots": len(roots(rows)),
        "errors": len(errors(rows)),
        "links": len(links(rows)),
    }


def test_a_jaeger_trace_with_a_reference_to_another_trace() -> None:
    rows = decode_file("jaeger", recording("jaeger/ui_01.json"))
    assert (len(rows), len(roots(rows)), len(errors(rows))) == (5, 2, 1)
    missing = [link for link in links(rows) if (link["trace_id"], link["span_id"]) not in ids(rows)]
    assert missing == [{"trace_id": "00000000000000ff", "span_id": "00000000000000ff"}]


def test_a_jaeger_span_as_elasticsearch_keeps_it() -> None:
    (row,) = decode_file("jaeger", recording("jaeger/es_01.json"))
    assert (row["parent_span_id"], row["service"], row["status"]) == (
        "0000000000000003",
        "service-x",
        "error",
    )
    assert len(row["links"]) == 2


def test_a_jaeger_trace_of_ten_processes() -> None:
    rows = decode_file("jaeger", recording("jaeger-ui/TraceTimelineViewer_genaiTestTrace.json"))
    assert (len(rows), len({row["service"] for row in rows}), len(errors(rows))) == (57, 10, 1)
    assert not orphans(rows)


def test_traces_of_crisp() -> None:
    cases = sorted(recording("crisp-jaeger/test_cases").rglob("*.json"))
    decoded = {case: decode_file("jaeger", case) for case in cases}
    rows = [row for found in decoded.values() for row in found]
    assert (len(cases), len(rows)) == (33, 134)
    assert all(len(roots(found)) == 1 and not orphans(found) for found in decoded.values())
    assert len(errors(rows)) == 18
    patterns = [found for case, found in decoded.items() if case.parent.name.startswith("err_pattern")]
    assert len(patterns) == CRISP_ERROR_PATTERNS
    assert sum(len(errors(found)) for found in patterns) == 13


@pytest.mark.parametrize(
    ("name", "spans", "distinct", "services", "wrong"),
    [
        ("messaging", 4, 4, 2, 0),
        ("messaging2", 11, 11, 4, 0),
        ("skew", 4, 3, 2, 0),
        ("ascend", 8, 6, 3, 0),
        ("yelp", 16, 13, 6, 0),
        ("smartthings-oauth-authorization", 175, 130, 8, 2),
        ("smartthings-mobile-web-install", 1041, 663, 16, 2),
    ],
)
def test_zipkin_traces(name: str, spans: int, distinct: int, services: int, wrong: int) -> None:
    rows = decode_file("zipkin", recording(f"zipkin/{name}.json"))
    assert (len(rows), len(ids(rows))) == (spans, distinct)
    assert len({row["service"] for row in rows}) == services
    assert len(errors(rows)) == wrong
    assert len(roots(rows)) == 1


def test_zipkin_halves_that_share_an_id_differ_in_kind() -> None:
    rows = decode_file("zipkin", recording("zipkin/skew.json"))
    shared = [row["span_kind"] for row in rows if row["span_id"] == "74280ae0c10d8062"]
    assert sorted(shared) == ["client", "server"]


def test_zipkin_parents_that_were_not_recorded() -> None:
    rows = decode_file("zipkin", recording("zipkin/messaging2.json"))
    assert len(orphans(rows)) == 6
    assert {row["parent_span_id"] for row in orphans(rows)} == {"0153a596db406c83", "0153a596db406111"}
    assert {row["operation"] for row in rows if "operation" in row} == {"send", "process"}


def test_zipkin_messaging_over_rabbitmq() -> None:
    rows = decode_file("zipkin", recording("zipkin/messaging.json"))
    handled = next(row for row in rows if row.get("operation") == "process")
    assert (handled["system"], handled["destination"]) == ("rabbitmq", "backend")


def test_a_zipkin_array_on_one_line_is_the_same_spans() -> None:
    path = recording("zipkin/messaging.json")
    by_element = decode_file("zipkin", path)
    by_line = decode("zipkin", [json.dumps(json.loads(path.read_text(encoding="utf-8")))])
    assert [row["span_id"] for row in by_line] == [row["span_id"] for row in by_element]
