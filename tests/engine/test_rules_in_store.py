"""A store says of written flows what the reference says of them, however their records come."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine import written_flows as flows
from tests.engine.pictures import Row, put
from tests.engine.rules_in_sql import LIMIT_US
from tests.engine.test_owed_properties import DAY, at, definition_of
from tests.engine.test_rules_in_sql import definitions, left_undone

from clew.reconstruct import open_store
from clew.reconstruct.definitions import Definition
from clew.reconstruct.model import Flow, FlowFilter, Settings
from clew.reconstruct.owed import Due, Event, owed

FEW = settings(
    deadline=None,
    derandomize=True,
    max_examples=12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def told_by(event: Event, flow: str, number: int, ways: Sequence[str]) -> list[Row]:
    """Records of one event: each way is one more that tells of it."""
    common = {"name": event.name, "correlation_id": flow, "service": event.service}
    rows: list[Row] = []
    for nth, way in enumerate(ways):
        row: dict[str, Any] = {"time": event.time, "label": f"{flow}-{number}-{nth}", **common}
        if way != "line":
            row["event_id"] = f"{flow}-{number}"
        if way == "heard":
            row |= {"operation": "process", "service": "reader", "time": at(21)}
        if way == "message":
            row |= {"kind": "message", "service": None}
        rows.append(row)
    return rows


WAYS = st.sampled_from([["line"], ["sent"], ["sent", "message"], ["message", "sent", "heard", "heard"]])


@st.composite
def stories(draw: st.DrawFn, definition: Definition, written: dict[str, Any]) -> list[Event]:
    """Events of one flow: a walk, a part of one, any events, or a walk with some of them."""
    names = sorted({event for rule in definition.rules for event in rule.events})
    names += [event for event, _ in definition.ends]
    some = st.lists(st.tuples(st.sampled_from(names), st.integers(0, 20)), max_size=4)
    walk = draw(flows.walks(written["steps"])) if draw(st.booleans()) else []
    length = draw(st.integers(0, len(walk)))
    told = [*zip(walk[:length], range(1, 99), strict=False), *draw(some)]
    return [Event(flows.START, DAY, "shop"), *(Event(name, at(second), "shop") for name, second in told)]


def expected(definition: Definition, events: Sequence[Event], as_of: datetime) -> tuple[Any, ...]:
    """Status, and what is due first: until when, since when and by which name."""
    standing = owed(definition, events, as_of, LIMIT_US)
    half = left_undone(definition, standing, as_of) if standing.ended else []
    dues = [(due.deadline, due.since, name(definition, due)) for due in standing.owed or half]
    first = min(dues) if dues else None
    if standing.ended is not None:
        return "failed" if half else standing.ended.outcome, first
    if any(due.overdue for due in standing.owed):
        return "stuck", first
    return "compensating" if standing.undoing else "in_progress", first


def name(definition: Definition, due: Due) -> str:
    names = [definition.rules[rule - 1].events[0] for rule in due.rules]
    return f"{due.needs} of {', '.join(names)}" if due.needs > 1 else " or ".join(names)


def said(flow: Flow) -> tuple[Any, ...]:
    return str(flow.status), flow.owed and (flow.owed.deadline, flow.owed.since, flow.owed.name)


@FEW
@given(st.data(), definitions(), st.randoms(use_true_random=False), st.integers(21, 70))
def test_a_store_says_what_the_reference_says_in_any_batches(
    data: st.DataObject, written: dict[str, Any], chances: random.Random, second: int
) -> None:
    definition = definition_of(written)
    told = {
        f"c{number}": data.draw(stories(definition, written))
        for number in range(data.draw(st.integers(2, 8)))
    }
    rows = [
        row
        for flow, events in told.items()
        for number, event in enumerate(events)
        for row in told_by(event, flow, number, data.draw(WAYS))
    ]
    wanted = {flow: expected(definition, events, at(second)) for flow, events in told.items()}
    judged_by = Settings(definitions=(definition,), limit_us=LIMIT_US)
    shuffled = chances.sample(rows, len(rows))
    pieces = chances.randint(2, 4)
    for batches in ([rows], [shuffled[piece::pieces] for piece in range(pieces)]):
        with (
            tempfile.TemporaryDirectory() as folder,
            open_store(Path(folder) / "s.duckdb", settings=judged_by) as store,
        ):
            put(store, batches)
            assert {flow.flow_id: said(flow) for flow in store.flows(FlowFilter(), at(second))} == wanted
