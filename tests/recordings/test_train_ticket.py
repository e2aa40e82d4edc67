"""Train-ticket recordings of five minutes: spans, logs, traces, services and errors as counted by others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.reconstruct.learned import Asked
from clew.reconstruct.model import FlowFilter

Read = Callable[..., Any]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "formats"
SPANS = str(EXAMPLES / "train-ticket-spans.yaml")
LOGS = str(EXAMPLES / "train-ticket-logs.yaml")

MINUTES = {
    "trainticket-2023-01-29-08_50": (4890, 2489, 71, 25, 27),
    "trainticket-2023-01-29-10_04": (2336, 1138, 48, 26, 25),
    "trainticket-2023-01-29-10_06": (4102, 2129, 50, 27, 10),
    "trainticket-2023-01-30-13_15": (723, 306, 34, 13, 26),
    "trainticket-2023-01-30-13_17": (2170, 1169, 31, 23, 0),
}
"""Folder: spans, logs, traces, services, traces with an ERROR log."""


@pytest.mark.parametrize("minute", sorted(MINUTES))
def test_a_minute_of_train_ticket_is_put_together(read: Read, recordings: Path, minute: str) -> None:
    spans, logs, traces, services, with_errors = MINUTES[minute]
    folder = recordings / "nezha" / minute
    reading = read(folder / "trace.csv", folder / "log.csv", formats=(SPANS, LOGS))
    assert reading.report.by_kind == {"log": logs, "span": spans}
    assert reading.report.rejects == 0
    assert len(reading.flows) == traces
    assert len(reading.services) == services
    assert reading.flows_with_errors == with_errors
    assert reading.orphans == 0
    assert {str(flow.status) for flow in reading.flows} == {"completed"}


@pytest.mark.parametrize(
    ("minute", "sends", "handlings"),
    [("trainticket-2023-01-29-10_04", 2, 4), ("trainticket-2023-01-29-10_06", 6, 12)],
)
def test_each_send_to_the_queue_has_its_two_handlings(
    read: Read, recordings: Path, minute: str, sends: int, handlings: int
) -> None:
    reading = read(recordings / "nezha" / minute / "trace.csv", formats=(SPANS,))
    names = Counter(
        step.name
        for flow in reading.flows
        if (detail := reading.store.flow(flow.flow_id)) is not None
        for step in detail.steps
    )
    assert names["<default> send"] == sends
    assert names["food_delivery process"] == handlings


def test_what_a_send_to_the_queue_leads_to_is_learned(read: Read, recordings: Path) -> None:
    minutes = [
        recordings / "nezha" / f"trainticket-2023-01-29-{minute}" / "trace.csv"
        for minute in ("10_04", "10_06")
    ]
    store = read(*minutes, formats=(SPANS, SPANS)).store
    model = store.learn(Asked(support=5, floor_us=1_000_000))
    (definition,) = model.definitions
    assert definition.start == ("<default> send",)
    (step,) = definition.rules
    assert (step.events, step.service) == (("food_delivery process",), "ts-delivery-service")
    assert step.at_least == 2, "each send has two consumers"
    assert model.types[0].flows == 8
    assert model.types[0].explained == 1.0
    (led,) = store.transitions()
    assert (led.event, led.follower, led.flows, led.share) == (
        "<default> send",
        "food_delivery process",
        8,
        1.0,
    )
    assert led.wait is not None
    assert {str(flow.status) for flow in store.flows(FlowFilter())} == {"completed"}
