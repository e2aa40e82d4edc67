"""Which flows a recording has: when each starts, its scenario, and what goes wrong in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from tests.truth.flows import Fault, Flow, S
from tests.truth.workflows import ONBOARDING, ORDER, RECONCILIATION, VIDEO, WORKFLOWS, Workflow

START: Final = 1_772_524_800 * S
"""2026-03-03, 08:00 UTC"""
SPAN_S: Final = 3600
END: Final = START + SPAN_S * S
_SETTLED_S: Final = SPAN_S - 1200
"""What goes wrong for good starts early enough to be past every limit at the end."""


class Case(NamedTuple):
    """A kind of flow in which something is out of the ordinary."""

    kind: str
    workflow: Workflow
    scenario: str = ""
    strikes: tuple[str, str] = ("", "")
    """(event, service) of the reaction, or ("", event) of the call."""
    between_s: tuple[int, int] = (1, _SETTLED_S)
    """When it starts."""


def _all(kind: str, *strikes: tuple[Workflow, str, str]) -> Iterator[Case]:
    for workflow, event, service in strikes:
        yield Case(kind, workflow, "", (event, service))


_CHARGE, _RESERVE, _COLLECT = (
    (ORDER, "OrderPlaced", "payments"),
    (ORDER, "PaymentCaptured", "warehouse"),
    (ORDER, "StockReserved", "courier"),
)
_CLOSE, _MAIL = (ORDER, "ParcelCollected", "shop"), (ORDER, "OrderCompleted", "mailer")
_PROFILE, _WELCOME, _TRIAL = (
    (ONBOARDING, "UserRegistered", "accounts"),
    (ONBOARDING, "UserRegistered", "mailer"),
    (ONBOARDING, "UserRegistered", "billing"),
)
_FUNNEL = (ONBOARDING, "OnboardingFinished", "analytics")
_TRANSCODE, _CUT = (VIDEO, "VideoUploaded", "encoder"), (VIDEO, "VideoUploaded", "thumbnails")
_ANNOUNCE = (VIDEO, "VideoPublished", "mailer")
_FETCH, _MATCH = (
    (RECONCILIATION, "StatementRequested", "bank"),
    (RECONCILIATION, "StatementReceived", "matcher"),
)
_LIST = (RECONCILIATION, "ReconciliationClosed", "reporting")
_SOLE = (_CHARGE, _RESERVE, _COLLECT, _CLOSE, _MAIL, _FETCH, _MATCH)
_SENDING = (_CHARGE, _RESERVE, _COLLECT, _CLOSE, _PROFILE, _WELCOME, _TRIAL, _TRANSCODE, _CUT, _FETCH)
_LAST = (_MAIL, _FUNNEL, _ANNOUNCE, _LIST)
_ANY = (*_SENDING, _MATCH, *_LAST)

GROUPS: Final[tuple[Sequence[Case], ...]] = (
    tuple(_all("never_handled", *_SOLE)),
    tuple(_all("never_handled", _PROFILE, _WELCOME, _TRIAL)),
    tuple(_all("hung", *_SENDING, _MATCH)),
    tuple(_all("quiet", *_SENDING, _MATCH)),
    tuple(_all("exhausted", *_ANY)),
    tuple(_all("dead", *_ANY)),
    tuple(_all("retried", *_ANY)),
    tuple(_all("slow", *_SENDING)),
    tuple(_all("twice", *_LAST)),
    (Case("lost", *_RESERVE[:1], "", _RESERVE[1:]),),
    tuple(
        Case("retrying", workflow, "", (event, service), (SPAN_S - 250, SPAN_S - 100))
        for workflow, event, service in (_CHARGE, _RESERVE, _PROFILE, _WELCOME, _CUT)
    ),
    (
        Case("unsent", RECONCILIATION, "", ("", "StatementRequested")),
        Case("unsent", RECONCILIATION, "", ("", "LedgerClosed")),
        Case("unsent", VIDEO, "", ("", "CaptionsDelivered")),
        Case("unsent", VIDEO, "", ("", "CaptionsDelivered")),
    ),
    (
        Case("", ORDER, "declined", between_s=(1, SPAN_S)),
        Case("", VIDEO, "codec", between_s=(1, SPAN_S)),
        Case("", RECONCILIATION, "closed", between_s=(1, SPAN_S)),
    ),
    (Case("", ORDER, "cancelled", between_s=(1, SPAN_S)),),
    (Case("", ORDER, "missing", between_s=(1, SPAN_S)), Case("", ORDER, "refused", between_s=(1, SPAN_S))),
    (
        Case("hung", ORDER, "missing", ("StockMissing", "payments")),
        Case("never_handled", ORDER, "refused", ("StockReleased", "payments")),
        Case("hung", ORDER, "refused", ("StockReleased", "payments")),
        Case("dead", ORDER, "refused", ("CourierRefused", "warehouse")),
        Case("exhausted", ORDER, "refused", ("StockReleased", "payments")),
    ),
    (Case("half", ORDER, "half"),),
    (
        Case("never_handled", RECONCILIATION, "differs", ("AuditOpened", "inspector")),
        Case("hung", RECONCILIATION, "differs", ("AuditOpened", "inspector")),
        Case("quiet", RECONCILIATION, "differs", ("AuditOpened", "inspector")),
    ),
)
"""Kinds take turns, and so do those within one."""

_WEIGHTS: Final = (40, 25, 20, 15)


def plan(flows: int, faults: float, chance: Random) -> Iterator[Flow]:
    """So many flows, the share ``faults`` of them out of the ordinary."""
    faulty = round(flows * faults)
    for number in range(faulty):
        group = GROUPS[number % len(GROUPS)]
        case = group[number // len(GROUPS) % len(group)]
        first, last = case.between_s
        fault = Fault(case.kind, _struck(case))
        yield Flow(number, case.workflow, case.scenario, fault, _start(first, last, chance))
    for number, workflow in enumerate(chance.choices(WORKFLOWS, _WEIGHTS, k=flows - faulty), faulty):
        scenario = "differs" if workflow is RECONCILIATION and chance.random() < 0.25 else ""
        yield Flow(number, workflow, scenario, Fault(""), _start(1, SPAN_S, chance))


def _start(first_s: int, last_s: int, chance: Random) -> int:
    return START + chance.randrange(first_s * S, last_s * S)


def _struck(case: Case) -> int:
    """Its place among the workflow's reactions or calls, which the variants keep."""
    event, name = case.strikes
    if event:
        return next(
            at for at, one in enumerate(case.workflow.reactions) if (one.event, one.service) == (event, name)
        )
    return next((at for at, one in enumerate(case.workflow.calls) if one.event == name), -1)
