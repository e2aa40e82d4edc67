"""A definition written as text reads back to an equal one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine import written_flows as flows
from tests.engine.cases import FIXTURES
from tests.engine.test_definition_manual import DEMO, EXAMPLES
from tests.engine.test_owed_properties import PATIENT, definition_of
from tests.engine.test_rules_in_sql import definitions

from clew.reconstruct.definition_file import Place, root
from clew.reconstruct.definition_reader import Reader
from clew.reconstruct.definition_writer import duration, written
from clew.reconstruct.definitions import Clause, Definition, Rule, duration_us, load

NAMES = st.one_of(
    st.sampled_from(
        ["yes", "null", "1", "a: b", "- a", "#a", "'a'", '"', "é", "A\x07", "\u202eB", "=", "{a}"]
    ),
    st.text(min_size=1, max_size=8).filter(lambda text: text == text.strip() and text.isprintable()),
)
OWED = [
    document["flow"]
    for path in sorted((FIXTURES / "definitions" / "owed").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]


def read(text: str) -> tuple[Definition, ...]:
    place = Place("flows.yaml", text)
    return Reader(place).definitions(root(place))


@settings(PATIENT, max_examples=100)
@given(st.one_of(flows.flows(), definitions()))
def test_what_is_written_reads_back_the_same(flow: dict[str, Any]) -> None:
    definition = definition_of(flow)
    assert read(written([definition])) == (definition,)


@given(NAMES, NAMES, NAMES, st.lists(NAMES, unique=True, max_size=3))
def test_any_name_reads_back_the_same(name: str, start: str, service: str, versions: list[str]) -> None:
    definition = Definition(name, (start,), (Rule(1, (start + "!",), service, tuple(versions)),))
    text = written([definition])
    assert read(text) == (definition,)
    assert text.replace("\n", "").isprintable()


@given(st.integers(1, 36_525 * 86_400_000_000))
def test_any_duration_reads_back_the_same(us: int) -> None:
    assert duration_us(duration(us)) == us


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_of_the_manual_reads_back_the_same(example: str) -> None:
    assert read(written(read(example))) == read(example)


@pytest.mark.parametrize("flow", OWED)
def test_every_definition_of_the_fixtures_reads_back_the_same(flow: dict[str, Any]) -> None:
    definition = definition_of(flow)
    assert read(written([definition])) == (definition,)


def test_several_stand_in_one_file_unless_they_start_alike() -> None:
    one, other = Definition("a", ("A",)), Definition("b", ("B",))
    assert read(written([one, other])) == (one, other)
    with pytest.raises(ValueError, match="do not stand together"):
        written([one, Definition("b", ("A",))])


def test_the_demos_definitions_read_as_a_person_would_write_them() -> None:
    text = written(load(DEMO))
    assert read(text) == load(DEMO)
    lines = text.splitlines()
    assert "          - {event: PaymentSucceeded, service: payment-service}" in lines
    assert "    limit: 5m" in lines
    assert "    compensations: {PaymentRefunded: PaymentSucceeded}" in lines


def test_what_no_file_can_say_is_refused() -> None:
    backwards = Definition(
        "a", ("S",), (Rule(1, ("A",), after=(Clause((2,), needs=1, when=(7,)),)), Rule(2, ("B",)))
    )
    with pytest.raises(ValueError, match="no definitions file says what a says"):
        written([backwards])
