"""What reading a queue and reading a stream have in common: a thread, its connection, and batches."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from clew.collectors.errors import CollectError
from clew.collectors.rabbitmq.address import TROUBLE
from clew.collectors.rabbitmq.envelope import Message, Unreadable, line
from clew.collectors.rabbitmq.position import Position, source_name
from clew.collectors.record import Batch, Reject, Watermark, empty_select

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pika
    from pika import BasicProperties
    from pika.adapters.blocking_connection import BlockingChannel

    from clew.collectors.formats.plans import Plan
    from clew.collectors.rabbitmq.address import Address
    from clew.collectors.rabbitmq.settings import RabbitSettings
    from clew.collectors.record import Outcome

LEAST_MARK_S = 1.0
TURN_S = 0.1
"""Longest wait for the broker before looking at the clock."""
FIRST_WINDOW, SMALLEST_WINDOW, LARGEST_WINDOW = 32, 8, 50_000
"""Messages that the broker may send ahead: few until it is known how large they are."""
LEARN = 150
"""Messages that teach a short way to decode (see ``formats.assembly``)."""
_REJECT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    latency: float = 0.5
    """From a message's coming to its batch, so that messages come in batches."""
    quiet: float = 0.3
    """Without a message, after which a source may be read to its end."""
    mark: float = 30.0
    """Between the watermarks of a source that is silent."""
    losses: float = 10.0
    """Between questions for what was dropped."""
    look: float = 60.0
    """Between looks at a queue of dead letters."""
    patience: float = 60.0
    """How long a queue that another connection still holds is waited for."""
    farewell: float = 3.0
    """How long batches that were taken may take to be stored when all else has ended."""
    retry: float = 5.0
    """Longest pause before a broker that went away is tried again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that bound memory and latency."""

    batch_bytes: int = 4 << 20
    batch_rows: int = 16_384
    held_bytes: int = 64 << 20
    """Of messages that the broker sent ahead, about."""


@dataclass(frozen=True, slots=True)
class Given:
    """A batch on its way; ``pulled`` is called when the caller has taken it."""

    batch: Batch
    pulled: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A reader has read everything, or cannot go on."""

    error: CollectError | None = None


@dataclass(slots=True)
class Surroundings:
    """What all readers of a collector share."""

    rabbit: RabbitSettings
    address: Address
    positions: Mapping[str, str]
    plan: Callable[[Sequence[str]], Plan]
    """How lines are decoded, by a sample of them."""
    follow: bool
    scope: str
    limits: Limits
    pace: Pace
    tell: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    inbox: queue.SimpleQueue[Given | Ended] = field(default_factory=queue.SimpleQueue)


@dataclass(slots=True)
class Waiting:
    """What came and is in no batch yet."""

    lines: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    bytes: int = 0
    newest_ms: int = 0
    since: float = 0.0
    tag: int = 0
    """The newest delivery."""
    again: bool = False
    """Some of it was delivered before."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing came."""
        return not self.lines and not self.rejects


