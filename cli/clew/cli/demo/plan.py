"""Which flows a run has, when each starts, and what goes wrong in it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from clew.cli.demo.clock import NS, START_NS
from clew.cli.demo.facts import Fault

SPAN_S: Final = 3600
"""The recording covers an hour."""
_LAST_START_S: Final = SPAN_S - 3
_LAST_HARM_S: Final = SPAN_S - 15 * 60
"""Flows that go wrong for good start early enough to be past every limit at the end."""

ORDER: Final = "order-fulfilment"
ONBOARDING: Final = "user-onboarding"
VIDEO: Final = "video-processing"
RECONCILIATION: Final = "financial-reconciliation"

# Seconds, as in definitions.yaml (a test compares them).
LIMITS: Final = {ORDER: 300, ONBOARDING: 300, VIDEO: 600, RECONCILIATION: 300}
_WEIGHTS: Final = {ORDER: 40, ONBOARDING: 25, VIDEO: 20, RECONCILIATION: 15}


class Target(NamedTuple):
    """A handler that a fault can strike."""

    workflow: str
    service: str = ""
    event: str = ""


_CHARGE = Target(ORDER, "payment-service", "OrderPlaced")
_RESERVE = Target(ORDER, "inventory-service", "PaymentSucceeded")
_PICK = Target(ORDER, "shipping-service", "InventoryReserved")
_COMPLETE = Target(ORDER, "order-service", "ShipmentDispatched")
_PROFILE = Target(ONBOARDING, "profile-service", "UserRegistered")
_MAIL = Target(ONBOARDING, "email-service", "UserRegistered")
_TRIAL = Target(ONBOARDING, "billing-service", "UserRegistered")
_TRANSCODE = Target(VIDEO, "transcoder-service", "VideoUploaded")
_THUMBNAILS = Target(VIDEO, "thumbnail-service", "VideoUploaded")
_METADATA = Target(VIDEO, "metadata-service", "VideoUploaded")
_FETCH = Target(RECONCILIATION, "bank-gateway", "StatementRequested")
_COMPARE = Target(RECONCILIATION, "reconciliation-service", "StatementReceived")

_WITH_DEAD_LETTERS: Final = (_CHARGE, _PICK, _MAIL, _TRANSCODE, _FETCH)
_WITHOUT: Final = (_RESERVE, _COMPLETE, _PROFILE, _TRIAL, _THUMBNAILS, _METADATA, _COMPARE)
_ANY: Final = (*_WITH_DEAD_LETTERS, *_WITHOUT)
_PARTS: Final = (_TRANSCODE, _THUMBNAILS, _METADATA)
# Where the event has no other consumer, so that nobody at all handles it.
_SOLE: Final = (_CHARGE, _RESERVE, _PICK, _COMPLETE, _FETCH, _COMPARE)
_LAST: Final = (
    Target(ORDER, "notification-service", "OrderCompleted"),
    Target(VIDEO, "notification-service", "VideoPublished"),
    Target(ONBOARDING, "analytics-service", "OnboardingCompleted"),
    Target(RECONCILIATION, "reporting-service", "ReconciliationCompleted"),
)


class FaultKind(NamedTuple):
    """A kind of fault: what it strikes, and whether the flow can still end well."""

    targets: tuple[Target, ...]
    harm: bool
    scenario: str = "ok"


FAULTS: Final[dict[str, FaultKind]] = {
    # a dependency fails, then comes back
    "retry_then_success": FaultKind(_ANY, harm=False),
    # it does not come back; the consumer gives up
    "retries_exhausted": FaultKind(_WITHOUT, harm=True),
    # it does not come back; the consumer writes a dead letter
    "dead_lettered": FaultKind(_WITH_DEAD_LETTERS, harm=True),
    # the message is sent, and no consumer ever gets it
    "never_handled": FaultKind(_SOLE, harm=True),
    # the handler starts and never ends: its span is never exported
    "hung": FaultKind(_ANY, harm=True),
    # the handler ends well and publishes nothing
    "consumed_no_reaction": FaultKind(tuple(target for target in _ANY if target not in _PARTS), harm=True),
    # so does one of the three whom a join waits for
    "join_lacks_input": FaultKind(_PARTS, harm=True),
    # out of stock after the charge: the payment is refunded
    "compensated": FaultKind((Target(ORDER),), harm=False, scenario="compensated"),
    # the business says no: a bad end
    "rejected": FaultKind(
        (Target(ORDER), Target(VIDEO), Target(RECONCILIATION)), harm=False, scenario="rejected"
    ),
    # the user says no
    "cancelled": FaultKind((Target(ORDER),), harm=False, scenario="cancelled"),
    # the broker delivers a message twice
    "duplicate_delivery": FaultKind(_LAST, harm=False),
    # beyond the limit, but it ends
    "slow": FaultKind(_ANY, harm=True),
    # log lines have trace and span, but no correlation ID
    "logs_without_correlation": FaultKind(_ANY, harm=False),
    # the service starts a new trace, but keeps the correlation ID
    "new_trace": FaultKind(_ANY, harm=False),
    # the consumer's span links to the sender's instead of being its child
    "span_link": FaultKind(_ANY, harm=False),
    # an old service hands on neither: what follows it gets another correlation ID
    "lost_context": FaultKind((_RESERVE,), harm=True),
}


@dataclass(frozen=True, slots=True)
class PlannedFlow:
    """One flow to be started."""

    start_ns: int
    workflow: str
    scenario: str
    fault: Fault | None


def plan_flows(flows: int, faults: float, chance: Random) -> list[PlannedFlow]:
    """Plan ``flows`` flows, the share ``faults`` of them with one fault each, by start time.

    The kinds of fault take turns, so that each is there as soon as there are as many
    faulty flows as kinds; so do the handlers that a kind strikes.
    """
    faulty = round(flows * faults)
    kinds = list(FAULTS)
    chance.shuffle(kinds)
    first = chance.randrange(faulty + 1)
    planned = [
        _faulty(kinds[number % len(kinds)], first + number // len(kinds), chance) for number in range(faulty)
    ]
    names, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    planned += [
        PlannedFlow(_start(_LAST_START_S, chance), workflow, "ok", None)
        for workflow in chance.choices(names, weights, k=flows - faulty)
    ]
    planned.sort(key=lambda flow: flow.start_ns)
    return planned


def _faulty(name: str, turn: int, chance: Random) -> PlannedFlow:
    kind = FAULTS[name]
    target = kind.targets[turn % len(kind.targets)]
    start_ns = _start(_LAST_HARM_S if kind.harm else _LAST_START_S, chance)
    return PlannedFlow(start_ns, target.workflow, kind.scenario, Fault(name, target.service, target.event))


def _start(last_s: int, chance: Random) -> int:
    return START_NS + chance.randrange(1_000_000, last_s * 1_000_000) * (NS // 1_000_000)
