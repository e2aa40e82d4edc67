"""What holds of every definition and every flow: found by chance, compared with the definition's own nesting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.engine import written_flows as flows

from clew.reconstruct.definition_file import Place, root
from clew.reconstruct.definition_reader import Reader
from clew.reconstruct.definitions import Definition, from_json, to_json
from clew.reconstruct.owed import Event, owed

DAY = datetime(2026, 3, 1, tzinfo=UTC)
LATER = DAY + timedelta(days=1)
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def definition_of(flow: dict[str, Any]) -> Definition:
    place = Place("flows.yaml", yaml.safe_dump({"flows": {"flow": flow}}))
    (definition,) = Reader(place).definitions(root(place))
    return definition


def at(second: float) -> datetime:
    return DAY + timedelta(seconds=second)


def in_turn(names: Sequence[str]) -> list[Event]:
    """The start, then one event a second."""
    return [Event(name, at(second)) for second, name in enumerate([flows.START, *names])]


def owed_names(definition: Definition, events: Sequence[Event]) -> list[set[str]]:
    """The names of each due."""
    return [
        {definition.rules[rule - 1].events[0] for rule in due.rules}
        for due in owed(definition, events, LATER).owed
    ]


@st.composite
def flows_with_walks(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    flow = draw(flows.flows())
    return flow, draw(flows.walks(flow["steps"]))


@PATIENT
@given(st.data(), flows.flows())
def test_the_rules_say_what_the_nesting_says(data: st.DataObject, flow: dict[str, Any]) -> None:
    definition = definition_of(flow)
    names = [name for step in flows.steps(flow["steps"]) for name in flows.asked(step).names]
    told = data.draw(st.lists(st.tuples(st.sampled_from(names), st.integers(0, 30)), max_size=2 * len(names)))
    as_of = data.draw(st.integers(30, 70))
    whole = float(flow["limit"].removesuffix("s")) if "limit" in flow else float("inf")
    times: dict[str, list[float]] = {}
    for name, second in told:
        times.setdefault(name, []).append(float(second))
    stand = flows.expected(flow["steps"], times, 0.0, whole)
    wanted = []
    for needs, group in stand.dues:
        deadline = sorted((until for _, _, until in group), reverse=True)[needs - 1]
        since = min(since for _, since, _ in group)
        until = None if deadline == float("inf") else at(deadline)
        wanted.append((sorted(name for name, _, _ in group), needs, at(since), until, deadline < as_of))
    events = [Event(flows.START, DAY), *(Event(name, at(second)) for name, second in told)]
    standing = owed(definition, events, at(as_of))
    found = [
        (
            sorted(definition.rules[rule - 1].events[0] for rule in due.rules),
            due.needs,
            due.since,
            due.deadline,
            due.overdue,
        )
        for due in standing.owed
    ]
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert (standing.ended is not None) == (not wanted and flows.owes(flow["steps"]) and bool(told))


@PATIENT
@given(st.data(), flows_with_walks())
def test_the_order_in_which_events_are_given_never_matters(
    data: st.DataObject, made: tuple[dict[str, Any], list[str]]
) -> None:
    flow, walk = made
    definition = definition_of(flow)
    events = in_turn(walk[: data.draw(st.integers(0, len(walk)))])
    as_of = at(data.draw(st.integers(0, 40)))
    shuffled = data.draw(st.permutations(events))
    assert owed(definition, shuffled, as_of) == owed(definition, events, as_of)


@PATIENT
@given(flows_with_walks())
def test_a_flow_that_was_walked_to_its_end_owes_nothing(made: tuple[dict[str, Any], list[str]]) -> None:
    flow, walk = made
    standing = owed(definition_of(flow), in_turn(walk), LATER)
    assert standing.owed == ()
    assert (standing.exceeded, standing.contradicted, standing.unknown) == ((), (), ())
    if flows.owes(flow["steps"]):
        assert standing.ended is not None
        assert standing.ended.outcome == "completed"


@PATIENT
@given(flows_with_walks())
def test_every_walk_ends_with_the_good_end_that_is_written(made: tuple[dict[str, Any], list[str]]) -> None:
    flow, walk = made
    definition = definition_of(flow | {"ends": {"completed": ["Done", "Archived"], "failed": "Rejected"}})
    assert owed_names(definition, in_turn(walk)) == [{"Done"}]
    assert owed_names(definition, in_turn([*walk, "Archived"])) == []
    assert owed_names(definition, in_turn([*walk[:1], "Rejected"])) == []


@PATIENT
@given(st.data(), flows_with_walks())
def test_a_flow_that_stops_before_its_end_owes_something_that_can_go_on(
    data: st.DataObject, made: tuple[dict[str, Any], list[str]]
) -> None:
    flow, walk = made
    definition = definition_of(flow | {"ends": {"completed": "Done"}})
    length = data.draw(st.integers(0, len(walk)))
    dues = owed_names(definition, in_turn(walk[:length]))
    assert dues
    ahead = {name.removesuffix("V2") for name in [*walk[length:], "Done"]}
    assert any(due & ahead for due in dues)


@PATIENT
@given(st.data(), flows_with_walks())
def test_one_mandatory_event_that_is_lacking_is_what_is_owed(
    data: st.DataObject, made: tuple[dict[str, Any], list[str]]
) -> None:
    flow, walk = made
    assume(walk)
    definition = definition_of(flow)
    lacking = data.draw(st.integers(0, len(walk) - 1))
    name = walk[lacking].removesuffix("V2")
    rest = walk[:lacking] + walk[lacking + 1 :]
    dues = owed_names(definition, in_turn(rest))
    (rule,) = [rule for rule in definition.rules if rule.events[0] == name]
    optional = any(definition.branches[branch - 1].choice is None for branch in rule.branches)
    still = sum(one.removesuffix("V2") == name for one in rest)
    if still >= rule.at_least or rule.quorum:
        assert all(name in due for due in dues)
    elif optional:
        # Its part may now not even have begun.
        assert all(name in due for due in dues)
    else:
        assert [name in due for due in dues] == [True]


@PATIENT
@given(st.data(), flows_with_walks())
def test_a_deadline_is_exclusive(data: st.DataObject, made: tuple[dict[str, Any], list[str]]) -> None:
    flow, walk = made
    definition = definition_of(flow)
    events = in_turn(walk[: data.draw(st.integers(0, len(walk)))])
    last = max(event.time for event in events)
    for due in owed(definition, events, LATER).owed:
        if due.deadline is None:
            assert not due.overdue
            continue
        assert due.overdue
        if due.deadline >= last:
            same = [one for one in owed(definition, events, due.deadline).owed if one.rules == due.rules]
            assert [one.overdue for one in same] == [False]
            after = owed(definition, events, due.deadline + timedelta(microseconds=1)).owed
            assert [one.overdue for one in after if one.rules == due.rules] == [True]


@PATIENT
@given(flows_with_walks())
def test_what_is_unknown_changes_nothing_else(made: tuple[dict[str, Any], list[str]]) -> None:
    flow, walk = made
    definition = definition_of(flow)
    events = in_turn(walk[:-1])
    more = owed(definition, [*events, Event("Unheard", at(1))], LATER)
    assert [event.name for event in more.unknown] == ["Unheard"]
    assert more.owed == owed(definition, events, LATER).owed


@PATIENT
@given(st.data(), st.lists(st.sampled_from("ABCDEF"), unique=True, min_size=2))
def test_every_branch_of_a_choice_can_complete_it(data: st.DataObject, names: list[str]) -> None:
    branches = [[name, f"{name}2"][: data.draw(st.integers(1, 2))] for name in names]
    definition = definition_of({"start": flows.START, "steps": [{"one_of": branches}, "Last"]})
    for walk in branches:
        assert owed_names(definition, in_turn(walk)) == [{"Last"}]
        standing = owed(definition, in_turn([*walk, "Last"]), LATER)
        assert (standing.owed, standing.ended is not None) == ((), True)


@PATIENT
@given(st.data(), st.integers(1, 8))
def test_after_is_a_graph(data: st.DataObject, size: int) -> None:
    waits = {
        f"E{number}": data.draw(
            st.lists(
                st.sampled_from([flows.START, *(f"E{one}" for one in range(number))]), min_size=1, unique=True
            )
        )
        for number in range(size)
    }
    order = data.draw(st.permutations(list(waits)))
    steps = [{"event": name, "after": waits[name]} for name in order]
    definition = definition_of({"start": flows.START, "steps": steps})
    seen = data.draw(st.lists(st.sampled_from(list(waits)), unique=True))
    owed_now = {
        name for name, before in waits.items() if name not in seen and {*before} <= {flows.START, *seen}
    }
    dues = owed_names(definition, in_turn(seen))
    assert sorted(name for due in dues for name in due) == sorted(owed_now)


@PATIENT
@given(st.data(), flows.flows())
def test_definitions_are_kept_and_read_back_as_they_are(data: st.DataObject, flow: dict[str, Any]) -> None:
    ends = {"ends": {"completed": "Done", "compensated": "Undone"}, "reuse": True, "keys": ["order_id"]}
    first = flows.asked(flows.steps(flow["steps"])[0]).names[0]
    more = data.draw(st.sampled_from([{}, ends, ends | {"compensations": {"Back": first}}]))
    definition = definition_of(flow | more)
    assert from_json(to_json((definition,))) == (definition,)


@PATIENT
@given(st.data(), st.lists(st.sampled_from("ABCDEF"), unique=True, min_size=1))
def test_undoing_ends_once_every_step_that_was_seen_is_undone(data: st.DataObject, names: list[str]) -> None:
    back = {f"{name}Undone": name for name in names}
    definition = definition_of({"start": flows.START, "steps": names, "compensations": back})
    seen = names[: data.draw(st.integers(1, len(names)))]
    undone = data.draw(st.lists(st.sampled_from(seen), unique=True, min_size=1))
    standing = owed(definition, in_turn([*seen, *(f"{name}Undone" for name in undone)]), LATER)
    assert standing.undoing is not None
    left = {definition.rules[rule - 1].events[0] for rule in standing.undoing.left}
    assert left == set(seen) - set(undone)
    dues = [definition.rules[due.rules[0] - 1].events[0] for due in standing.owed]
    assert sorted(dues) == sorted(f"{name}Undone" for name in left)
    assert (standing.ended is not None) == (not left)
