"""Steps of records: the part of fold that is only needed when somebody looks at a flow.

A step is a publish, a handling, a span otherwise, or an event that a log or a history
tells of. The log line, the span and the message of one step are its observations. A log
that names no event annotates the step in whose span it was written.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clew.reconstruct.detail import Observation, StepKind

SENDS = frozenset({"send", "create"})
HANDLES = frozenset({"process", "receive", "settle"})
BAD = frozenset({"ERROR", "FATAL"})
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
FARTHEST = datetime(2200, 1, 1, tzinfo=UTC)
"""No clock says what lies outside of these."""
LATEST = datetime.max.replace(tzinfo=UTC)

Fields = Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Draft:
    """A step being put together."""

    kind: StepKind
    records: list[Observation] = field(default_factory=list)
    logs: list[Observation] = field(default_factory=list)
    dead_letter: str | None = None
    parent: Draft | None = None
    via: str | None = None
    missing_parent: str | None = None
    attempt: int = 1
    number: int = -1

    def first(self, name: str) -> Any:
        """The first value that an observation has for a column."""
        return next((r.fields[name] for r in self.records if r.fields.get(name) is not None), None)

    @property
    def start(self) -> datetime | None:
        """The earliest plausible time."""
        return min((when for r in self.records if (when := moment(r.fields))), default=None)

    @property
    def age(self) -> datetime:
        """``start``, or the end of time."""
        return self.start or LATEST

    @property
    def spans(self) -> list[Observation]:
        """Its observations that are spans."""
        return [r for r in self.records if r.fields.get("kind") == "span"]

    @property
    def open(self) -> bool:
        """Whether it is told to have started and by no span to have ended."""
        spans = self.spans
        return bool(spans) and all(r.fields.get("end_time") is None for r in spans)

    @property
    def end(self) -> datetime | None:
        """The latest end, or the latest time where several points in time tell of it."""
        ends = [when for r in self.records if (when := moment(r.fields, "end_time"))]
        if ends:
            return max(ends)
        times = [when for r in self.records if (when := moment(r.fields))]
        return max(times) if len(times) > 1 and not self.open else None

    @property
    def service(self) -> str | None:
        """Who did the work: of a span told by both halves, the server's."""
        for record in self.spans:
            if record.fields.get("span_kind") in {"server", "consumer"} and record.fields.get("service"):
                return str(record.fields["service"])
        found = self.first("service")
        return None if found is None else str(found)

    @property
    def name(self) -> str:
        """The event's name where a log or message tells it, else the span's."""
        for record in self.records:
            if record.fields.get("kind") != "span" and record.fields.get("name"):
                return str(record.fields["name"])
        return str(self.first("name") or self.first("destination") or "(unnamed)")

    @property
    def bad(self) -> bool:
        """Whether an observation tells of an error."""
        return any(r.fields.get("status") == "error" or r.fields.get("severity") in BAD for r in self.records)

    def is_by(self, fields: Fields) -> bool:
        """Whether whoever wrote ``fields`` did this: one consumer group, or else one service."""
        group, known = fields.get("consumer_group"), self.first("consumer_group")
        if group is not None and known is not None:
            return bool(group == known)
        return fields.get("service") is None or fields["service"] in {
            r.fields.get("service") for r in self.records
        }


def moment(fields: Fields, name: str = "time") -> datetime | None:
    """A plausible time of a record, None where it has none."""
    when = fields.get(name)
    return when if isinstance(when, datetime) and EARLIEST <= when < FARTHEST else None


def span_of(fields: Fields, name: str = "span_id") -> Hashable | None:
    """The identity of a record's own span, or of its parent."""
    return (fields.get("trace_id"), fields[name]) if fields.get(name) else None


def events_of(fields: Fields) -> list[Hashable]:
    """What identifies a record's event: its ID, its broker coordinates, or both."""
    found: list[Hashable] = []
    if fields.get("event_id"):
        found.append(str(fields["event_id"]))
    if fields.get("offset") is not None and fields.get("destination"):
        found.append((fields.get("system"), fields["destination"], fields.get("partition"), fields["offset"]))
    return found


