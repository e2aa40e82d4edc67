"""One flow whole: its steps, what tells of them, and what is around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from clew.reconstruct.model import Flow, Owed

if TYPE_CHECKING:
    from clew.reconstruct.answers import Continuation


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
