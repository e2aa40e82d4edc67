"""order: make one flow's records into steps, and put them in happens-before order.

Parent, causation and send-before-receive come first, time last. An effect dated before
its cause is shown as skew, with its size; a queue wait is never "corrected" as skew.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from clew.reconstruct.model import Evidence, Observation, Step, StepKind

SENDS = frozenset({"send", "create"})
HANDLES = frozenset({"process", "receive", "settle"})
BAD = frozenset({"ERROR", "FATAL"})
LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Draft:
    """A step being put together."""

    kind: StepKind
    records: list[Observation] = field(default_factory=list)
    logs: list[Observation] = field(default_factory=list)
    dead_letter: str | None = None
    parent: _Draft | None = None
    via: str | None = None
    missing_parent: str | None = None
    attempt: int = 1
    number: int = -1

    def first(self, name: str) -> Any:
        for record in self.records:
            value = record.fields.get(name)
            if value is not None:
                return value
        return None

    @property
    def start(self) -> datetime | None:
        return min((r.fields["time"] for r in self.records if r.fields.get("time")), default=None)

    @property
    def spans(self) -> list[Observation]:
        return [r for r in self.records if r.fields.get("kind") == "span"]

    @property
    def open(self) -> bool:
        spans = self.spans
        return bool(spans) and all(r.fields.get("end_time") is None for r in spans)

    @property
    def end(self) -> datetime | None:
        ends = [r.fields["end_time"] for r in self.records if r.fields.get("end_time")]
        if ends:
            return max(ends)
        times = [r.fields["time"] for r in self.records if r.fields.get("time")]
        return max(times) if len(times) > 1 and not self.open else None

    @property
    def service(self) -> str | None:
        # Of a span told by both halves, the server's half did the work.
        for record in self.spans:
            if record.fields.get("span_kind") in {"server", "consumer"} and record.fields.get("service"):
                return str(record.fields["service"])
        return self.first("service")

    @property
    def name(self) -> str:
        for record in self.records:
            if record.fields.get("kind") != "span" and record.fields.get("name"):
                return str(record.fields["name"])
        return str(self.first("name") or self.first("destination") or "(unnamed)")

    @property
    def bad(self) -> bool:
        return any(r.fields.get("status") == "error" or r.fields.get("severity") in BAD for r in self.records)


def order(
    records: Iterable[tuple[Evidence, bool, Mapping[str, Any]]],
) -> tuple[tuple[Step, ...], tuple[Observation, ...]]:
    """Steps in happens-before order, each parent before its children, and loose records.

    ``records`` are (evidence, shared, the Record's non-null columns), times aware. Loose
    are logs that name no event and lie in no span of the flow.
    """
    observations = [Observation(evidence, shared, fields) for evidence, shared, fields in records]
    observations.sort(key=_age)
    drafts, loose = _gather(observations)
    _find_parents(drafts)
    _number_attempts(drafts)
    return _lay_out(drafts), tuple(loose)


def _age(record: Observation) -> tuple[datetime, int]:
    return record.fields.get("time") or LATEST, int(record.fields.get("record", 0))


def _span_key(fields: Mapping[str, Any], name: str = "span_id") -> Hashable | None:
    return (fields.get("trace_id"), fields[name]) if fields.get(name) else None


def _role(fields: Mapping[str, Any]) -> StepKind | None:
    operation = fields.get("operation")
    if operation in SENDS:
        return StepKind.PUBLISH
    if operation in HANDLES:
        return StepKind.HANDLING
    return None


def _event(fields: Mapping[str, Any]) -> Hashable | None:
    if fields.get("event_id"):
        return str(fields["event_id"])
    if fields.get("offset") is not None and fields.get("destination"):
        return (fields.get("destination"), fields.get("partition"), fields["offset"])
    return None


def _gather(observations: list[Observation]) -> tuple[list[_Draft], list[Observation]]:
    drafts: list[_Draft] = []
    by_key: dict[Hashable, _Draft] = {}
    span_steps: dict[Hashable, _Draft] = {}
    rest: list[Observation] = []
    dead: list[Observation] = []

    def join(record: Observation, kind: StepKind, *keys: Hashable) -> None:
        draft = next((by_key[key] for key in keys if key in by_key), None)
        if draft is None:
            draft = _Draft(kind)
            drafts.append(draft)
        draft.records.append(record)
        for key in keys:
            by_key.setdefault(key, draft)
        span = _span_key(record.fields)
        if span is not None and record.fields.get("kind") == "span":
            span_steps.setdefault(span, draft)

    # Spans first: they carry what joins the others.
    for record in sorted(observations, key=lambda r: r.fields.get("kind") != "span"):
        fields = record.fields
        kind, role, event, span = fields.get("kind"), _role(fields), _event(fields), _span_key(fields)
        if kind == "dead_letter":
            dead.append(record)
        elif role is StepKind.PUBLISH and event is not None:
            keys: list[Hashable] = [("publish", event)]
            if span is not None and kind == "span":
                keys.append(("span", span))
            join(record, role, *keys)
        elif role is StepKind.HANDLING and (event is not None or span is not None):
            who = fields.get("consumer_group") or fields.get("service")
            keys = []
            if span is not None:
                keys.append(("handling", event, span))
                keys.append(("span", span) if kind == "span" else ("handling in", span, event))
            if event is not None and (span is None or kind != "span"):
                keys.append(("handling", event, who, fields.get("attempt")))
            if span is not None and kind != "span" and span in span_steps:
                held = span_steps[span]
                if held.kind is StepKind.HANDLING:
                    held.records.append(record)
                    for key in keys:
                        by_key.setdefault(key, held)
                    continue
            join(record, role, *keys)
        elif kind == "span":
            join(record, StepKind.SPAN if role is None else role, ("span", span or id(record)))
        elif fields.get("name") or kind in {"message", "history"}:
            if event is not None and role is None:
                told = by_key.get(("publish", event))
                if told is not None and kind == "message":
                    told.records.append(record)
                    continue
                join(record, StepKind.EVENT, ("event", event, fields.get("service"), fields.get("name")))
            else:
                join(record, role or StepKind.EVENT, ("one", id(record)))
        else:
            rest.append(record)
    loose = [record for record in rest if not _annotate(record, span_steps)]
    for record in dead:
        _mark_dead(record, drafts)
    for draft in drafts:
        draft.records.sort(key=_age)
    return drafts, loose


def _annotate(record: Observation, span_steps: dict[Hashable, _Draft]) -> bool:
    span = _span_key(record.fields)
    draft = span_steps.get(span) if span is not None else None
    if draft is None:
        return False
    draft.logs.append(record)
    return True


def _mark_dead(record: Observation, drafts: list[_Draft]) -> None:
    """A dead letter marks the last handling of its event; alone, it is a step itself."""
    fields = record.fields
    event = _event(fields)
    reason = str(fields.get("error_message") or fields.get("error_type") or "dead-lettered")
    handlings = [
        draft
        for draft in drafts
        if event is not None
        and draft.kind is StepKind.HANDLING
        and draft.dead_letter is None
        and any(_event(r.fields) == event for r in draft.records)
    ]
    if handlings:
        last = max(handlings, key=lambda draft: (draft.bad, draft.start or LATEST))
        last.dead_letter = reason
        last.logs.append(record)
        return
    draft = _Draft(StepKind.EVENT, [record], dead_letter=reason)
    drafts.append(draft)


def _find_parents(drafts: list[_Draft]) -> None:
    spans: dict[Hashable, _Draft] = {}
    publishes: dict[Hashable, _Draft] = {}
    handlings: dict[Hashable, list[_Draft]] = {}
    told: dict[Hashable, _Draft] = {}
    for draft in drafts:
        for record in draft.records:
            span, event = _span_key(record.fields), _event(record.fields)
            if span is not None and record.fields.get("kind") == "span":
                spans.setdefault(span, draft)
            if event is not None:
                if draft.kind is StepKind.PUBLISH:
                    publishes.setdefault(event, draft)
                elif draft.kind is StepKind.HANDLING:
                    handlings.setdefault(event, []).append(draft)
                else:
                    told.setdefault(event, draft)
    for draft in drafts:
        for record in draft.records:
            # Where a span itself was never exported, the step logged in it stands for it.
            span = _span_key(record.fields)
            if span is not None:
                spans.setdefault(span, draft)
    for draft in drafts:
        _find_parent(draft, spans, publishes, handlings, told)
    _break_cycles(drafts)


def _find_parent(
    draft: _Draft,
    spans: dict[Hashable, _Draft],
    publishes: dict[Hashable, _Draft],
    handlings: dict[Hashable, list[_Draft]],
    told: dict[Hashable, _Draft],
) -> None:
    candidates: list[tuple[_Draft | None, str]] = []
    wanted: str | None = None
    if draft.kind is StepKind.HANDLING:
        candidates.extend((publishes.get(event), "message") for event in _events(draft))
        candidates.extend((spans.get(link), "link") for link in _links(draft))
        candidates.extend((told.get(event), "message") for event in _events(draft))
    for record in draft.records:
        parent = _span_key(record.fields, "parent_span_id")
        if parent is not None:
            candidates.append((spans.get(parent), "span"))
            wanted = wanted or str(record.fields["parent_span_id"])
    if draft.kind is not StepKind.HANDLING:
        candidates.extend((spans.get(link), "link") for link in _links(draft))
    for record in draft.records:
        span = _span_key(record.fields)
        if span is not None and record.fields.get("kind") != "span":
            candidates.append((spans.get(span), "span"))
    for record in draft.records:
        cause = record.fields.get("causation_id")
        if cause is None:
            continue
        cause = str(cause)
        within = [one for one in handlings.get(cause, ()) if one.service == draft.service]
        candidates.extend((one, "causation") for one in within)
        candidates.append((publishes.get(cause), "causation"))
        candidates.append((told.get(cause), "causation"))
        candidates.extend((one, "causation") for one in handlings.get(cause, ()))
        wanted = wanted or cause
    for candidate, via in candidates:
        if candidate is not None and candidate is not draft:
            draft.parent, draft.via = candidate, via
            return
    draft.missing_parent = wanted


def _events(draft: _Draft) -> list[Hashable]:
    return [event for event in (_event(record.fields) for record in draft.records) if event is not None]


def _links(draft: _Draft) -> list[Hashable]:
    found: list[Hashable] = []
    for record in draft.records:
        links = record.fields.get("links")
        if links:
            found.extend((link.get("trace_id"), link.get("span_id")) for link in json.loads(links))
    return found


def _break_cycles(drafts: list[_Draft]) -> None:
    """Records that name each other as parents are garbage; the earliest becomes a root."""
    safe: set[int] = set()
    for draft in drafts:
        path: list[_Draft] = []
        seen: set[int] = set()
        here: _Draft | None = draft
        while here is not None and id(here) not in safe and id(here) not in seen:
            seen.add(id(here))
            path.append(here)
            here = here.parent
        if here is not None and id(here) in seen:
            cycle = path[path.index(here) :]
            first = min(cycle, key=lambda one: one.start or LATEST)
            first.parent = first.via = None
        safe.update(seen)


def _number_attempts(drafts: list[_Draft]) -> None:
    attempts: dict[Hashable, int] = {}
    for draft in sorted(drafts, key=lambda one: one.start or LATEST):
        if draft.kind is not StepKind.HANDLING:
            continue
        events = _events(draft)
        if not events:
            continue
        key = (events[0], draft.first("consumer_group") or draft.service)
        attempts[key] = attempts.get(key, 0) + 1
        draft.attempt = int(draft.first("attempt") or attempts[key])


def _lay_out(drafts: list[_Draft]) -> tuple[Step, ...]:
    children: dict[int, list[_Draft]] = {}
    roots: list[_Draft] = []
    for draft in drafts:
        if draft.parent is None:
            roots.append(draft)
        else:
            children.setdefault(id(draft.parent), []).append(draft)

    def by_start(draft: _Draft) -> tuple[datetime, str]:
        return draft.start or LATEST, draft.name

    steps: list[Step] = []
    waiting = sorted(roots, key=by_start, reverse=True)
    while waiting:
        draft = waiting.pop()
        draft.number = len(steps)
        steps.append(_step(draft))
        waiting.extend(sorted(children.get(id(draft), ()), key=by_start, reverse=True))
    return tuple(steps)


def _step(draft: _Draft) -> Step:
    parent = draft.parent
    start, wait_us, skew_us = draft.start, None, 0
    if parent is not None and start is not None and parent.start is not None:
        gap = _us(start - parent.start)
        skew_us = max(0, -gap)
        if (
            draft.kind is StepKind.HANDLING
            and parent.kind is StepKind.PUBLISH
            and draft.via in {"message", "link", "span"}
        ):
            wait_us = max(0, gap)
    status = draft.first("status")
    return Step(
        id=draft.number,
        parent=parent.number if parent is not None else None,
        via=draft.via,
        kind=draft.kind,
        name=draft.name,
        service=draft.service,
        start=start,
        end=draft.end,
        open=draft.open,
        queue_wait_us=wait_us,
        skew_us=skew_us,
        system=draft.first("system"),
        destination=draft.first("destination"),
        partition=draft.first("partition"),
        offset=draft.first("offset"),
        consumer_group=draft.first("consumer_group"),
        event_id=draft.first("event_id"),
        span_id=draft.first("span_id"),
        attempt=draft.attempt,
        status="error" if draft.bad else str(status or "unset"),
        error_type=draft.first("error_type"),
        error_message=draft.first("error_message"),
        dead_letter=draft.dead_letter,
        missing_parent=draft.missing_parent,
        shared=any(record.shared for record in draft.records),
        observations=tuple(draft.records),
        logs=tuple(sorted(draft.logs, key=_age)),
    )


def _us(gap: timedelta) -> int:
    return gap // timedelta(microseconds=1)
