"""Asking again: what changed since a mark."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.conformance.records import at, batch, log, span
from tests.conformance.store_case import Open, StoreCase

from clew.collectors.record import Watermark
from clew.reconstruct.answers import Changed
from clew.reconstruct.definitions import Definition, Rule
from clew.reconstruct.model import FlowFilter, Settings, Status
from clew.reconstruct.store import Store

EVERY = FlowFilter(sort="last", descending=False)
ORDER = Definition("order", ("Placed",), (Rule(1, ("Paid",)),), limit_us=60_000_000)


def named(seen: Changed) -> list[tuple[str, str]]:
    return [(flow.flow_id, str(flow.status)) for flow in seen.flows]


class ChangingConformance(StoreCase):
    """Touched flows, passed deadlines, marks."""

    def test_only_flows_with_new_records_are_told(self, store: Store) -> None:
        empty = store.changed(EVERY)
        assert (empty.flows, empty.as_of) == ([], None)
        store.write(batch([log(0, name="A", correlation_id="a"), log(1, name="A", correlation_id="b")]))
        store.release()
        first = store.changed(EVERY, empty.mark)
        assert [name for name, _ in named(first)] == ["a", "b"]
        assert first.as_of == at(1)
        store.write(batch([log(2, name="B", correlation_id="a")], position="2", first=False))
        store.release()
        second = store.changed(EVERY, first.mark)
        assert [name for name, _ in named(second)] == ["a"]
        assert second.flows[0].records == 2
        assert store.changed(EVERY, second.mark).flows == []
        assert [name for name, _ in named(store.changed(EVERY, empty.mark))] == ["b", "a"]

    def test_a_mark_stays_the_same_until_something_is_committed(self, open_store: Open) -> None:
        reader, writer = open_store(), open_store()
        writer.write(batch([log(0, name="A", correlation_id="a")]))
        writer.release()
        begin = reader.changed(EVERY)
        assert reader.changed(EVERY, begin.mark) == begin
        writer.write(batch([log(1, name="A", correlation_id="b")], source="b.log"))
        writer.release()
        later = reader.changed(FlowFilter(limit=0), begin.mark)
        assert later.mark != begin.mark
        assert later.flows == [], "a limit of zero asks only whether"

    def test_records_that_were_there_already_change_no_flow(self, store: Store) -> None:
        rows = [log(0, name="A", correlation_id="a")]
        store.write(batch(rows))
        store.release()
        begin = store.changed(EVERY)
        store.write(batch(rows, source="copy.log"))
        store.release()
        assert store.changed(EVERY, begin.mark).flows == []

    def test_a_flow_whose_deadline_passes_is_told_although_nothing_of_it_came(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(ORDER,)))
        store.write(batch([log(0, name="Placed", correlation_id="a")]))
        store.release()
        begin = store.changed(EVERY)
        marks: list[str] = []
        for place, second in enumerate((60, 60.000001), 2):
            store.write(
                batch(
                    [log(second, name="Placed", correlation_id=f"z{place}")], position=str(place), first=False
                )
            )
            store.release()
            seen = store.changed(EVERY, begin.mark if not marks else marks[-1])
            marks.append(seen.mark)
            stuck = [name for name, status in named(seen) if status == Status.STUCK]
            assert stuck == ([] if second == 60 else ["a"]), "a deadline is exclusive"

    def test_time_goes_on_where_a_source_says_that_nothing_more_came(self, open_store: Open) -> None:
        """What is known to have been read up to a time moves as-of, and an estimate does not."""
        store = open_store(settings=Settings(definitions=(ORDER,)))
        store.write(batch([log(0, name="Placed", correlation_id="a")]))
        store.release()
        begin = store.changed(EVERY)
        idle = Watermark(int(at(61).timestamp() * 1_000_000), exact=False)
        store.write(batch([], position="2", first=False, watermark=idle))
        assert store.summary().as_of == at(0)
        store.write(batch([], position="3", first=False, watermark=replace(idle, exact=True)))
        store.release()
        summary = store.summary()
        assert summary.as_of == at(61)
        assert summary.as_of_from == "a.log, read to its end"
        seen = store.changed(EVERY, begin.mark)
        assert (seen.as_of, named(seen)) == (at(61), [("a", "stuck")])

    def test_a_flow_that_was_held_back_is_told_once_its_teller_was_read_far_enough(
        self, open_store: Open
    ) -> None:
        """Its deadline passed before the first look, while nobody could say yet that it is overdue."""
        store = open_store(settings=Settings(definitions=(ORDER,)))

        def read_to(second: float) -> Watermark:
            return Watermark(int(at(second).timestamp() * 1_000_000), exact=False)

        paid = [log(1, name="Paid", correlation_id="good", service="bank")]
        placed = [
            log(second, name="Placed", correlation_id=name)
            for second, name in ((0, "good"), (0, "a"), (90, "b"))
        ]
        store.write(batch(paid, source="bank.log", watermark=read_to(30)))
        store.write(batch(placed))
        store.release()
        begin = store.changed(EVERY)
        assert [flow.cause for flow in store.flows(FlowFilter()) if flow.flow_id == "a"] == ["source_behind"]
        store.write(batch([], source="bank.log", position="2", first=False, watermark=read_to(59)))
        store.release()
        still = store.changed(EVERY, begin.mark)
        assert ("a", "stuck") not in named(still)
        store.write(batch([], source="bank.log", position="3", first=False, watermark=read_to(100)))
        store.release()
        assert named(store.changed(EVERY, still.mark)) == [("a", "stuck")]

    def test_flows_that_share_a_new_record_are_told(self, store: Store) -> None:
        spans = [
            span(0, 1, "t-a", "s-a", correlation_id="a"),
            span(0, 1, "t-b", "s-b", correlation_id="b"),
            span(0, 1, "t-c", "s-c", correlation_id="c"),
        ]
        store.write(batch(spans))
        store.release()
        begin = store.changed(EVERY)
        links = '[{"trace_id": "t-a", "span_id": "s-a"}, {"trace_id": "t-b", "span_id": "s-b"}]'
        store.write(batch([span(2, 3, "t-x", "s-x", links=links)], source="b.log"))
        store.release()
        assert [name for name, _ in named(store.changed(EVERY, begin.mark))] == ["a", "b"]

    def test_conditions_and_order_hold_for_changes_as_for_lists(self, store: Store) -> None:
        begin = store.changed(EVERY)
        rows = [
            log(second, name=name, correlation_id=name, service=name) for second, name in enumerate("cab")
        ]
        store.write(batch(rows))
        store.release()
        newest = FlowFilter(sort="last", descending=True, services=("a", "b"))
        assert [name for name, _ in named(store.changed(newest, begin.mark))] == ["b", "a"]
        assert store.changed(FlowFilter(until=at(0) - timedelta(1)), begin.mark).flows == []

    def test_flows_that_other_definitions_judge_otherwise_are_told(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(ORDER,)))
        rows = [
            log(0, name="Placed", correlation_id="a"),
            log(1, name="Placed", correlation_id="b"),
            log(2, name="Paid", correlation_id="b"),
            log(90, name="Other", correlation_id="c"),
        ]
        store.write(batch(rows))
        store.release()
        begin = store.changed(EVERY)
        patient = replace(ORDER, rules=(replace(ORDER.rules[0], limit_us=600_000_000),), limit_us=600_000_000)
        store.rebuild(Settings(definitions=(patient,)))
        store.release()
        seen = store.changed(EVERY, begin.mark)
        assert named(seen) == [("a", "in_progress")]
        assert store.changed(EVERY, seen.mark).flows == []
        store.write(batch([log(91, name="Paid", correlation_id="a")], position="2", first=False))
        store.release()
        paid = store.changed(EVERY, seen.mark)
        assert named(paid) == [("a", "completed")]
        store.rebuild(Settings(definitions=(ORDER,)))
        store.release()
        (late,) = store.changed(EVERY, paid.mark).flows
        assert (late.flow_id, late.late) == ("a", True), "b stands as it did"

    def test_without_knowing_how_they_stood_all_flows_are_told_once_the_store_judges_otherwise(
        self, open_store: Open
    ) -> None:
        reader, writer = open_store(), open_store()
        writer.write(batch([log(0, name="Placed", correlation_id="a"), log(1, name="B", correlation_id="b")]))
        writer.release()
        begin = reader.changed(FlowFilter(limit=0))
        writer.rebuild(Settings(definitions=(ORDER,)))
        writer.release()
        assert [name for name, _ in named(reader.changed(EVERY, begin.mark))] == ["a", "b"]
