"""Definitions from what flows did: what is owed, what may come, and what is left unsaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine import written_flows as flows
from tests.engine.test_owed_properties import LATER, PATIENT, in_turn

from clew.reconstruct.definition_writer import written
from clew.reconstruct.definitions import Definition
from clew.reconstruct.learned import Asked, LearnedEnd, LearnedStep, LearnedType, Model, changes
from clew.reconstruct.learning.evidence import Evidence, Milestone, Pair
from clew.reconstruct.learning.outcomes import outcome_of
from clew.reconstruct.learning.synthesis import Draft, drafted, least_share
from clew.reconstruct.owed import owed

Trace = tuple[str, ...]


def evidence_of(traces: Sequence[tuple[Trace, int]], causes: dict[str, str] | None = None) -> Evidence:
    """What is counted of traces, each so many times; ``causes`` tells effect → cause of whichever is there."""
    causes = causes or {}
    names = sorted({name for trace, _ in traces for name in trace})
    number = {name: nth for nth, name in enumerate([flows.START, *(name for name in names)], 1)}
    having, sets, known = Counter[int](), Counter[frozenset[int]](), Counter[int]()
    pairs: dict[tuple[int, int], list[int]] = {}
    times: dict[int, Counter[int]] = {}
    for trace, many in traces:
        whole = (flows.START, *trace)
        first = {number[name]: whole.index(name) for name in whole}
        sets[frozenset(first)] += many
        for one in first:
            having[one] += many
        for name, often in Counter(whole).items():
            times.setdefault(number[name], Counter())[often] += many
        for effect, cause in causes.items():
            if effect in whole and cause in whole:
                known[number[effect]] += many
        for x, at_x in first.items():
            for y, at_y in first.items():
                if x != y:
                    pair = pairs.setdefault((x, y), [0, 0, 0, 0])
                    caused = any(
                        number[cause] == x and number[effect] == y for effect, cause in causes.items()
                    )
                    pair[0] += many
                    pair[1] += many * (at_x < at_y or caused)
                    pair[2] += many * caused
    milestones = {}
    for name, one in number.items():
        if having[one]:
            often, same = max(times[one].items(), key=lambda item: item[1])
            milestones[one] = Milestone(one, name, None, having[one], often, same / having[one])
    whole_count = sum(many for _, many in traces)
    return Evidence(
        name="flow",
        start=number[flows.START],
        flows=whole_count,
        settled=whole_count,
        milestones=milestones,
        sets=tuple(sorted(sets.items(), key=lambda one: (-one[1], sorted(one[0])))),
        pairs={key: Pair(*counts) for key, counts in pairs.items()},
        causes=dict(known),
    )


def learned(
    traces: Sequence[tuple[str, int]], causes: dict[str, str] | None = None, support: int = 30
) -> str:
    """The steps and ends of what is learned of traces such as ``A B C``, as its file has them."""
    draft = drafted(evidence_of([(tuple(trace.split()), many) for trace, many in traces], causes), support)
    if draft.definition is None:
        return draft.silent
    lines = written([draft.definition]).splitlines()[3:]
    return "\n".join(line.removeprefix("    ") for line in lines)


def test_a_sequence_with_flows_that_stopped_halfway_is_a_sequence() -> None:
    assert learned([("A B C", 90), ("A B", 5), ("A", 5)]) == ("steps: [A, B, C]\nends: {completed: C}")


def test_a_step_that_some_go_past_without_may_come() -> None:
    assert learned([("A B C", 60), ("A C", 40)]) == (
        "steps:\n  - A\n  - {event: B, optional: true}\n  - C\nends: {completed: C}"
    )


def test_a_record_lost_here_and_there_makes_no_step_optional() -> None:
    assert learned([("A B C", 97), ("A C", 1), ("B C", 2)]) == "steps: [A, B, C]\nends: {completed: C}"


def test_ways_that_never_meet_are_a_choice_and_each_may_end_the_flow() -> None:
    assert learned([("Paid Sent", 60), ("Declined OrderRejected", 40)]) == (
        "steps:\n  - one_of:\n      - [Paid, Sent]\n      - [Declined, OrderRejected]\n"
        "ends: {completed: Sent, failed: OrderRejected}"
    )


def test_after_an_alternative_of_few_flows_nothing_is_owed() -> None:
    assert learned([("Paid Sent", 90), ("Declined OrderRejected", 8)]) == (
        "steps:\n  - one_of:\n      - [Paid, Sent]\n      - - Declined\n"
        "        - {event: OrderRejected, optional: true}\n"
        "ends: {completed: Sent, failed: OrderRejected}"
    )


def test_to_cancel_is_an_end_and_never_owed() -> None:
    assert learned([("Paid Sent", 90), ("OrderCancelled", 8)]) == (
        "steps: [Paid, Sent]\nends: {completed: Sent, cancelled: OrderCancelled}"
    )


def test_where_more_than_a_fifth_go_no_further_going_on_is_not_owed() -> None:
    assert learned([("A B C", 70), ("A", 30)]) == "steps:\n  - A\n  - optional: [B, C]\nends: {completed: C}"


def test_both_orders_are_parallel_and_what_follows_waits_for_both() -> None:
    assert learned([("A B C", 50), ("B A C", 50)]) == "steps:\n  - all: [A, B]\n  - C\nends: {completed: C}"


def test_one_order_by_time_alone_is_no_order_where_causes_are_told() -> None:
    causes = {"A": flows.START, "B": flows.START, "C": "B"}
    assert learned([("A B C", 100)], causes) == "steps:\n  - all:\n      - A\n      - [B, C]"
    assert learned([("A B C", 100)]) == "steps: [A, B, C]\nends: {completed: C}"


def test_a_skewed_clock_does_not_turn_cause_and_effect_round() -> None:
    causes = {"A": flows.START, "B": "A", "C": "B"}
    assert learned([("A C B", 40), ("A B C", 60)], causes) == "steps: [A, B, C]\nends: {completed: C}"


def test_a_way_that_leads_out_of_parallel_parts_is_a_choice_within_them() -> None:
    begun = dict.fromkeys(("A", "B", "BFailed"), flows.START)
    ways = [("A B C", 60), ("B A C", 60), ("A BFailed AllRejected", 40), ("BFailed AllRejected A", 40)]
    assert learned(ways, begun | {"AllRejected": "BFailed", "C": "B"}) == (
        "steps:\n  - all:\n      - A\n      - one_of:\n          - [B, C]\n          - [BFailed, AllRejected]\n"
        "ends: {completed: C, failed: AllRejected}"
    )


def test_parts_of_a_fixed_number_are_owed_in_that_number() -> None:
    assert learned([("Part Part Part Merged", 95), ("Part Merged", 5)]) == (
        "steps:\n  - {event: Part, repeats: {at_least: 3}}\n  - Merged\nends: {completed: Merged}"
    )
    assert learned([("Part Part Part Merged", 55), ("Part Merged", 45)]) == (
        "steps: [Part, Merged]\nends: {completed: Merged}"
    )


@pytest.mark.parametrize(
    ("traces", "words"),
    [
        ([("A", 10)], "10 settled flows; 30 are asked for"),
        ([("", 100)], "no event follows its start"),
        (
            [(one, 10) for one in ("A B", "B C A", "C D", "D A", "B D", "E A D", "F C E")],
            "its flows have no step in common, and no end",
        ),
    ],
)
def test_where_nothing_can_be_said_the_reason_is(traces: list[tuple[str, int]], words: str) -> None:
    assert learned(traces) == words


@settings(PATIENT, max_examples=60)
@given(st.data(), flows.flows())
def test_no_flow_that_was_learned_from_owes_anything(data: st.DataObject, flow: dict[str, Any]) -> None:
    """Each went to the same end; a tenth of them more stopped halfway, and that changes nothing."""
    walks = data.draw(st.lists(flows.walks(flow["steps"]), min_size=1, max_size=6))
    whole = [((*walk, "Over"), 100) for walk in walks]
    definition = certain(drafted(evidence_of(whole), 30))
    assert definition.ends[-1:] == (("Over", "completed"),)
    for trace, _ in whole:
        standing = owed(definition, in_turn(list(trace)), LATER)
        assert standing.owed == ()
        assert standing.ended is not None
    stopped = [(trace[: len(trace) // 2], 100 // 12) for trace, _ in whole]
    assert certain(drafted(evidence_of([*whole, *stopped]), 30)).ends[-1:] == (("Over", "completed"),)


def certain(draft: Draft) -> Definition:
    assert draft.definition is not None, draft.silent
    return draft.definition


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ("OrderCompleted", "completed"),
        ("OrderRejected", "failed"),
        ("order.cancelled", "cancelled"),
        ("ORDER_REFUNDED", "compensated"),
        ("order-timed-out", "failed"),
        ("PaymentTimedOut", "failed"),
        ("HTTPRequestTimeout", "failed"),
        ("saga_rolled_back", "compensated"),
        ("Unfailed", "completed"),
    ],
)
def test_what_an_end_means_its_words_tell(event: str, outcome: str) -> None:
    assert outcome_of(event) == outcome


def test_a_share_of_few_is_less_sure_than_the_same_of_many() -> None:
    assert least_share(0, 0) == 0
    assert 0.56 < least_share(5, 5) < 0.57
    assert 0.99 < least_share(1000, 1000) < 1
    assert least_share(50, 100) < 0.5


def test_what_is_new_is_told_in_a_few_words() -> None:
    def model(number: int, *types: LearnedType) -> Model:
        from datetime import UTC, datetime

        return Model(number, datetime(2026, 3, 1, tzinfo=UTC), "1", Asked(), types, current=True)

    def type_of(name: str, *steps: LearnedStep, end: str = "C") -> LearnedType:
        definition = Definition(name, ("S",), limit_us=sum(step.limit_us or 0 for step in steps), keys=(end,))
        ends = (LearnedEnd(end, "completed", 9, 1.0),)
        return LearnedType(name, "S", 9, 9, 1.0, definition, "", steps, ends, None, 1)

    def step(event: str, limit_us: int | None = 100, *, owed: bool = True) -> LearnedStep:
        return LearnedStep(event, None, 9, 9, 1.0, 0.9, owed, limit_us, None)

    first = model(1, type_of("a", step("A"), step("B"), step("C")), type_of("b", step("A")))
    assert changes(None, first) == {"a": ("new",), "b": ("new",)}
    assert changes(first, first) == {"a": (), "b": ()}
    second = model(2, type_of("a", step("A", 150), step("C", owed=False), step("D"), end="D"), type_of("c"))
    assert changes(first, second) == {
        "a": ("+D", "-B", "C no more owed", "A may take longer", "end C", "end D"),
        "c": ("new",),
        "b": ("gone",),
    }
