"""order: put one flow's steps in happens-before order.

Parent, causation, send before receive and offsets within a partition come first, time
last. An effect dated before its cause is shown as skew, with its size; a queue wait is
never "corrected" as skew.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from clew.reconstruct.detail import Evidence, Observation, Step, StepKind
from clew.reconstruct.passes.steps import (
    LATEST,
    Draft,
    Gathering,
    events_of,
    links_of,
    moment,
    span_of,
)

Candidate = tuple[Draft | None, str]


def order(
    records: Iterable[tuple[Evidence, bool, Mapping[str, Any]]],
) -> tuple[tuple[Step, ...], tuple[Observation, ...]]:
    """Steps in happens-before order, each parent before its children, and loose records.

    ``records`` are (evidence, shared, the Record's non-null columns), times aware; those
    of one time come in an order of their own that does not depend on arrival. Loose are
    logs that name no event and lie in no span of the flow.
    """
    observations = [Observation(evidence, shared, fields) for evidence, shared, fields in records]
    observations.sort(key=_age)
    gathering = Gathering()
    gathering.gather(observations)
    for draft in gathering.drafts:
        draft.records.sort(key=_age)
        draft.logs.sort(key=_age)
    for draft in gathering.drafts:
        _find_parent(draft, gathering)
    _break_circles(gathering.drafts)
    _number_attempts(gathering.drafts)
    return tuple(_lay_out(gathering.drafts)), tuple(gathering.loose)


def _age(record: Observation) -> Any:
    return moment(record.fields) or LATEST


def _find_parent(draft: Draft, gathering: Gathering) -> None:
    """The best candidate that the flow has; else what was named and is missing."""
    wanted: str | None = None
    for record in draft.records:
        named = record.fields.get("parent_span_id") or record.fields.get("causation_id")
        wanted = wanted or (str(named) if named else None)
    for candidate, via in _candidates(draft, gathering):
        if candidate is not None and candidate is not draft:
            draft.parent, draft.via = candidate, via
            return
    draft.missing_parent = wanted


def _candidates(draft: Draft, gathering: Gathering) -> Iterator[Candidate]:
    """Who may have caused a step, the best evidence first.

    A producer's link beats the ambient parent of a handling, as a poll's span is.
    """
    records = [record.fields for record in draft.records]
    events = [event for fields in records for event in events_of(fields)]
    links: list[Candidate] = [
        (gathering.step_within(link), "link") for fields in records for link in links_of(fields)
    ]
    if draft.kind is StepKind.HANDLING or draft.dead_letter is not None:
        yield from ((gathering.publishes.get(event), "message") for event in events)
        yield from links
        yield from ((told, "message") for event in events for told in gathering.told.get(event, ()))
    yield from (
        (gathering.step_within(span_of(fields, "parent_span_id")), "span")
        for fields in records
        if fields.get("kind") == "span"
    )
    yield from links
    for fields in records:
        if fields.get("kind") != "span":
            yield gathering.step_within(span_of(fields)), "span"
            yield gathering.step_within(span_of(fields, "parent_span_id")), "span"
    for fields in records:
        if fields.get("causation_id"):
            yield from _causes(str(fields["causation_id"]), draft, gathering)


def _causes(cause: str, draft: Draft, gathering: Gathering) -> Iterator[Candidate]:
    """The handling of the cause in the same service did it, else whoever published it."""
    handlings = gathering.handlings.get(cause, [])
    own = [one for one in handlings if one.service == draft.service]
    before = [one for one in own if one.age <= draft.age]
    yield from ((one, "causation") for one in sorted(before, key=lambda one: one.age, reverse=True))
    yield from ((one, "causation") for one in own)
    yield gathering.publishes.get(cause), "causation"
    yield from ((one, "causation") for one in gathering.told.get(cause, ()))
    yield from ((one, "causation") for one in handlings)


def _break_circles(drafts: list[Draft]) -> None:
    """Records that name each other as parents are garbage; the earliest becomes a root."""
    safe: set[Draft] = set()
    for draft in drafts:
        path: dict[Draft, None] = {}
        here: Draft | None = draft
        while here is not None and here not in safe and here not in path:
            path[here] = None
            here = here.parent
        if here is not None and here in path:
            walked = list(path)
            first = min(walked[walked.index(here) :], key=lambda one: one.age)
            first.parent = first.via = None
        safe.update(path)


def _number_attempts(drafts: list[Draft]) -> None:
    attempts: dict[Hashable, int] = {}
    for draft in sorted(drafts, key=lambda one: one.age):
        events = [event for record in draft.records for event in events_of(record.fields)]
        if draft.kind is StepKind.HANDLING and events:
            key = (events[0], draft.first("consumer_group") or draft.service)
            attempts[key] = attempts.get(key, 0) + 1
            draft.attempt = int(draft.first("attempt") or attempts[key])


def _lay_out(drafts: list[Draft]) -> Iterator[Step]:
    children: dict[Draft | None, list[Draft]] = {}
    for draft in drafts:
        children.setdefault(draft.parent, []).append(draft)
    number = 0
    waiting = _in_order(children.get(None, []))[::-1]
    while waiting:
        draft = waiting.pop()
        draft.number = number
        number += 1
        yield _step(draft)
        waiting.extend(_in_order(children.get(draft, []))[::-1])


def _in_order(siblings: list[Draft]) -> list[Draft]:
    """By time, then by name; what lies in one partition keeps the order of its offsets."""
    found = sorted(siblings, key=lambda draft: (draft.age, draft.name))
    partitions: dict[Hashable, list[int]] = {}
    for place, draft in enumerate(found):
        if draft.kind is StepKind.PUBLISH and draft.first("offset") is not None:
            key = (draft.first("system"), draft.first("destination"), draft.first("partition"))
            partitions.setdefault(key, []).append(place)
    for places in partitions.values():
        by_offset = sorted((found[place] for place in places), key=lambda draft: draft.first("offset"))
        for place, draft in zip(places, by_offset, strict=True):
            found[place] = draft
    return found


def _step(draft: Draft) -> Step:
    parent = draft.parent
    start, wait_us, skew_us = draft.start, None, 0
    if parent is not None and start is not None and parent.start is not None:
        gap = (start - parent.start) // timedelta(microseconds=1)
        skew_us = max(0, -gap)
        if draft.kind is StepKind.HANDLING and parent.kind is StepKind.PUBLISH and gap >= 0:
            wait_us = gap
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
        status="error" if draft.bad else str(draft.first("status") or "unset"),
        error_type=draft.first("error_type"),
        error_message=draft.first("error_message"),
        dead_letter=draft.dead_letter,
        missing_parent=draft.missing_parent,
        shared=any(record.shared for record in draft.records),
        observations=tuple(draft.records),
        logs=tuple(draft.logs),
    )
