"""The lists say of each flow what it is told when somebody asks why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.truth.comparing import ingested
from tests.truth.recordings import record
from tests.truth.test_truth import WAYS

from clew.reconstruct.answers import GroupBy
from clew.reconstruct.causes.why import why
from clew.reconstruct.model import FlowFilter, Mark, Status

HARMED = FlowFilter(statuses=(Status.STUCK, Status.FAILED, Status.DEAD_LETTERED, Status.IN_PROGRESS))


@pytest.mark.parametrize("way", ["as defined", "all of it"])
def test_a_group_by_cause_holds_the_flows_of_which_why_tells_that_cause(tmp_path: Path, way: str) -> None:
    recording = record(tmp_path, flows=200, seed=3, blurs=WAYS[way], faults=0.4)
    with ingested(recording, tmp_path / "s.duckdb") as store, store.held():
        told = {flow.flow_id: why(store, flow.flow_id) for flow in store.flows(HARMED)}
        causes = {flow_id: one.cause for flow_id, one in told.items() if one is not None}
        groups = store.groups(HARMED, GroupBy.CAUSE)
    assert {group.value: group.flows for group in groups} == dict(Counter(causes.values()))
    assert {group.value: causes[group.example] for group in groups} == {
        one.value: one.value for one in groups
    }
    assert len(groups) > 6


def test_flows_with_duplicates_are_those_of_which_why_tells_one(tmp_path: Path) -> None:
    recording = record(tmp_path, flows=150, seed=4, faults=0.4)
    with ingested(recording, tmp_path / "s.duckdb") as store, store.held():
        told = [why(store, flow.flow_id) for flow in store.flows(FlowFilter())]
        listed = {flow.flow_id for flow in store.flows(FlowFilter(marks=(Mark.DUPLICATES,)))}
        counted = sum(one.duplicates for one in store.types(FlowFilter()))
    twice = {
        one.detail.flow.flow_id
        for one in told
        if one is not None and any(cause.name == "duplicate_processing" for cause in one.causes)
    }
    assert listed == twice
    assert counted == len(twice) > 2
