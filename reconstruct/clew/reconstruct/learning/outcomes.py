"""What an end means, as far as its name tells: only a person knows for sure."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

WORDS: Final = {
    "cancelled": ("cancel", "cancelled", "canceled", "withdrawn", "revoked"),
    "compensated": ("refunded", "compensated", "reverted", "reversed", "undone", "rolledback", "rollback"),
    "failed": (
        "failed",
        "failure",
        "rejected",
        "declined",
        "denied",
        "refused",
        "aborted",
        "errored",
        "error",
        "unavailable",
        "invalid",
        "expired",
        "timedout",
        "timeout",
        "abandoned",
    ),
}
"""Outcome → words in the names of events that end a flow so."""
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def outcome_of(event: str) -> str:
    """``OrderRejected`` is failed, ``order.cancelled`` cancelled; what no word tells is completed."""
    words = [part.lower() for part in _PARTS.findall(event)]
    pairs = {one + other for one, other in pairwise(words)}
    return next(
        (outcome for outcome, known in WORDS.items() if not pairs.union(words).isdisjoint(known)), "completed"
    )
