"""Asking a store for flows by what they have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.conformance.records import at, batch, log, span
from tests.conformance.store_case import Open, StoreCase

from clew.collectors.record import Watermark
from clew.reconstruct.answers import Change, GroupBy
from clew.reconstruct.definitions import Definition, Rule
from clew.reconstruct.model import FlowFilter, Settings, Status
from clew.reconstruct.store import Store

HOUR = 3_600
DEFINITION = Definition(
    "order", ("Placed",), (Rule(1, ("Paid",)), Rule(2, ("Sent",), "depot")), limit_us=60_000_000
)
STUCK = FlowFilter(statuses=(Status.STUCK,))


def order(second: float, name: str, *events: str, **more: Any) -> list[dict[str, Any]]:
    """An order that came as far as ``events``, one a second."""
    services = {"Placed": "shop", "Paid": "bank", "Sent": "depot"}
    return [
        log(second + later, name=event, service=services[event], correlation_id=name, **more)
        for later, event in enumerate(("Placed", *events))
    ]


class GroupingConformance(StoreCase):
    """Groups, their sizes and times, and what changed before them."""

    def test_flows_are_grouped_by_cause_step_service_and_type(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        store.write(
            batch(
                [
                    *order(0, "a", "Paid", "Sent"),
                    *order(10, "b", "Paid"),
                    *order(20, "c", "Paid"),
                    *order(30, "d"),
                    span(40, 45, "t1", "s1", name="POST /refunds", service="bank", status="error"),
                ]
            )
        )
        now = at(600)

        def grouped(by: GroupBy, which: FlowFilter | None = None) -> list[tuple[str | None, int]]:
            return [(group.value, group.flows) for group in store.groups(which or FlowFilter(), by, now)]

        assert grouped(GroupBy.CAUSE) == [("never_published", 3), ("processing_failed", 1), (None, 1)]
        assert grouped(GroupBy.STEP) == [("Sent", 2), ("POST /refunds", 1), ("Paid", 1), (None, 1)]
        assert grouped(GroupBy.SERVICE) == [("bank", 2), ("depot", 2), (None, 1)]
        assert grouped(GroupBy.TYPE) == [("order", 4), ("POST /refunds", 1)]
        assert grouped(GroupBy.STEP, STUCK) == [("Sent", 2), ("Paid", 1)]
        assert grouped(GroupBy.TYPE, FlowFilter(limit=1)) == [("order", 4)]
        assert grouped(GroupBy.TYPE, FlowFilter(services=("nobody",))) == []
        assert [dict(group.causes) for group in store.groups(FlowFilter(), GroupBy.TYPE, now)] == [
            {"never_published": 3},
            {"processing_failed": 1},
        ]
        assert store.groups(STUCK, GroupBy.CAUSE, at(0)) == [], "nothing is stuck yet"

    def test_a_group_tells_since_when_its_first_sighting_and_that_flow(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        store.write(
            batch([*order(0, "late", "Paid"), *order(10, "b"), *order(0.5, "first"), *order(20, "c")])
        )
        (group,) = store.groups(STUCK, GroupBy.CAUSE, at(600))
        assert (group.oldest, group.newest) == (at(0), at(20))
        assert (group.first, group.example, group.scope) == (at(0.5), "first", "")

    def test_a_group_is_of_several_scopes_and_its_example_of_one(self, store: Store) -> None:
        for scope in ("live", "test"):
            store.write(batch([span(0, None, f"t-{scope}", "s", name="work")], source=scope, scope=scope))
        (group,) = store.groups(STUCK, GroupBy.STEP, at(HOUR))
        assert (group.value, group.flows, group.example, group.scope) == ("end of work", 2, "t-live", "live")
        (group,) = store.groups(FlowFilter(statuses=(Status.STUCK,), scope="test"), GroupBy.STEP, at(HOUR))
        assert (group.flows, group.example, group.scope) == (1, "t-test", "test")

    def test_a_schema_version_first_seen_right_before_the_first_sighting_is_told(
        self, open_store: Open
    ) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        broken = order(2 * HOUR, "broken-1", schema_version="3") + order(
            2 * HOUR + 9, "broken-2", schema_version="3"
        )
        store.write(batch([*order(0, "good", "Paid", "Sent", schema_version="2"), *broken]))
        (group,) = store.groups(STUCK, GroupBy.CAUSE, at(3 * HOUR))
        assert group.changes == (Change("schema_version", "Placed", "3", at(2 * HOUR)),)

    def test_an_error_type_and_a_service_first_seen_right_before_are_told(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        store.write(
            batch(
                [
                    *order(0, "good", "Paid", "Sent"),
                    log(2 * HOUR, name="Placed", service="shop", correlation_id="bad"),
                    log(
                        2 * HOUR + 1,
                        body="no",
                        service="shop",
                        severity="ERROR",
                        error_type="Refused",
                        correlation_id="bad",
                    ),
                    log(2 * HOUR + 2, body="hello", service="newcomer", correlation_id="bad"),
                ]
            )
        )
        (group,) = store.groups(STUCK, GroupBy.CAUSE, at(3 * HOUR))
        assert group.changes == (
            Change("error_type", "shop", "Refused", at(2 * HOUR + 1)),
            Change("service", "newcomer", "newcomer", at(2 * HOUR + 2)),
        )

    def test_what_is_new_in_a_stores_first_hour_is_no_change(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        good = order(0, "good", "Paid", "Sent", schema_version="2")
        store.write(batch([*good, *order(HOUR - 1, "early", schema_version="3")]))
        assert [group.changes for group in store.groups(STUCK, GroupBy.CAUSE, at(9 * HOUR))] == [()]

    def test_what_went_well_for_longer_than_ten_minutes_is_no_change(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        good = order(0, "good", "Paid", "Sent", schema_version="2")
        well = order(2 * HOUR, "well", "Paid", "Sent", schema_version="3")
        broken = order(2 * HOUR + 601, "broken", schema_version="3")
        store.write(batch([*good, *well, *broken]))
        assert [group.changes for group in store.groups(STUCK, GroupBy.CAUSE, at(9 * HOUR))] == [()]

    def test_many_changes_at_one_time_are_none(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        new = [log(2 * HOUR, service=f"s{number}", correlation_id="bad") for number in range(4)]
        store.write(batch([*order(0, "good", "Paid", "Sent"), *order(2 * HOUR, "bad"), *new]))
        assert [group.changes for group in store.groups(STUCK, GroupBy.CAUSE, at(9 * HOUR))] == [()]

    def test_groups_at_an_earlier_time_know_nothing_of_what_came_later(self, open_store: Open) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        store.write(batch([*order(0, "a"), *order(600, "a", "Paid", "Sent"), *order(500, "b")]))
        assert [group.flows for group in store.groups(STUCK, GroupBy.CAUSE, at(300))] == [1]
        assert [group.example for group in store.groups(STUCK, GroupBy.CAUSE, at(2 * HOUR))] == ["b"]

    def test_groups_count_the_flows_that_are_listed(self, store: Store) -> None:
        rows = [log(number, name=f"A{number % 3}", correlation_id=f"f{number}") for number in range(100)]
        store.write(batch(rows))
        later = at(0) + timedelta(days=1)
        for by in GroupBy:
            assert sum(group.flows for group in store.groups(FlowFilter(), by, later)) == 100

    def test_a_flow_tells_all_that_it_owes_and_who_sends_such_elsewhere_and_who_was_not_read_so_far(
        self, open_store: Open
    ) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        mark = Watermark(int(at(65).timestamp() * 1_000_000), exact=True)
        store.write(batch(order(0, "good", "Paid", "Sent"), source="depot.log", scope="live", watermark=mark))
        store.write(
            batch(order(0, "other", "Paid", "Sent"), source="elsewhere.log", scope="test", watermark=mark)
        )
        store.write(batch(order(10, "bad"), source="shop.log", scope="live"))
        detail = store.flow("bad", "live", at(600))
        assert detail is not None
        assert [(owed.kind, owed.name, owed.service, owed.since, owed.deadline) for owed in detail.waits] == [
            ("step", "Paid", None, at(10), at(70)),
            ("step", "Sent", "depot", at(10), at(70)),
        ]
        assert [owed.held for owed in detail.waits] == [True, True]
        assert (detail.flow.status, detail.flow.cause) == (Status.IN_PROGRESS, "source_behind")
        assert detail.flow.owed == detail.waits[0]
        assert detail.senders == {"Paid": ("bank",), "Sent": ("depot",)}
        assert detail.tellers == {"Paid": ("depot.log",), "Sent": ("depot.log",)}, "of its own scope alone"
        done = store.flow("good", "live", at(600))
        assert done is not None
        assert (done.waits, done.senders, done.tellers) == ((), {}, {})

    def test_a_flow_that_waits_is_told_within_what_time_others_of_its_type_came_so_far(
        self, open_store: Open
    ) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))
        good = [
            row
            for number in range(100)
            for row in (
                *order(10 * number, f"good-{number}"),
                log(10 * number + number / 20, name="Paid", service="bank", correlation_id=f"good-{number}"),
            )
        ]
        other = [log(0, name="Paid", service="bank", correlation_id="no order")]
        store.write(batch([*good, *other, *order(2_000, "bad")]))
        detail = store.flow("bad", "", at(9_000), usual=True)
        assert detail is not None
        assert detail.flow.owed is not None
        assert (detail.flow.owed.name, detail.p99_us) == ("Paid", 4_900_000)
        few = open_store(settings=Settings(definitions=(DEFINITION,)))
        early = few.flow("good-5", "", at(60), usual=True)
        assert early is not None
        assert (early.flow.status, early.p99_us) == (Status.IN_PROGRESS, None), "six flows tell too little"

    def test_sources_that_hold_flows_back_or_are_silent_are_told_with_how_many(
        self, open_store: Open
    ) -> None:
        store = open_store(settings=Settings(definitions=(DEFINITION,)))

        def mark(second: float) -> Watermark:
            return Watermark(int(at(second).timestamp() * 1_000_000), exact=True)

        late = HOUR - 100
        store.write(batch(order(0, "good", "Paid"), source="bank.log", watermark=mark(late + 30)))
        store.write(batch(order(0, "good", "Paid", "Sent")[2:], source="depot.log"))
        store.write(batch([log(0, correlation_id="old")], source="old.log", watermark=mark(9)))
        store.write(batch([*order(late, "a"), *order(late, "b"), *order(9, "c")], source="shop.log"))
        now = at(HOUR)
        summary = store.summary(now)
        assert [(one.source, one.watermark, one.flows, one.silent) for one in summary.behind] == [
            ("bank.log", at(late + 30), 2, False),
            ("old.log", at(9), 0, True),
        ]
        assert [one.source for one in store.sources() if one.silent] == ["old.log"]
        listed = {flow.flow_id: (flow.status, flow.cause) for flow in store.flows(FlowFilter(), now)}
        assert listed["c"] == (Status.STUCK, "never_published")
        # Sent by the depot is overdue, whose log was read; Paid is not known to be.
        assert {listed[name][0] for name in "ab"} == {Status.STUCK}
        assert sum(summary.by_status.values()) == summary.flows == len(listed)
        assert summary.by_status["stuck"] == 3

    def test_how_long_a_source_may_lag_until_it_is_silent_is_a_setting_that_is_kept(
        self, open_store: Open
    ) -> None:
        def silent(store: Store) -> tuple[list[bool], list[bool]]:
            told = [one.silent for one in store.sources() if one.source == "old.log"]
            return [one.silent for one in store.summary().behind], told

        usual = open_store()
        mark = Watermark(int(at(9).timestamp() * 1_000_000), exact=True)
        usual.write(batch([log(0, correlation_id="old")], source="old.log", watermark=mark))
        usual.write(batch([log(1000, correlation_id="new")], source="new.log"))
        usual.release()
        assert silent(usual) == ([True], [True])
        patient = open_store(settings=Settings(silent_us=2_000_000_000))
        assert silent(patient) == ([], [False])
        patient.write(batch([log(1001, correlation_id="newer")], source="new.log", position="2", first=False))
        patient.release()
        kept = open_store()
        assert kept.settings().silent_us == 2_000_000_000
        assert silent(kept) == ([], [False])
