"""What a flow does otherwise than its definition says is told, each thing of its kind, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine import written_flows as flows
from tests.engine.fitting_in_sql import fitted
from tests.engine.rules_in_sql import LIMIT_US
from tests.engine.test_owed_properties import DAY, LATER, PATIENT, at, definition_of
from tests.engine.test_rules_in_sql import OTHER, definitions

from clew.reconstruct.definitions import Definition
from clew.reconstruct.owed import Event, owed
from clew.reconstruct.reports import Fitness, Misfit

Found = set[tuple[str, str | None, str | None]]
ORDER: dict[str, Any] = {
    "start": "Placed",
    "steps": [
        {"event": "Paid", "limit": "10s", "service": "pay"},
        {"one_of": [{"event": "Reserved", "repeats": {"at_most": 2}}, ["Rejected", "Refunded"]]},
        {"event": "Gift", "optional": True},
        "Shipped",
    ],
    "ends": {"completed": "Done", "failed": "Lost"},
    "compensations": {"Refunded": "Paid"},
    "limit": "60s",
}
WELL = "Placed@0 Paid@1 Reserved@2 Shipped@3 Done@4"


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def history(told: str) -> list[Event]:
    """``Placed@0 Paid@1``: events with their seconds; payments are told by the payment service."""
    events = [one.split("@") for one in told.split()]
    return [Event(name, at(float(second)), "pay" if name == "Paid" else "shop") for name, second in events]


def found(fitness: Fitness) -> Found:
    return {(str(one.kind), one.step, one.other) for one in fitness.deviations}


@pytest.mark.parametrize(
    ("told", "deviations"),
    [
        (WELL, set()),
        ("Placed@0 Paid@1 Rejected@2 Refunded@3", set()),
        ("Placed@0 Paid@1 Reserved@2 Reserved@2.5 Gift@3 Shipped@4 Done@5", set()),
        ("Placed@0 Lost@1", set()),
        ("Placed@0", {("missing", "Paid", None)}),
        ("Placed@0 Paid@1", {("missing", "Reserved or Rejected", None)}),
        ("Placed@0 Paid@1 Reserved@2 Done@4", {("missing", "Shipped", None)}),
        ("Placed@0 Paid@1 Lost@2 Refunded@3", set()),
        ("Placed@0 Paid@1 Rejected@2 Done@3", {("missing", "Refunded", None)}),
        (WELL + " Called@3.5", {("unexpected", "Called", None)}),
        ("Placed@0 Reserved@1 Paid@2 Shipped@3 Done@4", {("order", "Reserved", "Paid")}),
        ("Paid@0 Placed@1 Reserved@2 Shipped@3 Done@4", {("order", "Paid", "Placed")}),
        ("Placed@0 Paid@1 Reserved@2 Shipped@3 Gift@3.5 Done@4", {("order", "Shipped", "Gift")}),
        (WELL.replace("Shipped@3", "Shipped@5"), {("after_end", "Shipped", "Done")}),
        (WELL + " Reserved@2.2 Reserved@2.4", {("repeats", "Reserved", None)}),
        (WELL + " Rejected@2.2", {("choice", "Reserved", "Rejected"), ("missing", "Refunded", None)}),
        (WELL.replace("Paid@1", "Paid@10.5").replace("Reserved@2", "Reserved@11").replace("Shipped@3", "Shipped@12")
         .replace("Done@4", "Done@13"), {("late", "Paid", None)}),
        (WELL.replace("Done@4", "Done@61"), {("late", None, None)}),
    ],
)  # fmt: skip
def test_each_deviation_is_told_as_what_it_is(
    connection: duckdb.DuckDBPyConnection, told: str, deviations: Found
) -> None:
    (fitness,) = fitted(connection, [definition_of(ORDER)], [history(told), history(WELL)], LATER)
    assert found(fitness) == deviations
    assert (fitness.flows, fitness.fits) == (2, 1 if deviations else 2)
    assert {one.example for one in fitness.deviations} <= {"f0"}


def test_an_event_of_a_service_that_is_not_asked_counts_for_nothing_and_is_told(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    strange = [event._replace(service="audit") for event in history(WELL)]
    (fitness,) = fitted(connection, [definition_of(ORDER)], [strange], LATER)
    assert found(fitness) == {("missing", "Paid", None), ("unexpected", "Paid", "audit")}


def test_what_is_not_due_yet_is_no_deviation(connection: duckdb.DuckDBPyConnection) -> None:
    told = [history("Placed@0 Paid@1"), history("Placed@0"), history(WELL)]
    (fitness,) = fitted(connection, [definition_of(ORDER)], told, at(10))
    assert (fitness.fits, fitness.going_on) == (3, 2)
    (fitness,) = fitted(connection, [definition_of(ORDER)], told, at(10.1))
    assert (fitness.fits, fitness.going_on) == (2, 2)
    assert [(one.step, one.flows, one.share) for one in fitness.deviations] == [("Paid", 1, 1 / 3)]


def test_what_is_ignored_is_told_and_counts_against_no_flow(connection: duckdb.DuckDBPyConnection) -> None:
    told = [history(WELL + " Called@5"), history(WELL + " Called@5 Reserved@2.2 Reserved@2.4")]
    (fitness,) = fitted(connection, [definition_of(ORDER)], told, LATER, [Misfit.UNEXPECTED])
    assert (fitness.fits, fitness.fitness) == (1, 0.5)
    assert [(str(one.kind), one.flows) for one in fitness.deviations] == [("unexpected", 2), ("repeats", 1)]


def test_flows_belong_to_the_definition_with_whose_start_they_begin(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    told = [history(WELL), history("Other@0 E1@1 E4@2"), history("Nobody@0 Paid@1")]
    order, other = fitted(connection, [definition_of(ORDER), OTHER], told, LATER)
    assert (order.flows, order.fits, other.flows, other.fits) == (1, 1, 1, 1)
    (none,) = fitted(connection, [OTHER], told[2:], LATER)
    assert (none.flows, none.fitness, none.deviations) == (0, None, ())


def test_no_more_than_a_thousand_deviations_are_told(connection: duckdb.DuckDBPyConnection) -> None:
    told = [[*history(WELL), *(Event(f"Job{n}", at(3)) for n in range(1_200))]]
    (fitness,) = fitted(connection, [definition_of(ORDER)], told, LATER)
    assert (len(fitness.deviations), fitness.truncated) == (1_000, 200)


def reference(definition: Definition, events: Sequence[Event]) -> Found:
    """What the rules' meaning in Python tells of the kinds that it knows."""
    standing = owed(definition, events, LATER, LIMIT_US)
    if (
        standing.ended
        and standing.ended.event
        and standing.ended.outcome == "completed"
        and not standing.undoing
    ):
        ends = {event for event, outcome in definition.ends if outcome == "completed"}
        beside = [event for event in events if event.name not in ends]
        last = Event(standing.ended.event, standing.ended.time)
        bare = definition.__class__(
            definition.name, definition.start, definition.rules, definition.branches, (), definition.limit_us
        )
        standing = owed(bare, [*beside, last], LATER, LIMIT_US)
    rules = {rule.number: rule.events[0] for rule in definition.rules}
    return {
        *(("missing", " or ".join(rules[one] for one in due.rules), None) for due in standing.owed if due.needs == 1),
        *(("unexpected", event.name, None) for event in owed(definition, events, LATER).unknown),
        *(("repeats", rules[number], None) for number in standing.exceeded),
    }  # fmt: skip


