"""What ``learn`` found: models, which are numbered snapshots, and the transitions they were learned from.

Times are ``datetime`` in UTC; durations are integers in microseconds; shares are 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from clew.reconstruct.definitions import Definition
from clew.reconstruct.reports import Spread

if TYPE_CHECKING:
    from clew.reconstruct.store import Store

FACTOR = 1.2
"""By which a limit changes before it is told."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to learn from, and how much of it is enough."""

    types: tuple[str, ...] = ()
    """Flow types to learn; empty: all. Of the others the model keeps what it has."""
    since: datetime | None = None
    """Flows that started at or after."""
    until: datetime | None = None
    """Flows that started before."""
    support: int = 300
    """Flows that must have been seen to do a thing before it is owed or has a limit."""
    floor_us: int = 30 * 1_000_000
    """No learned limit is shorter."""
    sample: int = 50_000
    """Flows of one type that are looked at, at most: the same ones each time."""


@dataclass(frozen=True, slots=True)
class LearnedStep:
    """A step of a learned definition, and how sure it is."""

    event: str
    service: str | None
    flows: int
    """Settled flows that have it."""
    reached: int
    """Settled flows that got as far as to owe it."""
    share: float
    """Of these, those in which it came, or an alternative."""
    at_least: float
    """The least that the share is likely to be: Wilson's bound, 95 %."""
    owed: bool
    """Whether the definition owes it; else it may come."""
    limit_us: int | None
    took: Spread | None
    """From when it became owed until it came."""


@dataclass(frozen=True, slots=True)
class LearnedEnd:
    """An event after which nothing comes."""

    event: str
    outcome: str
    flows: int
    share: float
    """Of the flows that have it, those in which nothing came after it."""


@dataclass(frozen=True, slots=True)
class LearnedType:
    """What a model says of one flow type."""

    type: str
    start: str
    flows: int
    """Flows looked at."""
    settled: int
    """Those of which nothing more is likely to come, and that show no fault of their own."""
    explained: float
    """The share of the settled ones that went to an end by these steps."""
    definition: Definition | None
    """None where nothing reliable was found."""
    silent: str
    """Why there is none; "" where there is one."""
    steps: tuple[LearnedStep, ...]
    ends: tuple[LearnedEnd, ...]
    duration: Spread | None
    """From the start to the last event, of settled flows."""
    variants: int
    """Distinct sets of events."""


@dataclass(frozen=True, slots=True)
class Model:
    """A numbered snapshot. Only ``learn`` makes one, so that a status never depends on arrival order."""

    number: int
    """From 1; 0 is no model."""
    learned: datetime
    made_by: str
    """The clew version."""
    asked: Asked
    types: tuple[LearnedType, ...]
    current: bool
    """Whether flows are judged by it."""

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """Every learned definition."""
        return tuple(one.definition for one in self.types if one.definition is not None)


@dataclass(frozen=True, slots=True)
class Transition:
    """One event that led to another in flows of one type: what is known of how long it takes.

    ``service`` emits the follower. ``wait`` is the time from the event to the begin of its
    handling by that service, ``work`` from there to the follower: apart only where a record
    tells of the handling. A follower None is a handling that published nothing.
    """

    type: str
    event: str
    emitter: str | None
    follower: str | None
    service: str | None
    flows: int
    """In which it happened."""
    share: float
    """Of the settled flows that have the event."""
    took: Spread
    wait: Spread | None
    work: Spread | None


def learned_type(store: Store, type: str) -> LearnedType | None:
    """What the model in use says of a flow type; None where it says nothing.

    Raises:
        StoreError: the store cannot be asked.
    """
    model = store.model()
    return next((one for one in model.types if one.type == type), None) if model is not None else None


def as_file(one: LearnedType) -> str:
    """The text of a definitions file for a type of which something was learned, with comments that say how sure it is.

    Raises:
        ValueError: nothing was learned of it.
    """
    from clew.reconstruct.definition_writer import written

    if one.definition is None:
        raise ValueError(f"nothing was learned of {one.type}: {one.silent}")
    told = [
        f"learned from {one.settled:,} settled flows, of which {one.explained:.1%} came to an end by these steps",
        *(
            f"{step.event}: in {step.share:.1%} of {step.reached:,} flows that came so far"
            for step in one.steps
        ),
        *(f"{end.event} ends {end.outcome}, as its name tells: check that" for end in one.ends),
    ]
    # An event's name may hold anything; in a comment it is one line.
    comments = [" ".join("".join(c if c.isprintable() else "\ufffd" for c in line).split()) for line in told]
    return "".join(f"# {line}\n" for line in comments) + written([one.definition])


def changes(before: Model | None, now: Model) -> dict[str, tuple[str, ...]]:
    """Type → what a model says of it that the one before did not, in a few words each; () for the same.

    Types that are no more have an entry, too. A limit counts as changed by a fifth or more.
    """
    earlier = {one.type: one for one in before.types} if before else {}
    later = {one.type: one for one in now.types}
    found = {name: _changes(earlier.get(name), one) for name, one in later.items()}
    return found | {name: ("gone",) for name in earlier if name not in later}


def _changes(before: LearnedType | None, now: LearnedType) -> tuple[str, ...]:
    if before is None or (before.definition is None and now.definition is not None):
        return ("new",)
    if before.definition is not None and now.definition is None:
        return ("gone",)
    if before.definition == now.definition:
        return ()
    told: list[str] = []
    had = {(one.event, one.service): one for one in before.steps}
    has = {(one.event, one.service): one for one in now.steps}
    told += [f"+{event}" for event, service in has if (event, service) not in had]
    told += [f"-{event}" for event, service in had if (event, service) not in has]
    both = [(had[key], has[key]) for key in has if key in had]
    told += [
        f"{new.event} {'owed' if new.owed else 'no more owed'}" for old, new in both if old.owed != new.owed
    ]
    told += [
        f"{new.event} {_moved(old.limit_us, new.limit_us)}"
        for old, new in both
        if _moved(old.limit_us, new.limit_us)
    ]
    ended = {(one.event, one.outcome) for one in before.ends} ^ {(one.event, one.outcome) for one in now.ends}
    told += [f"end {event}" for event in sorted({event for event, _ in ended})]
    return tuple(told) or ("order or limits",)


def _moved(before: int | None, now: int | None) -> str:
    if before is None or now is None:
        return "" if before is now else "has a limit" if now is not None else "without limit"
    factor = now / before
    return "" if FACTOR > factor > 1 / FACTOR else "may take longer" if factor > 1 else "may take less"
