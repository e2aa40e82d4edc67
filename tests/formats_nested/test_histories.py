"""What workflow histories become, where recordings of others show nothing of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.files.reading import Reading
from tests.formats_nested.decoding import FIXTURES, decode, decode_file

from clew.collectors.formats import plan, recognise
from clew.collectors.record import Batch


def test_a_child_run_is_caused_by_the_event_that_asked_for_it() -> None:
    parent = decode_file("temporal", FIXTURES / "temporal-parent.json")
    child = decode_file("temporal", FIXTURES / "temporal-child.json")
    asked = next(row for row in parent if row.get("operation") == "send")
    assert child[0]["causation_id"] == asked["event_id"] == "run-parent:2"
    assert {row["correlation_id"] for row in parent} == {"run-parent"}
    assert {row["correlation_id"] for row in child} == {"run-child"}
    assert child[0]["keys"]["parentWorkflowId"] == "order-1"


def test_a_run_that_goes_on_in_a_new_one_has_completed_and_names_it() -> None:
    *_, last = decode_file("temporal", FIXTURES / "temporal-child.json")
    assert (last["outcome"], last["event_id"]) == ("completed", "run-next:start")
    assert last["keys"]["newRunId"] == "run-next"


def test_a_child_that_was_asked_for_is_still_owed() -> None:
    rows = decode_file("temporal", FIXTURES / "temporal-parent.json")
    assert [row.get("operation") for row in rows] == [None, "send", None]
    assert (rows[1]["name"], rows[1]["destination"]) == ("Ship", "shipping")


def test_exits_find_the_entry_of_their_own_iteration() -> None:
    rows = decode_file("step-functions", FIXTURES / "step-functions-map.json")
    run = "arn:aws:states:eu-west-1:111122223333:execution:Fan:e-1"
    exits = {row["attributes"]["id"]: row["event_id"] for row in rows if row.get("operation") == "process"}
    assert exits == {8: f"{run}:7", 9: f"{run}:6", 13: f"{run}:2"}
    assert {row["correlation_id"] for row in rows} == {run}
    assert {row["service"] for row in rows} == {"Fan"}


def test_a_time_with_an_offset_is_told_in_utc() -> None:
    first, *_ = decode_file("step-functions", FIXTURES / "step-functions-map.json")
    assert first["time"] == datetime(2026, 3, 1, 11, 0, 1)  # noqa: DTZ001  TIMESTAMP has no zone


def test_a_state_without_an_exit_is_still_owed() -> None:
    *_, last = decode_file("step-functions", FIXTURES / "step-functions-map.json")
    assert (last["name"], last["operation"]) == ("Pause", "send")


@pytest.mark.parametrize("name", ["temporal", "step-functions"])
@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        ('{"events":[', "not valid JSON"),
        ("{}", "no events in it"),
        ('{"events":[{"eventId":"1"}]}', "an event without a type"),
    ],
)
def test_what_is_no_history_is_rejected_with_a_reason(name: str, unit: str, reason: str) -> None:
    (row,) = decode(name, [unit])
    assert (row["reject"], row["body"]) == (reason, unit)


def as_list(name: str) -> tuple[list[dict[str, Any]], str]:
    """The events of a fixture, and the document's other members as text to compare with."""
    document = json.loads((FIXTURES / name).read_text(encoding="utf-8"))
    return document["events"], json.dumps({"events": document["events"]})


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("format", "fixture"),
    [("temporal", "temporal-child.json"), ("step-functions", "step-functions-map.json")],
)
def test_a_list_of_events_is_the_history_that_they_make(
    format: str, fixture: str, indent: int | None, tmp_path: Path
) -> None:
    events, document = as_list(fixture)
    file = tmp_path / "history.json"
    file.write_text(json.dumps(events + events, indent=indent), encoding="utf-8")
    for size in (128 << 20, 300):
        reading = Reading().read(file, format=None, batch_bytes=size)
        assert {batch.format for batch in reading.batches} == {format}
        found = [row for batch in reading.batches for row in batch.records().to_pylist()]
        wanted = [row | {"position": 1} for row in rows_of(format, [document])]
        assert [row | {"position": 1} for row in found] == wanted + wanted


def rows_of(format: str, units: list[str]) -> list[dict[str, Any]]:
    raw = pa.table({"line": pa.array(units, pa.string()), "position": range(1, len(units) + 1)})
    return Batch("", raw, plan(format, units).select, "").records().to_pylist()


def test_a_list_of_events_within_an_envelope_is_the_history_that_they_make() -> None:
    events, document = as_list("temporal-child.json")
    line = f"2026-03-01T12:00:00Z stdout F {json.dumps(events)}"
    found = rows_of(recognise([line]).format.split("/")[0], [line])
    assert [row["event_id"] for row in found] == [row["event_id"] for row in rows_of("temporal", [document])]


@pytest.mark.parametrize(
    ("format", "event"),
    [
        ("temporal", {"eventId": "7", "eventTime": "2026-03-01T12:00:00Z", "eventType": "TimerFired"}),
        (
            "step-functions",
            {"timestamp": 1772366400, "type": "PassStateEntered", "id": 7, "previousEventId": 6},
        ),
    ],
)
def test_a_history_without_its_start_is_known_by_its_first_event(format: str, event: dict[str, Any]) -> None:
    rows = rows_of(
        format, [json.dumps({"events": [event, event]}), json.dumps({"events": [{**event, "x": 1}]})]
    )
    first, second, other = [row["trace_id"] for row in rows]
    assert first == second != other
    assert None not in (first, other)


@pytest.mark.parametrize(
    ("format", "fixture"),
    [("temporal", "temporal-child.json"), ("step-functions", "step-functions-map.json")],
)
def test_whole_histories_are_decoded_row_by_row(format: str, fixture: str) -> None:
    events, document = as_list(fixture)
    assert plan(format, [document]).multiline is None
    assert plan(format, [json.dumps(event) for event in events]).multiline is not None