class Reader(ABC):
    """Reads one queue or stream in a thread of its own, with a connection of its own.

    So heartbeats go on however long the store is busy: what is handed on is bounded by what
    the broker may send ahead of its acknowledgement, not by blocking this thread.
    """

    kind = ""
    """What it reads, for messages and the connection's name."""

    def __init__(self, around: Surroundings, name: str) -> None:
        self.around = around
        self.queue = name
        self.connection: pika.BlockingConnection | None = None
        self.position = Position(name, around.scope)
        self.first = True
        self.source = ""
        self.cluster = ""
        self.waiting = Waiting()
        self.last_at = time.monotonic()
        self._begun = False
        self._failed = False
        self._counting = threading.Lock()
        self._open = 0
        """Batches that were taken and not settled."""
        self._marked = time.monotonic()
        self._seen, self._seen_bytes = 0, 0
        self._plan = around.plan(())
        self._learned = False
        self._thread = threading.Thread(target=self._run, name=f"clew-rabbitmq-{name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its end, which ``stop`` brings."""
        if self._thread.ident is not None:
            self._thread.join()

    # -- for those that know what they read

    @abstractmethod
    def open(self, connection: pika.BlockingConnection) -> None:
        """See to it that messages come; called anew for each connection."""

    @abstractmethod
    def is_done(self) -> bool:
        """Whether everything was read that was there; asked in quiet moments where nobody follows."""

    @abstractmethod
    def give(self, batch: Batch, waiting: Waiting) -> None:
        """Hand a batch on, acknowledged as the source needs it."""

    @abstractmethod
    def turn(self) -> None:
        """What else is to be done now and then."""

    @property
    def doing(self) -> str:
        """What it does, for messages."""
        return f"reading the {self.kind} {self.queue}"

    # -- what they use

    def take(self, message: Message, number: int, more: Mapping[str, Any], *, lenient: bool = False) -> None:
        """Put a message with the others."""
        waiting = self.waiting
        self.last_at = time.monotonic()
        waiting.since = waiting.since or self.last_at
        size = len(message.body)
        waiting.bytes += size
        try:
            made = line(message, more, lenient=lenient)
        except Unreadable as error:
            waiting.rejects.append(Reject(number, str(error), message.body[:_REJECT_BYTES]))
        else:
            size += len(made)
            waiting.lines.append(made)
            waiting.numbers.append(number)
        waiting.newest_ms = max(waiting.newest_ms, message.time_ms)
        self._seen += 1
        self._seen_bytes += size

    def lose(self, number: int, reason: str) -> None:
        """Tell of messages that were never read."""
        self.waiting.since = self.waiting.since or time.monotonic()
        self.waiting.rejects.append(Reject(number, reason, b""))
        self.around.tell(f"{self.queue}: {reason}")

    def window(self) -> int:
        """How many messages the broker may send ahead, by their size so far."""
        if not self._seen:
            return FIRST_WINDOW
        fitting = self.around.limits.held_bytes * self._seen // max(1, self._seen_bytes)
        return max(SMALLEST_WINDOW, min(LARGEST_WINDOW, fitting))

    def deliver(self) -> None:
        """Make a batch of what waits."""
        waiting, self.waiting = self.waiting, Waiting(tag=self.waiting.tag)
        self._marked = time.monotonic()
        mark = self._watermark(waiting.newest_ms * 1000) if waiting.newest_ms else None
        self.give(self._batch(waiting, mark), waiting)
        self.first = False

    def taken(self) -> None:
        """A batch that will be settled is on its way to the store."""
        with self._counting:
            self._open += 1

    def settled(self, outcome: Outcome) -> bool:
        """Whether a batch was committed; where not, nothing more is read and all of it comes again."""
        with self._counting:
            self._open -= 1
        if not outcome.committed:
            self._failed = True
            self.around.stop.set()
        return outcome.committed

    def soon(self, work: Callable[[], None]) -> None:
        """Do it in this reader's thread; not at all where its connection is gone."""
        connection = self.connection
        if connection is not None:
            with suppress(*TROUBLE):
                connection.add_callback_threadsafe(work)

    # -- the thread

    def _run(self) -> None:
        pause = 0.1
        around = self.around
        told = ""
        while not around.stop.is_set():
            try:
                with around.address.connect(f"{self.kind} {self.queue}") as connection:
                    self.connection = connection
                    self._know(connection)
                    self.open(connection)
                    if told:
                        around.tell(f"{around.address.shown}: {self.doing} goes on")
                    self._begun, pause, told = True, 0.1, ""
                    self._read(connection)
                    return
            except CollectError as error:
                around.inbox.put(Ended(error))
                return
            except TROUBLE as error:
                unavailable = around.address.unavailable(error, self.doing)
                if around.stop.is_set():
                    return
                if not (self._begun and around.follow):
                    around.inbox.put(Ended(unavailable))
                    return
                if told != str(unavailable):
                    told = str(unavailable)
                    around.tell(f"{told}; trying again")
                self.waiting = Waiting()
                around.stop.wait(pause)
                pause = min(2 * pause, around.pace.retry)
            finally:
                self.connection = None

    def _know(self, connection: pika.BlockingConnection) -> None:
        """Learn the cluster's name, and where reading stands."""
        if self.source:
            return
        told = connection._impl.server_properties or {}  # noqa: SLF001  the blocking face does not show it
        self.cluster = str(told.get("cluster_name", self.around.address.shown))
        self.source = source_name(self.cluster, self.around.address.vhost, self.queue)
        if self.around.scope:
            self.source += f"?scope={self.around.scope}"
        known = Position.parse(self.around.positions.get(self.source, ""))
        if known is not None:
            self.position, self.first = known, False

    def _read(self, connection: pika.BlockingConnection) -> None:
        around = self.around
        ended = False
        while not around.stop.is_set():
            connection.process_data_events(TURN_S)
            if ended:
                continue
            self.turn()
            now = time.monotonic()
            if self._is_due(now):
                self.deliver()
            if around.follow:
                self._mark(now)
            elif now - self.last_at > around.pace.quiet and self.is_done():
                if not self.waiting.is_empty:
                    self.deliver()
                around.inbox.put(Ended())
                # What was handed on is acknowledged later, by this connection.
                ended = True
        end = time.monotonic() + around.pace.farewell
        while self._open and not self._failed and time.monotonic() < end:
            connection.process_data_events(TURN_S / 2)
        if not self._failed:
            # The last acknowledgements.
            connection.process_data_events(0)

    def _is_due(self, now: float) -> bool:
        waiting, limits = self.waiting, self.around.limits
        return not waiting.is_empty and (
            waiting.bytes >= limits.batch_bytes
            or len(waiting.lines) >= limits.batch_rows
            or now - waiting.since > self.around.pace.latency
        )

    def is_full(self) -> bool:
        """Whether a batch is ready."""
        limits = self.around.limits
        return self.waiting.bytes >= limits.batch_bytes or len(self.waiting.lines) >= limits.batch_rows

    def _mark(self, now: float) -> None:
        """Move the watermark of a source that is silent."""
        every = min(self.around.pace.mark, max(self.around.rabbit.lateness_us / 1_000_000, LEAST_MARK_S))
        if now - max(self.last_at, self._marked) > every and self.waiting.is_empty:
            self._marked = now
            mark = self._watermark(time.time_ns() // 1000)
            self.around.inbox.put(Given(self._batch(Waiting(), mark)))

    def _watermark(self, time_us: int) -> Watermark:
        # A queue does not say up to when it has told everything.
        return Watermark(time_us - self.around.rabbit.lateness_us, exact=False)

    def _batch(self, waiting: Waiting, mark: Watermark | None) -> Batch:
        import pyarrow as pa

        raw = None
        if len(waiting.lines) >= LEARN and not self._learned:
            self._learned = True
            self._plan = self.around.plan(waiting.lines[:LEARN])
        if waiting.lines:
            raw = pa.table(
                {
                    "line": pa.array(waiting.lines, pa.string()),
                    "position": pa.array(waiting.numbers, pa.int64()),
                }
            )
        return Batch(
            source=self.source,
            raw=raw,
            select=self._plan.select if raw is not None else empty_select(),
            short=self._plan.short if raw is not None else None,
            position=self.position.text(),
            rejects=tuple(waiting.rejects),
            watermark=mark,
            scope=self.around.scope,
            format=self._plan.format,
            first=self.first,
            rowwise=True,
            again=waiting.again,
            bytes=waiting.bytes,
        )


def message_of(method: Any, properties: BasicProperties, body: bytes) -> Message:
    """A delivery (``Basic.Deliver`` or ``Basic.GetOk``) as a message."""
    return Message(method.exchange, method.routing_key, properties, body, time.time_ns() // 1_000_000)


def moved(position: Position, by: int, lost: int = 0) -> Position:
    """A position after so many messages more."""
    return replace(position, count=position.count + by, lost=position.lost + lost)


def apart(connection: pika.BlockingConnection, work: Callable[[BlockingChannel], Any]) -> Any:
    """What ``work`` gives, on a channel of its own: an error there closes no other channel."""
    with connection.channel() as channel:
        return work(channel)
