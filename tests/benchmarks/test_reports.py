"""Reports over many flows, against DuckDB's own grouping of the same records by event."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.inputs import Inputs
from tests.benchmarks.measuring import CLEW, PYTHON, Run, alternate, ratio, run, seconds

pytestmark = pytest.mark.bench

ROUNDS = 5
GROUPING = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print(connection.sql(
    "SELECT count(*), sum(n) FROM (SELECT flow, event_h, min(time), max(time), count(*) AS n FROM records GROUP BY ALL)"
).fetchall())
"""


def test_reports_on_a_large_store(inputs: Inputs, figures: Figures) -> None:
    records = 1_000_000
    store = inputs.store(records).path
    split = "2026-03-02T09:04:00Z"

    def ask(*arguments: str) -> Callable[[int], Run]:
        return lambda _: run([CLEW, *arguments, "--store", str(store)], inputs.folder)

    reports = {
        "types": ask("types"),
        "variants": ask("variants", "OrderPlaced"),
        "steps": ask("steps", "OrderPlaced"),
        "compare": ask("compare", "--at", split),
        "define check": ask("define", "check", str(inputs.definitions())),
    }
    grouping = {"grouping": lambda _: run([PYTHON, "-c", GROUPING, str(store)], inputs.folder)}
    runs = alternate(inputs.rounds(ROUNDS), reports | grouping)
    for name in reports:
        value, detail = ratio(seconds(runs[name]), seconds(runs["grouping"]))
        figures.add(
            Figure(
                f"`clew {name}` on {inputs.named(records)} records / grouping them once", value, 12, detail
            )
        )
