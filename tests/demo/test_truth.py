"""What clew makes of the demo's files is what its truth.json says: members and statuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.cli import demo
from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.definitions import load
from clew.reconstruct.ingest import ingest
from clew.reconstruct.model import FlowDetail, FlowFilter, Observation, Settings


def members(detail: FlowDetail, folder: Path) -> tuple[set[tuple[str, int]], set[str]]:
    """(file, line) of the flow's own logs, and the IDs of its own spans."""
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


def check(folder: Path, flows: int, seed: int) -> None:
    """Run, ingest and compare every flow with the truth."""
    demo.run(folder, flows=flows, seed=seed)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    files = truth["files"]
    settings = Settings(definitions=load(folder / "definitions.yaml"))
    with open_store(folder / "s.duckdb", settings=settings) as store:
        ingest(store, FilesCollector([str(folder / "logs"), str(folder / "spans")]), signals=False)
        told = {flow.flow_id: flow for flow in store.flows(FlowFilter())}
        wrong: list[str] = []
        for flow in truth["flows"]:
            wrong.extend(_differences(store.flow(flow["correlation_id"]), flow, files, folder))
            for other in flow.get("continuations") or ():
                wrong.extend(
                    _differences(
                        store.flow(other["correlation_id"]),
                        {"expected_records": other["records"]},
                        files,
                        folder,
                    )
                )
    expected = {flow["correlation_id"] for flow in truth["flows"]}
    expected |= {
        other["correlation_id"] for flow in truth["flows"] for other in flow.get("continuations") or ()
    }
    assert set(told) == expected
    assert wrong == []


def _differences(
    detail: FlowDetail | None, flow: dict[str, Any], files: list[str], folder: Path
) -> Iterator[str]:
    if detail is None:
        yield f"{flow.get('correlation_id')} is not there"
        return
    logs, spans = members(detail, folder)
    expected = flow["expected_records"]
    name = detail.flow.flow_id
    if logs != {(files[file], line) for file, line in expected["logs"]}:
        yield f"{name} has other logs: {flow.get('faults')}"
    if spans != set(expected["spans"]):
        yield f"{name} has other spans: {flow.get('faults')}"
    if "expected_status" in flow and not flow.get("needs"):
        wanted = flow["expected_status"]["with_definitions"]
        if detail.flow.status != wanted:
            yield f"{name} is {detail.flow.status}, not {wanted}: {flow['faults']}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_flow_of_the_demo_is_put_together_exactly(tmp_path: Path, seed: int) -> None:
    check(tmp_path, 250, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_flow_of_ten_thousand_is_put_together_exactly(tmp_path: Path, seed: int) -> None:
    check(tmp_path, 10_000, seed)
