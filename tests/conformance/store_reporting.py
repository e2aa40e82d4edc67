"""Reports over many flows: types, variants, steps, two windows compared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.conformance.records import at, batch, log, span
from tests.conformance.store_case import ORDERS, TRACE, Open, StoreCase, as_able

from clew.collectors.record import Watermark
from clew.reconstruct.definitions import Clause, Definition, Role, Rule
from clew.reconstruct.detail import StepKind
from clew.reconstruct.model import FlowFilter, Status
from clew.reconstruct.reports import Change, Comparison, Measure, Misfit, Spread, Window, WorkFrom
from clew.reconstruct.store import Capability, Store

EVERY = FlowFilter()
PAID = Definition(
    "order",
    ("Placed",),
    (
        Rule(1, ("Paid",), "pay", limit_us=10_000_000),
        Rule(2, ("Packed",), after=(Clause((1,)),)),
        Rule(3, ("Done",), after=(Clause((2,)),), role=Role.COMPLETED),
    ),
    ends=(("Done", "completed"),),
)
"""Placed, Paid by pay within 10 s, Packed, Done."""


def order(number: int, second: float, wait: float = 1, work: float = 2, **last: Any) -> list[dict[str, Any]]:
    """An order that is placed, handled after ``wait`` and paid after ``work`` more."""
    flow, placed, paid = f"o{number}", f"p{number}", f"q{number}"
    common = {"correlation_id": flow, "correlation_key": "correlation_id"}
    answer = {"name": "Paid", "service": "pay", "operation": "send", "event_id": paid, "causation_id": placed}
    return [
        log(second, name="Placed", operation="send", event_id=placed, **common),
        log(second + wait, name="Placed", service="pay", operation="process", event_id=placed, **common),
        log(second + wait + work, **(answer | common | last)),
    ]


def halves(*, wait: float = 1, work: float = 2, flows: int = 40, **last: Any) -> list[dict[str, Any]]:
    """``flows`` orders from 0 s on, and as many from 1,000 s on that differ as said."""
    return [
        record
        for number in range(flows)
        for record in (
            *order(number, number, wait=1 + number / 100, work=2 + number / 100),
            *order(
                number + flows, 1_000 + number, wait=wait + number / 100, work=work + number / 100, **last
            ),
        )
    ]


def split(store: Store, which: FlowFilter = EVERY) -> Comparison:
    return store.compare(Window(None, at(900)), Window(at(900), None), which)


def significant(found: Comparison) -> list[tuple[str, str | None]]:
    return [(str(change.measure), change.name) for change in found.changes if change.significant]


def change_of(found: Comparison, measure: Measure, name: str | None = None) -> Change:
    (change,) = [one for one in found.changes if (one.measure, one.name) == (measure, name)]
    return change


class ReportingConformance(StoreCase):
    """Counts, quantiles and differences, of the flows asked for and at the time asked for."""

    def test_types_are_counted_with_the_most_frequent_first(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE]))
        placed, trace = store.types(EVERY)
        assert (placed.type, placed.flows, placed.variants) == ("OrderPlaced", 3, 2)
        assert sum(placed.by_status.values()) == 3
        assert (placed.first, placed.last) == (at(0), at(9))
        assert (placed.success, placed.duration) == (None, None), "none of them ended"
        assert (trace.type, trace.by_status) == ("GET /orders", {Status.COMPLETED: 1})
        assert (trace.success, trace.duration) == (1.0, Spread(1, 3_000_000, 3_000_000, 3_000_000))
        assert store.type_names() == ["GET /orders", "OrderPlaced"]

    def test_failed_flows_count_against_success_and_those_going_on_do_not(self, store: Store) -> None:
        ended = [span(number, number + 1, f"t{number}", f"s{number}") for number in range(3)]
        failed = span(4, 5, "t4", "s4", status="error")
        begun = span(6, None, "t5", "s5")
        store.write(batch([*ended, failed, begun]))
        (work,) = store.types(EVERY)
        assert work.by_status == {Status.FAILED: 1, Status.IN_PROGRESS: 1, Status.COMPLETED: 3}
        assert work.success == 0.75
        assert work.duration is not None
        assert work.duration.count == 3

    def test_the_consistency_window_is_from_the_first_event_to_the_last_reaction(self, store: Store) -> None:
        noise = log(50, body="long after", correlation_id="o1", correlation_key="correlation_id")
        store.write(batch([*order(1, 0, wait=1, work=3), noise]))
        (placed,) = store.types(EVERY)
        assert placed.consistency == Spread(1, 4_000_000, 4_000_000, 4_000_000)

    def test_variants_come_by_frequency_with_an_example_and_their_share(self, store: Store) -> None:
        short = order(9, 100)[:2]
        store.write(batch([*order(1, 0), *order(2, 10), *order(3, 20, work=5), *short]))
        found = store.variants(EVERY)
        assert (found.flows, found.variants) == (4, 2)
        whole, cut = found.listed
        assert (whole.flows, whole.share, whole.median_us, whole.example) == (3, 0.75, 3_000_000, "o3")
        assert [(step.kind, step.name, step.service) for step in whole.steps] == [
            (StepKind.PUBLISH, "Placed", "orders"),
            (StepKind.HANDLING, "Placed", "pay"),
            (StepKind.PUBLISH, "Paid", "pay"),
        ]
        assert (cut.flows, len(cut.steps), cut.truncated) == (1, 2, 0)
        first = store.variants(EVERY, limit=1)
        assert (first.variants, first.listed) == (2, (whole,)), "what is not listed is still counted"

    def test_steps_tell_waiting_from_work_and_what_took_the_most_time_comes_first(self, store: Store) -> None:
        rows = [record for number in range(100) for record in order(number, number, wait=number + 1)]
        store.write(batch(rows))
        handling, *others = store.steps(EVERY)
        assert (handling.kind, handling.name, handling.service) == (StepKind.HANDLING, "Placed", "pay")
        assert (handling.count, handling.flows, handling.share) == (100, 100, 1.0)
        assert handling.wait == Spread(100, 50_000_000, 95_000_000, 99_000_000)
        assert handling.work == Spread(100, 2_000_000, 2_000_000, 2_000_000)
        assert handling.work_from == (WorkFrom.PUBLISH,)
        assert (handling.total_us, handling.time_share) == (5_250_000_000, 1.0)
        assert [(one.name, one.total_us, one.wait, one.work) for one in others] == [
            ("Paid", 0, None, None),
            ("Placed", 0, None, None),
        ]

    def test_reports_are_of_the_flows_asked_for(self, store: Store) -> None:
        store.write(batch([*order(1, 0), *order(2, 100)[:1]]))
        store.write(batch(order(3, 10), source="b.log", scope="other"))
        for which, flows in [
            (FlowFilter(services=("pay",)), 2),
            (FlowFilter(since=at(50)), 1),
            (FlowFilter(until=at(5)), 1),
            (FlowFilter(scope="other"), 1),
            (FlowFilter(types=("Placed",), scope=""), 2),
            (FlowFilter(limit=1), 3),
        ]:
            assert [one.flows for one in store.types(which)] == [flows], which
            assert store.variants(which).flows == flows
            assert max(one.flows for one in store.steps(which)) == flows
        assert store.types(FlowFilter(types=("nothing",))) == []

    def test_an_earlier_as_of_reports_what_was_known_then(self, store: Store) -> None:
        store.write(batch([*order(1, 0), *order(2, 100)]))
        with as_able(store, Capability.AS_OF_EARLIER):
            assert [one.flows for one in store.types(EVERY, at(50))] == [1]
            assert [(one.name, one.count) for one in store.steps(EVERY, at(1))] == [("Placed", 1)] * 2
            assert store.variants(EVERY, at(1)).flows == 1
        assert [one.flows for one in store.types(EVERY)] == [2]

    def test_a_definition_fits_the_flows_that_do_what_it_says(self, store: Store) -> None:
        def well(number: int, *more: dict[str, Any], packed: float = 5, **last: Any) -> list[dict[str, Any]]:
            common = {
                "correlation_id": f"o{number}",
                "correlation_key": "correlation_id",
                "operation": "send",
            }
            told = {"name": "Packed", "event_id": f"r{number}", "causation_id": f"q{number}"}
            return [
                *order(number, number * 100),
                log(number * 100 + packed, **(told | common)),
                log(number * 100 + 6, name="Done", event_id=f"s{number}", **(common | last)),
                *({**one, **common} for one in more),
            ]

        fine = well(1)
        skewed = well(2, packed=1)
        told_twice = well(3, log(303, name="Paid", service="pay", event_id="q3", trace_id="t"))
        noted = well(4, log(404, name="Noted"))
        dead = [*order(5, 500), log(504, kind="dead_letter", name="Paid", event_id="q5", correlation_id="o5")]
        late = [*order(6, 600, wait=5, work=6), *well(6, packed=12, time=at(613))[3:]]
        store.write(batch([*fine, *skewed, *told_twice, *noted, *dead, *late]))
        (found,) = store.fitness((PAID,), EVERY)
        assert (found.type, found.flows, found.fits, found.fitness, found.going_on) == ("order", 6, 3, 0.5, 1)
        assert {(one.kind, one.step, one.example) for one in found.deviations} == {
            (Misfit.UNEXPECTED, "Noted", "o4"),
            (Misfit.ENDED, "dead_lettered", "o5"),
            (Misfit.LATE, "Paid", "o6"),
        }
        (lenient,) = store.fitness((PAID,), EVERY, ignoring=(Misfit.UNEXPECTED, Misfit.LATE))
        assert (lenient.fits, lenient.deviations) == (5, found.deviations)
        (one,) = store.fitness((PAID,), FlowFilter(until=at(50)))
        assert (one.flows, one.deviations) == (0, ())
        with as_able(store, Capability.AS_OF_EARLIER):
            (then,) = store.fitness((PAID,), EVERY, at(102))
            assert (then.flows, then.fits, then.going_on) == (1, 1, 1)
        assert [flow.type for flow in store.flows(EVERY)] == ["Placed"] * 6, "nothing changed"

    def test_what_a_source_that_lags_would_tell_is_not_missing(self, store: Store) -> None:
        mark = Watermark(int(at(11).timestamp() * 1_000_000), exact=True)
        unpaid = order(1, 0)[:1]
        store.write(batch([*unpaid, log(0, name="Sleep", correlation_id="zzz")], watermark=mark))
        assert [one.step for one in store.fitness((PAID,), EVERY, at(12))[0].deviations] == ["Paid"]
        lagging = Watermark(int(at(9).timestamp() * 1_000_000), exact=True)
        store.write(batch([log(1, name="Other")], source="b.log", watermark=lagging))
        assert store.fitness((PAID,), EVERY, at(12))[0].deviations == ()
        long_after = at(9) + timedelta(minutes=16)
        assert [one.step for one in store.fitness((PAID,), EVERY, long_after)[0].deviations] == ["Paid"]

    def test_who_emitted_an_event_is_known_from_whatever_record_has_its_id(self, store: Store) -> None:
        heard = order(1, 0)[-1] | {"service": "mail", "operation": "process"}
        sent = {"kind": "span", "name": "send payments", "service": "pay", "operation": "send"}
        told = span(3, 4, "t1", "s1") | sent | {"event_id": "q1", "correlation_id": "o1"}
        store.write(batch([*order(1, 0)[:2], heard, told]))
        (found,) = store.fitness((PAID,), EVERY)
        assert (found.flows, found.fits, found.deviations) == (1, 1, ())

    def test_reports_and_writing_take_turns(self, store: Store, open_store: Open) -> None:
        store.write(batch(order(1, 0)))
        assert len(store.steps(EVERY)) == 3
        store.write(batch(order(2, 10), source="b.log"))
        store.release()
        other = open_store()
        assert [one.flows for one in other.types(EVERY)] == [2]
        other.write(batch(order(3, 20), source="c.log"))
        other.release()
        assert store.variants(EVERY).flows == 3

    def test_windows_that_are_alike_differ_in_nothing(self, store: Store) -> None:
        store.write(batch(halves()))
        found = split(store)
        assert (found.before_flows, found.after_flows) == (40, 40)
        assert found.changes
        assert significant(found) == []

    def test_a_slower_step_is_significant_and_the_others_are_not(self, store: Store) -> None:
        store.write(batch(halves(work=4)))
        found = split(store)
        assert significant(found) == [("work", "Placed")]
        work = found.changes[0]
        assert (work.before.p50_us, work.after.p50_us, work.difference) == (2_190_000, 4_190_000, 2_000_000)
        assert (work.before.of, work.after.of, work.effect) == (40, 40, 1.0)
        assert change_of(found, Measure.WAIT, "Placed").difference == 0

    def test_one_outlier_is_no_change(self, store: Store) -> None:
        slow = order(999, 2_000, work=900_000)
        store.write(batch([*halves(), *slow]))
        assert significant(split(store)) == []

    def test_few_flows_are_no_evidence(self, store: Store) -> None:
        store.write(batch(halves(work=40, flows=29)))
        assert significant(split(store)) == []

    def test_errors_that_are_new_are_told_by_step_and_by_type(self, store: Store) -> None:
        store.write(batch(halves(severity="ERROR", error_type="Timeout")))
        found = split(store)
        assert set(significant(found)) == {("errors", "Paid"), ("error_type", "Timeout")}
        new = change_of(found, Measure.ERROR_TYPE, "Timeout")
        assert (new.appeared, new.vanished, new.before.count, new.after.count) == (True, False, 0, 40)

    def test_a_step_that_is_gone_and_one_that_is_new_are_told(self, store: Store) -> None:
        rows = [record | {"name": "Charged"} if record["name"] == "Paid" and number >= 1_000 else record
                for record in halves() for number in [(record["time"] - at(0)).total_seconds()]]  # fmt: skip
        store.write(batch(rows))
        found = split(store)
        shares = {
            change.name: change
            for change in found.changes
            if change.measure is Measure.SHARE and change.kind is StepKind.PUBLISH
        }
        assert (shares["Paid"].vanished, shares["Paid"].significant) == (True, True)
        assert (shares["Charged"].appeared, shares["Charged"].significant) == (True, True)
        assert (shares["Placed"].vanished, shares["Placed"].appeared) == (False, False)

    def test_another_version_of_an_event_is_told_and_the_same_one_is_not(self, store: Store) -> None:
        rows = halves(schema_version="2")
        for record in rows:
            record.setdefault("schema_version", "1")
        store.write(batch(rows))
        found = split(store)
        assert set(significant(found)) == {("schema_version", "Paid 1"), ("schema_version", "Paid 2")}
        assert change_of(found, Measure.SCHEMA_VERSION, "Paid 2").appeared
        assert change_of(found, Measure.SCHEMA_VERSION, "Paid 1").vanished
        assert change_of(found, Measure.SCHEMA_VERSION, "Placed 1").difference == 0

    def test_flows_belong_to_a_window_by_their_start(self, store: Store) -> None:
        store.write(batch([*order(1, 0), *order(2, 10), *order(3, 20), *order(4, 30)]))
        found = store.compare(Window(at(0), at(10)), Window(at(10), at(30)), EVERY)
        assert (found.before_flows, found.after_flows) == (1, 2)
        assert store.compare(Window(None, at(0)), Window(at(99), None), EVERY) == Comparison(0, 0, ())
