"""A flow as the rules see it: its steps by what they are to each other, and what is known around it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clew.reconstruct.answers import Continuation
from clew.reconstruct.causes.cause import Clue
from clew.reconstruct.detail import Begun, FlowDetail, Observation, Step, StepKind
from clew.reconstruct.model import Owed, Status

if TYPE_CHECKING:
    from clew.reconstruct.definitions import Definition

LONGEST = 200
"""Characters of an error's message that a clause quotes."""


@dataclass(frozen=True, slots=True)
class Child:
    """A flow that descends from the one looked at and is not completed."""

    flow_id: str
    scope: str
    type: str
    status: Status
    via: str
    said: str
    """Why it is not, as its own causes say; "" where they say nothing."""


@dataclass(frozen=True)
class Scene:
    """What the rules look at. Making one costs nothing; each look is made once."""

    detail: FlowDetail
    as_of: datetime | None
    definition: Definition | None = None
    """The flow's own, where its type has one."""
    watermarks: Mapping[str, datetime | None] = field(default_factory=dict)
    """Source → up to when it has told all."""
    children: tuple[Child, ...] = ()
    continued: tuple[Continuation, ...] = ()
    """Where it likely goes on under other IDs, the likeliest first."""

    def senders(self, owed: Owed) -> tuple[str, ...]:
        """Who would send what is owed: whom the definition names, else whoever sends it anywhere."""
        if owed.service:
            return (owed.service,)
        known = (service for name in owed.events for service in self.detail.senders.get(name, ()))
        return tuple(dict.fromkeys(known))

    @cached_property
    def by_id(self) -> dict[int, Step]:
        """Step ID → step."""
        return {step.id: step for step in self.detail.steps}

    @cached_property
    def effects(self) -> dict[int, list[Step]]:
        """Step ID → what it caused itself."""
        found: dict[int, list[Step]] = {}
        for step in self.detail.steps:
            if step.parent is not None:
                found.setdefault(step.parent, []).append(step)
        return found

    @cached_property
    def publishing(self) -> frozenset[int]:
        """IDs of the steps below which something was published."""
        found: set[int] = set()
        for step in reversed(self.detail.steps):
            if step.parent is not None and (step.kind is StepKind.PUBLISH or step.id in found):
                found.add(step.parent)
        return frozenset(found)

    @cached_property
    def handlings(self) -> tuple[Step, ...]:
        """Handlings that a service or group did, by time; a history's answers are none."""
        found = [
            step for step in self.detail.steps if step.kind is StepKind.HANDLING and not is_history(step)
        ]
        return tuple(sorted(found, key=_when))

    @cached_property
    def attempts(self) -> dict[tuple[Hashable, str], list[Step]]:
        """(event, who handles) → the attempts, by time."""
        found: dict[tuple[Hashable, str], list[Step]] = {}
        for step in self.handlings:
            found.setdefault((event_of(step), handler(step)), []).append(step)
        return found

    @cached_property
    def hung(self) -> frozenset[int]:
        """IDs of handlings of which only the beginning is told.

        That is known where others of their kind always went on after such a line
        (:class:`clew.reconstruct.detail.Begun`). Where too few tell, it is a handling of one
        line from within a span that never came, in a flow of which other steps are told by
        spans: else nobody would tell of its end.
        """
        spans = any(has_span(step) for step in self.detail.steps)
        return frozenset(
            step.id
            for step in self.handlings
            if not has_span(step) and step.status != "error" and self._goes_on(step, spans=spans)
        )

    def begun(self, step: Step) -> Begun | None:
        """What others of its kind say of a handling; None where nobody asked or it publishes something."""
        found = (
            one for one in self.detail.begun if (one.service, one.event_id) == (step.service, step.event_id)
        )
        last = self.attempts.get((event_of(step), handler(step)), [step])[-1]
        return next(found, None) if step is last and step.id not in self.publishing else None

    def _goes_on(self, step: Step, *, spans: bool) -> bool:
        begun = self.begun(step)
        if begun is not None and begun.ended is not None:
            return not begun.ended
        return (
            spans
            # A line that was shipped twice tells no end.
            and step.end in {None, step.start}
            and any(seen.fields.get("span_id") for seen in step.observations)
        )

    @cached_property
    def last(self) -> Step | None:
        """The step that came last: a publish, a handling or an event, or a span where there is none."""
        dated = [step for step in self.detail.steps if step.start]
        told = [step for step in dated if step.kind is not StepKind.SPAN]
        return max(told or dated, key=_when, default=None)

    def owes(self, kind: str) -> list[Owed]:
        """What is owed of a kind, the earliest deadline first."""
        return [one for one in self.detail.waits if one.kind == kind]

    def overdue(self, kind: str) -> list[Owed]:
        """What is owed of a kind beyond its deadline, as far as those were read who would tell of it."""
        return [one for one in self.owes(kind) if self._passed(one.deadline) and not one.held]

    def _passed(self, deadline: datetime | None) -> bool:
        return deadline is not None and self.as_of is not None and deadline < self.as_of

    def above(self, step: Step) -> Iterator[Step]:
        """What led to a step, the nearest first."""
        here = step.parent
        while here is not None:
            yield self.by_id[here]
            here = self.by_id[here].parent

    def blamed(self, steps: Iterable[Step]) -> set[int]:
        """IDs of all that led to any of ``steps``."""
        found: set[int] = set()
        for step in steps:
            for one in self.above(step):
                if one.id in found:
                    break
                found.add(one.id)
        return found

    def cause_of(self, step: Step) -> Step | None:
        """The publish that a handling handles, or whatever is above it."""
        return None if step.parent is None else self.by_id.get(step.parent)

    def name(self, step: Step) -> str:
        """What a step is about: of a handling that only a span tells of, what was published."""
        sent = self.cause_of(step)
        if step.kind is StepKind.HANDLING and sent is not None and sent.kind is StepKind.PUBLISH:
            return bounded(sent.name)
        return bounded(step.name)

    def event(self, step: Step) -> str:
        """``OrderPlaced (orders/3@812)``: the name, with coordinates where they are told."""
        name, where = self.name(step), place(step)
        sent = self.cause_of(step)
        if not where and sent is not None and sent.kind is StepKind.PUBLISH:
            where = place(sent) if step.kind is StepKind.HANDLING else ""
        return f"{name} ({where})" if where and where != name else name


