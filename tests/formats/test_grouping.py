"""Lines that make one record together, and where a chunk may be cut."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from clew.collectors.formats import plan
from clew.collectors.formats.checking import explained
from clew.collectors.formats.plans import Plan

TRACE = [
    "2026-03-01 12:00:00,000 ERROR [main] c.e.Orders - failed",
    "java.lang.IllegalStateException: no stock",
    "\tat c.e.Orders.place(Orders.java:10)",
    "Caused by: java.io.IOException: gone",
    "2026-03-01 12:00:01,000 INFO [main] c.e.Orders - next",
]


def docker(text: str, stream: str = "stdout") -> str:
    return json.dumps({"log": text, "stream": stream, "time": "2026-03-01T12:00:00Z"})


def cut(made: Plan, lines: list[str], size: int) -> list[object]:
    """Decode in chunks as the file reader does: what is open goes before the next chunk."""
    found: list[object] = []
    held: list[str] = []
    for start in range(0, len(lines), size):
        held += lines[start : start + size]
        count = made.complete(pa.array(held, pa.string()))
        assert 0 <= count <= len(held)
        found += [(one.record, one.reject) for one in explained(made, held[:count])] if count else []
        held = held[count:]
    return found + ([(one.record, one.reject) for one in explained(made, held)] if held else [])


def test_a_stack_trace_belongs_to_the_line_before() -> None:
    found = explained(plan("text"), TRACE)
    assert [one.record and (one.position, one.record["body"]) for one in found] == [
        (1, "failed\n" + "\n".join(TRACE[1:4])),
        (5, "next"),
    ]
    assert found[0].record is not None
    assert found[0].record["error_type"] == "java.lang.IllegalStateException"


def test_lines_that_continue_nothing_are_one_reject() -> None:
    found = explained(plan("text"), ["\tat a", "\tat b", TRACE[0]])
    assert [(one.position, one.reject is None) for one in found] == [(1, False), (3, True)]
    assert found[0].raw == "\tat a\n\tat b"


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_chunk_is_never_cut_within_a_record(size: int) -> None:
    made = plan("text")
    whole = [(one.record, one.reject) for one in explained(made, TRACE)]
    assert cut(made, TRACE, size) == whole


def test_without_grouping_every_line_is_complete() -> None:
    assert plan("json").complete(pa.array(["{}", "{"])) == 2
    assert plan("text").complete(pa.chunked_array([pa.array(TRACE[:3], pa.large_string())])) == 0


CRI = [
    '2026-03-01T12:00:00Z stdout P {"msg":"a',
    "2026-03-01T12:00:00Z stderr F other",
    "2026-03-01T12:00:00Z stdout P b",
    '2026-03-01T12:00:00Z stdout F c"}',
    '2026-03-01T12:00:01Z stdout F {"msg":"d"}',
]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_parts_of_a_line_are_joined_within_their_stream(size: int) -> None:
    found = cut(plan("cri", CRI), CRI, size)
    bodies = [record["body"] for record, _ in found]  # type: ignore[misc, has-type]
    assert sorted(bodies) == ["abc", "d", "other"]


def test_docker_cuts_lines_at_16_kib() -> None:
    text = json.dumps({"msg": "x" * 40_000, "level": "info"}) + "\n"
    lines = [docker(text[start : start + 16_384]) for start in range(0, len(text), 16_384)]
    (found,) = explained(plan("docker", lines), lines)
    assert found.record is not None
    assert found.record["body"] == "x" * 40_000


def test_stack_traces_in_containers_are_joined_within_their_stream() -> None:
    lines = [
        docker(TRACE[0] + "\n"),
        docker("from elsewhere\n", "stderr"),
        *(docker(line + "\n") for line in TRACE[1:]),
    ]
    found = explained(plan("docker", lines), lines)
    bodies = sorted(one.record["body"] for one in found if one.record)
    assert bodies == ["failed\n" + "\n".join(TRACE[1:4]), "from elsewhere", "next"]


@pytest.mark.parametrize("broken", ['{"log":"x', "plain text", "[]"])
def test_a_broken_envelope_is_a_reject_with_its_text(broken: str) -> None:
    lines = [docker('{"msg":"a"}\n'), broken]
    found = explained(plan("docker", lines[:1]), lines)
    assert found[0].record is not None
    assert found[1].reject is not None
    assert found[1].raw == broken


def test_text_among_json_in_a_container_is_a_log_line() -> None:
    lines = [docker('{"msg":"a"}\n'), docker("Listening on :8080\n"), docker('{"msg":"b"}\n')]
    found = explained(plan("docker", lines), lines)
    assert [one.record and one.record["body"] for one in found] == [
        "a",
        "Listening on :8080",
        "b",
    ]
    assert all(one.record and str(one.record["time"]) == "2026-03-01 12:00:00" for one in found)
