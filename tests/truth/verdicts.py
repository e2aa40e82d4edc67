"""What must be said of a flow, from what the records that are left tell, by the rules of the manual.

The workflow as it really goes (:mod:`tests.truth.workflows`) says what should have followed; so
this knows what a definition cannot say, and nothing of how clew finds out.

**What can be known.** A flow is *decidable* if what the records that are left tell leads to the
same verdict as what really happened, and if it leads to it also a little earlier and later where
clocks differ. That is decided here, before anybody looks at clew's answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.truth.flows import Flow, Record, S, Told
from tests.truth.workflows import DEFAULT_LIMIT_S, Reaction

DEFAULT_LIMIT: Final = DEFAULT_LIMIT_S * S
Handling = tuple[str, str]
"""(event, service)"""


class Verdict(NamedTuple):
    """What a flow is, and why."""

    status: str
    cause: str | None
    late: bool = False
    twice: bool = False
    """An event was handled twice, each time with effects."""


@dataclass(slots=True)
class Known:
    """What records tell of one flow, with the times that they tell."""

    sent: dict[str, int] = field(default_factory=dict)
    by_sender: set[str] = field(default_factory=set)
    """Events of which the sender itself tells."""
    begun: dict[Handling, int] = field(default_factory=dict)
    done: dict[Handling, int] = field(default_factory=dict)
    failed: dict[Handling, int] = field(default_factory=dict)
    dead: dict[Handling, int] = field(default_factory=dict)
    spans: dict[Handling, set[str]] = field(default_factory=dict)
    """The spans of handlings that went well."""
    effects: dict[Handling, set[str]] = field(default_factory=dict)
    """Spans with an effect below them."""


def known(records: Iterable[Record], clocks: Mapping[str, int]) -> Known:
    """What these records of one flow tell; ``clocks`` are how far each service's is ahead."""
    found = Known()
    for record in records:
        message = record.message
        if message is None or message.scratched:
            continue
        ahead = clocks.get(record.service, 0)
        time, until = record.time + ahead, record.written + ahead
        on, told = (message.event, record.service), record.told
        if told in {Told.SENT, Told.PRODUCED}:
            found.by_sender.add(message.event)
            found.sent[message.event] = min(found.sent.get(message.event, time), time)
            continue
        if told is Told.WORKED:
            if not record.bad:
                found.effects.setdefault(on, set()).add(record.parent)
            continue
        found.sent.setdefault(message.event, time)
        found.begun[on] = min(found.begun.get(on, time), time)
        if told is Told.DEAD:
            found.dead[on] = until
        elif record.bad:
            found.failed[on] = max(found.failed.get(on, until), until)
        elif told in {Told.DONE, Told.HANDLED}:
            found.done[on] = max(found.done.get(on, until), until)
            if told is Told.HANDLED:
                found.spans.setdefault(on, set()).add(record.span)
    return found


def verdict(flow: Flow, told: Known, as_of: int, children: Iterable[Verdict] = ()) -> Verdict:
    """What is to be said of a flow at ``as_of``. ``children`` are what is to be said of its own."""
    end = next((flow.workflow.ends[event] for event in told.sent if event in flow.workflow.ends), None)
    failing = _failing(flow, told)
    if end == "cancelled":
        return Verdict("cancelled", None)
    if any(told.done.get(on, -1) < time for on, time in told.dead.items()):
        return Verdict("dead_lettered", "dead_lettered")
    if end == "failed" or any(time + DEFAULT_LIMIT < as_of for time in failing):
        return Verdict("failed", "processing_failed")
    if end == "compensated":
        left = _left_to_undo(flow, told)
        return Verdict("failed", "compensation_incomplete") if left else Verdict("compensated", None)
    overdue = end is None and any(deadline < as_of for deadline in deadlines(flow, told))
    if failing:
        return Verdict("stuck" if overdue else "in_progress", "retrying")
    return _completed(flow, told) if end else _waiting(flow, told, tuple(children), overdue=overdue)


