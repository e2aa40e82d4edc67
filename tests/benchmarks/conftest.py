"""What benchmarks share: one folder of inputs, and the figures of the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.benchmarks.figures import Figures, write_into
from tests.benchmarks.inputs import Inputs

_README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="session")
def inputs() -> Iterator[Inputs]:
    """Inputs at the scale of CLEW_BENCH_SCALE (1 by default), removed at the end."""
    with TemporaryDirectory(prefix="clew-bench-") as folder:
        yield Inputs(Path(folder), float(os.environ.get("CLEW_BENCH_SCALE", "1")))


@pytest.fixture(scope="session")
def figures(inputs: Inputs) -> Iterator[Figures]:
    """The figures of the run.

    Their table is printed at the end, and with CLEW_BENCH_README=1 put into the README: only
    at full scale, for a budget is of full sizes.
    """
    found = Figures()
    yield found
    table = found.table()
    print(f"\n\n{table}")  # noqa: T201 - a benchmark's result is what it prints
    if table and os.environ.get("CLEW_BENCH_README") == "1":
        if inputs.scale == 1:
            write_into(_README, table)
        else:
            print(f"\nnot put into {_README.name}: the scale is {inputs.scale:g}")  # noqa: T201 - likewise
