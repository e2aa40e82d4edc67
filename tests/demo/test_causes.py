"""Why a flow of the demo went wrong is what its truth.json says, and every command says the same."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

import pytest

from clew.cli import demo
from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.answers import FlowGroup, GroupBy
from clew.reconstruct.causes import REFINES
from clew.reconstruct.causes.why import Why, why
from clew.reconstruct.definitions import load
from clew.reconstruct.ingest import ingest
from clew.reconstruct.model import Flow, FlowFilter, Mark, Settings

REFINED = {
    # kind of fault: the cause that why tells, where the flow came to its expected end
    "retries_exhausted": "processing_failed",
    "dead_lettered": "dead_lettered",
    "never_handled": "never_consumed",
    "hung": "slow_step",
    "consumed_no_reaction": "consumed_no_reaction",
    "join_lacks_input": "consumed_no_reaction",
    "rejected": "processing_failed",
    "lost_context": "never_consumed",
    "retry_then_success": None,
    "compensated": None,
    "cancelled": None,
    "duplicate_delivery": None,
    "slow": None,
    "span_link": None,
}
NAMED = {"retries_exhausted", "dead_lettered", "hung", "consumed_no_reaction", "join_lacks_input"}
"""Faults whose sentence names the handler that they strike."""


class Asked(NamedTuple):
    """A demo, put together and explained."""

    truth: list[dict[str, Any]]
    flows: dict[str, Flow]
    why: dict[str, Why]
    groups: dict[GroupBy, list[FlowGroup]]
    duplicated: set[str]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("demo")
    demo.run(folder, flows=320, seed=7, faults=0.2)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    settings = Settings(definitions=load(folder / "definitions.yaml"))
    with open_store(folder / "s.duckdb", settings=settings) as store:
        ingest(store, FilesCollector([str(folder / "logs"), str(folder / "spans")]), signals=False)
        flows = {flow.flow_id: flow for flow in store.flows(FlowFilter())}
        faulty = [flow for flow in truth["flows"] if flow["faults"]]
        ids = {flow["correlation_id"] for flow in faulty} | {
            flow_id for flow_id, flow in flows.items() if flow.cause is not None
        }
        told = {flow_id: found for flow_id in ids if (found := why(store, flow_id)) is not None}
        groups = {by: store.groups(FlowFilter(), by) for by in GroupBy}
        duplicated = {flow.flow_id for flow in store.flows(FlowFilter(marks=(Mark.DUPLICATES,)))}
    return Asked(faulty, flows, told, groups, duplicated)


def test_each_kind_of_fault_is_told_as_its_cause_and_the_handler_is_named(asked: Asked) -> None:
    wrong, seen = [], Counter[str]()
    for flow in asked.truth:
        (fault,) = flow["faults"]
        told = asked.why[flow["correlation_id"]]
        expected = flow["expected_status"]["with_definitions"]
        if fault["kind"] not in REFINED or expected == "in_progress":
            continue
        seen[fault["kind"]] += 1
        if told.cause != REFINED[fault["kind"]]:
            wrong.append(f"{fault}: {told.cause}, {told.sentence}")
        elif fault["kind"] in NAMED and f"{fault['service']} read {fault['event']}" not in told.sentence:
            wrong.append(f"{fault}: {told.sentence}")
    assert wrong == []
    assert set(seen) == set(REFINED)


def test_a_missing_input_of_a_join_is_told_beside_its_culprit(asked: Asked) -> None:
    joins = [flow for flow in asked.truth if flow["faults"][0]["kind"] == "join_lacks_input"]
    for flow in joins:
        causes = [cause.name for cause in asked.why[flow["correlation_id"]].causes]
        assert causes[:2] == ["consumed_no_reaction", "waiting_for_join"]


def test_a_duplicate_with_effects_is_noticed_and_no_other_flow_has_one(asked: Asked) -> None:
    kinds = {flow["correlation_id"]: flow["faults"][0]["kind"] for flow in asked.truth}
    found = {
        kinds.get(flow_id)
        for flow_id, told in asked.why.items()
        if any(cause.name == "duplicate_processing" for cause in told.causes)
    }
    assert found == {"duplicate_delivery"}
    listed = {kinds.get(flow_id) for flow_id in asked.duplicated}
    assert listed == {"duplicate_delivery"}


def test_the_list_the_groups_and_why_never_contradict_each_other(asked: Asked) -> None:
    for flow_id, told in asked.why.items():
        listed = asked.flows[flow_id]
        assert told.detail.flow == listed
        if listed.cause is None:
            assert told.cause is None
        else:
            assert told.cause in REFINES[listed.cause], flow_id
            assert told.causes[0].explains, flow_id
    causes = Counter(asked.why[flow_id].cause if flow_id in asked.why else None for flow_id in asked.flows)
    assert {group.value: group.flows for group in asked.groups[GroupBy.CAUSE]} == dict(causes)
    for group in asked.groups[GroupBy.CAUSE]:
        if group.value is not None:
            assert asked.why[group.example].cause == group.value
    named = Counter({cause: flows for cause, flows in causes.items() if cause is not None})
    for by in GroupBy:
        assert sum((Counter(group.causes) for group in asked.groups[by]), Counter()) == named


def test_every_cause_has_clues_that_name_a_record(asked: Asked) -> None:
    for told in asked.why.values():
        for cause in told.causes:
            assert any(clue.source and clue.position is not None for clue in cause.clues), told.sentence
            assert cause.next, told.sentence
