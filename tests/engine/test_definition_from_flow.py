"""A definition written from one flow reads back, and by it the flow is completed if it was."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.engine.test_owed_properties import PATIENT

from clew.reconstruct.definition_file import Place, root
from clew.reconstruct.definition_from_flow import from_flow, generous
from clew.reconstruct.definition_reader import Reader
from clew.reconstruct.definitions import UNITS, Definition, Rule
from clew.reconstruct.detail import FlowDetail
from clew.reconstruct.errors import NothingToDefine
from clew.reconstruct.model import Flow, Settings, Status
from clew.reconstruct.owed import Event, owed
from clew.reconstruct.passes.order import order

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=400)


def flow_of(records: list[dict[str, Any]], status: Status = Status.COMPLETED, **more: Any) -> FlowDetail:
    """A flow whose records are logs with a name at a second, put in order as a store does."""
    rows = [
        ("correlation", False, {"kind": "log", **record, "time": NOON + timedelta(seconds=record["time"])})
        for record in records
    ]
    steps, loose = order(rows)  # type: ignore[arg-type]
    times = [row[2]["time"] for row in rows]
    flow = Flow(
        flow_id="flow-1", scope="", type="order", status=status, also=(), cause=None, late=False,
        started=min(times, default=None), last=max(times, default=None), deadline=None, owed=None,
        records=len(rows), events=len(rows), errors=0, dead_letters=0, missing_parents=0, services=(),
        keys={"order_id": ("4711",), "customer_id": ("1", "2"), "tenant_id": ("x",)}, evidence={},
    )  # fmt: skip
    return FlowDetail(flow=flow, steps=steps, loose=loose, links=(), truncated=0, **more)


def event(time: float, name: str, cause: str | None = None, **more: Any) -> dict[str, Any]:
    """An event that a service told, with the event's own name as its ID."""
    told = {"time": time, "name": name, "event_id": name, "service": "shop", "operation": "send"}
    return told | ({"causation_id": cause} if cause else {}) | more


def read(text: str) -> Definition:
    place = Place("flows.yaml", text)
    (definition,) = Reader(place).definitions(root(place))
    return definition


def bare(text: str) -> list[str]:
    """The text without comments."""
    lines = (re.sub(r" *#.*", "", line) for line in text.splitlines())
    return [line for line in lines if line.strip()]


def test_what_one_event_caused_stands_side_by_side_and_the_last_is_the_end() -> None:
    told = flow_of(
        [
            event(0, "Placed"),
            event(1, "Paid", "Placed", service="pay"),
            event(2, "Packed", "Paid"),
            event(3, "Mailed", "Placed", service="mail"),
            event(4, "Done", "Packed"),
        ]
    )
    assert bare(from_flow(told, Settings())) == [
        "flows:",
        "  order:",
        "    start: Placed",
        "    steps:",
        "      - all:",
        "          - - {event: Paid, service: pay}",
        "            - {event: Packed, service: shop}",
        "          - {event: Mailed, service: mail}",
        "    ends:",
        "      completed: Done",
        "    limit: 5m",
        "    keys: [order_id]",
    ]


def test_comments_say_what_is_a_guess() -> None:
    text = from_flow(
        flow_of([event(0, "Placed"), *(event(n, "Packed", "Placed", event_id=f"p{n}") for n in (1, 2, 3)), event(40, "Done")]),
        Settings(),
    )  # fmt: skip
    assert "# order, as one flow of it went: flow-1 (completed, 40s)." in text
    assert "Packed, service: shop}  # 1s after Placed; limit: 10s?; came 3 times; repeats: 3?" in text
    assert "    limit: 10m  # a guess: this one took 40s" in text
    assert "# failed: which event tells that it ended badly?" in text


def test_where_no_cause_is_named_the_order_of_time_is_told_as_a_guess() -> None:
    text = from_flow(
        flow_of([event(0, "Placed"), event(2, "Packed"), event(1, "Paid"), event(3, "Done")]), Settings()
    )
    assert re.findall(r"event: (\w+)", text) == ["Paid", "Packed"]
    assert "1s after Paid (by time alone)" in text


def test_what_the_type_is_known_to_end_and_undo_by_is_taken_over() -> None:
    known = Definition(
        "order", ("Placed",), (Rule(1, ("Paid",)), Rule(2, ("Refunded",), undoes=(1,))), ends=(("Back", "compensated"), ("Lost", "failed"))
    )  # fmt: skip
    records = [event(0, "Placed"), event(1, "Paid"), event(2, "Refunded"), event(3, "Back"), event(4, "Told")]
    text = from_flow(flow_of(records, Status.COMPENSATED), Settings(definitions=(known,)))
    assert "      compensated: Back" in text
    assert "      Refunded: Paid" in text
    assert "# after its end came Told" in text
    assert read(text).ends == (("Back", "compensated"),)


