"""Four workflows, and a child of one of them, as who reads what and sends what then.

They are written for these tests alone: nothing of the demo's is used, and nothing of the engine's.
:data:`DEFINITIONS` says of them what a team would write down, and no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

DEFINITIONS: Final = Path(__file__).with_name("definitions.yaml")
DEFAULT_LIMIT_S: Final = 300


class Reaction(NamedTuple):
    """A service reads an event, works, and may send another."""

    event: str
    service: str
    sends: str | None = None
    seconds: float = 0.05
    after_s: float = 0.0
    """What it sends comes so much later, by somebody's call."""
    otherwise: tuple[tuple[str, str | None], ...] = ()
    """What it sends instead, by scenario."""
    joins: tuple[str, ...] = ()
    """It sends only once it has read all of these."""
    opens: bool = False
    """What it sends begins the child flow."""
    returns: bool = False
    """It reads in the child flow, and sends in the parent."""

    def sent(self, scenario: str) -> str | None:
        """What it sends in a scenario."""
        return dict(self.otherwise).get(scenario, self.sends)


class Call(NamedTuple):
    """An event that somebody outside or a schedule leads to: nobody had to read anything."""

    service: str
    request: str
    event: str
    after_s: float
    only: str | None = None
    """In this scenario alone."""
    missing: str = "never_published"
    """The cause of a flow that waits for it."""


class Workflow(NamedTuple):
    """A workflow as it really goes."""

    name: str
    key: str
    start: Call
    reactions: tuple[Reaction, ...]
    ends: dict[str, str]
    limit_s: int
    calls: tuple[Call, ...] = ()
    limits: tuple[tuple[str, str, int], ...] = ()
    """(step, of what, seconds): steps with a limit of their own."""
    undoes: tuple[tuple[str, str], ...] = ()


ORDER: Final = Workflow(
    "order-fulfilment",
    "order_id",
    Call("shop", "POST /orders", "OrderPlaced", 0.0),
    (
        Reaction(
            "OrderPlaced",
            "payments",
            "PaymentCaptured",
            0.3,
            otherwise=(("declined", "PaymentDeclined"), ("cancelled", None)),
        ),
        Reaction("PaymentDeclined", "shop", "OrderRejected"),
        Reaction("PaymentCaptured", "warehouse", "StockReserved", otherwise=(("missing", "StockMissing"),)),
        Reaction("StockMissing", "payments", "PaymentRefunded", 0.3),
        Reaction("PaymentRefunded", "shop", "OrderRefunded"),
        Reaction(
            "StockReserved",
            "courier",
            "ParcelCollected",
            after_s=25.0,
            otherwise=(("refused", "CourierRefused"), ("half", "CourierRefused")),
        ),
        Reaction("CourierRefused", "warehouse", "StockReleased"),
        Reaction("CourierRefused", "shop", None, otherwise=(("half", "OrderReversed"),), after_s=3.0),
        Reaction("StockReleased", "payments", "PaymentReversed", 0.3, otherwise=(("half", None),)),
        Reaction("PaymentReversed", "shop", "OrderReversed"),
        Reaction("ParcelCollected", "shop", "OrderCompleted"),
        Reaction("OrderCompleted", "mailer", None, 0.1),
        Reaction("OrderRejected", "mailer", None, 0.1),
        Reaction("OrderRefunded", "mailer", None, 0.1),
        Reaction("OrderReversed", "mailer", None, 0.1),
        Reaction("OrderCancelled", "payments"),
    ),
    {
        "OrderCompleted": "completed",
        "OrderRejected": "failed",
        "OrderCancelled": "cancelled",
        "OrderRefunded": "compensated",
        "OrderReversed": "compensated",
    },
    300,
    calls=(Call("shop", "DELETE /orders/{id}", "OrderCancelled", 45.0, only="cancelled"),),
    undoes=(
        ("PaymentRefunded", "PaymentCaptured"),
        ("PaymentReversed", "PaymentCaptured"),
        ("StockReleased", "StockReserved"),
    ),
)

_REPLIES: Final = ("ProfileCreated", "WelcomeSent", "TrialOpened")
ONBOARDING: Final = Workflow(
    "user-onboarding",
    "user_id",
    Call("portal", "POST /users", "UserRegistered", 0.0),
    (
        Reaction("UserRegistered", "accounts", "ProfileCreated"),
        Reaction("UserRegistered", "mailer", "WelcomeSent", 0.4),
        Reaction("UserRegistered", "billing", "TrialOpened", 0.6),
        *(Reaction(reply, "portal", "OnboardingFinished", joins=_REPLIES) for reply in _REPLIES),
        Reaction("OnboardingFinished", "analytics", None, 0.02),
    ),
    {"OnboardingFinished": "completed"},
    240,
    limits=(("TrialOpened", "UserRegistered", 90),),
)

