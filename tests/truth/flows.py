"""What one flow does: messages, who handles them and how it goes; and the records that tell of it.

Nothing here knows how records look in a file (:mod:`tests.truth.files`) or what is made of them.
Times are microseconds since 1970, as a clock that is right shows them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Final, NamedTuple

from tests.truth.workflows import AUDIT, Call, Reaction, Workflow

S: Final = 1_000_000
HANG: Final = 30 * 24 * 3600 * S
BACKOFF_S: Final = (1.0, 4.0)
ATTEMPTS: Final = 3
LONG_BACKOFF_S: Final = 900.0


class Told(Enum):
    """What a record tells."""

    SENT = "published"
    BEGUN = "handling"
    DONE = "handled"
    FAILED = "failed to handle"
    HANDLED = "consumer span"
    PRODUCED = "producer span"
    WORKED = "client span"
    SERVED = "server span"
    DEAD = "dead-lettered"
    SKIPPED = "seen before, skipped"
    WARNED = "put aside"
    GAVE_UP = "giving up"
    NOTED = "note"


SPANS: Final = frozenset({Told.HANDLED, Told.PRODUCED, Told.WORKED, Told.SERVED})


class Fault(NamedTuple):
    """What goes wrong in a flow, and which of its workflow's reactions (or calls) it strikes."""

    kind: str
    at: int = -1


@dataclass(slots=True, eq=False)
class Message:
    """An event as it lies on a topic."""

    event: str
    service: str
    flow: Flow
    id: str
    cause: str | None
    sent: int
    trace: str
    span: str
    partition: int = 0
    offset: int = 0
    scratched: bool = False
    """Nothing of the context goes with it."""


@dataclass(slots=True, eq=False)
class Record:
    """One line or span."""

    told: Told
    time: int
    service: str
    flow: Flow
    message: Message | None
    trace: str
    span: str
    parent: str = ""
    end: int = 0
    attempt: int = 1
    bad: bool = False
    text: str = ""

    @property
    def written(self) -> int:
        """When it is there: a span once it has ended."""
        return self.end if self.told in SPANS else self.time


@dataclass(slots=True, eq=False)
class Flow:
    """One workflow instance."""

    number: int
    workflow: Workflow
    scenario: str
    fault: Fault
    started: int
    id: str = ""
    key: str = ""
    parent: Flow | None = None
    children: list[Flow] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


def run_flow(flow: Flow, chance: Random, again: Callable[[], bool]) -> None:
    """Let a flow go its way to its end. ``again`` says whether the broker delivers a message twice."""
    _Run(flow, chance, again).run()


