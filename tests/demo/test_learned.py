"""What is learned of the demo's flows tells of each what its truth.json says, without a written definition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.demo.test_causes import REFINED

from clew.cli import demo
from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.causes.why import why
from clew.reconstruct.definition_writer import written
from clew.reconstruct.definitions import Definition, load
from clew.reconstruct.ingest import ingest
from clew.reconstruct.learned import Asked, Model, as_file, learned_type
from clew.reconstruct.model import FlowFilter
from clew.reconstruct.store import Store

ENOUGH = 0.98
OF_EACH = 1
"""Flows whose cause is asked for, of each kind of fault: a question takes a while."""


class Learned(NamedTuple):
    """A demo, put together and learned from."""

    folder: Path
    truth: list[dict[str, Any]]
    store: Store
    model: Model

    def definition(self, start: str) -> Definition:
        return next(one for one in self.model.definitions if one.start == (start,))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learned]:
    folder = tmp_path_factory.mktemp("demo")
    demo.run(folder, flows=480, seed=11, faults=0.15)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["flows"]
    with open_store(folder / "s.duckdb") as store:
        ingest(store, FilesCollector([str(folder / "logs"), str(folder / "spans")]), signals=False)
        yield Learned(folder, truth, store, store.learn(Asked(support=30)))


def test_nearly_every_flow_has_the_status_that_the_truth_tells(learned: Learned) -> None:
    flows = {flow.flow_id: flow for flow in learned.store.flows(FlowFilter())}
    wrong = [
        (flow["type"], flow["faults"], expected, str(told))
        for flow in learned.truth
        if (expected := flow["expected_status"]["with_definitions"])
        != (told := flows[flow["correlation_id"]].status)
    ]
    assert len(wrong) <= (1 - ENOUGH) * len(learned.truth), wrong


def test_each_kind_of_fault_is_told_as_its_cause(learned: Learned) -> None:
    asked: dict[str, list[str]] = {}
    for flow in learned.truth:
        for fault in flow["faults"]:
            if fault["kind"] in REFINED and flow["expected_status"]["with_definitions"] != "in_progress":
                asked.setdefault(fault["kind"], []).append(flow["correlation_id"])
    assert set(asked) == set(REFINED)
    wrong = []
    for kind, ids in asked.items():
        for flow_id in ids[:OF_EACH]:
            told = why(learned.store, flow_id)
            assert told is not None
            if told.cause != REFINED[kind]:
                wrong.append((kind, told.cause, told.sentence))
    assert wrong == []


def test_what_was_learned_is_inferred_and_says_how_sure_it_is(learned: Learned) -> None:
    flow = next(
        one for one in learned.truth if [fault["kind"] for fault in one["faults"]] == ["join_lacks_input"]
    )
    told = why(learned.store, flow["correlation_id"])
    assert told is not None
    assert told.cause == "consumed_no_reaction"
    assert told.causes[0].inferred
    assert "(learned: so in 9" in told.sentence
    assert ", p99 " in told.sentence


def test_steps_side_by_side_are_parallel_however_surely_one_is_the_first(learned: Learned) -> None:
    video = learned.definition("VideoUploaded")
    after = {rule.events[0]: rule.after for rule in video.rules}
    assert after["MetadataExtracted"] == after["ThumbnailsCreated"] == after["VideoTranscoded"] == ()
    waited_for = {one for clause in after["VideoPublished"] for one in clause.rules}
    parts = {rule.number: rule.events[0] for rule in video.rules if rule.number in waited_for}
    assert {"MetadataExtracted", "ThumbnailsCreated", "VideoTranscoded"} <= set(parts.values())


def test_ends_mean_what_their_names_say(learned: Learned) -> None:
    assert dict(learned.definition("OrderPlaced").ends) == {
        "OrderCompleted": "completed",
        "OrderRejected": "failed",
        "OrderCancelled": "cancelled",
        "OrderRefunded": "compensated",
    }
    assert all("OrderCancelled" not in rule.events for rule in learned.definition("OrderPlaced").rules), (
        "to cancel is nobody's turn"
    )


def test_a_learned_definition_can_be_written_down(learned: Learned) -> None:
    path = learned.folder / "learned.yaml"
    path.write_text(written(learned.model.definitions), encoding="utf-8")
    assert load(path) == learned.model.definitions
    known = learned_type(learned.store, learned.definition("UserRegistered").name)
    assert known is not None
    path.write_text(as_file(known), encoding="utf-8")
    assert load(path) == (known.definition,)
    assert "# OnboardingCompleted ends completed, as its name tells: check that" in path.read_text("utf-8")
