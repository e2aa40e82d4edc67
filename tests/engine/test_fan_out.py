"""One event with ten thousand effects, which come in many batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.conformance.records import at, log
from tests.engine.pictures import put

from clew.reconstruct import open_store
from clew.reconstruct.model import FlowFilter

EFFECTS, BATCH = 10_000, 1_000

BEGIN = log(0, name="Imported", operation="send", event_id="import", label="begin")


def _with_correlation(_: int) -> dict[str, Any]:
    return {"correlation_id": "import-1"}


def _with_causes(_: int) -> dict[str, Any]:
    return {"causation_id": "import"}


def _with_links(number: int) -> dict[str, Any]:
    return {
        "kind": "span",
        "end_time": at(number + 1),
        "trace_id": f"t{number}",
        "span_id": f"s{number}",
        "links": [{"trace_id": "root", "span_id": "root"}],
    }


@pytest.mark.parametrize(
    ("begin", "effect", "flow"),
    [
        (BEGIN | {"correlation_id": "import-1"}, _with_correlation, "import-1"),
        (BEGIN, _with_causes, "import"),
        (
            BEGIN | {"kind": "span", "end_time": at(1), "trace_id": "root", "span_id": "root"},
            _with_links,
            "root",
        ),
    ],
    ids=["correlation", "causation", "links"],
)
def test_ten_thousand_effects_of_one_event_are_one_flow(
    tmp_path: Path, begin: dict[str, Any], effect: Any, flow: str
) -> None:
    effects = [
        log(number, name="LineImported", service="lines", event_id=f"e{number}", label=f"r{number}")
        | effect(number)
        for number in range(EFFECTS)
    ]
    batches = [effects[start : start + BATCH] for start in range(0, EFFECTS, BATCH)]
    # The cause comes in the midst of its effects.
    batches.insert(5, [begin])
    with open_store(tmp_path / "s.duckdb") as store:
        put(store, batches)
        (found,) = store.flows(FlowFilter())
        assert (found.flow_id, found.records, found.events) == (flow, EFFECTS + 1, EFFECTS + 1)
        assert store.summary().unattributed == 0
        detail = store.flow(flow)
        assert detail is not None
        assert len(detail.steps) == EFFECTS + 1
        assert store.find("e4711")[0].flow_id == flow
