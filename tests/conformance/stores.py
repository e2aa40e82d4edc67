"""What every store does, whatever it keeps its records in.

A store's own test file derives from :class:`StoreConformance`, says how one is opened,
and adds nothing else. What a store cannot do it declares with a reason, and then the
test demands an error that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.conformance.records import START, at, batch, log, span

from clew.collectors.record import Reject, Watermark
from clew.reconstruct.errors import StoreError
from clew.reconstruct.model import Evidence, FlowFilter, KeyClass, Settings, Status
from clew.reconstruct.store import Capability, Store

Open = Callable[..., Store]

ORDERS = [
    log(0, name="OrderPlaced", correlation_id="order-1", correlation_key="correlation_id", event_id="e1"),
    log(
        2, name="PaymentTaken", service="payment", correlation_id="order-1", correlation_key="correlation_id"
    ),
    log(1, name="OrderPlaced", correlation_id="order-2", correlation_key="correlation_id", event_id="e2"),
    log(9, name="OrderPlaced", correlation_id="order-3", correlation_key="correlation_id", severity="ERROR"),
]

TRACE = [
    span(20, 23, "trace-9", "span-1", name="GET /orders", service="gateway"),
    span(21, 22, "trace-9", "span-2", "span-1", name="lookup", keys='{"customer_id": "c-77"}'),
]


@contextmanager
def as_able(store: Store, capability: Capability) -> Iterator[None]:
    """The block works, or raises what the store declares."""
    reason = store.missing.get(capability)
    if reason is None:
        yield
        return
    with pytest.raises(StoreError) as error:
        yield
    assert reason in str(error.value)
    pytest.xfail(reason)


def ids(store: Store, which: FlowFilter | None = None) -> list[str]:
    return [flow.flow_id for flow in store.flows(which or FlowFilter(sort="started", descending=False))]


class StoreConformance:
    """Derive, and override :meth:`open_store`."""

    @pytest.fixture
    def open_store(self) -> Iterator[Open]:
        """``open_store(settings=None)``: another Store object for one and the same new store."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: Open) -> Store:
        return open_store()

    # -- an empty store

    def test_everything_works_on_an_empty_store(self, store: Store) -> None:
        assert store.positions() == {}
        summary = store.summary()
        assert (summary.flows, summary.records, summary.unattributed, summary.rejects) == (0, 0, 0, 0)
        assert (summary.missing_parents, summary.undated, dict(summary.by_status)) == (0, 0, {})
        assert summary.as_of is None
        assert store.summary(START).as_of == START
        assert list(store.flows(FlowFilter())) == []
        assert (
            list(store.flows(FlowFilter(statuses=(Status.STUCK,), services=("a",), keys=(("b", "c"),)))) == []
        )
        assert store.find("order-1") == []
        assert store.flow("order-1") is None
        assert store.flow("order-1", as_of=START) is None
        assert store.sources() == []
        assert store.rejects() == []
        assert store.keys() == []
        assert store.settings() == Settings()
        with as_able(store, Capability.REBUILD):
            assert store.rebuild().flows == 0
        store.release()
        store.release()

    def test_what_a_store_cannot_do_has_a_reason(self, store: Store) -> None:
        assert all(
            isinstance(capability, Capability) and reason for capability, reason in store.missing.items()
        )

    # -- writing

    def test_a_batch_is_counted_and_its_position_committed(self, store: Store, open_store: Open) -> None:
        written = store.write(batch([*ORDERS, *TRACE], position="4711"))
        assert (written.records, written.new, written.duplicates, written.rejects) == (6, 6, 0, 0)
        assert dict(written.by_kind) == {"log": 4, "span": 2}
        store.release()
        other = open_store()
        assert other.positions() == {"a.log": "4711"}
        assert other.summary().records == 6
        assert ids(other) == ["order-1", "order-2", "order-3", "trace-9"]

    def test_an_empty_batch_moves_the_position_only(self, store: Store) -> None:
        store.write(batch(ORDERS, position="1"))
        written = store.write(batch([], position="2", first=False))
        assert (written.records, written.new, dict(written.by_kind)) == (0, 0, {})
        assert store.positions() == {"a.log": "2"}
        assert store.summary().records == 4

    def test_a_batch_that_fails_leaves_neither_records_nor_position(
        self, store: Store, open_store: Open
    ) -> None:
        store.write(batch(ORDERS, position="1"))
        broken = batch([log(30, name="Late", correlation_id="order-4")], position="2", first=False)
        with pytest.raises(StoreError) as error:
            store.write(replace(broken, select=broken.select.replace('"body"', "error('spoilt') AS body")))
        assert "spoilt" in str(error.value)
        assert error.value.help
        with as_able(store, Capability.TRANSACTIONS):
            for each in (store, open_store()):
                assert each.positions() == {"a.log": "1"}
                assert ids(each) == ["order-1", "order-2", "order-3"]
        store.write(broken)
        assert ids(store) == ["order-1", "order-2", "order-3", "order-4"]

    def test_the_same_input_again_adds_nothing(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE]))
        before = list(store.flows(FlowFilter()))
        again = store.write(batch([*ORDERS, *TRACE]))
        assert (again.records, again.new, again.duplicates) == (6, 0, 6)
        assert dict(again.by_kind) == {}
        copy = store.write(batch([*ORDERS, *TRACE], source="copy of a.log"))
        assert (copy.new, copy.duplicates) == (0, 6)
        assert list(store.flows(FlowFilter())) == before
        assert store.summary().records == 6

    def test_identical_lines_of_one_input_stay_and_those_of_copies_collapse(self, store: Store) -> None:
        line = ORDERS[0]
        assert store.write(batch([line, line, ORDERS[1]])).new == 3
        assert store.write(batch([line, line], source="b.log")).new == 0
        assert store.write(batch([line, line, line], source="c.log")).new == 1
        assert store.write(batch([line, line, line, ORDERS[1]])).new == 0
        assert store.summary().records == 4

    def test_an_identical_line_further_on_in_an_input_stays(self, store: Store) -> None:
        line = ORDERS[0]
        assert store.write(batch([line], position="1")).new == 1
        assert store.write(batch([line], position="2", first=False)).new == 1
        assert store.write(batch([line, line, line])).new == 1
        assert store.summary().records == 3

    def test_spans_are_a_set(self, store: Store) -> None:
        written = store.write(batch([*TRACE, TRACE[0]]))
        assert (written.records, written.new, written.duplicates) == (3, 2, 1)
        assert store.write(batch(TRACE[:1], source="window-2", position="9")).new == 0

    def test_what_has_an_identity_of_its_own_is_known_by_it(self, store: Store) -> None:
        message = {
            "kind": "message", "time": at(1), "name": "OrderPlaced", "correlation_id": "order-1",
            "identity": "cluster/topic/0/812",
        }  # fmt: skip
        assert store.write(batch([message])).new == 1
        assert store.write(batch([message | {"body": "read anew"}], source="b")).new == 0
        assert store.write(batch([message | {"identity": "cluster/topic/0/813"}], source="b")).new == 1

    def test_nothing_is_joined_across_scopes(self, store: Store) -> None:
        store.write(batch(ORDERS, source="here", scope="staging"))
        assert store.write(batch(ORDERS, source="there", scope="live")).new == 4
        assert store.summary().flows == 6
        assert [match.scope for match in store.find("order-1", scope="live")] == ["live"]
        assert sorted(match.scope for match in store.find("order-1")) == ["live", "staging"]
        assert ids(store, FlowFilter(scope="live", sort="started", descending=False)) == [
            "order-1",
            "order-2",
            "order-3",
        ]
        detail = store.flow("order-1", scope="live")
        assert detail is not None
        assert detail.flow.records == 2
        assert store.flow("order-1") is None

    def test_rejects_are_counted_kept_and_bounded(self, store: Store) -> None:
        written = store.write(
            batch(
                [
                    ORDERS[0],
                    {"reject": "not JSON", "body": "x" * 9000, "position": 2},
                    ORDERS[1] | {"position": 7},
                ],
                rejects=(Reject(5, "not UTF-8", b"\xff\xfe" + b"y" * 9000),),
            )
        )
        assert (written.records, written.new, written.rejects) == (2, 2, 2)
        store.write(batch([{"reject": "no time", "body": "z\x00z"}], source="Z.log"))
        kept = store.rejects()
        assert [(each.source, each.position, each.reason) for each in kept] == [
            ("Z.log", 1, "no time"),
            ("a.log", 2, "not JSON"),
            ("a.log", 5, "not UTF-8"),
        ]
        assert kept[0].raw == b"z\x00z"
        assert kept[1].raw == b"x" * 4096
        assert kept[2].raw == b"\xff\xfe" + b"y" * 4094
        assert len(store.rejects("a.log")) == 2
        assert len(store.rejects(limit=1)) == 1
        assert store.rejects("none") == []
        assert store.summary().rejects == 3

    def test_sources_tell_what_was_read_and_how_far(self, store: Store) -> None:
        store.write(batch(ORDERS[:2], source="b.log", position="2"))
        mark = Watermark(int(at(60).timestamp() * 1_000_000), exact=True)
        store.write(batch(ORDERS[1:], source="b.log", position="5", first=False, watermark=mark))
        store.write(batch(TRACE, source="a.log", position="7"))
        store.write(batch(ORDERS[:2], source="b.log", position="2"))
        first, second = store.sources()
        assert (first.source, first.format, first.position, first.records) == ("a.log", "by hand", "7", 2)
        assert (first.first, first.last) == (at(20), at(21))
        assert first.watermark is None
        assert second.source == "b.log"
        assert (second.position, second.records, second.duplicates, second.rejects) == ("2", 5, 2, 0)
        assert (second.first, second.last) == (at(0), at(9))
        assert (second.watermark, second.watermark_exact) == (at(60), True)
        assert second.updated is not None
        assert store.positions() == {"a.log": "7", "b.log": "2"}

    def test_a_position_does_not_lose_a_byte(self, store: Store) -> None:
        position = '{"offset": 18446744073709551615, "name": "žluť\\u0000\'\\"; DROP TABLE records"}'
        source = 'dir/it\'s "quoted"; -- and\ttabbed.log'
        store.write(batch(ORDERS, source=source, position=position))
        assert store.positions() == {source: position}
        assert store.sources()[0].source == source

    def test_two_stores_at_one_place_write_in_turn(self, open_store: Open) -> None:
        one, other = open_store(), open_store()
        for number in range(5):
            one.write(
                batch([log(number, name="A", correlation_id=f"one-{number}")], source="one", first=not number)
            )
            other.write(
                batch([log(number, name="A", correlation_id=f"two-{number}")], source="two", first=not number)
            )
            one.release()
        other.release()
        assert sorted(ids(one)) == sorted(
            f"{name}-{number}" for name in ("one", "two") for number in range(5)
        )
        assert one.summary() == other.summary()

    # -- flows

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

    # -- finding

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

    # -- as_of

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
            assert (detail.flow.records, detail.flow.last) == (1, at(0))
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

    # -- keys, settings, rebuild

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

    # -- closing

    def test_a_closed_store_may_be_closed_again_and_left_by_with(self, open_store: Open) -> None:
        with open_store() as store:
            store.write(batch(ORDERS))
        store.close()
        assert len(ids(open_store())) == 3

    def test_a_write_is_there_for_others_without_being_released(self, open_store: Open) -> None:
        writer, reader = open_store(), open_store()
        writer.write(batch(ORDERS[:1]))
        assert reader.summary().records == 1
        writer.write(batch(ORDERS[1:], position="2", first=False))
        assert reader.summary().records == 4
