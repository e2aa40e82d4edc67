"""What clew makes of the demo's files is what its truth.json says: members, statuses and first causes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import duckdb
import pytest

from clew.cli import demo
from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.causes.why import why
from clew.reconstruct.definitions import load
from clew.reconstruct.detail import FlowDetail, Observation
from clew.reconstruct.ingest import ingest
from clew.reconstruct.model import Flow, FlowFilter, Settings
from clew.reconstruct.store import Store

SAMPLE = 40
"""Flows that are asked for whole; who belongs to the others is read off the store."""

Members = tuple[set[tuple[str, int]], set[str]]
"""(file, line) of a flow's own logs, and the IDs of its own spans."""


def check(folder: Path, flows: int, seed: int) -> None:
    """Run, ingest and compare every flow with the truth."""
    demo.run(folder, flows=flows, seed=seed)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    settings = Settings(definitions=load(folder / "definitions.yaml"))
    with open_store(folder / "s.duckdb", settings=settings) as store:
        ingest(store, FilesCollector([str(folder / "logs"), str(folder / "spans")]), signals=False)
        told = {flow.flow_id: flow for flow in store.flows(FlowFilter())}
        with store.held():
            causes = {flow_id: first_cause(store, flow) for flow_id, flow in told.items()}
            asked = {
                flow_id: shown(detail, folder)
                for flow_id in Random(seed).sample(sorted(told), SAMPLE)
                if (detail := store.flow(flow_id)) is not None
            }
    stored = members(folder)
    assert asked == {flow_id: stored[flow_id] for flow_id in asked}
    assert len(asked) == SAMPLE
    wrong: list[str] = []
    expected: set[str] = set()
    for flow in truth["flows"]:
        name = flow["correlation_id"]
        parts = [(name, flow["expected_records"])]
        parts += [(other["correlation_id"], other["records"]) for other in flow["continuations"]]
        expected.update(part for part, _ in parts)
        for part, records in parts:
            logs = {(truth["files"][file], line) for file, line in records["logs"]}
            if stored.get(part) != (logs, set(records["spans"])):
                wrong.append(f"{part} has other records: {flow['faults']}")
        wanted = flow["expected_status"]["with_definitions"]
        if name in told and told[name].status != wanted:
            wrong.append(f"{name} is {told[name].status}, not {wanted}: {flow['faults']}")
        elif causes.get(name) != flow["expected_cause"]:
            wrong.append(f"{name}: {causes.get(name)}, not {flow['expected_cause']}: {flow['faults']}")
    assert set(told) == expected
    assert wrong == []


def first_cause(store: Store, flow: Flow) -> str | None:
    """As ``clew why`` tells it; None where the flow's status needs none."""
    told = why(store, flow.flow_id) if flow.cause is not None else None
    return None if told is None else told.cause


def members(folder: Path) -> dict[str, Members]:
    """Flow → its own records, as the store's tables have them."""
    found: dict[str, Members] = {}
    with duckdb.connect(str(folder / "s.duckdb"), read_only=True) as connection:
        rows = connection.execute("""
            SELECT f.flow_id, t.kind, s.source, r.position, r.span_id
            FROM records AS r
            JOIN flows AS f USING (flow) JOIN series AS t USING (series) JOIN sources AS s USING (source_no)
        """).fetchall()
    for flow_id, kind, source, position, span_id in rows:
        logs, spans = found.setdefault(flow_id, (set(), set()))
        if kind == "span":
            spans.add(span_id)
        else:
            logs.add((str(Path(source).relative_to(folder)), position))
    return found


def shown(detail: FlowDetail, folder: Path) -> Members:
    """A flow's own records, as it is shown."""
    logs: set[tuple[str, int]] = set()
    spans: set[str] = set()
    for record in _records(detail):
        if record.shared:
            continue
        if record.fields["kind"] == "span":
            spans.add(record.fields["span_id"])
        else:
            logs.add((str(Path(record.fields["source"]).relative_to(folder)), record.fields["position"]))
    return logs, spans


def _records(detail: FlowDetail) -> Iterator[Observation]:
    for step in detail.steps:
        yield from step.observations
        yield from step.logs
    yield from detail.loose


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_flow_of_the_demo_is_put_together_exactly(tmp_path: Path, seed: int) -> None:
    check(tmp_path, 250, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_every_flow_of_ten_thousand_is_put_together_exactly(tmp_path: Path, seed: int) -> None:
    check(tmp_path, 10_000, seed)
