"""What a store tells about many flows at once. Durations are integers in microseconds, shares 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clew.reconstruct.detail import StepKind


@dataclass(frozen=True, slots=True)
class Spread:
    """How durations are spread. A quantile is one of the durations, never one between two."""

    count: int
    p50_us: int
    p95_us: int
    p99_us: int


@dataclass(frozen=True, slots=True)
class TypeReport:
    """The flows of one type together."""

    type: str
    flows: int
    by_status: Mapping[str, int]
    """Only statuses that a flow has."""
    success: float | None
    """Completed flows among those that ended, however; None where none ended."""
    duration: Spread | None
    """From the first record to the end, of completed flows; None where there are none."""
    consistency: Spread | None
    """From a flow's first event to its last reaction to one: what somebody waits for who reads what
    all these reactions leave. None where no flow reacts."""
    variants: int
    """Distinct sequences of steps."""
    late: int
    """Flows that completed beyond their limit."""
    duplicates: int
    """Flows in which one event was handled twice by one consumer, each time with effects."""
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class VariantStep:
    """One place in a variant's sequence: the same step, ``least`` to ``most`` times in a row."""

    kind: StepKind
    name: str
    service: str | None
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Variant:
    """Flows of one type that took the same steps in the same order."""

    type: str
    steps: tuple[VariantStep, ...]
    """Events published and handled; spans where a flow has no events. Empty: no step at all."""
    truncated: int
    """Places left out at the end."""
    flows: int
    share: float
    """Of the flows asked for that are of this type."""
    by_status: Mapping[str, int]
    median_us: int | None
    """Duration, from the first record to the last or the end."""
    example: str
    """ID of the newest of these flows."""
    example_scope: str


@dataclass(frozen=True, slots=True)
class VariantReport:
    """Variants, the most frequent first, and how much there is in all."""

    flows: int
    variants: int
    listed: tuple[Variant, ...]


class WorkFrom(StrEnum):
    """How the time that a step took is known."""

    SPAN = "span"
    """its span's begin and end"""
    PUBLISH = "publish"
    """from its handling's first line to the first event that it caused"""
    LINES = "lines"
    """from its handling's first line to its last"""
    CAUSE = "cause"
    """from the cause to the effect: waiting and work together, where no handling is told"""


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of one flow type: an event published or handled by a service, or a span."""

    type: str
    kind: StepKind
    name: str
    service: str | None
    count: int
    """How often it occurs; each attempt counts."""
    flows: int
    share: float
    """Of the flows of this type."""
    errors: int
    retries: int
    """Attempts after the first."""
    wait: Spread | None
    """From the event's publication to its first handling within the flow."""
    work: Spread | None
    """How long it took, as ``work_from`` says; None where nothing tells."""
    work_from: tuple[WorkFrom, ...]
    total_us: int
    """All its waits, and its work less that of the spans right below it."""
    time_share: float
    """``total_us`` of all steps of this type's ``total_us``."""


@dataclass(frozen=True, slots=True)
class Window:
    """Flows that started at or after ``since`` and before ``until``; None for no bound."""

    since: datetime | None
    until: datetime | None


class Measure(StrEnum):
    """What is compared."""

    SUCCESS = "success"
    DURATION = "duration"
    SHARE = "share"
    ERRORS = "errors"
    WAIT = "wait"
    WORK = "work"
    ERROR_TYPE = "error_type"
    SCHEMA_VERSION = "schema_version"


@dataclass(frozen=True, slots=True)
class Side:
    """A measure in one window."""

    of: int
    """How many flows, steps or durations it rests on."""
    count: int | None
    """Of a share: how many of them."""
    share: float | None
    p50_us: int | None
    p95_us: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """One measure in two windows. ``share`` and ``count`` are of shares, ``p50_us`` and ``p95_us`` of durations."""

    type: str
    kind: StepKind | None
    """None where the flow as a whole is compared."""
    name: str | None
    """The step's, the error's type, or the event and its schema version."""
    service: str | None
    measure: Measure
    before: Side
    after: Side
    difference: float | None
    """After less before: of shares, or of medians in microseconds. None where one has nothing."""
    z: float | None
    """Standard errors that the difference is from none; None where either side has nothing."""
    effect: float | None
    """Its size whatever the number of flows, see :mod:`clew.reconstruct.significance`."""
    significant: bool
    appeared: bool
    """Seen after, and never before."""
    vanished: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two windows: the significant changes first, the largest first among them."""

    before_flows: int
    after_flows: int
    changes: tuple[Change, ...]


class Misfit(StrEnum):
    """How a flow may deviate from the definition of its type."""

    MISSING = "missing"
    """``step`` did not come in time, or the flow was completed without it"""
    UNEXPECTED = "unexpected"
    """``step`` is none of the definition's; or it is, but not where ``other``, a service, tells of it"""
    ORDER = "order"
    """``step`` came before ``other``, for which it waits"""
    AFTER_END = "after_end"
    """``step`` came after ``other``, the end"""
    REPEATS = "repeats"
    """``step`` came more often than it may"""
    CHOICE = "choice"
    """``step`` and ``other`` came, of which one is to come"""
    LATE = "late"
    """``step`` came later than its limit allows; without a step: the whole's end"""
    ENDED = "ended"
    """it is ``step`` (a status), and no end of the definition came"""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing in which flows of a type deviate from its definition."""

    kind: Misfit
    step: str | None
    other: str | None
    flows: int
    share: float
    """Of the flows of this type."""
    example: str
    """ID of the newest of these flows."""
    example_scope: str


@dataclass(frozen=True, slots=True)
class Fitness:
    """How well a definition fits the flows that begin with its start."""

    type: str
    flows: int
    fits: int
    """Flows that deviate in nothing; so far, where they go on."""
    fitness: float | None
    """``fits`` of ``flows``; None where there are none."""
    going_on: int
    """Flows that came to no end of the definition."""
    deviations: tuple[Deviation, ...]
    """The most frequent first."""
    truncated: int
    """Deviations left out after a thousand."""