class _Run:
    def __init__(self, flow: Flow, chance: Random, again: Callable[[], bool]) -> None:
        self._flow = flow
        self._chance = chance
        self._again = again
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._read: dict[str, set[str]] = {}
        self._turn = 0
        self._readers: dict[str, list[tuple[int, Reaction]]] = {}
        for at, reaction in enumerate(flow.workflow.reactions):
            self._readers.setdefault(reaction.event, []).append((at, reaction))
        self._context = _Context(flow, self._hex(16), "")

    def run(self) -> None:
        flow, workflow = self._flow, self._flow.workflow
        flow.id, flow.key = self._uuid(), self._hex(5)
        self._at(flow.started, lambda now: self._call(now, workflow.start, self._context))
        for at, call in enumerate(workflow.calls):
            if call.only not in {None, flow.scenario} or flow.fault == Fault("unsent", at):
                continue
            own = _Context(flow, self._hex(16), "")
            self._at(
                flow.started + self._us(call.after_s) + self._us(0.05),
                lambda now, call=call, own=own: self._call(now, call, own),  # type: ignore[misc]
            )
        while self._due:
            now, _, go_on = heapq.heappop(self._due)
            go_on(now)

    # Sending.

    def _call(self, now: int, call: Call, context: _Context) -> None:
        """Somebody calls, and an event is sent."""
        span = self._hex(8)
        note = Record(Told.NOTED, now + 900, call.service, context.flow, None, context.trace, span)
        note.text = f"{call.request} accepted"
        context.flow.records.append(note)
        inside = _Context(context.flow, context.trace, span)
        sent = self._send(now + self._us(0.006), call.event, call.service, inside, None)
        served = Record(Told.SERVED, now, call.service, context.flow, None, context.trace, span)
        served.end, served.text = sent + 1000, call.request
        context.flow.records.append(served)

    def _send(self, now: int, event: str, service: str, context: _Context, cause: str | None) -> int:
        flow = context.flow
        span = self._hex(8)
        message = Message(event, service, flow, self._uuid(), cause, now, context.trace, span)
        done = now + self._us(0.0015)
        flow.messages.append(message)
        flow.records.append(Record(Told.SENT, now + 300, service, flow, message, context.trace, span))
        produced = Record(Told.PRODUCED, now, service, flow, message, context.trace, span, context.span)
        produced.end = done
        flow.records.append(produced)
        for at, reaction in self._readers.get(event, ()):
            self._deliver(message, at, reaction)
        return done

    # Handling.

    def _deliver(self, message: Message, at: int, reaction: Reaction) -> None:
        kind = self._flow.fault.kind if self._flow.fault.at == at else ""
        if kind == "never_handled":
            return
        arrival = message.sent + self._us(0.006, 0.9)
        self._at(arrival, lambda now: self._try(now, message, reaction, kind, 1))
        if kind == "twice":
            self._at(arrival + self._us(2.0), lambda now: self._try(now, message, reaction, kind, 1))
        elif not kind and self._again():
            later = arrival + self._us(reaction.seconds) + self._us(3.0)
            self._at(later, lambda now: self._skip(now, message, reaction))

    def _skip(self, now: int, message: Message, reaction: Reaction) -> None:
        """An idempotent consumer knows the event."""
        flow, span, service = message.flow, self._hex(8), reaction.service
        flow.records.append(Record(Told.SKIPPED, now + 200, service, flow, message, message.trace, span))
        handled = Record(Told.HANDLED, now, service, flow, message, message.trace, span, message.span)
        handled.end = now + self._us(0.001)
        flow.records.append(handled)

    def _try(self, now: int, message: Message, reaction: Reaction, kind: str, attempt: int) -> None:
        context = self._received(message, kind)
        message = context.message or message
        flow, service, span = context.flow, reaction.service, context.span
        begun = Record(Told.BEGUN, now + 100, service, flow, message, context.trace, span, attempt=attempt)
        flow.records.append(begun)
        if kind == "hung":
            return
        seconds = reaction.seconds
        if kind == "slow":
            seconds += flow.workflow.limit_s + self._chance.uniform(60, 150)
        bad = self._fails(kind, attempt)
        ends = now + 1000 + (self._us(2.0, 0.1) if bad else self._us(seconds))
        if kind == "quiet":
            flow.records.append(Record(Told.WARNED, now + 900, service, flow, message, context.trace, span))
        else:
            work = Record(Told.WORKED, now + 500, service, flow, None, context.trace, self._hex(8), span)
            work.end, work.bad, work.text = ends, bad, f"call {service}-db"
            work.message, work.attempt = message, attempt
            flow.records.append(work)
            if not bad:
                ends = self._react(ends, message, reaction, context)
        told = Told.FAILED if bad else Told.DONE
        flow.records.append(
            Record(told, ends + 200, service, flow, message, context.trace, span, attempt=attempt, bad=bad)
        )
        handled = Record(Told.HANDLED, now, service, flow, message, context.trace, span, context.parent)
        handled.end, handled.bad, handled.attempt = ends + 400, bad, attempt
        flow.records.append(handled)
        if bad:
            self._again_later(ends + 400, message, reaction, kind, attempt)

    def _received(self, message: Message, kind: str) -> _Context:
        """The context in which a message is handled: its own, or none of it."""
        if kind != "lost":
            return _Context(message.flow, message.trace, self._hex(8), message.span)
        flow = message.flow
        stranger = Flow(flow.number, flow.workflow, flow.scenario, Fault(""), 0, self._uuid(), "", flow)
        flow.children.append(stranger)
        unknown = Message("", "", stranger, "", None, 0, "", "", scratched=True)
        return _Context(stranger, self._hex(16), self._hex(8), "", unknown)

    def _fails(self, kind: str, attempt: int) -> bool:
        if kind == "retried":
            return attempt <= 1 + self._flow.number % 2
        return kind in {"exhausted", "dead", "retrying"}

    def _again_later(self, now: int, message: Message, reaction: Reaction, kind: str, attempt: int) -> None:
        if kind == "retrying":
            later = now + self._us(LONG_BACKOFF_S, 0.01)
        elif attempt < ATTEMPTS:
            later = now + self._us(BACKOFF_S[attempt - 1], 0.05)
        else:
            self._give_up(now, message, reaction, kind)
            return
        if attempt < ATTEMPTS:
            self._at(later, lambda now: self._try(now, message, reaction, kind, attempt + 1))

    def _give_up(self, now: int, message: Message, reaction: Reaction, kind: str) -> None:
        flow, span = message.flow, self._hex(8)
        told = Told.DEAD if kind == "dead" else Told.GAVE_UP
        record = Record(told, now + 500, reaction.service, flow, message, message.trace, span)
        record.bad, record.attempt = True, ATTEMPTS
        flow.records.append(record)

    def _react(self, now: int, message: Message, reaction: Reaction, context: _Context) -> int:
        """Send what follows; give when the handling is done."""
        flow = context.flow
        read = self._read.setdefault(reaction.service, set())
        read.add(reaction.event)
        if not read.issuperset(reaction.joins):
            return now
        event = reaction.sent(self._flow.scenario)
        if event is None:
            return now
        target, cause = flow, message.id or None
        if reaction.opens:
            target = Flow(flow.number, AUDIT, "", Fault(""), now, self._uuid(), self._hex(5), flow)
            flow.children.append(target)
        elif reaction.returns and flow.parent is not None:
            target, cause = flow.parent, None
        if reaction.after_s:
            own = _Context(target, self._hex(16), "")
            request = f"PUT /{reaction.service}/tasks"
            call = Call(reaction.service, request, event, 0.0)
            self._at(now + self._us(reaction.after_s), lambda now: self._call(now, call, own))
            return now
        return self._send(now, event, reaction.service, _Context(target, context.trace, context.span), cause)

    # Time and chance.

    def _at(self, time: int, go_on: Callable[[int], None]) -> None:
        self._turn += 1
        heapq.heappush(self._due, (time, self._turn, go_on))

    def _us(self, median_s: float, spread: float = 0.3) -> int:
        """A duration as latencies are."""
        return int(median_s * self._chance.lognormvariate(0.0, spread) * S)

    def _hex(self, octets: int) -> str:
        return self._chance.randbytes(octets).hex()

    def _uuid(self) -> str:
        text = self._hex(16)
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class _Context(NamedTuple):
    """Whose flow, in which trace and span work is done."""

    flow: Flow
    trace: str
    span: str
    parent: str = ""
    message: Message | None = None
    """What stands for the message where its context got lost."""
