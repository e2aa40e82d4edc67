"""What the engine says about a store: flows, how they stand, what they owe, and what judges them.

Times are ``datetime`` in UTC; durations are integers in microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.reconstruct.definitions import Definition


class Status(StrEnum):
    """A flow's status, in order of precedence: the first that holds."""

    CANCELLED = "cancelled"
    DEAD_LETTERED = "dead_lettered"
    FAILED = "failed"
    COMPENSATED = "compensated"
    COMPENSATING = "compensating"
    STUCK = "stuck"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class KeyClass(StrEnum):
    """What an ID's name means."""

    INSTANCE = "instance"
    ENTITY = "entity"
    GROUP = "group"
    HOP = "hop"


LIKELY = 0.9
"""Likelihood from which a continuation is suggested, unless another is asked for."""

OWED_CAUSES = {
    "handling": "never_consumed",
    "end": "slow_step",
    "retry": "processing_failed",
    "step": "never_published",
}
"""What is owed → the cause of a flow that is stuck (or, for a retry, failed) by it.

Of a stuck flow's overdue waits the most telling gives the cause: a handler that still fails
says more than a span that does not end, that more than a message that nobody handles, and
that more than a definition's step that did not come. :mod:`clew.reconstruct.causes` looks
at the flow's own steps and refines it.
"""


@dataclass(frozen=True, slots=True)
class Owed:
    """A named thing that a flow waits for."""

    kind: str
    """handling (of a sent message), end (of a started span or activity) or step (of a definition)."""
    name: str
    since: datetime
    deadline: datetime | None
    service: str | None = None
    destination: str | None = None
    held: bool = False
    """Its deadline passed, but a source that would tell of it was not read so far: it is not overdue."""

    @property
    def events(self) -> tuple[str, ...]:
        """The events of which one, or so many, would do: ``A or B`` and ``2 of A, B, C`` name several."""
        names = self.name
        head, of, rest = names.partition(" of ")
        if of and head.isdigit():
            return tuple(rest.split(", "))
        return tuple(names.split(" or "))


@dataclass(frozen=True, slots=True)
class Flow:
    """One workflow instance, as one line of ``clew flows``."""

    flow_id: str
    """The anchor's value: a correlation ID, or the trace ID; ``#2`` and on for a reused one."""
    scope: str
    type: str
    status: Status
    also: tuple[Status, ...]
    """Other statuses that hold too."""
    cause: str | None
    late: bool
    started: datetime | None
    last: datetime | None
    deadline: datetime | None
    owed: Owed | None
    records: int
    events: int
    errors: int
    dead_letters: int
    missing_parents: int
    services: tuple[str, ...]
    keys: Mapping[str, tuple[str, ...]]
    """Other IDs of the flow by name, at most 20 values each."""
    evidence: Mapping[str, int]
    """Evidence → number of records."""
    inferred: float | None = None
    """How likely all of it is one flow, where it was joined with likely continuations; else None."""


class Mark(StrEnum):
    """What may be told of a flow beside its status."""

    LATE = "late"
    """It completed beyond its limit."""
    DUPLICATES = "duplicates"
    """One event was handled twice by one consumer, each time with effects."""


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Which flows. Empty means any; all given conditions hold together."""

    statuses: tuple[Status, ...] = ()
    types: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    since: datetime | None = None
    """Flows with a record at or after."""
    until: datetime | None = None
    """Flows that started before."""
    keys: tuple[tuple[str, str], ...] = ()
    marks: tuple[Mark, ...] = ()
    """Flows that have one of these."""
    scope: str | None = None
    sort: str = "last"
    """started, last, records, errors, duration, type, status, owed"""
    descending: bool = True
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class SourceBehind:
    """A source that was read only up to a time before ``as_of``."""

    source: str
    scope: str
    watermark: datetime
    flows: int
    """That would be stuck or failed had it been read up to ``as_of`` and told nothing more."""
    silent: bool
    """For longer than any source should be before ``as_of``, as :attr:`Settings.silent_us` says."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The store as a whole, at an ``as_of``."""

    as_of: datetime | None
    as_of_from: str
    """What sets as_of: option, newest record, or the source that was read up to then."""
    flows: int
    by_status: Mapping[str, int]
    records: int
    unattributed: int
    missing_parents: int
    rejects: int
    undated: int
    """Records without a time, or with an implausible one."""
    behind: tuple[SourceBehind, ...] = ()
    """Sources that hold flows back or are silent: those that hold back the most first, ties by name."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a store judges by. Kept in the store; ``rebuild`` applies a change to what is stored."""

    key_classes: Mapping[str, KeyClass] = field(default_factory=dict)
    """Name (as :func:`normal_name` writes it) → class; over the defaults."""
    definitions: tuple[Definition, ...] = ()
    limit_us: int = 5 * 60 * 1_000_000
    """Default limit for what is owed and has none of its own: 5 min."""
    silent_us: int = 15 * 60 * 1_000_000
    """A source whose watermark lies longer than this before ``as_of`` is silent: 15 min."""

    @property
    def silent_after(self) -> timedelta:
        """``silent_us`` as a duration."""
        return timedelta(microseconds=self.silent_us)