def _failing(flow: Flow, told: Known) -> list[int]:
    """When handlers failed whose last word that is, and nothing answered it."""
    return [
        time
        for on, time in told.failed.items()
        if on not in told.dead and told.done.get(on, -1) < time and not _answered(flow, told, time)
    ]


def _completed(flow: Flow, told: Known) -> Verdict:
    started = told.sent.get(flow.workflow.start.event, 0)
    ended = next(told.sent[event] for event in flow.workflow.ends if event in told.sent)
    return Verdict("completed", None, ended - started > flow.workflow.limit_s * S, _twice(told))


def _waiting(flow: Flow, told: Known, children: tuple[Verdict, ...], *, overdue: bool) -> Verdict:
    if flow.workflow.start.event not in told.sent:
        # Nothing says of what kind it is.
        return Verdict("in_progress", "unknown_end")
    if overdue:
        return Verdict("stuck", _culprit(flow, told, children))
    undoing = any(event in told.sent for event, _ in flow.workflow.undoes)
    return Verdict("compensating" if undoing else "in_progress", None)


def _left_to_undo(flow: Flow, told: Known) -> set[str]:
    undone = {step for event, step in flow.workflow.undoes if event in told.sent}
    return {step for _, step in flow.workflow.undoes if step in told.sent} - undone


def _answered(flow: Flow, told: Known, time: int) -> bool:
    """Whether the undoing began after a failure."""
    begun = [told.sent[event] for event, _ in flow.workflow.undoes if event in told.sent]
    return bool(begun) and time <= min(begun)


def deadlines(flow: Flow, told: Known) -> list[int]:
    """Of all that is owed now."""
    workflow = flow.workflow
    started = told.sent.get(workflow.start.event)
    if started is None:
        return []
    own = [
        told.sent[since] + limit_s * S
        for step, since, limit_s in workflow.limits
        if step not in told.sent and since in told.sent
    ]
    heard = {event for event, _ in told.begun}
    read = {reaction.event for reaction in workflow.reactions}
    unread = [
        time + DEFAULT_LIMIT for event, time in told.sent.items() if event in read and event not in heard
    ]
    return [started + workflow.limit_s * S, *own, *unread]


def _culprit(flow: Flow, told: Known, children: tuple[Verdict, ...]) -> str:
    """The first thing that should have followed and did not."""
    if any(child.status not in {"completed", "cancelled", "compensated"} for child in children):
        return "waiting_for_flow"
    heard = {event for event, _ in told.begun}
    broken: list[str] = []
    for reaction in flow.workflow.reactions:
        on, event = (reaction.event, reaction.service), reaction.sent(flow.scenario)
        if reaction.event not in told.sent or on in told.dead:
            continue
        if on in told.begun:
            if on not in told.done and on not in told.failed:
                broken.append("slow_step")
            elif event is not None and event not in told.sent and _ready(reaction, told):
                broken.append("consumed_no_reaction")
        elif reaction.event not in heard:
            broken.append("never_consumed")
        elif event is not None:
            # That others read it is known; that this one never got it only its broker knows.
            broken.append(_missing(flow, told, event))
    broken.extend(
        _missing(flow, told, call.event)
        for call in flow.workflow.calls
        if call.event not in told.sent and call.only in {None, flow.scenario}
    )
    for cause in ("slow_step", "never_consumed", "consumed_no_reaction", "waiting_for_join"):
        if cause in broken:
            return cause
    return "never_published"


def _ready(reaction: Reaction, told: Known) -> bool:
    return told.sent.keys() >= set(reaction.joins)


def _missing(flow: Flow, told: Known, event: str) -> str:
    """What a missing event leaves the flow in: a join that lacks a part, if other parts came."""
    for reaction in flow.workflow.reactions:
        if event in reaction.joins and len([one for one in reaction.joins if one in told.sent]) > 1:
            return "waiting_for_join"
    return "never_published"


def _twice(told: Known) -> bool:
    return any(len(spans & told.effects.get(on, set())) > 1 for on, spans in told.spans.items())
