"""Documents of many records in a container's output: each span or log is a Record of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.formats_nested.decoding import FIXTURES

from clew.collectors.formats import plan, recognise
from clew.collectors.formats.checking import explained

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
WRITTEN = "2026-03-01 12:00:09"


def docker(text: str) -> str:
    return json.dumps({"log": text + "\n", "stream": "stdout", "time": "2026-03-01T12:00:09Z"})


def cri(text: str) -> str:
    return f"2026-03-01T12:00:09Z stdout F {text}"


def compose(text: str) -> str:
    return f"orders-1  | {text}"


OUTER = {"docker": docker, "cri": cri, "compose": compose}


def otlp_spans(*names: str, service: str | None = "shop") -> str:
    attributes = [{"key": "service.name", "value": {"stringValue": service}}] if service else []
    spans = [
        {"traceId": TRACE, "spanId": SPAN, "name": name, "startTimeUnixNano": "1772366400000000000"}
        for name in names
    ]
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]}]}
    )


def otlp_logs(*bodies: str) -> str:
    logs = [{"timeUnixNano": "1772366400000000000", "body": {"stringValue": body}} for body in bodies]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]})


def zipkin(name: str) -> dict[str, Any]:
    return {"traceId": TRACE, "id": SPAN, "name": name, "timestamp": 1772366400000000}


def jaeger(*names: str) -> str:
    spans = [
        {
            "traceID": TRACE,
            "spanID": SPAN,
            "operationName": name,
            "startTime": 1772366400000000,
            "duration": 1,
        }
        for name in names
    ]
    return json.dumps({"data": [{"traceID": TRACE, "spans": spans, "processes": {}}]})


INNER = {
    "otlp spans": ("otlp", otlp_spans("a", "b")),
    "otlp logs": ("otlp", otlp_logs("a", "b")),
    "zipkin": ("zipkin", json.dumps([zipkin("a"), zipkin("b")])),
    "jaeger": ("jaeger", jaeger("a", "b")),
}


def records(lines: Sequence[str], format: str | None = None) -> list[dict[str, Any]]:
    found = explained(plan(format, lines) if format else recognise(lines), lines)
    assert [one.reject for one in found if one.reject] == []
    return [one.record for one in found if one.record is not None]


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", INNER)
def test_each_span_or_log_within_is_a_record(outer: str, inner: str) -> None:
    format, document = INNER[inner]
    lines = [OUTER[outer](document)] * 2
    assert recognise(lines).format == f"{outer}/{format}"
    found = records(lines)
    assert [one.get("name") or one["body"] for one in found] == ["a", "b"] * 2
    assert {str(one["time"]) for one in found} == {"2026-03-01 12:00:00"}
    assert {one["kind"] for one in found} == {"log" if inner == "otlp logs" else "span"}


def test_a_single_zipkin_span_within_is_a_record() -> None:
    lines = [cri(json.dumps(zipkin("a")))]
    assert recognise(lines).format == "cri/zipkin"
    assert [(one["kind"], one["trace_id"], one["name"]) for one in records(lines)] == [("span", TRACE, "a")]


@pytest.mark.parametrize("name", ["temporal-child.json", "step-functions-map.json"])
def test_a_history_within_is_read_as_it_is_without_an_envelope(name: str) -> None:
    document = json.dumps(json.loads((FIXTURES / name).read_text(encoding="utf-8")))
    within = records([docker(document)])
    for one in within:
        assert one["attributes"].pop("docker") == {"stream": "stdout"}
    assert within == records([document])


def test_the_envelope_says_only_what_the_span_does_not() -> None:
    lines = [compose(otlp_spans("a")), compose(otlp_spans("b", service=None))]
    assert [one["service"] for one in records(lines)] == ["shop", "orders"]
    timeless = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]}
    (found,) = records([docker(json.dumps(timeless))])
    assert (str(found["time"]), found["body"]) == (WRITTEN, "x")


def test_what_the_envelope_says_beside_joins_the_attributes_of_each() -> None:
    first, second = records([docker(otlp_spans("a", "b"))])
    wanted = {"docker": {"stream": "stdout"}, "resource": {"service.name": "shop"}}
    assert first["attributes"] == second["attributes"] == wanted


@pytest.mark.parametrize("inner", [otlp_spans("a"), '{"msg":"a","level":"info","n":1}'])
def test_what_the_envelope_says_joins_them_whatever_its_letters(inner: str) -> None:
    line = json.dumps(
        {
            "log": inner + "\n",
            "stream": "stdout",
            "time": "2026-03-01T12:00:09Z",
            "attrs": {"Büro": "Zürich\u2028"},
        },
        ensure_ascii=False,
    )
    (found,) = records([line])
    assert found["attributes"]["docker"] == {"stream": "stdout", "attrs": {"Büro": "Zürich\u2028"}}
    assert len(found["attributes"]) == 2


def test_what_is_no_document_among_them_is_a_log_line() -> None:
    lines = [
        docker(otlp_spans("a")),
        docker("Everything is ready. Begin running and processing data."),
        docker('{"level":"warn","msg":"queue is full","correlation_id":"c-1"}'),
        docker(otlp_spans("b")),
    ]
    found = records(lines)
    assert [one["kind"] for one in found] == ["span", "log", "log", "span"]
    assert (found[1]["body"], str(found[1]["time"])) == (
        "Everything is ready. Begin running and processing data.",
        WRITTEN,
    )
    assert (found[2]["body"], found[2]["severity"], found[2]["correlation_id"]) == (
        "queue is full",
        "WARN",
        "c-1",
    )


def test_a_document_that_none_of_it_can_be_read_of_is_a_log_line() -> None:
    broken = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"without IDs"}]}]}]}'
    good, found = records([docker(otlp_spans("a")), docker(broken)])
    assert good["kind"] == "span"
    assert (found["kind"], found["attributes"]["resourceSpans"]) == (
        "log",
        json.loads(broken)["resourceSpans"],
    )


@pytest.mark.parametrize("document", ['{"log":"x', "plain text", "[]"])
@pytest.mark.parametrize("inner", ["otlp spans", "zipkin"])
def test_a_broken_envelope_is_a_reject_with_its_text(document: str, inner: str) -> None:
    lines = [docker(INNER[inner][1]), document]
    *_, last = explained(plan("docker", lines[:1]), lines)
    assert (last.reject, last.raw) == ("not the envelope that the lines around it have", document)


def test_parts_of_a_document_are_joined() -> None:
    text = otlp_spans(*(f"span {number}" for number in range(400)))
    assert len(text) > 40_000
    cut = [text[at : at + 16_384] for at in range(0, len(text), 16_384)]
    lines = [
        json.dumps({"log": part, "stream": "stdout", "time": "2026-03-01T12:00:09Z"})
        for part in [*cut[:-1], cut[-1] + "\n"]
    ]
    assert len(records(lines, "docker")) == 400
    tags = ["P"] * (len(cut) - 1) + ["F"]
    lines = [f"2026-03-01T12:00:09Z stdout {tag} {part}" for tag, part in zip(tags, cut, strict=True)]
    assert [one["name"] for one in records(lines, "cri")] == [f"span {number}" for number in range(400)]


def test_envelopes_are_opened_within_envelopes_around_documents() -> None:
    lines = [compose(docker(otlp_spans("a", "b", service=None)))]
    assert recognise(lines).format == "compose/docker/otlp"
    assert [(one["name"], one["service"]) for one in records(lines)] == [("a", "orders"), ("b", "orders")]


def test_an_envelope_of_ones_own_may_name_the_format_within(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "format: own\nshape: json\ninside: {path: payload, format: zipkin}\nrecord: {service: pod}\n",
        encoding="utf-8",
    )
    lines = [json.dumps({"payload": json.dumps(zipkin("a")), "pod": "p-1"})]
    assert [(one["name"], one["service"]) for one in records(lines, str(own))] == [("a", "p-1")]


def test_an_array_of_other_objects_is_no_document_of_spans() -> None:
    wrapped: Callable[[str], str] = cri
    assert recognise([wrapped('[{"level":30,"msg":"a"}]')] * 2).format == "cri/plain"


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", ['{"msg":"a","level":"info"}', "a", otlp_spans("a")])
def test_a_line_that_is_empty_within_is_an_empty_log_line(outer: str, inner: str) -> None:
    lines = [OUTER[outer](inner), OUTER[outer](""), OUTER[outer](inner)]
    found = records(lines)
    assert [one["kind"] for one in found] == [found[0]["kind"], "log", found[0]["kind"]]
    assert found[1]["body"] == ""
    if outer == "cri":
        assert [one["body"] for one in records([lines[0], lines[1].rstrip(" ")], "cri") if "body" in one][
            -1
        ] == ""


def test_of_envelopes_within_each_other_the_inner_says_more() -> None:
    within = json.dumps({"log": "hello\n", "stream": "stderr", "time": "2026-03-01T12:00:00Z"})
    (found,) = records([cri(within)])
    assert (str(found["time"]), found["body"]) == ("2026-03-01 12:00:00", "hello")
    assert found["attributes"] == {"cri": {"stream": "stdout"}, "docker": {"stream": "stderr"}}
    (found,) = records([cri(json.dumps({"log": "hello\n", "stream": "stderr", "time": "at noon"}))])
    assert str(found["time"]) == WRITTEN


LOG = '{"level":"warn","msg":"slow","correlation_id":"c-1"}'


@pytest.mark.parametrize(
    ("line", "format", "service"),
    [
        (f"2026-03-01T12:00:09.000000001Z {LOG}", "timestamped/json", None),
        ("2026-03-01T12:00:09Z level=warn msg=slow correlation_id=c-1", "timestamped/logfmt", None),
        (f"[pod/orders-7d9/orders] {LOG}", "kubectl/json", "orders"),
        (f"[pod/orders-7d9/orders] 2026-03-01T12:00:09Z {LOG}", "kubectl/timestamped/json", "orders"),
        (f"orders-1  | 2026-03-01T12:00:09.000000001Z {LOG}", "compose/timestamped/json", "orders"),
        (
            json.dumps({"@timestamp": "2026-03-01T12:00:09Z", "agent": {"type": "filebeat"}, "message": LOG,
                        "container": {"name": "orders"}, "log": {"file": {"path": "/x"}}}),
            "filebeat/json",
            "orders",
        ),
    ],
)  # fmt: skip
def test_what_tools_print_before_a_line_is_an_envelope(line: str, format: str, service: str | None) -> None:
    assert recognise([line] * 3).format == format
    (found,) = records([line])
    assert (found["severity"], found["body"], found["correlation_id"]) == ("WARN", "slow", "c-1")
    assert found.get("service") == service
    if "kubectl/json" not in format:
        assert str(found["time"]) == WRITTEN


def test_text_behind_a_time_is_no_envelope() -> None:
    assert recognise(["2026-03-01T12:00:09Z INFO placed"] * 3).format == "text"


def test_text_among_lines_with_a_time_before_each_is_a_log_line() -> None:
    lines = [
        f"2026-03-01T12:00:09Z {LOG}",
        "2026-03-01T12:00:09Z Listening on :80",
        f"2026-03-01T12:00:09Z {LOG}",
    ]
    assert [one["body"] for one in records(lines)] == ["slow", "Listening on :80", "slow"]
