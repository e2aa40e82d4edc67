"""Asking a store where flows go on under other IDs, and looking at what likely belongs together as one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.conformance.records import at, batch, log, span
from tests.conformance.store_case import Open, StoreCase, ids

from clew.reconstruct.answers import Continuation, GroupBy
from clew.reconstruct.definitions import Definition, Rule
from clew.reconstruct.model import FlowFilter, Settings, Status
from clew.reconstruct.store import Store

DEFINITION = Definition("order", ("Placed",), (Rule(1, ("Paid",)),), limit_us=60_000_000)
LATER = at(3600)


def placed(second: float, name: str, **more: Any) -> list[dict[str, Any]]:
    """An order that its shop placed, and nobody is known to have handled."""
    return [
        log(
            second,
            name="Placed",
            service="shop",
            operation="send",
            destination="orders",
            event_id=f"{name}-placed",
            correlation_id=name,
            **more,
        )
    ]


def paid(second: float, name: str, cause: str | None = None, **more: Any) -> list[dict[str, Any]]:
    """A bank that handles an order and says so; without a ``cause`` it does not know which."""
    whose = {"service": "bank", "correlation_id": name, **more}
    handling = {"event_id": f"{cause}-placed"} if cause else {}
    causing = {"causation_id": f"{cause}-placed"} if cause else {}
    return [
        log(second, name="Placed", operation="process", destination="orders", **handling, **whose),
        log(
            second + 0.2,
            name="Paid",
            operation="send",
            destination="payments",
            event_id=f"{name}-paid",
            **causing,
            **whose,
        ),
    ]


def whole(number: int = 30, **more: Any) -> list[dict[str, Any]]:
    """Orders that lost nothing: one every 10 s, each handled after 20 ms or a bit more."""
    return [
        row
        for turn in range(number)
        for row in (
            *placed(10 * turn, f"whole-{turn}", **more),
            *paid(10 * turn + 0.02 + 0.004 * (turn % 5), f"whole-{turn}", f"whole-{turn}", **more),
        )
    ]


def pairs(found: list[Continuation]) -> list[tuple[str, str]]:
    return [(one.flow_id, one.continued) for one in found]


class ContinuingConformance(StoreCase):
    """Continuations are suggested where they are likely, and joined where somebody asks for it."""

    @pytest.fixture
    def orders(self, open_store: Open) -> Store:
        return open_store(settings=Settings(definitions=(DEFINITION,)))

    def test_a_flow_goes_on_where_a_service_handled_what_it_sent_without_knowing_whose_it_was(
        self, orders: Store
    ) -> None:
        orders.write(batch([*whole(), *placed(105, "broken"), *paid(105.024, "stray")]))
        (one,) = orders.continuations(LATER)
        assert (one.flow_id, one.continued, one.scope) == ("broken", "stray", "")
        assert (one.after, one.after_id, one.service, one.step) == (
            "Placed",
            "broken-placed",
            "bank",
            "Placed",
        )
        assert (one.time, one.lag_us, one.second) == (at(105.024), 24_000, 0.0)
        assert 0.95 < one.likelihood < 1
        assert one.usual_us is not None
        assert 15_000 < one.usual_us[0] < 30_000 < one.usual_us[1] < 45_000

    def test_nothing_is_suggested_of_what_begins_too_late_or_elsewhere_or_as_flows_begin(
        self, orders: Store
    ) -> None:
        orders.write(
            batch([*whole(), *placed(105, "broken"), *paid(109, "late"), *placed(105.03, "another")])
        )
        orders.write(batch(paid(105.024, "there"), source="b.log", scope="there"))
        assert orders.continuations(LATER) == []

    def test_of_two_that_may_as_well_be_the_other_way_round_neither_is_suggested(self, orders: Store) -> None:
        rows = [*placed(105, "a"), *placed(105.002, "b"), *paid(105.025, "x"), *paid(105.027, "y")]
        orders.write(batch([*whole(), *rows]))
        assert orders.continuations(LATER) == []
        assert len(orders.continuations(LATER, 0.5)) <= 2

    def test_a_rare_value_that_both_have_decides_between_them(self, orders: Store) -> None:
        def ordered(second: float, name: str, sku: str, cause: str | None) -> list[dict[str, Any]]:
            told = {"attributes": f'{{"sku": "{sku}"}}'}
            return [*placed(second, name, **told), *paid(second + 0.025, name, cause, **told)]

        known = [
            row for turn in range(30) for row in ordered(10 * turn, f"o{turn}", f"sku-{turn}", f"o{turn}")
        ]
        lost = [
            *placed(105, "a", attributes='{"sku": "sku-700"}'),
            *placed(105.002, "b", attributes='{"sku": "sku-800"}'),
            *paid(105.025, "x", attributes='{"sku": "sku-800"}'),
            *paid(105.027, "y", attributes='{"sku": "sku-700"}'),
        ]
        orders.write(batch([*known, *lost]))
        found = orders.continuations(LATER)
        assert sorted(pairs(found)) == [("a", "y"), ("b", "x")]
        assert {one.agree for one in found} == {("sku=sku-700",), ("sku=sku-800",)}

    def test_what_is_continued_may_be_continued_itself(self, orders: Store) -> None:
        def shipped(second: float, name: str, cause: str | None = None) -> list[dict[str, Any]]:
            told = {"event_id": f"{cause}-paid"} if cause else {}
            return [
                log(second, name="Paid", service="depot", operation="process", correlation_id=name, **told)
            ]

        known = [
            row for turn in range(30) for row in shipped(10 * turn + 0.3, f"whole-{turn}", f"whole-{turn}")
        ]
        lost = [*placed(105, "a"), *paid(105.024, "b"), *shipped(105.3, "c")]
        orders.write(batch([*whole(), *known, *lost]))
        found = orders.continuations(LATER)
        assert sorted(pairs(found)) == [("a", "b"), ("b", "c")]
        with orders.joining(found, LATER):
            assert not {"b", "c"} & set(ids(orders))
            detail = orders.flow("a", as_of=LATER)
            assert detail is not None
            assert [step.name for step in detail.steps] == ["Placed", "Placed", "Paid", "Paid"]
            assert pairs(list(detail.joined)) == [("a", "b"), ("b", "c")]

    def test_without_event_ids_a_step_that_usually_comes_next_continues_a_flow(self, orders: Store) -> None:
        def told(second: float, name: str, *events: str) -> list[dict[str, Any]]:
            return [
                log(second + 2 * turn, name=event, correlation_id=name) for turn, event in enumerate(events)
            ]

        known = [row for turn in range(30) for row in told(20 * turn, f"w{turn}", "Placed", "Paid")]
        orders.write(batch([*known, *told(107, "broken", "Placed"), *told(109, "stray", "Paid")]))
        assert pairs(orders.continuations(LATER)) == [("broken", "stray")]

    def test_where_nobody_tells_of_handlings_what_a_service_publishes_then_continues_a_flow(
        self, orders: Store
    ) -> None:
        def told(second: float, name: str, lead: str | None) -> list[dict[str, Any]]:
            whose = {"service": "bank", "correlation_id": name}
            cause = {"causation_id": f"{lead}-placed"} if lead else {}
            return [
                log(second, body="a card is charged", name="Charging", **whose),
                log(second + 0.1, name="Paid", event_id=f"{name}-paid", **cause, **whose),
            ]

        known = [
            row for turn in range(30) for row in told(10 * turn + 0.02, f"whole-{turn}", f"whole-{turn}")
        ]
        starts = [row for turn in range(30) for row in placed(10 * turn, f"whole-{turn}")]
        orders.write(batch([*known, *starts, *placed(105, "broken"), *told(105.02, "stray", None)]))
        assert pairs(orders.continuations(LATER)) == [("broken", "stray")]

    def test_a_trace_goes_on_in_the_one_that_the_called_service_began(self, orders: Store) -> None:
        def called(second: float, caller: str, trace: str, parent: str | None) -> list[dict[str, Any]]:
            return [
                span(second, second + 1, caller, f"{caller}-0", name="GET /cart", service="gateway"),
                span(
                    second + 0.1,
                    second + 0.9,
                    caller,
                    f"{caller}-1",
                    f"{caller}-0",
                    name="GET",
                    service="gateway",
                ),
                span(
                    second + 0.102,
                    second + 0.8,
                    trace,
                    f"{caller}-2",
                    parent,
                    name="GET /items",
                    service="items",
                ),
            ]

        known = [row for turn in range(30) for row in called(10 * turn, f"t{turn}", f"t{turn}", f"t{turn}-1")]
        orders.write(batch([*known, *called(105, "broken", "stray", None)]))
        (one,) = orders.continuations(LATER)
        assert (one.flow_id, one.continued, one.after, one.after_id) == ("broken", "stray", "GET", None)
        assert (one.service, one.step) == ("items", "GET /items")
        with orders.joining([one], LATER):
            assert orders.summary(LATER).flows == 31
            assert [match.flow_id for match in orders.find("stray")] == ["broken"]

    def test_what_was_never_seen_before_may_be_what_a_definition_waits_for(self, orders: Store) -> None:
        others = [row for turn in range(9) for row in placed(10 * turn + 200, f"open-{turn}")]
        orders.write(batch([*placed(0, "broken"), *paid(20, "stray"), *others]))
        (one,) = orders.continuations(LATER)
        assert (one.flow_id, one.continued, one.step, one.usual_us) == ("broken", "stray", "Paid", None)

    def test_joined_flows_are_judged_as_one_and_nothing_of_it_is_stored(self, orders: Store) -> None:
        orders.write(batch([*whole(), *placed(105, "broken"), *paid(105.024, "stray")]))
        before = orders.summary(LATER)
        assert before.by_status == {"completed": 31, "stuck": 1}
        found = orders.continuations()
        for as_of in (None, LATER):
            with orders.joining(found, as_of):
                summary = orders.summary(as_of)
                assert (summary.flows, summary.by_status) == (31, {"completed": 31})
                assert (summary.records, summary.unattributed) == (before.records, 0)
                (flow,) = [flow for flow in orders.flows(FlowFilter(), as_of) if flow.inferred is not None]
                assert (flow.flow_id, flow.status, flow.records) == ("broken", Status.COMPLETED, 3)
                assert flow.inferred == pytest.approx(found[0].likelihood)
                assert [match.flow_id for match in orders.find("stray")] == ["broken"]
                assert [match.flow_id for match in orders.find("stra")] == ["broken"]
                assert [match.flow_id for match in orders.find("stray-paid")] == ["broken"]
                assert [group.flows for group in orders.groups(FlowFilter(), GroupBy.TYPE, as_of)] == [31]
                assert [report.flows for report in orders.types(FlowFilter(), as_of)] == [31]
                detail = orders.flow("broken", as_of=as_of)
                assert detail is not None
                assert [step.via for step in detail.steps] == [None, "inferred", "causation"]
                assert detail.joined == tuple(found)
                untouched = orders.flow("whole-3", as_of=as_of)
                assert untouched is not None
                assert (untouched.flow.inferred, len(untouched.steps)) == (None, 3)
        assert orders.summary(LATER) == before
        assert "stray" in ids(orders)

    def test_an_earlier_time_knows_nothing_of_a_continuation_that_came_later(self, orders: Store) -> None:
        orders.write(batch([*whole(), *placed(105, "broken"), *paid(105.024, "stray")]))
        assert orders.continuations(at(105.01)) == []
        now = at(195)
        found = orders.continuations(now)
        assert pairs(found) == [("broken", "stray")]
        with orders.joining(found, now):
            assert orders.summary(now).by_status == {"completed": 21}
        assert orders.summary(now).by_status["stuck"] == 1

    def test_around_a_time_only_what_is_near_is_looked_at(self, orders: Store) -> None:
        orders.write(batch([*whole(), *placed(105, "broken"), *paid(105.024, "stray")]))
        assert pairs(orders.continuations(LATER, around=at(105))) == [("broken", "stray")]
        assert pairs(orders.continuations(LATER, around=at(0) - timedelta(days=1))) == [("broken", "stray")]

    def test_joining_nothing_changes_nothing(self, orders: Store) -> None:
        orders.write(batch([*whole(3), *placed(105, "broken")]))
        before = orders.summary(LATER), list(orders.flows(FlowFilter(), LATER))
        with orders.joining([], LATER):
            assert (orders.summary(LATER), list(orders.flows(FlowFilter(), LATER))) == before