def _when(step: Step) -> Any:
    return (step.start is not None, step.start, step.id)


def is_history(step: Step) -> bool:
    """Whether only a workflow engine's history tells of it."""
    return bool(step.observations) and all(seen.fields.get("kind") == "history" for seen in step.observations)


def has_span(step: Step) -> bool:
    """Whether a span of its own tells of it."""
    return any(seen.fields.get("kind") == "span" for seen in step.observations)


def event_of(step: Step) -> Hashable:
    """What identifies the event that a step is about."""
    return step.event_id or place(step) or (step.name, step.parent)


def handler(step: Step) -> str:
    """Who handles: the consumer group, or the service where no group is told."""
    return step.consumer_group or step.service or "somebody"


def who(step: Step) -> str:
    """The service that did it, as a sentence names it."""
    return step.service or step.consumer_group or "somebody"


def place(step: Step) -> str:
    """``orders/3@812``; "" where no destination is told."""
    if not step.destination:
        return ""
    partition = f"/{step.partition}" if step.partition is not None else ""
    return step.destination + partition + (f"@{step.offset}" if step.offset is not None else "")


def error(step: Step) -> str:
    """``PaymentTimeout (no answer within 2 s)``: the type without its package, and what it says."""
    kind = bounded((step.error_type or "").rpartition(".")[2])
    said = shortened(step.error_message or "")
    if kind and said and said != kind:
        return f"{kind} ({said})"
    return kind or said


def bounded(text: str) -> str:
    """The text, or the beginning of a long one."""
    return text[:LONGEST] + "..." if len(text) > LONGEST else text


def shortened(text: str) -> str:
    """Text on one line, and the beginning of a long one."""
    return bounded(" ".join(text[: 2 * LONGEST].split()))


def failure(step: Step) -> str:
    """`` with`` the error; "" where none is told."""
    told = error(step)
    return f" with {told}" if told else ""


def clue(said: str, step: Step, seen: Observation | None = None) -> Clue:
    """What a step says, with the place of the record that says it best."""
    best = seen or _witness(step)
    fields: Mapping[str, Any] = best.fields if best is not None else {}
    position = fields.get("position")
    return Clue(
        said=said,
        time=step.start if seen is None else fields.get("time") or step.start,
        service=step.service,
        source=fields.get("source") or None,
        position=position if isinstance(position, int) else None,
    )


def _witness(step: Step) -> Observation | None:
    """The record to look at: one that tells the error, else a line, else whatever there is."""
    records = [*step.observations, *step.logs]
    for wanted in (
        (one for one in records if one.fields.get("severity") in {"ERROR", "FATAL"}),
        (one for one in records if one.fields.get("error_type") or one.fields.get("error_message")),
        (one for one in records if one.fields.get("kind") == "log"),
    ):
        found = next(wanted, None)
        if found is not None:
            return found
    return records[0] if records else None


def names(found: Iterable[str], word: str = "and") -> str:
    """``A, B and C``."""
    listed = list(dict.fromkeys(found))
    return f" {word} ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)
