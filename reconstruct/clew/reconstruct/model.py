"""What the engine says about a store: flows, steps and the reports around them.

Times are ``datetime`` in UTC; durations are integers in microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.collectors.record import Rejected
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


class Evidence(StrEnum):
    """Why a record belongs to its flow, strongest first."""

    CORRELATION = "correlation"
    CAUSATION = "causation"
    MESSAGE = "message"
    SPAN = "span"
    HOP = "hop"
    TRACE = "trace"
    ALONE = "alone"


class StepKind(StrEnum):
    """What a step is."""

    PUBLISH = "publish"
    HANDLING = "handling"
    SPAN = "span"
    EVENT = "event"
    """An event that a log or history tells of, neither published nor handled."""


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


@dataclass(frozen=True, slots=True)
class Observation:
    """One stored record of a step. ``fields`` are the Record's non-null columns."""

    evidence: Evidence
    shared: bool
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened (publish, handling, span, event), told by its observations."""

    id: int
    parent: int | None
    """ID of the step that caused this one, as happens-before tells; None for a root."""
    via: str | None
    """How ``parent`` is known: span, causation, message, link or time; or inferred, of a likely continuation."""
    kind: StepKind
    name: str
    service: str | None
    start: datetime | None
    end: datetime | None
    """None for a point in time, or for what has not ended (then ``open`` is true)."""
    open: bool
    queue_wait_us: int | None
    """From the publish to this handling; None where not known."""
    skew_us: int
    """By how much this effect is dated before its cause; 0 where in order."""
    system: str | None
    destination: str | None
    partition: int | None
    offset: int | None
    consumer_group: str | None
    event_id: str | None
    span_id: str | None
    attempt: int
    status: str
    """ok, error or unset"""
    error_type: str | None
    error_message: str | None
    dead_letter: str | None
    """The reason, where this step's message was dead-lettered."""
    missing_parent: str | None
    """ID of the parent that is named but not stored."""
    shared: bool
    observations: tuple[Observation, ...]
    logs: tuple[Observation, ...]
    """Log records without an event name that were written within this step."""


@dataclass(frozen=True, slots=True)
class FlowLink:
    """Two flows that meet or descend, never merged."""

    flow_id: str
    kind: str
    """child, parent, continues, joins or batch"""
    via: str
    """What joins them, e.g. ``order_id=4711``."""


@dataclass(frozen=True, slots=True)
class GroupPosition:
    """How far a consumer group has come in a partition, as records of its handlings tell."""

    destination: str
    partition: int
    group: str
    """The service where no group is told."""
    services: tuple[str, ...]
    offset: int
    """The highest that it handled,"""
    time: datetime
    """when it did so last,"""
    sent: datetime | None
    """and when that message was sent."""
    per_second: float
    """Offsets that it advances by; 0 where it handled one only."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A handling that lines alone tell of, and what others of its kind say of its last line."""

    service: str
    event_id: str
    ended: bool | None
    """False where the others went on after such a line, or were told by a span; True where it ended them;
    None where too few tell."""
    line: str
    """The last line, with an ellipsis for each word that differs from one handling to the next."""
    follows: str
    """The line that comes next in the others; "" where none is known."""
    others: int
    """How many others say so."""
    several: bool
    """Whether one line tells more than another: the others have several, or spans."""


@dataclass(frozen=True, slots=True)
class ConsumerLag:
    """How many messages a consumer had before it in a partition, as metrics told last."""

    consumer: str
    """The consumer group, or the queue."""
    destination: str
    partition: int | None
    """None where it is that of all of them together."""
    messages: int
    time: datetime
    before: int
    """What it was at the earliest time that is kept,"""
    since: datetime
    """which is this."""