def test_a_name_that_looks_like_an_undoing_is_asked_for() -> None:
    records = [event(0, "Placed"), event(1, "PaymentTaken"), event(2, "PaymentRefunded"), event(3, "Done")]
    assert "# compensations: {PaymentRefunded: PaymentTaken}?" in from_flow(flow_of(records), Settings())


def test_a_flow_of_spans_alone_is_defined_by_its_spans() -> None:
    spans = [
        {"time": number, "kind": "span", "name": name, "service": "shop", "trace_id": "t", "span_id": name,
         "parent_span_id": parent, "end_time": NOON + timedelta(seconds=9 - number)}
        for number, (name, parent) in enumerate([("POST /orders", None), ("charge", "POST /orders"), ("pack", "charge")])
    ]  # fmt: skip
    definition = read(from_flow(flow_of(spans), Settings()))
    assert definition.start == ("POST /orders",)
    assert [rule.events for rule in definition.rules] == [("charge",), ("pack",)]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"time": 0, "body": "no name"}],
        [event(0, " spaced ")],
        [event(0, "A"), event(1, "A", service="x")],
    ],
)
def test_a_flow_without_a_name_to_ask_for_is_refused(records: list[dict[str, Any]]) -> None:
    with pytest.raises(NothingToDefine, match="flow-1") as refused:
        from_flow(flow_of(records), Settings())
    assert refused.value.help


def test_a_flow_with_more_events_than_a_type_may_have_is_refused() -> None:
    with pytest.raises(NothingToDefine, match="600 different events"):
        from_flow(flow_of([event(n, f"E{n}") for n in range(600)]), Settings())


def test_a_chain_that_forks_at_each_of_its_links_is_nested_as_deep_as_a_file_may_be() -> None:
    records = [event(0, "E0")]
    for n in range(1, 100):
        records += [event(n, f"E{n}", f"E{n - 1}"), event(n + 0.5, f"Side{n}", f"E{n - 1}")]
    definition = read(from_flow(flow_of(records), Settings()))
    assert len(definition.rules) == len(records) - 1


def test_limits_are_generous_and_round() -> None:
    seconds = [
        generous(int(second * 1_000_000)) // UNITS["s"] for second in (0, 0.9, 1.1, 30, 31, 400, 90_000)
    ]
    assert seconds == [10, 10, 20, 300, 600, 7_200, 950_400]


NAMES = st.sampled_from(
    ["A", "B", "C", "D", "yes", "1", "a: b", "#x", "'q'", "{x}", "é", "\x1b[2J", "\u202eB"]
)


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events that are published, handled or told, caused by one before or by none, with clocks that differ."""
    records: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 12))):
        cause = draw(st.one_of(st.none(), st.integers(0, number - 1))) if number else None
        told: dict[str, Any] = {
            "time": number + draw(st.sampled_from([0, 0, 0, 0.5, -3])),
            "name": draw(NAMES),
            "service": draw(st.sampled_from(["s1", "s2", None])),
            "operation": draw(st.sampled_from(["send", "send", "process", None])),
            "event_id": draw(st.sampled_from([f"e{number}", f"e{number}", None])),
            "causation_id": None if cause is None else f"e{cause}",
        }
        records.append({name: value for name, value in told.items() if value is not None})
        if draw(st.booleans()):
            records.append(told | {"time": number + 0.2, "operation": "process", "service": "s3"})
    return [{name: value for name, value in record.items() if value is not None} for record in records]


@settings(PATIENT, max_examples=150)
@given(histories(), st.sampled_from([Status.COMPLETED, Status.STUCK, Status.FAILED]))
def test_any_flow_is_defined_such_that_it_is_completed_if_it_was(
    records: list[dict[str, Any]], status: Status
) -> None:
    assume(len({record["name"] for record in records}) > 1)
    detail = flow_of(records, status)
    text = from_flow(detail, Settings())
    definition = read(text)
    assert text.replace("\n", "").isprintable()
    assert definition.start[0] in {record["name"] for record in records}
    if status is Status.COMPLETED:
        identified = [(r, (r["name"], r.get("event_id") or number)) for number, r in enumerate(records)]
        emitters = {key: r.get("service") for r, key in reversed(identified) if r.get("operation") != "process"}  # fmt: skip
        told = {
            key: Event(r["name"], NOON + timedelta(seconds=r["time"]), emitters.get(key, r.get("service")))
            for r, key in identified
        }
        standing = owed(definition, told.values(), LATER)
        assert standing.owed == ()
