"""A document costs only itself, whatever stands at whatever place of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random

import pyarrow as pa
import pytest
from tests.fuzz.inputs import VALUES, parsed, places
from tests.fuzz.invariants import Decoding

from clew.collectors.formats import catalogue, plan
from clew.collectors.formats.language import Format

NESTED = [one for one in catalogue() if one.rows]


def spoilt(line: str) -> Iterator[str]:
    """The document with one node replaced by what does not belong there, or taken out: a dozen for each node."""
    document = parsed(line)
    random = Random(1)
    for place, (inside, key) in enumerate(places(document)):
        for value in random.sample(VALUES, 12):
            whole = inside[key]
            inside[key] = value
            yield json.dumps(document, separators=(",", ":"))
            inside[key] = whole
        changed = copy.deepcopy(document)
        outer, at = places(changed)[place]
        del outer[at]
        yield json.dumps(changed, separators=(",", ":"))


@pytest.mark.parametrize("format", NESTED, ids=lambda one: one.name)
def test_a_document_costs_only_itself(format: Format) -> None:
    good = next(sample.line for sample in format.samples if sample.records)
    units = [one for sample in format.samples if sample.records for one in spoilt(sample.line)]
    units = list(dict.fromkeys([good, *units, good]))
    made = plan(format.name, [good])
    raw = pa.table({"line": pa.array(units, pa.string()), "position": range(len(units))})
    found = Decoding.of(made.select, raw, made.format, rowwise=True)
    assert any(row["position"] == 0 and row["reject"] is None for row in found.rows)
    found.check()