_PARTS: Final = ("VideoTranscoded", "ThumbnailsCut", "CaptionsDelivered")
VIDEO: Final = Workflow(
    "video-processing",
    "video_id",
    Call("uploads", "PUT /videos/{id}", "VideoUploaded", 0.0),
    (
        Reaction(
            "VideoUploaded", "encoder", "VideoTranscoded", 100.0, otherwise=(("codec", "TranscodingFailed"),)
        ),
        Reaction("VideoUploaded", "thumbnails", "ThumbnailsCut", 6.0),
        *(Reaction(part, "publisher", "VideoPublished", joins=_PARTS) for part in _PARTS),
        Reaction("TranscodingFailed", "publisher", "VideoRejected"),
        Reaction("VideoPublished", "mailer", None, 0.1),
        Reaction("VideoRejected", "mailer", None, 0.1),
    ),
    {"VideoPublished": "completed", "VideoRejected": "failed"},
    600,
    # The vendor watches the bucket, and calls back.
    calls=(Call("captions", "POST /captions/{id}", "CaptionsDelivered", 60.0, missing="waiting_for_join"),),
)

_SIDES: Final = ("LedgerClosed", "StatementReceived")
RECONCILIATION: Final = Workflow(
    "financial-reconciliation",
    "run_id",
    Call("clerk", "run nightly", "ReconciliationOpened", 0.0),
    (
        Reaction("ReconciliationOpened", "reporting", None, 0.02),
        Reaction(
            "StatementRequested",
            "bank",
            "StatementReceived",
            14.0,
            otherwise=(("closed", "StatementRefused"),),
        ),
        *(
            Reaction(
                side,
                "matcher",
                "ReconciliationClosed",
                joins=_SIDES,
                otherwise=(("differs", "DifferenceFound"),),
            )
            for side in _SIDES
        ),
        Reaction("StatementRefused", "matcher", "ReconciliationFailed"),
        Reaction("DifferenceFound", "auditor", "AuditOpened", opens=True),
        Reaction("AuditOpened", "inspector", "AuditSigned", 2.0),
        Reaction("AuditSigned", "auditor", "AdjustmentPosted", returns=True),
        Reaction("AdjustmentPosted", "matcher", "ReconciliationClosed"),
        Reaction("ReconciliationClosed", "reporting", None, 0.02),
        Reaction("ReconciliationFailed", "reporting", None, 0.02),
    ),
    {"ReconciliationClosed": "completed", "ReconciliationFailed": "failed"},
    300,
    calls=(
        Call("ledger", "POST /ledgers/{id}/close", "LedgerClosed", 0.2),
        Call("clerk", "ask the bank", "StatementRequested", 0.5),
    ),
)
AUDIT: Final = Workflow(
    "audit",
    "audit_id",
    Call("auditor", "", "AuditOpened", 0.0),
    tuple(one for one in RECONCILIATION.reactions if one.event in {"AuditOpened", "AuditSigned"}),
    {"AuditSigned": "completed"},
    180,
)

WORKFLOWS: Final = (ORDER, ONBOARDING, VIDEO, RECONCILIATION)


# What the definitions do not mention.


def with_new_step(workflow: Workflow) -> Workflow:
    """A release puts a step into the way, and another beside it."""
    sends, new, by = {
        "order-fulfilment": ("StockReserved", "PickPlanned", "planner"),
        "user-onboarding": ("TrialOpened", "TaxNumberChecked", "taxes"),
        "video-processing": ("VideoTranscoded", "VideoScanned", "scanner"),
        "financial-reconciliation": ("StatementReceived", "RequestSigned", "signer"),
    }[workflow.name]
    before = next(one.event for one in workflow.reactions if one.sends == sends)
    return workflow._replace(
        reactions=(
            *(one._replace(event=new) if one.sends == sends else one for one in workflow.reactions),
            Reaction(before, by, new, 0.03),
            Reaction(workflow.start.event, "insights", "FlowScored", 0.02),
        )
    )


def reordered(workflow: Workflow) -> Workflow:
    """What came one after the other comes the other way round; what came side by side comes in a row."""
    order = {
        "order-fulfilment": {
            ("PaymentCaptured", "warehouse"): "OrderPlaced",
            ("OrderPlaced", "payments"): "StockReserved",
            ("StockReserved", "courier"): "PaymentCaptured",
        },
        "user-onboarding": {
            ("UserRegistered", "mailer"): "TrialOpened",
            ("UserRegistered", "accounts"): "WelcomeSent",
        },
        "video-processing": {("VideoUploaded", "thumbnails"): "VideoTranscoded"},
        "financial-reconciliation": {},
    }[workflow.name]
    calls = {"ledger": 2.0, "clerk": 0.1} if workflow is RECONCILIATION else {}
    return workflow._replace(
        reactions=tuple(
            one._replace(event=order.get((one.event, one.service), one.event)) for one in workflow.reactions
        ),
        calls=tuple(one._replace(after_s=calls.get(one.service, one.after_s)) for one in workflow.calls),
    )
