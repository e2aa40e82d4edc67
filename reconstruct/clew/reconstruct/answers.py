"""What a store answers besides flows: groups, matches, sources, what changed, what likely goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from clew.reconstruct.model import Flow, KeyClass

if TYPE_CHECKING:
    from clew.collectors.record import Rejected


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
