"""Log lines: flows in the time that DuckDB takes to load the file untouched."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median

import pytest
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.inputs import Inputs
from tests.benchmarks.measuring import PYTHON, Run, alternate, ratio, run, seconds

pytestmark = pytest.mark.bench

LOAD = """
import sys, duckdb
database = duckdb.connect(sys.argv[1])
database.execute("create table lines as select * from read_ndjson_auto(?)", [sys.argv[2]])
database.close()
"""
ROUNDS = 3


def test_ingest_against_duckdb_loading_the_file(inputs: Inputs, figures: Figures) -> None:
    counts = (1_000_000, 5_000_000)
    for count in counts:
        inputs.lines(count)
    sides = {}
    for count in counts:
        sides[f"clew {count}"] = partial(_ingest, inputs, count)
        sides[f"duckdb {count}"] = partial(_load, inputs, count)
    runs = alternate(inputs.rounds(ROUNDS), sides)
    ours = {count: runs[f"clew {count}"] for count in counts}
    for count in counts:
        value, detail = ratio(seconds(ours[count]), seconds(runs[f"duckdb {count}"]))
        name = f"`clew ingest` of {inputs.named(count)} lines / DuckDB's `read_ndjson_auto` into a table"
        figures.add(Figure(name, value, 1.25, detail))
    small, large = (ours[count] for count in counts)
    value, detail = ratio(seconds(large), seconds(small))
    name = f"`clew ingest` of {inputs.named(counts[1])} lines / of {inputs.named(counts[0])}"
    figures.add(Figure(name, value, 5.5, detail))
    peaks = [each.peak_bytes / 1e9 for each in large]
    detail = f"of 1M lines: {median(each.peak_bytes for each in small) / 1e9:.2f} GB".replace(
        "1M", inputs.named(counts[0])
    )
    name = f"peak memory of `clew ingest` of {inputs.named(counts[1])} lines"
    figures.add(Figure(name, max(peaks), 2, detail, unit="GB"))


def _ingest(inputs: Inputs, count: int, _: int) -> Run:
    lines = inputs.lines(count)
    store = inputs.folder / "fresh.duckdb"
    done, said = inputs.ingest(store, lines.path)
    assert (said["new"], said["rejects"]) == (lines.total, 0)
    _remove(store)
    return done


def _load(inputs: Inputs, count: int, _: int) -> Run:
    database = inputs.folder / "loaded.duckdb"
    done = run([PYTHON, "-c", LOAD, str(database), str(inputs.lines(count).path)], inputs.folder)
    _remove(database)
    return done


def _remove(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
