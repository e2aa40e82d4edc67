"""``clew learn`` against DuckDB's own load of the lines that it learns from."""

from __future__ import annotations

from collections.abc import Callable
from shutil import copyfile

import pytest
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.inputs import Inputs
from tests.benchmarks.measuring import CLEW, PYTHON, Run, alternate, ratio, run, seconds
from tests.generators.lines import LINES_PER_FLOW

pytestmark = pytest.mark.bench

ROUNDS = 3
LOAD = """
import duckdb, os, sys
os.path.exists(sys.argv[2]) and os.unlink(sys.argv[2])
connection = duckdb.connect(sys.argv[2])
connection.execute("CREATE TABLE lines AS SELECT * FROM read_ndjson_auto(?)", [sys.argv[1]])
"""


def test_learning_from_many_flows(inputs: Inputs, figures: Figures) -> None:
    records = 5_000_000
    lines, store = inputs.lines(records).path, inputs.store(records).path
    own, loaded = inputs.folder / "learned.duckdb", inputs.folder / "loaded.duckdb"

    def learn(_: int) -> Run:
        # Nothing may be judged by a model yet, or there is nothing to judge again.
        copyfile(store, own)
        return run([CLEW, "learn", "--support", "50", "--store", str(own)], inputs.folder)

    runs: dict[str, Callable[[int], Run]] = {
        "learn": learn,
        "load": lambda _: run([PYTHON, "-c", LOAD, str(lines), str(loaded)], inputs.folder),
    }
    measured = alternate(inputs.rounds(ROUNDS), runs)
    value, detail = ratio(seconds(measured["learn"]), seconds(measured["load"]))
    flows = inputs.named(records // LINES_PER_FLOW)
    figures.add(
        Figure(
            f"`clew learn` on {flows} flows / DuckDB's `read_ndjson_auto` of their lines", value, 2, detail
        )
    )
    own.unlink()
    loaded.unlink()
