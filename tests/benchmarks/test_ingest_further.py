"""A further batch costs what it holds, not what the store holds."""

from __future__ import annotations

from functools import partial

import pytest
from tests.benchmarks.figures import Figure, Figures
from tests.benchmarks.inputs import FURTHER, FURTHER_PARTS, Inputs
from tests.benchmarks.measuring import Run, alternate, ratio, seconds

pytestmark = pytest.mark.bench


def test_further_lines_into_a_large_store_against_a_small_one(inputs: Inputs, figures: Figures) -> None:
    large, small = 5_000_000, 50_000
    for count in (large, small):
        inputs.store(count)
    sides = {str(count): partial(_further, inputs, count) for count in (large, small)}
    runs = alternate(inputs.rounds(FURTHER_PARTS), sides)
    value, detail = ratio(seconds(runs[str(large)]), seconds(runs[str(small)]))
    name = (
        f"`clew ingest` of a further {inputs.named(FURTHER)} lines "
        f"into {inputs.named(large)} / into {inputs.named(small)}"
    )
    figures.add(Figure(name, value, 1.5, detail))


def _further(inputs: Inputs, count: int, number: int) -> Run:
    """Ingest the next part; the store grows by it, so that each round is as new as the first."""
    part = inputs.lines(count).further[number]
    done, said = inputs.ingest(inputs.store(count).path, part)
    assert said["new"] == said["records"] == inputs.scaled(FURTHER, 10)
    return done
