"""What the engine's SQL says of many flows at once is what the reference says of each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine import written_flows as flows
from tests.engine.rules_in_sql import LIMIT_US, dues
from tests.engine.test_owed_properties import DAY, LATER, PATIENT, at, definition_of

from clew.reconstruct.definitions import Definition
from clew.reconstruct.owed import Due, Event, Limits, Standing, owed

OTHER = definition_of({"start": "Other", "steps": ["E1", {"one_of": ["E2", "E3"]}], "ends": {"failed": "E4"}})
"""A definition that shares names with the others, and starts no flow of theirs."""


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def plain(time: datetime | None) -> datetime | None:
    return time and time.replace(tzinfo=None)


def reference(definition: Definition, events: Sequence[Event]) -> set[tuple[Any, ...]]:
    standing = owed(definition, events, LATER, LIMIT_US)
    return {
        (due.rules, due.needs, plain(due.since), plain(due.deadline))
        for due in standing.owed or left_undone(definition, standing, LATER)
    }


def left_undone(definition: Definition, standing: Standing, as_of: datetime) -> list[Due]:
    """What a flow that ended half undone leaves to undo: told, though nothing is owed after an end."""
    if standing.undoing is None or standing.started is None:
        return []
    limits = Limits(definition.limit_us, LIMIT_US, standing.started, as_of)
    groups = [
        [rule for rule in definition.rules if number in rule.undoes] for number in standing.undoing.left
    ]
    return [limits.due(rules, 1, [standing.undoing.last] * len(rules)) for rules in groups]


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """Flow types with ends, undoings (among the steps and not) and steps beside the list's order."""
    flow = draw(flows.flows())
    names = [flows.asked(step).names[0] for step in flows.steps(flow["steps"])]
    if draw(st.booleans()):
        flow["ends"] = {"completed": "Done", "compensated": draw(st.sampled_from(["Undone", "Back1"]))}
    among_steps = draw(st.booleans())
    undone = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    flow["compensations"] = {f"Back{number}": name for number, name in enumerate(undone, 1)}
    if undone and among_steps:
        flow["steps"] = [*flow["steps"], {"one_of": ["Good", ["Bad", {"event": "Back1", "limit": "5s"}]]}]
    return flow


@settings(PATIENT, max_examples=60)
@given(st.data(), definitions())
def test_sql_says_what_the_reference_says(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject, flow: dict[str, Any]
) -> None:
    definition = definition_of(flow)
    names = sorted({event for rule in definition.rules for event in rule.events} | {flows.START})
    some = st.lists(st.tuples(st.sampled_from(names), st.integers(0, 20)), max_size=8)
    walk = flows.walks(flow["steps"]).map(lambda walk: list(zip(walk, range(1, 99), strict=False)))
    made = data.draw(
        st.lists(
            st.one_of(some, walk, st.tuples(walk, some).map(lambda two: two[0] + two[1])),
            min_size=8,
            max_size=20,
        )
    )
    told = [
        [Event(flows.START, DAY), *(Event(name, at(second)) for name, second in events)] for events in made
    ]
    assert dues(connection, [OTHER, definition], told) == [reference(definition, events) for events in told]
