"""The bulk generators give what their headers promise."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.generators.lines import write_lines
from tests.generators.otlp import write_spans


@pytest.mark.parametrize(
    ("count", "flows"), [(1, 1), (700, 700), (9_960, 1000), (9_961, 1001), (25_000, 3000)]
)
def test_log_lines_are_as_many_as_asked_for(tmp_path: Path, count: int, flows: int) -> None:
    path = tmp_path / "lines.jsonl"
    assert write_lines(path, count) == flows
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records) == count
    assert len({record["correlation_id"] for record in records}) == flows
    assert len({(record["event_id"], record["operation"]) for record in records}) == count
    times = [record["timestamp"] for record in records]
    assert times == sorted(times)


def test_log_lines_are_about_600_bytes(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    write_lines(path, 10_000)
    assert 570 < path.stat().st_size / 10_000 < 640


def test_a_flows_lines_cause_one_another(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    write_lines(path, 9_960)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    events = {record["event_id"]: record["correlation_id"] for record in records}
    caused = [record for record in records if "causation_id" in record]
    assert all(events[record["causation_id"]] == record["correlation_id"] for record in caused)
    assert Counter(Counter(record["correlation_id"] for record in records).values()) == {10: 990, 6: 10}
    assert sum(record["severity"] == "ERROR" for record in records) == 20


@pytest.mark.parametrize(("count", "traces"), [(1, 1), (1995, 200), (10_000, 1000), (20_050, 2005)])
def test_spans_are_as_many_as_asked_for(tmp_path: Path, count: int, traces: int) -> None:
    path = tmp_path / "spans.jsonl"
    assert write_spans(path, count) == traces
    spans = []
    for line in path.read_text().splitlines():
        (resource,) = json.loads(line)["resourceSpans"]
        (scope,) = resource["scopeSpans"]
        assert len(scope["spans"]) <= 100
        spans += scope["spans"]
    assert len(spans) == count
    ids = {span["spanId"]: span["traceId"] for span in spans}
    assert len(ids) == count
    assert len(set(ids.values())) == traces
    children = [span for span in spans if "parentSpanId" in span]
    assert all(ids[span["parentSpanId"]] == span["traceId"] for span in children)
    assert len(spans) - len(children) == traces


def test_half_of_the_traces_have_a_conversation_id(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    write_spans(path, 10_000)
    assert path.read_text().count("messaging.message.conversation_id") == 500 * 9


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    for write in (write_lines, write_spans):
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            write(tmp_path / name, 2_000, seed)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()
