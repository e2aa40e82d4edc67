"""The short way that a sample teaches must give what the full way gives, whatever the lines hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clew.collectors.formats import Settings, catalogue, named, recognise
from clew.collectors.formats.assembly import assembled
from clew.collectors.formats.checking import explained

NAMES = (
    "timestamp", "time", "level", "severity", "message", "msg", "service", "correlation_id", "correlationId",
    "order_id", "request_id", "trace_id", "event_type", "trace", "id", "error", "type", "headers", "x-death",
    "reason", "attributes", "data", "messaging.system", "messaging", "destination", "partition", "extra", "é", "a b",
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        ["", "x", "INFO", "warn", "2026-03-01T12:00:00Z", "ABCDEF0123456789", '{"a":1}', 'say "hi"\n']
    ),
    st.text(max_size=6),
)
SCALARS = st.one_of(
    TEXTS, st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=8)
STYLES = st.sampled_from([(",", ":"), (", ", ": "), (",", ": ")])


@st.composite
def inputs(draw: st.DrawFn) -> list[str]:
    """Lines of a few loggers: objects that share their members' names, and some that do not."""
    separators = draw(STYLES)
    ascii_only = draw(st.booleans())
    known = draw(st.lists(OBJECTS, min_size=1, max_size=3))
    lines = []
    for _ in range(draw(st.integers(2, 12))):
        made = dict(draw(st.sampled_from(known)))
        for name in draw(st.sets(st.sampled_from(sorted(made)), max_size=2)):
            made[name] = draw(VALUES)
        if draw(st.integers(0, 4)) == 0:
            made |= draw(OBJECTS)
        lines.append(json.dumps(made, separators=separators, ensure_ascii=ascii_only))
    if draw(st.integers(0, 5)) == 0:
        lines.append(
            draw(st.sampled_from(["", "{", "[]", '{"a":1}x', '{"time":1,"time":2}', "null", ' {"msg":"x"} ']))
        )
    return lines


def records(format: str, lines: Sequence[str], sample: Sequence[str]) -> list[Any]:
    (one,) = (one for one in catalogue() if one.name == format)
    found = explained(assembled(one, sample, Settings(), learn=True), lines)
    for line in found:
        if line.record and "keys" in line.record:
            line.record["keys"] = {name: without_nulls(text) for name, text in line.record["keys"].items()}
    return found


def without_nulls(text: str) -> Any:
    """An ID that is an object is none; only then may nulls within it be dropped."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return bare(value) if isinstance(value, dict) else text


def bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: bare(inner) for name, inner in value.items() if inner is not None}
    return value


# Shrinking takes minutes here: each example plans two SELECTs of hundreds of expressions.
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(lines=inputs(), learned=st.integers(1, 12), format=st.sampled_from(["json", "clew", "ecs"]))
def test_a_sample_changes_no_record(lines: list[str], learned: int, format: str) -> None:
    assert records(format, lines, lines[:learned]) == records(format, lines, [])


@pytest.mark.parametrize("name", ["", "\ud800", "a\x00b", "a\nb", "\x7f", "'", "a b", "\u2028", "é", "💥"])
def test_a_member_of_any_name_is_kept(name: str) -> None:
    line = json.dumps({"level": "info", "msg": "m", name: "x", "deep": {name: {name: 1}}})
    lines = [line] * 200
    found = explained(recognise(lines), lines)
    (full,) = explained(assembled(named("json"), [], Settings()), [line])
    assert found[0].record == full.record
    assert len(found) == 200
