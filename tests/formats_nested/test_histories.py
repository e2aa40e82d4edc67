"""What workflow histories become, where recordings of others show nothing of it."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.formats_nested.decoding import FIXTURES, decode, decode_file


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