@dataclass(frozen=True, slots=True)
class FlowDetail:
    """A flow whole. Steps come in happens-before order; a parent precedes its children."""

    flow: Flow
    steps: tuple[Step, ...]
    loose: tuple[Observation, ...]
    """Records of the flow that belong to no step."""
    links: tuple[FlowLink, ...]
    truncated: int
    """Number of records left out because the flow is larger than the limit asked for."""
    as_of: datetime | None = None
    """The time that it was judged by; None where no record has one."""
    waits: tuple[Owed, ...] = ()
    """All that is owed, the earliest deadline first; ``flow.owed`` is one of them."""
    senders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Owed event → the services that send it, in whatever flow."""
    tellers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Owed name → the sources that would tell of it and were not read up to its deadline."""
    groups: tuple[GroupPosition, ...] = ()
    """Of a flow that waits for somebody who has not handled its messages: how far whoever handles in
    their partitions came."""
    begun: tuple[Begun, ...] = ()
    """Of a flow that is stuck for a step: its handlings that no span tells of."""
    lags: tuple[ConsumerLag, ...] = ()
    """Of a flow to which something is owed: how far behind consumers were on what it sent to."""
    p99_us: int | None = None
    """Within what time what it waits for came in 99 of 100 flows of its type; None where too few tell,
    and where nobody asked what is usual."""
    joined: tuple[Continuation, ...] = ()
    """The likely continuations of which it is put together, by time."""


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
class Changed:
    """Flows that changed since a mark, and the mark to ask from next."""

    flows: list[Flow]
    mark: str
    as_of: datetime | None


class GroupBy(StrEnum):
    """What flows may be grouped by."""

    CAUSE = "cause"
    STEP = "step"
    SERVICE = "service"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was seen for the first time shortly before a group's first sighting."""

    kind: str
    """schema_version (of the event ``name``), error_type (of the service ``name``) or service."""
    name: str
    value: str
    time: datetime


@dataclass(frozen=True, slots=True)
class FlowGroup:
    """Flows that have one thing in common."""

    value: str | None
    """The cause, step, service or type; None where the flows have none."""
    flows: int
    causes: Mapping[str, int]
    """Cause, as :func:`clew.reconstruct.causes.why.why` tells it first → flows; those without one are not among them."""
    oldest: datetime | None
    """Since when the flow that waits for longest is owed something; where nothing is owed, its last record."""
    newest: datetime | None
    """The same of the flow that has waited for the shortest time."""
    first: datetime | None
    """First sighting: the last record of the flow that stopped first."""
    example: str
    """ID of that flow."""
    scope: str
    """Its scope."""
    changes: tuple[Change, ...]
    """What changed right before the first sighting, as far as the records are sure of it."""


@dataclass(frozen=True, slots=True)
class Match:
    """A flow that an ID leads to, and what the ID is there."""

    flow_id: str
    scope: str
    what: str
    """flow, event, trace, span, key name, or prefix"""


@dataclass(frozen=True, slots=True)
class Written:
    """What one batch did."""

    records: int
    """Read and decoded."""
    new: int
    duplicates: int
    rejects: int
    by_kind: Mapping[str, int]
    """New records by kind."""
    rejected: Mapping[int, Rejected] = field(default_factory=dict)
    """By position, for a batch whose source waits for its outcome; {} for any other."""


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
class SourceStatus:
    """One source as stored."""

    source: str
    scope: str
    format: str
    position: str
    records: int
    duplicates: int
    rejects: int
    first: datetime | None
    last: datetime | None
    watermark: datetime | None
    watermark_exact: bool
    updated: datetime | None
    silent: bool = False
    """Its watermark lies longer before the newest record than any source's should, as :attr:`Settings.silent_us` says."""


@dataclass(frozen=True, slots=True)
class StoredReject:
    """One rejected piece of input; ``raw`` is bounded to 4 KiB."""

    source: str
    position: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class KeyReport:
    """One ID-like name as seen in the store."""

    name: str
    key_class: KeyClass
    configured: bool
    records: int
    values: int
    flows: int
    max_flows_per_value: int
    max_records_per_value: int
    suspect: str | None
    """Why the class looks wrong, with numbers, and what to set; None where it looks right."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A flow that likely goes on under another ID, because a service dropped the first: inferred, never observed."""

    flow_id: str
    """The flow that breaks off."""
    scope: str
    continued: str
    """ID of the flow that goes on where it broke off."""
    likelihood: float
    """Between 0 and 1, among all ways in which flows that break off and others that begin may belong together."""
    second: float
    """Likelihood of the next best flow that may have broken off there."""
    after: str
    """The last event before the break."""
    after_id: str | None
    """Its event ID; None where it has none."""
    service: str | None
    """Who dropped the ID: the service that works on that event."""
    step: str
    """The first step after the break."""
    time: datetime
    """When that was."""
    lag_us: int
    """From the last step before the break to the first after it."""
    usual_us: tuple[int, int] | None
    """Between which lags nine tenths of such steps follow each other; None where a definition alone tells of them."""
    agree: tuple[str, ...]
    """Values that both have and few others do, the rarest first, each after its name."""


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
