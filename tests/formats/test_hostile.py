"""No line, whatever it holds, costs more than itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clew.collectors.formats import Settings, catalogue
from clew.collectors.formats.assembly import assembled
from clew.collectors.formats.checking import explained
from clew.collectors.formats.language import Format, Shape

FORMATS = [one for one in catalogue() if not one.rows]

HOSTILE = [
    "",
    " ",
    "\x00",
    "\ufeff{}",
    "{",
    "}",
    "null",
    "0",
    '"x"',
    "[]",
    '{"a":1}{"b":2}',
    '{"a":1} x',
    "{" * 5000,
    "[" * 20000,
    '{"a":' * 3000 + "1" + "}" * 3000,
    '{"message":"\\ud800"}',
    '{"message":"\\u0000","level":"\\u0000"}',
    '{"\\u0000":1}',
    '{"":"empty name"}',
    '{"a\\"b":1,"time":{}}',
    '{"time":1e400,"level":-1e400}',
    '{"time":9223372036854775808,"offset":9223372036854775808,"partition":2147483648,"attempt":-1}',
    '{"time":-9223372036854775808}',
    '{"time":"290309-12-22 (BC)","timestamp":"-infinity"}',
    '{"time":"294247-01-10T04:00:54.775807Z","end_time":"epoch"}',
    '{"time":true,"level":[],"message":{},"service":[{}],"trace_id":{},"headers":[1],"data":"{\\"a\\":"}',
    '{"headers":null,"data":{"headers":{"order_id":1}},"attributes":{"":{"":1}}}',
    '{"x-death":[],"headers":{"x-death":{"reason":1}}}',
    '{"time":1,"time":2,"TIME":3,"Time":4}',
    '{"log":"","stream":"stdout","time":"x"}',
    '{"log":{"a":1},"stream":"stdout","time":"2026-03-01T12:00:00Z"}',
    '{"instant":{"epochSecond":"x","nanoOfSecond":1e300}}',
    '{"instant":{"epochSecond":9223372036854775807,"nanoOfSecond":1}}',
    '{"specversion":"1.0","type":1,"source":[],"id":{},"data":null,"traceparent":"00-zz"}',
    "2026-99-99 99:99:99,999 ERROR x",
    'a=1 b= =c "=" d="open',
    'k="\\x" l="\\ud800"',
    'a,b,"c',
    "orders | | |",
    "2026-03-01T12:00:00Z stdout X broken",
    "2026-03-01T12:00:00Z stdout P never ended",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "x" * 100_000,
    "é" * 10_000,
]  # fmt: skip


def readable(format: Format) -> list[str]:
    line = next(sample.line for sample in format.samples if sample.records) if format.samples else "text"
    return line.split("\n")


def decoded(format: Format, lines: Sequence[str], *, learn: bool) -> int:
    """The number of units that were accounted for: every one, as a Record or a reject."""
    good = readable(format)
    found = explained(assembled(format, good, Settings(), learn=learn), [*good, *lines])
    assert any(one.record is not None for one in found)
    return len(found)


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("format", FORMATS, ids=lambda one: one.name)
def test_hostile_lines_cost_only_themselves(format: Format, learn: bool) -> None:  # noqa: FBT001
    count = decoded(format, HOSTILE, learn=learn)
    if format.shape is Shape.JSON and not format.inside:
        assert count == len(readable(format)) + len(HOSTILE)


LINES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=60),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.one_of(
                    st.sampled_from(["time", "level", "log", "headers", "error", "data"]), st.text(max_size=5)
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=8,
    ).map(json.dumps),
)


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(format=st.sampled_from(FORMATS), lines=st.lists(LINES, max_size=20), learn=st.booleans())
def test_no_text_stops_the_reading_of_the_others(format: Format, lines: list[str], learn: bool) -> None:  # noqa: FBT001
    decoded(format, lines, learn=learn)
