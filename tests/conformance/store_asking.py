"""Asking a store: lists, look-ups, an earlier time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.conformance.records import at, batch, log, span
from tests.conformance.store_case import ORDERS, TRACE, Open, StoreCase, as_able, ids

from clew.reconstruct.detail import Evidence
from clew.reconstruct.model import FlowFilter, KeyClass, Settings, Status
from clew.reconstruct.store import Capability, Store


class AskingConformance(StoreCase):
    """Order, paging, conditions, ids, and what was known when."""

    def test_flows_come_in_the_order_asked_for_and_ties_by_id(self, store: Store) -> None:
        rows = [
            log(second, name="A", correlation_id=name, service=service)
            for second, name, service in [
                (0, "d", "x"), (0, "b", "x"), (3, "b", "x"),
                (5, "a", "y"), (5, "c", "y"), (5.5, "c", "y"), (6, "c", "y"),
            ]
        ]  # fmt: skip
        store.write(batch(rows))
        orders = {
            ("started", False): "bdac",
            ("started", True): "acbd",
            ("last", True): "cabd",
            ("last", False): "dbac",
            ("records", True): "cbad",
            ("records", False): "adbc",
            ("duration", True): "bcad",
            ("errors", True): "abcd",
            ("type", False): "abcd",
            ("status", False): "abcd",
            ("owed", True): "abcd",
        }
        for (sort, descending), expected in orders.items():
            assert "".join(ids(store, FlowFilter(sort=sort, descending=descending))) == expected, (
                sort,
                descending,
            )
        assert ids(store, FlowFilter(sort="last", limit=2)) == ["c", "a"]
        assert ids(store, FlowFilter(limit=0)) == []

    def test_many_flows_are_read_in_pages_that_lose_and_repeat_none(self, open_store: Open) -> None:
        reader, writer = open_store(), open_store()
        names = [f"flow-{number:05}" for number in range(2_500)]
        writer.write(batch([log(number, name="A", correlation_id=name) for number, name in enumerate(names)]))
        writer.release()
        flows = reader.flows(FlowFilter(sort="started", descending=False))
        seen = [next(flows).flow_id]
        writer.write(batch([log(-1, name="A", correlation_id="later")], source="b.log"))
        writer.release()
        seen += [flow.flow_id for flow in flows]
        assert seen == names, "as they were when asked for, although another wrote meanwhile"
        assert len(ids(reader)) == 2_501

    def test_a_held_store_answers_several_questions_and_lets_others_write_afterwards(
        self, open_store: Open
    ) -> None:
        store, writer = open_store(), open_store()
        store.write(batch([*ORDERS, *TRACE]))
        store.release()
        with store.held():
            (match,) = store.find("order-1")
            detail = store.flow(match.flow_id)
            assert detail is not None
            assert detail.flow in list(store.flows(FlowFilter()))
        before = store.summary().records
        assert writer.write(batch([log(99, name="A", correlation_id="more")], source="c.log")).new == 1
        writer.release()
        assert store.summary().records == before + 1

    def test_two_lists_of_flows_may_be_read_at_once(self, store: Store) -> None:
        store.write(batch([log(number, name="A", correlation_id=f"f{number:04}") for number in range(2_100)]))
        rising = store.flows(FlowFilter(sort="started", descending=False))
        first = next(rising).flow_id
        falling = [flow.flow_id for flow in store.flows(FlowFilter(sort="started", descending=True))]
        assert store.flow("f0007") is not None
        assert [first, *(flow.flow_id for flow in rising)] == falling[::-1]

    def test_each_condition_narrows_and_all_hold_together(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE]))

        def having(**conditions: object) -> list[str]:
            return ids(store, replace(FlowFilter(sort="started", descending=False), **conditions))  # type: ignore[arg-type]

        assert having(services=("payment",)) == ["order-1"]
        assert having(services=("payment", "gateway")) == ["order-1", "trace-9"]
        assert having(types=("OrderPlaced",)) == ["order-1", "order-2", "order-3"]
        assert having(since=at(9)) == ["order-3", "trace-9"]
        assert having(until=at(9)) == ["order-1", "order-2"]
        assert having(since=at(2), until=at(9)) == ["order-1"]
        assert having(keys=(("customer_id", "c-77"),)) == ["trace-9"]
        assert having(keys=(("customer_id", "c-77"),), services=("payment",)) == []
        assert having(statuses=(Status.COMPLETED,)) == ["trace-9"]
        assert having(statuses=(Status.COMPLETED, Status.IN_PROGRESS), types=("OrderPlaced",), limit=1) == [
            "order-1"
        ]
        assert having(scope="elsewhere") == []

    def test_a_flow_says_what_is_in_it(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE]))
        flows = {flow.flow_id: flow for flow in store.flows(FlowFilter())}
        order, trace = flows["order-1"], flows["trace-9"]
        assert (order.started, order.last, order.records) == (at(0), at(2), 2)
        assert order.services == ("orders", "payment")
        assert dict(order.evidence) == {Evidence.CORRELATION: 2}
        assert (order.scope, order.type) == ("", "OrderPlaced")
        assert flows["order-3"].errors == 1
        assert dict(trace.keys) == {"customer_id": ("c-77",)}
        assert dict(trace.evidence) == {Evidence.ALONE: 2}
        detail = store.flow("trace-9")
        assert detail is not None
        assert detail.flow == trace
        assert [(step.name, step.parent is None) for step in detail.steps] == [
            ("GET /orders", True),
            ("lookup", False),
        ]
        assert detail.steps[1].parent == detail.steps[0].id
        assert detail.truncated == 0

    def test_a_large_flow_is_cut_and_says_by_how_much(self, store: Store) -> None:
        store.write(batch([log(number, name=f"E{number}", correlation_id="big") for number in range(50)]))
        detail = store.flow("big", limit=20)
        assert detail is not None
        assert (detail.flow.records, detail.truncated) == (50, 30)
        assert sum(len(step.observations) + len(step.logs) for step in detail.steps) + len(detail.loose) == 20

    def test_summary_counts_what_the_lists_show(self, store: Store) -> None:
        store.write(
            batch(
                [*ORDERS, *TRACE, log(3, body="belongs to nothing"), log(4, body="nor this") | {"time": None}]
            )
        )
        summary = store.summary()
        flows = list(store.flows(FlowFilter()))
        assert summary.flows == len(flows) == 4
        assert {status: number for status, number in summary.by_status.items() if number} == {
            status: sum(flow.status is status for flow in flows) for status in {flow.status for flow in flows}
        }
        assert (summary.records, summary.unattributed, summary.undated) == (8, 2, 1)
        assert summary.as_of is not None

    def test_implausible_times_do_not_set_what_is_known(self, store: Store) -> None:
        strange = [
            log(0, name="A", correlation_id="far") | {"time": at(0).replace(year=9999)},
            log(0, name="A", correlation_id="old") | {"time": at(0).replace(year=1)},
        ]
        store.write(batch([*ORDERS, *strange]))
        summary = store.summary()
        assert summary.as_of == at(9)
        assert (summary.flows, summary.undated) == (5, 2)

    def test_any_id_that_a_person_may_hold_leads_to_its_flow(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE]))
        for text, flow, what in [
            ("order-2", "order-2", "flow"),
            ("e2", "order-2", "event"),
            ("trace-9", "trace-9", "flow"),
            ("span-2", "trace-9", "span"),
            ("c-77", "trace-9", "customer_id"),
            ("trace", "trace-9", "prefix"),
        ]:
            found = store.find(text)
            assert [(match.flow_id, match.scope) for match in found] == [(flow, "")], text
            assert found[0].what == what, text
        assert [match.flow_id for match in store.find("order")] == ["order-1", "order-2", "order-3"]
        assert len(store.find("order", limit=2)) == 2
        assert store.find("nothing of this") == []
        assert store.find("") == []
        assert store.find("order-1", scope="elsewhere") == []

    def test_an_exact_match_comes_before_what_it_is_a_prefix_of(self, store: Store) -> None:
        store.write(
            batch([log(0, name="A", correlation_id="job-10"), log(1, name="A", correlation_id="job-1")])
        )
        assert store.find("job-1")[0].flow_id == "job-1"

    def test_text_from_outside_is_data(self, store: Store) -> None:
        names = [
            "a'b",
            'a"b',
            "a;DROP TABLE records;--",
            "a\x1b[31mred",
            "a\\b",
            "a%b",
            "a$1b",
            "日本",
            "a\x00b",
            "a" * 5_000,
        ]
        store.write(batch([log(number, name=name, correlation_id=name) for number, name in enumerate(names)]))
        assert ids(store) == names
        for name in names:
            assert store.find(name)[0].flow_id == name
            detail = store.flow(name)
            assert detail is not None
            assert detail.flow.type == name
            assert ids(store, FlowFilter(types=(name,))) == [name]
        assert store.find("a_b") == []

    def test_an_earlier_as_of_knows_nothing_of_what_came_later(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE]))
        with as_able(store, Capability.AS_OF_EARLIER):
            assert [
                flow.flow_id for flow in store.flows(FlowFilter(sort="started", descending=False), at(1))
            ] == [
                "order-1",
                "order-2",
            ]
            summary = store.summary(at(1))
            assert (summary.as_of, summary.flows) == (at(1), 2)
            detail = store.flow("order-1", as_of=at(1))
            assert detail is not None
            assert (detail.flow.records, detail.flow.last, detail.as_of) == (1, at(0), at(1))
            assert store.flow("order-3", as_of=at(1)) is None
        assert store.summary().flows == 4
        assert store.summary().as_of is not None

    def test_a_later_as_of_lets_deadlines_pass(self, store: Store) -> None:
        begun = span(0, None, "trace-1", "span-1", name="never ends")
        store.write(batch([begun, *ORDERS]))
        soon, late = at(60), at(60) + timedelta(days=1)
        assert [flow.status for flow in store.flows(FlowFilter(types=("never ends",)), soon)] == [
            Status.IN_PROGRESS
        ]
        (stuck,) = store.flows(FlowFilter(types=("never ends",)), late)
        assert stuck.status is Status.STUCK
        assert stuck.owed is not None
        assert (stuck.owed.name, stuck.owed.since) == ("never ends", at(0))
        assert stuck.owed.deadline == at(0) + timedelta(microseconds=Settings().limit_us)
        assert store.summary(late).by_status[Status.STUCK] == 1

    def test_a_flow_tells_the_time_that_it_was_judged_by(self, store: Store) -> None:
        store.write(batch(ORDERS))
        late = at(60) + timedelta(days=1)
        told = [store.flow("order-1"), store.flow("order-1", as_of=late)]
        assert [detail.as_of for detail in told if detail] == [store.summary().as_of, late]

    def test_keys_are_told_with_their_numbers(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE]))
        reports = store.keys()
        keys = {key.name: key for key in reports}
        assert set(keys) == {"correlation_id", "customer_id"}
        assert keys["correlation_id"].key_class is KeyClass.INSTANCE
        assert (keys["correlation_id"].records, keys["correlation_id"].values) == (4, 3)
        assert keys["customer_id"].key_class is KeyClass.ENTITY
        assert keys["customer_id"].values == 1

    def test_settings_are_kept_and_applied_to_what_is_stored(self, store: Store, open_store: Open) -> None:
        tenant = [
            log(number, name="A", correlation_id="acme", correlation_key="workflow_id", trace_id=f"t{number}")
            for number in range(3)
        ]
        store.write(batch(tenant))
        assert ids(store) == ["acme"]
        chosen = Settings(key_classes={"workflow_id": KeyClass.GROUP}, limit_us=7_000_000)
        with as_able(store, Capability.REBUILD):
            assert store.rebuild(chosen).flows == 3
            store.release()
            other = open_store()
            assert other.settings() == chosen
            assert ids(other) == ["t0", "t1", "t2"]

    def test_settings_given_at_opening_hold_from_the_first_write(self, open_store: Open) -> None:
        chosen = Settings(limit_us=7_000_000)
        given = open_store(settings=chosen)
        given.write(batch(ORDERS))
        given.release()
        assert open_store().settings() == chosen

    def test_a_rebuild_without_change_changes_nothing(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE, ORDERS[0]]))
        store.write(
            batch([log(50, body="in the trace", trace_id="trace-9", span_id="span-2")], source="b.log")
        )
        before = list(store.flows(FlowFilter()))
        with as_able(store, Capability.REBUILD):
            summary = store.rebuild()
            assert list(store.flows(FlowFilter())) == before
            assert summary == store.summary()
        assert store.write(batch([*ORDERS, *TRACE, ORDERS[0]])).new == 0
        assert store.positions() == {"a.log": "1", "b.log": "1"}