@settings(PATIENT, max_examples=25)
@given(st.data(), definitions())
def test_sql_tells_what_the_reference_tells(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject, flow: dict[str, Any]
) -> None:
    definition = definition_of(flow)
    names = sorted({event for rule in definition.rules for event in rule.events} | {"Unheard", "Done"})
    some = st.lists(st.tuples(st.sampled_from(names), st.integers(0, 20)), max_size=8)
    walk = flows.walks(flow["steps"]).map(lambda walk: list(zip(walk, range(1, 99), strict=False)))
    made = [
        [Event(flows.START, DAY), *(Event(name, at(second)) for name, second in events)]
        for events in data.draw(st.lists(st.one_of(some, walk), min_size=8, max_size=16))
    ]
    # What is owed while undoing is told in groups of another shape: rules_in_sql compares those.
    told = [events for events in made if owed(definition, events, LATER).undoing is None]
    (fitness,) = fitted(connection, [definition], told, LATER)
    wanted = Counter(one for events in told for one in reference(definition, events))
    kinds = {kind for kind, _, _ in wanted} | {"missing", "unexpected", "repeats"}
    assert {
        (str(one.kind), one.step, one.other): one.flows
        for one in fitness.deviations
        if one.kind in kinds and " of " not in (one.step or "")
    } == wanted
    both = sum(bool(owed(definition, events, LATER).contradicted) for events in told)
    assert (sum(one.flows for one in fitness.deviations if one.kind == "choice") > 0) == (both > 0)


@settings(PATIENT, max_examples=25)
@given(st.data(), flows.flows())
def test_a_walk_that_a_definition_allows_fits_it(
    connection: duckdb.DuckDBPyConnection, data: st.DataObject, flow: dict[str, Any]
) -> None:
    definition = definition_of({name: entry for name, entry in flow.items() if name != "limit"})
    walks = data.draw(st.lists(flows.walks(flow["steps"]), min_size=4, max_size=8))
    told = [
        [Event(flows.START, DAY), *(Event(name, at(1 + n / 100)) for n, name in enumerate(walk))]
        for walk in walks
    ]
    (fitness,) = fitted(connection, [definition], told, LATER)
    assert found(fitness) == set()
    assert fitness.fits == len(walks)
