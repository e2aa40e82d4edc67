"""Workflow histories that others recorded decode to what independent scripts counted in them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.formats_nested.decoding import Row, decode, decode_file, recording

FAILED = {"rainbowstatusesworkflow", "complexHistory1", "testGetVersionOutOfOrderFail"}
CANCELLED = {
    "customer-service-workflow-history",
    "cancellationScopeDeterminism",
    "cancellationScopeDeterminism_beforeFlag",
    "testLocalActivityAfterCancelTest",
}


@pytest.fixture(scope="module")
def temporal() -> dict[Path, list[Row]]:
    """Every history's rows, decoded by one SELECT, by its file."""
    files = sorted(recording("temporal").rglob("*.json"))
    by_position: defaultdict[int, list[Row]] = defaultdict(list)
    for row in decode("temporal", [file.read_text(encoding="utf-8") for file in files]):
        assert "reject" not in row
        by_position[row["position"]].append(row)
    return {file: by_position[position] for position, file in enumerate(files, 1)}


def number(row: Row) -> int:
    return int(row["attributes"]["eventId"])


def test_every_event_of_a_temporal_history_is_a_record(temporal: dict[Path, list[Row]]) -> None:
    assert len(temporal) == 52
    assert sum(map(len, temporal.values())) == 1027
    assert all(row["kind"] == "history" and "time" in row for rows in temporal.values() for row in rows)


def test_the_last_event_of_a_temporal_history_tells_its_outcome(temporal: dict[Path, list[Row]]) -> None:
    outcomes = {file.stem: max(rows, key=number).get("outcome") for file, rows in temporal.items()}
    assert Counter(outcomes.values()) == {"completed": 37, "failed": 3, "cancelled": 4, None: 8}
    assert {name for name, outcome in outcomes.items() if outcome == "failed"} == FAILED
    assert {name for name, outcome in outcomes.items() if outcome == "cancelled"} == CANCELLED


def test_only_the_last_event_has_an_outcome(temporal: dict[Path, list[Row]]) -> None:
    for rows in temporal.values():
        assert all("outcome" not in row for row in sorted(rows, key=number)[:-1])


def test_a_temporal_run_is_one_flow_whichever_file_it_is_in(temporal: dict[Path, list[Row]]) -> None:
    runs: Counter[str] = Counter()
    for rows in temporal.values():
        (run,) = {row["correlation_id"] for row in rows}
        assert {row["correlation_key"] for row in rows} == {"workflowId"}
        runs[run] += 1
    assert len(runs) == 47
    assert sum(count for count in runs.values() if count > 1) == 8


def test_a_workflow_id_finds_its_run(temporal: dict[Path, list[Row]]) -> None:
    rows = next(rows for file, rows in temporal.items() if file.stem == "simpleHistory_withWorkflowId")
    assert rows[0]["keys"]["workflowId"] == "ff28c127-56ff-416f-8630-53fa4f4cf79a"


def test_causes_of_temporal_events_are_events_of_the_same_history(temporal: dict[Path, list[Row]]) -> None:
    for rows in temporal.values():
        known = {row["event_id"] for row in rows}
        assert all(row["causation_id"] in known for row in rows if "causation_id" in row)


def test_every_answer_in_a_temporal_history_has_its_question(temporal: dict[Path, list[Row]]) -> None:
    for rows in temporal.values():
        asked = {row["event_id"] for row in rows if row.get("operation") == "send"}
        assert all(row["event_id"] in asked for row in rows if row.get("operation") == "process")


def test_no_temporal_run_that_completed_owes_a_workflow_task(temporal: dict[Path, list[Row]]) -> None:
    for rows in temporal.values():
        tasks = [row for row in rows if row["name"].startswith("WorkflowTask")]
        asked = {row["event_id"] for row in tasks if row.get("operation") == "send"}
        answered = {row["event_id"] for row in tasks if row.get("operation") == "process"}
        if any(row.get("outcome") == "completed" for row in rows):
            assert asked == answered


def test_a_temporal_failure_names_its_innermost_cause() -> None:
    rows = decode_file("temporal", recording("temporal/samples-go/rainbowstatusesworkflow.json"))
    (end,) = [row for row in rows if row.get("outcome")]
    assert (end["error_type"], end["error_message"]) == ("StartToClose", "activity error: activity timeout")


def histories(value: Any) -> Iterator[dict[str, Any]]:
    """Replies of GetExecutionHistory anywhere within a snapshot."""
    if isinstance(value, dict):
        events = value.get("events")
        if isinstance(events, list) and events and "previousEventId" in events[0]:
            yield value
        for inner in value.values():
            yield from histories(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from histories(inner)


@pytest.fixture(scope="module")
def step_functions() -> list[list[Row]]:
    """The rows of every history in the snapshots, in the order of its events."""
    folder = recording("localstack-aws-snapshots/stepfunctions")
    found = [
        json.dumps(one)
        for file in sorted(folder.rglob("*.json"))
        for one in histories(json.loads(file.read_text(encoding="utf-8")))
    ]
    by_position: defaultdict[int, list[Row]] = defaultdict(list)
    for row in decode("step-functions", found):
        assert "reject" not in row
        by_position[row["position"]].append(row)
    return [by_position[position] for position in range(1, len(found) + 1)]


def test_every_event_of_a_step_functions_history_is_a_record(step_functions: list[list[Row]]) -> None:
    assert len(step_functions) == 674
    assert sum(map(len, step_functions)) == 4899


def test_how_step_functions_executions_ended(step_functions: list[list[Row]]) -> None:
    outcomes = Counter(
        next((row["outcome"] for row in rows if "outcome" in row), None) for rows in step_functions
    )
    # One of the 532 was asked for newest first: its last event is its start.
    assert outcomes == {"completed": 532, "failed": 139, "cancelled": 1, None: 2}


def test_an_unnamed_execution_is_known_by_its_first_event(step_functions: list[list[Row]]) -> None:
    for rows in step_functions:
        assert not any("correlation_id" in row for row in rows)
        assert len({row["trace_id"] for row in rows}) == 1


def test_every_exit_of_a_state_answers_its_entry(step_functions: list[list[Row]]) -> None:
    # The snapshots replace some events' numbers by one placeholder: those histories prove nothing here.
    numbered = [
        rows for rows in step_functions if all(isinstance(row["attributes"]["id"], int) for row in rows)
    ]
    assert len(numbered) > 600
    for rows in numbered:
        entered = {row["event_id"]: row["name"] for row in rows if row.get("operation") == "send"}
        for row in rows:
            if row["attributes"]["type"].endswith("StateExited"):
                assert row["operation"] == "process"
                assert entered[row["event_id"]] == row["name"]


def test_a_failed_task_tells_why(step_functions: list[list[Row]]) -> None:
    failed = [row for rows in step_functions for row in rows if row["attributes"]["type"] == "TaskFailed"]
    assert len(failed) == 64
    assert all(row["status"] == "error" and row["error_type"] for row in failed)
