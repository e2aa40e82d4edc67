"""One store judged at successive times: a flow is not there, then in progress, and stuck right after its deadline."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.truth.comparing import ingested, moment
from tests.truth.recordings import Truth, record
from tests.truth.verdicts import deadlines, known

from clew.reconstruct.model import FlowFilter

STOPPED = ("never_handled", "hung", "quiet", "unsent")
MICROSECOND = timedelta(microseconds=1)


def one_of_each(flows: list[Truth]) -> list[Truth]:
    """A flow of each workflow that stopped, and the one whose step has a limit of its own."""
    found: dict[tuple[str, int], Truth] = {}
    for truth in flows:
        if truth.kind in STOPPED and truth.verdict.status == "stuck":
            told = known(truth.flow.records, {})
            span = min(deadlines(truth.flow, told)) - told.sent[truth.flow.workflow.start.event]
            found.setdefault((truth.flow.workflow.name, span // 10_000_000), truth)
    return list(found.values())


def test_a_flow_is_in_progress_until_its_deadline_and_stuck_right_after_it(tmp_path: Path) -> None:
    recording = record(tmp_path, flows=120, seed=4, faults=0.5)
    chosen = one_of_each(recording.flows)
    assert {truth.flow.workflow.name for truth in chosen} >= {
        "order-fulfilment",
        "user-onboarding",
        "video-processing",
        "financial-reconciliation",
    }
    with ingested(recording, tmp_path / "s.duckdb") as store:
        for truth in chosen:
            told = known(truth.flow.records, {})
            started = moment(told.sent[truth.flow.workflow.start.event])
            deadline = moment(min(deadlines(truth.flow, told)))
            for as_of, status in (
                (started - timedelta(seconds=1), None),
                (started + (deadline - started) / 2, "in_progress"),
                (deadline, "in_progress"),
                (deadline + MICROSECOND, "stuck"),
            ):
                found = {flow.flow_id: flow.status for flow in store.flows(FlowFilter(), as_of)}
                assert found.get(truth.flow.id) == status, (truth.flow.workflow.name, truth.kind, as_of)
