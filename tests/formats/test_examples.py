"""The worked example of docs/formats.md: a format of one's own for the train-ticket recordings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from clew.collectors.formats import load, plan

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "formats"
NEZHA = ROOT.parent / "shared" / "data" / "nezha"

# Counted by independent scripts: shared/data/README.md.
LOGS = {
    "2023-01-29-08_50": (2489, 71, 6),
    "2023-01-29-10_04": (1138, 48, 8),
    "2023-01-29-10_06": (2129, 50, 11),
    "2023-01-30-13_15": (306, 34, None),
    "2023-01-30-13_17": (1169, 31, 4),
}
ERRORS = {
    "2023-01-29-08_50": 27,
    "2023-01-29-10_04": 25,
    "2023-01-29-10_06": 10,
    "2023-01-30-13_15": 26,
    "2023-01-30-13_17": 0,
}
SPANS = {
    "2023-01-29-08_50": (4890, 71, 25, 71, 0, 0),
    "2023-01-29-10_04": (2336, 48, 26, 48, 2, 4),
    "2023-01-29-10_06": (4102, 50, 27, 50, 6, 12),
    "2023-01-30-13_15": (723, 34, 13, 34, 0, 0),
    "2023-01-30-13_17": (2170, 31, 23, 31, 0, 0),
}


def decoded(example: str, recording: str, file: str, columns: str) -> tuple[Any, ...]:
    path = NEZHA / f"trainticket-{recording}" / file
    if not path.exists():
        if os.environ.get("CLEW_FORBID_SKIP"):
            pytest.fail(f"no {path}")
        pytest.skip(f"no {path}")
    lines = path.read_text(encoding="utf-8").splitlines()
    select = plan(str(EXAMPLES / example), lines[:200]).select
    with duckdb.connect() as connection:
        connection.register("raw", pa.table({"line": lines, "position": range(1, len(lines) + 1)}))
        found: tuple[Any, ...] = connection.execute(
            f"SELECT count(reject), {columns} FROM ({select})"
        ).fetchall()[0]
    return found


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_passes_its_own_samples(example: Path) -> None:
    assert load(example).samples


@pytest.mark.parametrize(("recording", "truth"), LOGS.items())
def test_train_ticket_logs_are_read_whole(recording: str, truth: tuple[int, int, int | None]) -> None:
    orders = "count(DISTINCT keys)"
    failed = "count(DISTINCT trace_id) FILTER (WHERE severity = 'ERROR')"
    found = decoded(
        "train-ticket-logs.yaml",
        recording,
        "log.csv",
        f"count(*), count(DISTINCT trace_id), {orders}, {failed}",
    )
    lines, traces, order_ids = truth
    assert found == (0, lines, traces, order_ids if order_ids is not None else found[3], ERRORS[recording])


@pytest.mark.parametrize(("recording", "truth"), SPANS.items())
def test_train_ticket_spans_are_read_whole(recording: str, truth: tuple[int, ...]) -> None:
    columns = (
        "count(*), count(DISTINCT trace_id), count(DISTINCT service), count(*) FILTER (WHERE parent_span_id IS NULL),"
        " count(*) FILTER (WHERE operation = 'send'), count(*) FILTER (WHERE operation = 'process')"
    )
    assert decoded("train-ticket-spans.yaml", recording, "trace.csv", columns) == (0, *truth)
