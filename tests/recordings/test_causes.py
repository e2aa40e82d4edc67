"""Workflow histories that others recorded: why names what failed in each failed run, and its error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.formats_nested.test_history_recordings import histories

from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.causes.why import why
from clew.reconstruct.ingest import ingest
from clew.reconstruct.model import FlowFilter, Status
from clew.reconstruct.store import Store

FAILED = FlowFilter(statuses=(Status.FAILED,))


def sentences(store: Store) -> dict[tuple[str, str], str]:
    """(scope, flow) → the sentence about each failed flow, whose cause is as listed."""
    found = {}
    for flow in store.flows(FAILED):
        told = why(store, flow.flow_id, flow.scope)
        assert told is not None
        assert (flow.cause, told.cause) == ("processing_failed", "processing_failed")
        assert told.causes[0].clues, "it names the record"
        found[flow.scope, flow.flow_id] = told.sentence
    return found


def test_why_names_what_failed_in_each_failed_temporal_run(recordings: Path, tmp_path: Path) -> None:
    with open_store(tmp_path / "clew.duckdb") as store:
        ingest(store, FilesCollector([str(recordings / "temporal")]), signals=False)
        told = sorted(sentences(store).values())
    child, activity, workflow = told
    assert activity.endswith("LongActivity failed with StartToClose (activity timeout).")
    assert "ITestChild failed with UnsupportedOperationException (simulated failure)" in child
    assert "WorkflowExecutionFailed" in workflow
    assert "NonDeterministicException (Failure handling event 5" in workflow


class Run:
    """A failed execution as its history's own JSON tells it, read without clew."""

    def __init__(self, history: dict[str, Any]) -> None:
        self.events: list[dict[str, Any]] = history["events"]
        self.by_id = {event["id"]: event for event in self.events if isinstance(event["id"], int)}

    @property
    def failed(self) -> bool:
        return any(event["type"] in {"ExecutionFailed", "ExecutionTimedOut"} for event in self.events)

    @property
    def numbered(self) -> bool:
        """Whether no placeholder stands for an event's number, and each event's cause is there."""
        return all(
            isinstance(event["id"], int)
            and isinstance(event["previousEventId"], int)
            and (event["previousEventId"] == 0 or event["previousEventId"] in self.by_id)
            for event in self.events
        ) and len(self.by_id) == len(self.events)

    def culprits(self) -> Iterator[tuple[str, str]]:
        """(state, error) of each event that failed: the end itself only where nothing else did."""
        bad = [event for event in self.events if _details(event, "error") is not None]
        own = [event for event in bad if not event["type"].startswith("Execution")]
        for event in own or [event for event in self.events if event["type"].startswith("ExecutionFailed")]:
            yield self._state(event), _details(event, "error") or ""

    def _state(self, event: dict[str, Any]) -> str:
        while event["previousEventId"] != 0:
            event = self.by_id[event["previousEventId"]]
            if "stateEnteredEventDetails" in event:
                return str(event["stateEnteredEventDetails"]["name"])
        return ""


def _details(event: dict[str, Any], name: str) -> str | None:
    details: list[Any] = [value for key, value in event.items() if key.endswith("EventDetails")]
    return next((str(one[name]) for one in details if isinstance(one, dict) and name in one), None)


def test_why_names_the_state_and_the_error_of_each_failed_step_functions_run(
    recordings: Path, tmp_path: Path
) -> None:
    """Each history gets a name again: the snapshots replace what tells the executions apart."""
    runs = [
        Run(history)
        for file in sorted((recordings / "localstack-aws-snapshots/stepfunctions").rglob("*.json"))
        for history in histories(json.loads(file.read_text(encoding="utf-8")))
    ]
    failed = [run for run in runs if run.failed and run.numbered]
    assert len(failed) > 100
    for number, run in enumerate(failed):
        history = {"executionArn": f"run:{number:03}", "events": run.events}
        (tmp_path / f"{number:03}.json").write_text(json.dumps(history), encoding="utf-8")
    with open_store(tmp_path / "clew.duckdb") as store:
        collector = FilesCollector([str(tmp_path / "*.json")], format="step-functions")
        ingest(store, collector, signals=False)
        told = {int(flow.rpartition(":")[2]): sentence for (_, flow), sentence in sentences(store).items()}
    assert sorted(told) == list(range(len(failed)))
    wrong = [
        f"{sentence} instead of one of {list(run.culprits())}"
        for run, sentence in ((failed[number], told[number]) for number in told)
        if not any(
            state in sentence and error.rpartition(".")[2] in sentence for state, error in run.culprits()
        )
    ]
    assert wrong == []