def links_of(fields: Fields) -> list[Hashable]:
    """The spans that a record links to."""
    try:
        links = json.loads(fields.get("links") or "[]")
    except ValueError:
        return []
    return [
        (link.get("trace_id"), link.get("span_id"))
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict)
    ]


def role_of(fields: Fields) -> StepKind | None:
    """Publish or handling, None for what is neither; a message in a broker was published."""
    operation = fields.get("operation")
    if operation in SENDS or (operation is None and fields.get("kind") == "message"):
        return StepKind.PUBLISH
    return StepKind.HANDLING if operation in HANDLES else None


def _turn(fields: Fields) -> str:
    """What a record is for putting steps together: each joins what earlier turns made."""
    if fields.get("kind") == "dead_letter":
        return "dead"
    if fields.get("kind") == "span":
        return "span"
    if role_of(fields) is not None:
        return "role"
    return "name" if fields.get("name") or fields.get("kind") == "history" else ""


class Gathering:
    """Puts records into drafts of steps, the ones that join others first."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.loose: list[Observation] = []
        self.publishes: dict[Hashable, Draft] = {}
        self.handlings: dict[Hashable, list[Draft]] = {}
        self.told: dict[Hashable, list[Draft]] = {}
        self.spans: dict[Hashable, Draft] = {}
        self.within: dict[Hashable, Draft] = {}
        """Span → the first step told within it, where the span itself was never exported."""
        self.lines: dict[Hashable, Draft] = {}
        """Handling of an event that only lines within a span tell of."""

    def gather(self, observations: Iterable[Observation]) -> None:
        """Sort ``observations``, which come in time order, into ``drafts`` and ``loose``."""
        turns: dict[str, list[Observation]] = {"span": [], "role": [], "name": [], "": [], "dead": []}
        for record in observations:
            turns[_turn(record.fields)].append(record)
        for turn, put in (
            ("span", self._span),
            ("role", self._play),
            ("name", self._tell),
            ("", self._annotate),
            ("dead", self._bury),
        ):
            for record in turns[turn]:
                put(record)

    def _new(self, kind: StepKind, record: Observation) -> Draft:
        draft = Draft(kind)
        self.drafts.append(draft)
        self._join(draft, record)
        return draft

    def _join(self, draft: Draft, record: Observation) -> None:
        draft.records.append(record)
        for event in events_of(record.fields):
            if draft.kind is StepKind.PUBLISH:
                self.publishes.setdefault(event, draft)
            else:
                known = self.handlings if draft.kind is StepKind.HANDLING else self.told
                if draft not in known.setdefault(event, []):
                    known[event].append(draft)
        span = span_of(record.fields)
        if span is not None:
            (self.spans if record.fields.get("kind") == "span" else self.within).setdefault(span, draft)

    def _span(self, record: Observation) -> None:
        fields = record.fields
        held = self.spans.get(span_of(fields))
        if held is None and role_of(fields) is StepKind.PUBLISH:
            # A create and a send span of one message are one publish.
            held = next((self.publishes[e] for e in events_of(fields) if e in self.publishes), None)
        if held is not None:
            self._join(held, record)
        else:
            self._new(role_of(fields) or StepKind.SPAN, record)

    def _play(self, record: Observation) -> None:
        if role_of(record.fields) is StepKind.PUBLISH:
            self._publish(record)
        else:
            self._handle(record)

    def _publish(self, record: Observation) -> None:
        events = events_of(record.fields)
        held = next((self.publishes[event] for event in events if event in self.publishes), None)
        if held is None:
            held = self._in_span(record, StepKind.PUBLISH)
        if held is not None:
            self._join(held, record)
        else:
            self._new(StepKind.PUBLISH, record)

    def _in_span(self, record: Observation, kind: StepKind) -> Draft | None:
        """The step of the span that a record was written in, if it is of that kind and event."""
        held = self.step_within(span_of(record.fields))
        if held is None or held.kind is not kind:
            return None
        events = events_of(record.fields)
        known = [event for one in held.records for event in events_of(one.fields)]
        return held if not events or not known or any(event in known for event in events) else None

    def step_within(self, span: Hashable | None) -> Draft | None:
        """The step of a span, or the first that was told within it."""
        if span is None:
            return None
        return self.spans.get(span) or self.within.get(span)

    def _handle(self, record: Observation) -> None:
        span = span_of(record.fields)
        keys = [("handling", span, event) for event in events_of(record.fields)] if span is not None else []
        held = self._in_span(record, StepKind.HANDLING)
        if held is None:
            held = next((self.lines[key] for key in keys if key in self.lines), None)
        if held is None:
            held = self._attempt(record)
        if held is None:
            held = self._new(StepKind.HANDLING, record)
        else:
            self._join(held, record)
        for key in keys:
            self.lines.setdefault(key, held)

    def _attempt(self, record: Observation) -> Draft | None:
        """The attempt at the same event, by the same group or service, that was going on then."""
        fields, when = record.fields, moment(record.fields)
        number = fields.get("attempt")
        tries = [
            draft
            for event in events_of(fields)
            for draft in self.handlings.get(event, ())
            if draft.is_by(fields) and (number is None or draft.first("attempt") in {None, number})
        ]
        spans = [draft for draft in tries if draft.spans]
        if spans:
            begun = [draft for draft in spans if when is not None and draft.age <= when]
            return (
                max(begun, key=lambda draft: draft.age) if begun else min(spans, key=lambda draft: draft.age)
            )
        if not tries or span_of(fields) is not None:
            return None
        # A line tells of the attempt before it, unless that one had failed already.
        return None if tries[-1].bad and number is None else tries[-1]

    def _tell(self, record: Observation) -> None:
        """A named event that is neither published nor handled, as far as the record itself says."""
        fields = record.fields
        mine = [draft for draft in self._steps_of(record) if draft.is_by(fields)]
        if fields.get("kind") != "history":
            step = next((draft for draft in mine if draft.kind is not StepKind.EVENT), None)
            if step is not None:
                self._join(step, record)
                return
        same = [
            draft
            for draft in mine
            if draft.kind is StepKind.EVENT and draft.first("name") == fields.get("name")
        ]
        if same:
            self._join(same[0], record)
        else:
            self._new(StepKind.EVENT, record)

    def _annotate(self, record: Observation) -> None:
        draft = self.step_within(span_of(record.fields))
        if draft is None:
            draft = next((one for one in self._steps_of(record) if one.is_by(record.fields)), None)
        if draft is None:
            self.loose.append(record)
        else:
            draft.logs.append(record)

    def _steps_of(self, record: Observation) -> Iterator[Draft]:
        """Every step of a record's event: published, handled, told."""
        for event in events_of(record.fields):
            if event in self.publishes:
                yield self.publishes[event]
            yield from self.handlings.get(event, ())
            yield from self.told.get(event, ())

    def _bury(self, record: Observation) -> None:
        """A dead letter marks the last handling of its event; alone, it is a step itself."""
        fields = record.fields
        reason = str(fields.get("error_message") or fields.get("error_type") or "dead-lettered")
        handlings = [draft for event in events_of(fields) for draft in self.handlings.get(event, ())]
        group = fields.get("consumer_group")
        mine = [draft for draft in handlings if group is not None and draft.first("consumer_group") == group]
        failed = [draft for draft in mine or handlings if draft.bad]
        if failed or mine or handlings:
            last = max(failed or mine or handlings, key=lambda draft: draft.age)
            last.dead_letter = last.dead_letter or reason
            last.logs.append(record)
            return
        self._new(StepKind.EVENT, record).dead_letter = reason
