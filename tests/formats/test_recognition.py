"""Formats are recognised by content."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clew.collectors.errors import UnknownFormat
from clew.collectors.formats import recognise
from clew.collectors.formats.checking import explained

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"

LNAV = {
    "logfile_bunyan.0": "bunyan",
    "logfile_pino.0": "pino",
    "logfile_ecs_log.json": "ecs",
    "logfile_journald.json": "journald",
    "logfile_logfmt.0": "logfmt",
    "logfile_grafana.0": "logfmt",
    "logfile_docker_compose.0": "compose/plain",
    "logfile_docker_compose_with_ts.0": "compose/text",
    "logfile_otel_collector.jsonl": "otlp",
    "logfile_rust_tracing.0": "tracing",
    "logfile_laravel.0": "text",
    "logfile_haproxy.0": "text",
    "logfile_java.0": "text",
    "logfile_crlf.0": "text",
    "logfile_spark.0": "text",
    "logfile_json.json": "json",
    "logfile_invalid_json.json": "json",
}


@pytest.mark.parametrize(("file", "format"), LNAV.items())
def test_recordings_of_others_are_recognised(file: str, format: str) -> None:
    path = SHARED / "lnav" / file
    if not path.exists():
        assert not os.environ.get("CLEW_FORBID_SKIP") or SHARED.exists()
        pytest.skip(f"no {path}")
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.split("\n") if line.strip()]
    made = recognise(lines[:200])
    assert made.format == format
    assert sum(one.record is not None for one in explained(made, lines)) > 0


def test_a_broken_unit_hinders_nothing() -> None:
    line = json.dumps({"level": 30, "time": 1, "pid": 1, "hostname": "h", "msg": "x"})
    assert recognise(['{"level":3', line, "", "\x00", line]).format == "pino"


def test_any_json_object_is_readable() -> None:
    assert recognise(['{"a":1}']).format == "json"


def test_mixed_loggers_of_one_input_are_all_read() -> None:
    lines = [
        '{"level":30,"time":1772366400000,"pid":1,"hostname":"h","msg":"a"}',
        '{"level":30,"time":1772366400000,"pid":1,"hostname":"h","msg":"b"}',
        '{"@timestamp":"2026-03-01T12:00:00Z","@version":"1","message":"c","level":"WARN"}',
    ]
    found = explained(recognise(lines), lines)
    assert [one.record and (str(one.record["time"]), one.record["body"]) for one in found] == [
        ("2026-03-01 12:00:00", "a"),
        ("2026-03-01 12:00:00", "b"),
        ("2026-03-01 12:00:00", "c"),
    ]


@pytest.mark.parametrize("sample", [[], [""], ["just some words", "and more of them"], ["\x00\x01"]])
def test_what_fits_nothing_is_said_so(sample: list[str]) -> None:
    with pytest.raises(UnknownFormat):
        recognise(sample)


@pytest.mark.parametrize(
    "line", ["\u0662\u0660\u0662\u0666-03-01 12:00:00 INFO x", "Zoé-1 | x", "orders-1\xa0| x"]
)
def test_a_text_format_is_recognised_by_what_its_patterns_match_when_read(line: str) -> None:
    with pytest.raises(UnknownFormat):
        recognise([line] * 3)


@pytest.mark.parametrize(
    "line",
    [
        '{"level":30,"time":1,"pid":1,"hostname":"h","name":"shop","traceId":"0af7651916cd43dd","id":5,"msg":"m"}',
        '{"timestamp":"2026-03-01T12:00:00Z","message":"m","traceId":"a","id":"b"}',
        '{"level":"info","ts":1,"msg":"m","traceID":"0af7651916cd43dd","spanID":"00f067aa0ba902b7"}',
        '{"traceId":"0af7651916cd43dd","id":"00f067aa0ba902b7","name":"GET","timestamp":1,"body":"m","attributes":{"a":1}}',
        '{"severity":"info","body":"m","traceID":"0af7651916cd43dd","spanID":"00f067aa0ba902b7"}',
    ],
)
def test_a_log_line_that_names_its_span_is_no_span(line: str) -> None:
    (found,) = explained(recognise([line]), [line])
    assert found.record is not None
    assert (found.record["kind"], found.record["body"]) == ("log", "m")


@pytest.mark.parametrize(
    "line",
    [
        '{"traceId":"0af7651916cd43dd8448eb211c80319c","id":"00f067aa0ba902b7","name":"GET","attributes":{"a":1}}',
        '{"id":"e-1","traceId":"t-1","name":"OrderPlaced","data":{"amount":1}}',
        '{"events":[{"eventType":"OrderPlaced","amount":1}],"source":"shop"}',
        '{"events":[{"type":"OrderPlaced","timestamp":1,"previousEventId":"e-0","amount":1}],"source":"shop"}',
    ],
)
def test_events_of_ones_own_are_no_spans_and_no_history(line: str) -> None:
    assert recognise([line]).format == "json"


@pytest.mark.parametrize(
    ("outer", "format"),
    [
        (
            lambda text: json.dumps({"log": text + "\n", "stream": "stdout", "time": "2026-03-01T12:00:00Z"}),
            "docker",
        ),
        (lambda text: f"2026-03-01T12:00:00Z stdout F {text}", "cri"),
        (lambda text: f"orders-1  | {text}", "compose"),
    ],
)
@pytest.mark.parametrize(
    ("inner", "inside"),
    [
        ('{"level":30,"time":1772366400000,"pid":1,"hostname":"h","msg":"a"}', "pino"),
        ('{"@timestamp":"2026-03-01T12:00:00Z","log.level":"info","message":"a","ecs.version":"1"}', "ecs"),
        ("time=2026-03-01T12:00:00Z level=info msg=a", "logfmt"),
        ("2026-03-01 12:00:00,000 INFO a", "text"),
    ],
)
def test_envelopes_are_opened_around_any_format(outer: object, format: str, inner: str, inside: str) -> None:
    assert callable(outer)
    lines = [outer(inner), outer(inner)]
    made = recognise(lines)
    found = explained(made, lines)
    assert made.format == f"{format}/{inside}"
    assert [one.record and one.record["body"] for one in found] == ["a", "a"]
    assert [str(one.record and one.record["time"]) for one in found] == ["2026-03-01 12:00:00"] * 2


def test_envelopes_are_opened_within_envelopes() -> None:
    docker = json.dumps(
        {"log": '{"msg":"a","level":"info"}\n', "stream": "stdout", "time": "2026-03-01T12:00:00Z"}
    )
    lines = [f"orders-1  | {docker}"]
    made = recognise(lines)
    assert made.format == "compose/docker/json"
    record = explained(made, lines)[0].record
    assert record is not None
    assert (record["service"], record["body"], str(record["time"])) == ("orders", "a", "2026-03-01 12:00:00")
