"""What one flow shows of its type: the events that were seen, and which of them came of which.

The events are the flow's steps that were published or told, and handlings of what nobody
else tells of; the spans where a flow has no events. One event is a place in a definition
however often it came: it stands where it came first. What caused it is the nearest event up
the steps' parents. Where no record names its cause, it follows the event before it: the order
of time is all there is then.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from clew.reconstruct.detail import FlowDetail, Step, StepKind
from clew.reconstruct.passes.steps import LATEST

TOLD = frozenset({StepKind.PUBLISH, StepKind.EVENT})
TICK = timedelta(microseconds=1)


@dataclass(slots=True, eq=False)
class Happening:
    """One event as it happened."""

    name: str
    steps: list[Step]
    service: str | None = None
    cause: Happening | None = None
    time: datetime = LATEST
    """When it was dated, and never before its cause; LATEST where nobody dates it."""


@dataclass(slots=True, eq=False)
class Place:
    """An event's place in a definition: the name, and the service where it tells two of one name apart."""

    name: str
    service: str | None
    first: Happening
    times: int = 1
    after: Place | None = None
    """What it came of; None for the first of all."""
    by_time: bool = False
    """That is known by the order of time alone."""
    below: list[Place] = field(default_factory=list)
    """What it caused first, by time."""


class Seen(NamedTuple):
    """A flow's events by time, each with its cause before it, and its places by their first time."""

    happenings: tuple[Happening, ...]
    places: tuple[Place, ...]

    @property
    def start(self) -> Place:
        """The first of all."""
        return self.places[0]

    def named(self, name: str) -> list[Place]:
        """The places of a name."""
        return [place for place in self.places if place.name == name]


def seen(detail: FlowDetail) -> Seen | None:
    """What a flow shows; None where no step of it has a name that a definition can say."""
    happenings = _by_time(_happenings(detail.steps) or _spans(detail.steps))
    if not happenings:
        return None
    return Seen(tuple(happenings), tuple(_places(happenings)))


def _happenings(steps: Sequence[Step]) -> list[Happening]:
    """Events by identity; a handling counts where nobody else tells of the event."""
    of_event: dict[Hashable, Happening] = {}
    for step in steps:
        if step.kind in TOLD:
            known = of_event.get(_identity(step))
            if known is not None:
                known.steps.append(step)
            elif _named(step):
                of_event[_identity(step)] = Happening(step.name, [step], step.service)
    told = {one.name for one in of_event.values()}
    for step in steps:
        if step.kind is StepKind.HANDLING:
            known = of_event.get(_identity(step))
            if known is not None:
                known.steps.append(step)
            elif _named(step) and (step.event_id is not None or step.name not in told):
                of_event[_identity(step)] = Happening(step.name, [step])
    return _caused(list(of_event.values()), steps)


def _spans(steps: Sequence[Step]) -> list[Happening]:
    spans = [step for step in steps if step.kind is StepKind.SPAN and _named(step)]
    return _caused([Happening(step.name, [step], step.service) for step in spans], steps)


def _identity(step: Step) -> Hashable:
    if step.event_id is not None:
        return step.event_id
    return step.id if step.offset is None else (step.destination, step.partition, step.offset)


def _named(step: Step) -> bool:
    """Whether a record bears the step's name, and a definitions file can say it."""
    name = step.name
    borne = any(one.fields.get("name") == name for one in step.observations)
    return borne and bool(name) and name == name.strip()


def _caused(happenings: list[Happening], steps: Sequence[Step]) -> list[Happening]:
    """Give each its cause: the nearest happening above its first step. Steps stand below their parents."""
    by_step = {step.id: one for one in happenings for step in one.steps}
    parent = {step.id: step.parent for step in steps}
    for one in happenings:
        above = one.steps[0].parent
        while above is not None and by_step.get(above, one) is one:
            above = parent[above]
        cause = None if above is None else by_step[above]
        one.cause = cause if cause is not None and cause.steps[0].id < one.steps[0].id else None
    return happenings


def _by_time(happenings: list[Happening]) -> list[Happening]:
    """In the order of their times, each after its cause; those that nobody dates go last."""
    for one in sorted(happenings, key=lambda one: one.steps[0].id):
        one.time = min((step.start for step in one.steps if step.start is not None), default=LATEST)
        if one.cause is not None and one.time <= one.cause.time < LATEST:
            one.time = one.cause.time + TICK
    return sorted(happenings, key=lambda one: (one.time, one.steps[0].id))


def _places(happenings: Sequence[Happening]) -> Iterator[Place]:
    services: dict[str, set[str | None]] = {}
    for one in happenings:
        services.setdefault(one.name, set()).add(one.service)
    found: dict[tuple[str, str | None], Place] = {}
    before: Place | None = None
    for one in happenings:
        of = services[one.name]
        service = one.service if None not in of else None
        key = one.name, service
        if key in found:
            found[key].times += 1
            continue
        place = found[key] = Place(one.name, service, one)
        cause = one.cause
        above = None
        if cause is not None:
            above = found.get((cause.name, cause.service)) or found.get((cause.name, None))
        place.after = above or before
        place.by_time = above is None
        if place.after is not None:
            place.after.below.append(place)
        before = place
        yield place
