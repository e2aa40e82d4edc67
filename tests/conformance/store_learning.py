"""Learning: models from what is stored, and what judging by them changes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.conformance.records import at, batch, log, span
from tests.conformance.store_case import Open, StoreCase

from clew.reconstruct.definitions import Definition, Rule
from clew.reconstruct.learned import Asked, learned_type
from clew.reconstruct.model import Flow, FlowFilter, Settings, Status
from clew.reconstruct.store import Store

WAY = ("Placed", "Paid", "Packed", "Sent")
FEW = Asked(support=20, floor_us=1_000_000)
SECOND = 1_000_000
LATE = 10_000
"""When the clock of all that is stored ends: long after every flow."""


def flow(name: str, begin: float, *events: str, apart: float = 1.0) -> Iterator[dict[str, Any]]:
    """A flow whose events come ``apart`` seconds after each other, each caused by the one before."""
    for nth, event in enumerate(events):
        yield log(
            begin + nth * apart,
            name=event,
            service=f"{event.lower()}-service",
            correlation_id=name,
            correlation_key="correlation_id",
            event_id=f"{name}-{event}",
            causation_id=f"{name}-{events[nth - 1]}" if nth else None,
        )


def clock() -> dict[str, Any]:
    """A record of another flow that moves as-of far ahead."""
    return log(LATE, name="Tick", correlation_id="clock", correlation_key="correlation_id")


def orders(number: int = 50) -> list[dict[str, Any]]:
    """As many flows that went the whole way, and one that stopped after it was paid."""
    rows = [row for nth in range(number) for row in flow(f"order-{nth}", nth * 10, *WAY)]
    return [*rows, *flow("stopped", 600, *WAY[:2]), clock()]


def by_id(store: Store) -> dict[str, Flow]:
    return {one.flow_id: one for one in store.flows(FlowFilter())}


def filled(store: Store, rows: list[dict[str, Any]] | None = None) -> Store:
    store.write(batch(orders() if rows is None else rows))
    store.release()
    return store


class LearningConformance(StoreCase):
    """Models, limits, support, written definitions, snapshots."""

    def test_nothing_is_learned_of_nothing(self, store: Store) -> None:
        model = store.learn(FEW)
        assert (model.number, model.types, model.definitions) == (1, (), ())
        assert store.models() == [model]
        assert store.transitions() == []
        assert store.definitions() == ()

    def test_what_flows_do_is_owed_by_the_one_that_stopped(self, store: Store) -> None:
        filled(store)
        before = by_id(store)
        assert before["stopped"].status is Status.IN_PROGRESS
        assert before["stopped"].cause == "unknown_end"
        model = store.learn(FEW)
        (definition,) = model.definitions
        assert definition.start == ("Placed",)
        assert [rule.events[0] for rule in definition.rules] == list(WAY[1:])
        assert definition.ends == (("Sent", "completed"),)
        now = by_id(store)
        assert (now["stopped"].status, now["stopped"].cause) == (Status.STUCK, "never_published")
        assert now["stopped"].owed is not None
        assert (now["stopped"].owed.name, now["stopped"].owed.service) == ("Packed", "packed-service")
        assert now["stopped"].type == before["stopped"].type
        assert now["order-7"].status is Status.COMPLETED
        assert now["clock"] == before["clock"]

    def test_a_limit_is_three_times_the_99th_percentile_and_never_below_the_floor(self, store: Store) -> None:
        filled(store)
        (definition,) = store.learn(FEW, keep=False).definitions
        assert [rule.limit_us for rule in definition.rules] == [3 * SECOND] * 3
        assert definition.limit_us == 9 * SECOND
        (definition,) = store.learn(Asked(support=20, floor_us=7 * SECOND), keep=False).definitions
        assert [rule.limit_us for rule in definition.rules] == [7 * SECOND] * 3

    def test_below_the_support_nothing_is_said(self, store: Store) -> None:
        filled(store)
        (one, *_) = store.learn(Asked(support=100)).types
        assert (one.definition, one.settled) == (None, 51)
        assert "100" in one.silent
        assert by_id(store)["stopped"].cause == "unknown_end"

    def test_an_alternative_of_few_flows_is_known_and_what_follows_it_is_not_owed(self, store: Store) -> None:
        few = [
            row for nth in range(5) for row in flow(f"no-{nth}", 700 + nth, "Placed", "Declined", "Refused")
        ]
        filled(store, [*orders(), *few, *flow("astray", 800, "Placed", "Declined")])
        store.learn(FEW)
        now = by_id(store)
        assert now["no-1"].status is Status.FAILED, "its name tells what an end means"
        assert (now["astray"].status, now["astray"].owed) == (Status.IN_PROGRESS, None)
        assert now["stopped"].status is Status.STUCK

    def test_events_in_both_orders_are_parallel_and_a_join_waits_for_both(self, store: Store) -> None:
        rows: list[dict[str, Any]] = []
        for nth in range(60):
            first, second = ("A", "B") if nth % 2 else ("B", "A")
            rows += flow(f"join-{nth}", nth * 10, "Begun", first, second, "Joined")
        rows = [{**row, "causation_id": None} for row in rows]
        filled(store, [*rows, clock()])
        (definition,) = store.learn(FEW).definitions
        after = {
            rule.events[0]: {one for clause in rule.after for one in clause.rules}
            for rule in definition.rules
        }
        assert after["A"] == after["B"] == set()
        assert len(after["Joined"]) == 2

    def test_spans_tell_what_led_to_what_where_no_event_names_its_cause(self, store: Store) -> None:
        """A is always before B, and one message led to both: neither waits for the other."""
        rows: list[dict[str, Any]] = []
        for nth in range(30):
            trace, begin = f"t-{nth}", nth * 10
            rows.append(span(begin, begin + 0.1, trace, f"{nth}-0", name="Begun", operation="send"))
            for name, later in (("A", 1), ("B", 3)):
                work = span(begin + later, begin + later + 1, trace, f"{nth}-{name}", f"{nth}-0", name="work")
                rows += [
                    {**work, "operation": "process", "service": name},
                    span(
                        begin + later + 0.5,
                        begin + later + 0.6,
                        trace,
                        f"{nth}-{name}-sent",
                        f"{nth}-{name}",
                        name=name,
                        operation="send",
                        service=name,
                    ),
                ]
        (definition,) = filled(store, [*rows, clock()]).learn(FEW).definitions
        called = {rule.number: f"{rule.events[0]} of {rule.service}" for rule in definition.rules}
        assert {
            called[rule.number]: [called[one] for clause in rule.after for one in clause.rules]
            for rule in definition.rules
        } == {"work of A": [], "A of A": ["work of A"], "work of B": [], "B of B": ["work of B"]}

    def test_a_fixed_number_of_parts_is_owed(self, store: Store) -> None:
        rows: list[dict[str, Any]] = []
        for nth in range(40):
            made = list(flow(f"fan-{nth}", nth * 10, "Split", "Part", "Merged"))
            more = [
                {**made[1], "event_id": f"fan-{nth}-part-{part}", "time": at(nth * 10 + 1.5)}
                for part in range(2)
            ]
            rows += [*made, *more]
        (definition,) = filled(store, [*rows, clock()]).learn(FEW).definitions
        assert [(rule.events[0], rule.at_least) for rule in definition.rules] == [("Part", 3), ("Merged", 1)]

    def test_models_are_numbered_and_an_earlier_one_can_be_used_again(self, store: Store) -> None:
        filled(store)
        first, second = store.learn(FEW), store.learn(Asked(support=1000))
        assert [(model.number, model.current) for model in store.models()] == [(2, True), (1, False)]
        assert store.models()[1].types == first.types
        assert second.definitions == ()
        assert by_id(store)["stopped"].cause == "unknown_end"
        assert store.use_model(1)
        assert by_id(store)["stopped"].status is Status.STUCK
        assert [model.number for model in store.models() if model.current] == [1]
        assert store.model() == store.models()[1]
        assert not store.use_model(9)
        assert store.use_model(0)
        assert by_id(store)["stopped"].cause == "unknown_end"
        assert store.definitions() == ()
        assert store.model() is None

    def test_a_dry_run_keeps_nothing(self, store: Store) -> None:
        filled(store)
        before = by_id(store)
        model = store.learn(FEW, keep=False)
        assert model.definitions
        assert not model.current
        assert store.models() == []
        assert by_id(store) == before

    def test_learning_again_by_what_was_learned_finds_the_same(self, store: Store) -> None:
        filled(store)
        first, second = store.learn(FEW), store.learn(FEW)
        assert first.types == second.types

    def test_one_type_is_learned_and_the_rest_of_the_model_stays(self, store: Store) -> None:
        others = [row for nth in range(30) for row in flow(f"b-{nth}", nth * 10, "Begun", "Done")]
        filled(store, [*orders(), *others])
        whole = store.learn(FEW)
        assert {one.name for one in whole.definitions} == {"Placed", "Begun"}
        again = store.learn(Asked(types=("Begun",), support=1000))
        assert [one.name for one in again.definitions] == ["Placed"]
        assert {one.type for one in store.transitions()} == {"Placed", "Begun"}
        assert by_id(store)["stopped"].status is Status.STUCK

    def test_a_written_definition_wins(self, open_store: Open) -> None:
        written = Definition("order", ("Placed",), (Rule(1, ("Paid",)),))
        store = filled(open_store(settings=Settings(definitions=(written,))))
        model = store.learn(FEW)
        assert "Placed" not in {definition.start[0] for definition in model.definitions}
        assert store.definitions() == (written,)
        assert by_id(store)["stopped"].status is Status.COMPLETED

    def test_a_definition_written_later_wins_and_rebuild_keeps_the_model(self, store: Store) -> None:
        filled(store)
        model = store.learn(FEW)
        before = by_id(store)
        store.rebuild()
        assert by_id(store) == before
        assert store.models() == [model]
        written = Definition("order", ("Placed",), (Rule(1, ("Paid",)),))
        store.rebuild(Settings(definitions=(written,)))
        assert store.definitions() == (written,)
        assert by_id(store)["stopped"].status is Status.COMPLETED

    def test_what_comes_later_is_judged_by_the_model_whoever_learned_it(self, open_store: Open) -> None:
        reader, writer = open_store(), open_store()
        filled(writer)
        reader.learn(FEW)
        writer.write(batch([*flow("later", 700, "Placed")], source="b.log"))
        writer.release()
        assert by_id(reader)["later"].status is Status.STUCK
        assert by_id(writer)["later"].status is Status.STUCK

    def test_a_status_does_not_depend_on_when_records_came(self, store: Store) -> None:
        rows = orders()
        filled(store, rows[: len(rows) // 2] + rows[-1:])
        store.learn(FEW)
        for nth, (begin, end) in enumerate(pairwise(range(len(rows) // 2, len(rows) + 20, 20))):
            store.write(batch(rows[begin:end], source=f"{nth}.log"))
        store.release()
        now = by_id(store)
        store.rebuild()
        assert by_id(store) == now
        assert now["stopped"].status is Status.STUCK

    def test_an_earlier_time_is_judged_by_the_model_too(self, store: Store) -> None:
        filled(store)
        store.learn(FEW)
        then = {one.flow_id: one for one in store.flows(FlowFilter(), at(606))}
        assert then["stopped"].status is Status.STUCK
        early = {one.flow_id: one for one in store.flows(FlowFilter(), at(602))}
        assert early["stopped"].status is Status.IN_PROGRESS

    def test_transitions_tell_waiting_and_work_apart(self, store: Store) -> None:
        rows: list[dict[str, Any]] = []
        for nth in range(30):
            placed, paid = flow(f"q-{nth}", nth * 10, "Placed", "Paid", apart=3.0)
            placed["operation"] = paid["operation"] = "send"
            read = {**placed, "operation": "process", "service": "paid-service", "time": at(nth * 10 + 1)}
            rows += [placed, read, paid]
        filled(store, [*rows, clock()])
        store.learn(FEW)
        (one,) = store.transitions("Placed")
        assert (one.event, one.emitter, one.follower, one.service) == (
            "Placed",
            "placed-service",
            "Paid",
            "paid-service",
        )
        assert (one.flows, one.share) == (30, 1.0)
        assert one.wait is not None
        assert one.work is not None
        assert (one.took.p50_us, one.wait.p50_us, one.work.p99_us) == (3 * SECOND, SECOND, 2 * SECOND)
        assert store.transitions("Paid") == []

    def test_a_sample_tells_the_same_of_many(self, store: Store) -> None:
        filled(store, orders(400))
        (one,) = store.learn(Asked(support=20, floor_us=SECOND, sample=100)).types[:1]
        assert 20 < one.flows < 300
        assert one.definition is not None
        assert [rule.events[0] for rule in one.definition.rules] == list(WAY[1:])

    def test_the_definition_of_a_type_is_found_by_its_name(self, store: Store) -> None:
        filled(store)
        assert learned_type(store, "Placed") is None
        (definition,) = store.learn(FEW).definitions
        found = learned_type(store, "Placed")
        assert found is not None
        assert found.definition == definition
        assert learned_type(store, "Nothing") is None
