"""The demo's definitions say of each of its flows how it ended, or what should have been sent next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from clew.cli.demo import DEFINITIONS, run
from clew.reconstruct.definitions import Definition, load
from clew.reconstruct.owed import Event, Standing, owed

NEXT = {
    # who did not handle what: what is owed then
    ("payment-service", "OrderPlaced"): {"PaymentSucceeded", "PaymentFailed"},
    ("inventory-service", "PaymentSucceeded"): {"InventoryReserved", "InventoryRejected"},
    ("shipping-service", "InventoryReserved"): {"ShipmentDispatched"},
    ("order-service", "ShipmentDispatched"): {"OrderCompleted"},
    ("profile-service", "UserRegistered"): {"ProfileCreated"},
    ("email-service", "UserRegistered"): {"WelcomeEmailSent"},
    ("billing-service", "UserRegistered"): {"TrialStarted"},
    ("transcoder-service", "VideoUploaded"): {"VideoTranscoded", "TranscodingFailed"},
    ("thumbnail-service", "VideoUploaded"): {"ThumbnailsCreated"},
    ("metadata-service", "VideoUploaded"): {"MetadataExtracted"},
    ("bank-gateway", "StatementRequested"): {"StatementReceived", "StatementUnavailable"},
    ("reconciliation-service", "StatementReceived"): {"ReconciliationCompleted"},
}
STOPPED = {
    "never_handled",
    "hung",
    "consumed_no_reaction",
    "join_lacks_input",
    "retries_exhausted",
    "dead_lettered",
}


class Told(NamedTuple):
    """A flow of the demo, and how it stands by its definition."""

    flow: dict[str, Any]
    definition: Definition
    standing: Standing

    @property
    def fault(self) -> str:
        return self.flow["faults"][0]["kind"] if self.flow["faults"] else ""

    @property
    def status(self) -> str:
        return str(self.flow["expected_status"]["with_definitions"])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Told]:
    made = run(tmp_path_factory.mktemp("demo"), flows=320, seed=7, faults=0.3)
    truth = json.loads(made.truth.read_text("utf-8"))
    definitions = {one.name: one for one in load(DEFINITIONS)}
    lines = {
        (number, at): json.loads(text)
        for number, name in enumerate(truth["files"])
        if name.startswith("logs/")
        for at, text in enumerate((made.folder / name).read_text("utf-8").splitlines(), 1)
    }
    as_of = datetime.fromisoformat(truth["as_of"])
    found = []
    for flow in truth["flows"]:
        own = [lines[file, line] for file, line in flow["records"]["logs"]]
        if [fault["kind"] for fault in flow["faults"]] == ["logs_without_correlation"]:
            continue  # such a line tells of no event
        definition = definitions[flow["type"]]
        found.append(Told(flow, definition, owed(definition, published(own), as_of)))
    return found


def published(lines: list[dict[str, Any]]) -> Iterator[Event]:
    """What was sent, each event once, dead letters left out."""
    sent = {
        line["event_id"]: line
        for line in lines
        if line.get("operation") == "send" and not line["destination"].endswith("-dlt")
    }
    for line in sent.values():
        yield Event(line["event_type"], datetime.fromisoformat(line["timestamp"]), line["service"])


def test_no_event_of_a_flow_is_unknown_to_its_definition(told: list[Told]) -> None:
    assert {(one.definition.name, event.name) for one in told for event in one.standing.unknown} == set()
    assert [one for one in told if one.standing.contradicted or one.standing.exceeded] == []


@pytest.mark.parametrize("status", ["completed", "cancelled", "compensated"])
def test_what_ended_well_or_on_request_owes_nothing(told: list[Told], status: str) -> None:
    ended = [one.standing for one in told if one.status == status]
    assert len(ended) >= 3
    assert {one.ended and one.ended.outcome for one in ended} == {status}
    assert {one.owed for one in ended} == {()}


def test_what_is_late_is_late(told: list[Told]) -> None:
    assert [one.flow["late"] for one in told] == [one.standing.late for one in told]
    assert any(one.standing.late for one in told)


def test_what_was_compensated_is_undone_whole(told: list[Told]) -> None:
    undone = [one for one in told if one.standing.undoing]
    assert {one.fault for one in undone} == {"compensated"}
    for one in undone:
        assert one.standing.undoing
        names = [one.definition.rules[rule - 1].events[0] for rule in one.standing.undoing.undone]
        assert (names, one.standing.undoing.left) == (["PaymentSucceeded"], ())


def test_what_stopped_owes_what_the_handler_at_fault_should_have_sent(told: list[Told]) -> None:
    stopped = [one for one in told if one.fault in STOPPED and one.status != "in_progress"]
    assert {one.fault for one in stopped} == STOPPED
    for one in stopped:
        (fault,) = one.flow["faults"]
        (due,) = one.standing.owed
        names = {one.definition.rules[rule - 1].events[0] for rule in due.rules}
        assert names == NEXT[fault["service"], fault["event"]], one.flow
        assert due.overdue
