"""What a store counts of the flows that begin with one event: all that a definition is learned from.

Counts are of flows, and of **settled** ones: those that nothing was heard of for so long that
nothing more is likely to come, and that show no fault of their own (a dead letter, an error
unanswered, a message that nobody took).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Milestone:
    """An event that flows have: of one name, from one service."""

    number: int
    event: str
    service: str | None
    """Who emits it; None where nobody says."""
    flows: int
    times: int
    """How often it comes in most of the flows that have it."""
    times_share: float
    """The share of those flows."""


class Pair(NamedTuple):
    """Two milestones of the same flows: X and Y."""

    both: int
    """Flows with both."""
    before: int
    """Those in which X came before Y, or caused it."""
    caused: int
    """Those in which Y names X as its cause."""
    fed: int
    """Those in which the service that emitted Y had handled X before."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The flows that begin with one event."""

    name: str
    """What the flow type is called."""
    start: int
    """The milestone that begins them."""
    flows: int
    """Flows looked at."""
    settled: int
    milestones: Mapping[int, Milestone]
    """By number."""
    sets: tuple[tuple[frozenset[int], int], ...]
    """Distinct sets of milestones and how many settled flows have just these."""
    pairs: Mapping[tuple[int, int], Pair]
    """(X, Y) → how they stand to each other; absent: never in one flow."""
    causes: Mapping[int, int]
    """Milestone → settled flows in which its cause is known."""
