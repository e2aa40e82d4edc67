"""Reads on in the partitions of a cluster, as batches."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from clew.collectors.errors import SourceUnavailable
from clew.collectors.kafka.assignment import Alone, Shared
from clew.collectors.kafka.client import consumer_properties, shared_properties
from clew.collectors.kafka.cluster import Cluster, Errors, unreachable
from clew.collectors.kafka.envelope import lines
from clew.collectors.kafka.messages import Messages, by_partition, columns
from clew.collectors.kafka.position import Ledger, Position
from clew.collectors.kafka.registry import Registry
from clew.collectors.kafka.starts import Place, Starts
from clew.collectors.kafka.values import Opened, Opener, reject
from clew.collectors.record import Batch, Outcome, Reject, Watermark, empty_select

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from clew.collectors.formats.plans import Plan
    from clew.collectors.formats.settings import Settings
    from clew.collectors.kafka.cluster import Partition
    from clew.collectors.kafka.collector import Limits, Pace
    from clew.collectors.kafka.settings import KafkaSettings

CHUNK = 4096
"""Messages that are Python objects at a time: more of them cost the garbage collector more."""
SMALL_BYTES = 400
"""Of a message, to guess how many make a batch."""
SAMPLE, LEARN = 200, 150
"""Messages that a format is shown, and how many teach it a short way (see ``formats.assembly``)."""
POLL_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Between attempts to reach the schema registry."""


@dataclass(slots=True)
class Part:
    """One partition that is read."""

    position: Position
    """Behind everything that was fetched."""
    delivered: Position
    """Behind everything that was given in batches."""
    first: bool
    end: int | None = None
    """Where it ended when reading began."""
    reached: int = -1
    """Where the broker last said that nothing follows."""
    waiting: list[pa.Table] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    bytes: int = 0
    rows: int = 0
    newest_ms: int = -1
    moved: bool = False
    """Something is to be committed."""

    @property
    def offset(self) -> int:
        """Of the next message, behind what is no message."""
        return max(self.position.offset, self.reached)


class Reader:
    """See :class:`clew.collectors.kafka.collector.KafkaCollector`."""

    def __init__(
        self,
        kafka: KafkaSettings,
        positions: Mapping[str, str],
        *,
        settings: Settings | None,
        follow: bool,
        scope: str,
        limits: Limits,
        pace: Pace,
        tell: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        self._kafka = kafka
        self._positions = positions
        self._settings = settings
        self._follow = follow
        self._scope = scope
        self._limits = limits
        self._pace = pace
        self._tell = tell
        self._stop = stop
        self._errors = Errors()
        self._consumer: Consumer | None = None
        self._parts: dict[Partition, Part] = {}
        self._plans: dict[str, tuple[Plan, bool]] = {}
        self._opener = Opener(kafka.values, _registry(kafka))
        self._told: set[str] = set()
        self._chunk = max(1, min(CHUNK, limits.batch_bytes // SMALL_BYTES))

    def batches(self) -> Iterator[Batch]:
        """Until ``stop``, or the ends of the partitions."""
        self._cluster = Cluster(self._kafka, shared_properties(self._kafka), self._stop)
        ledger = Ledger(self._positions, self._cluster.id, self._scope)
        starts = Starts(self._kafka, self._cluster, ledger, self._scope, self._tell)
        consumer = Consumer({**consumer_properties(self._kafka), "error_cb": self._errors})
        self._consumer = consumer
        kind = Shared if self._kafka.group else Alone
        self._assignment = kind(self._kafka, self._cluster, consumer, starts, self)
        try:
            yield from self._read(consumer)
        except KafkaException as error:
            raise unreachable(self._kafka, error, self._errors) from error

    def close(self) -> None:
        """Leave the cluster; until then what is stored can be committed."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    # -- what an assignment tells

    def added(self, places: Sequence[Place]) -> None:
        """These partitions are read now, from these places on."""
        ends = {} if self._follow else self._cluster.ends(place.key for place in places)
        for place in places:
            part = Part(place.position, place.position, place.first, ends.get(place.key))
            part.rejects += place.rejects
            part.moved = bool(place.rejects) or place.first
            self._parts[place.key] = part

    def removed(self, partitions: Sequence[Partition]) -> None:
        """These are read no longer; what was not yet delivered of them is left to who reads on."""
        for one in partitions:
            self._parts.pop(one, None)

    @property
    def offsets(self) -> dict[Partition, Position]:
        """How far each partition was delivered."""
        return {key: part.delivered for key, part in self._parts.items()}

    def say(self, text: str) -> None:
        """Tell a person, unless reading ends."""
        if not self._stop.is_set():
            self._tell(text)

    # -- reading

    def _read(self, consumer: Consumer) -> Iterator[Batch]:
        missing = self._assignment.begin(follow=self._follow)
        since, watched, marked = 0.0, time.monotonic(), time.monotonic()
        while not self._stop.is_set():
            messages = consumer.consume(self._chunk, POLL_S)
            if messages:
                self._take(messages)
            now = time.monotonic()
            if any(part.moved for part in self._parts.values()):
                since = since or now
            if self._is_full() or (since and now - since > self._patience()):
                yield from self._deliver()
                since = 0.0
            if not self._follow and self._is_done():
                break
            if now - watched > self._pace.watch:
                watched = now
                self._watch()
            if self._follow and now - marked > self._pace.mark:
                marked = now
                yield from self._marks()
        if not self._stop.is_set():
            yield from self._deliver()
            if missing:
                raise missing

    def _patience(self) -> float:
        """Seconds from a message's coming to its batch: longer where more is there, since few batches cost less."""
        behind = any(part.reached < part.position.offset for part in self._parts.values())
        return self._pace.backlog if behind else self._pace.latency

    def _is_full(self) -> bool:
        return (
            max((part.bytes for part in self._parts.values()), default=0) >= self._limits.batch_bytes
            or sum(part.bytes for part in self._parts.values()) >= 4 * self._limits.batch_bytes
            or sum(part.rows for part in self._parts.values()) >= self._limits.batch_rows
        )

    def _is_done(self) -> bool:
        return self._assignment.is_settled() and all(
            part.end is not None and part.offset >= part.end for part in self._parts.values()
        )

    def _watch(self) -> None:
        try:
            self._assignment.look()
        except SourceUnavailable as error:
            # A broker that restarts: the client connects again by itself.
            if not self._follow:
                raise
            self._tell(f"{error}; trying again")

    def _take(self, messages: list[Message]) -> None:
        good = []
        for message in messages:
            if message.error() is None:
                good.append(message)
            else:
                self._take_error(message)
        for key, some in by_partition(good).items():
            part = self._parts.get(key)
            if part is not None:
                self._take_messages(part, columns(*key, some))

    def _take_error(self, message: Message) -> None:
        error = message.error()
        if error is None:
            return
        key = (str(message.topic()), int(message.partition() or 0))
        part = self._parts.get(key)
        code = error.code()
        if code == KafkaError._PARTITION_EOF and part is not None:  # noqa: SLF001  its public name
            part.reached = max(part.reached, message.offset() or 0)
        elif code == KafkaError._AUTO_OFFSET_RESET and part is not None:  # noqa: SLF001
            self._assignment.again(key)
        elif error.fatal():
            raise KafkaException(error)
        else:
            text = f"{key[0]}/{key[1]}: {error.str()}" if message.topic() else error.str()
            if text not in self._told:
                self._told.add(text)
                self._tell(text)

    def _take_messages(self, part: Part, messages: Messages) -> None:
        """Make lines of them; those read before, as after a seek, are left out."""
        if messages.offsets[0] < part.position.offset:
            rows = [row for row, at in enumerate(messages.offsets) if at >= part.position.offset]
            messages = messages.take(rows)
            if not rows:
                return
        next_offset = messages.offsets[-1] + 1
        newest = max(messages.times)
        opened = self._opened(messages)
        if opened is None:
            return
        part.rejects += opened.rejects
        if opened.values:
            made, rejects = self._lines(part, opened.messages, opened.values)
            part.rejects += rejects
            if made.num_rows:
                part.waiting.append(made)
                part.bytes += made.nbytes
                part.rows += made.num_rows
        part.newest_ms = max(part.newest_ms, newest)
        part.position = replace(part.position, offset=next_offset)
        part.moved = True

    def _opened(self, messages: Messages) -> Opened | None:
        """Their values; None where reading was stopped while the schema registry did not answer."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                return self._opener.open(messages)
            except SourceUnavailable as error:
                if not self._follow:
                    raise
                if pause == FIRST_PAUSE_S:
                    self._tell(f"{error}; {messages.topic} waits for it")
                if self._stop.wait(pause * random.uniform(0.5, 1)):  # noqa: S311  jitter
                    return None
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _lines(
        self, part: Part, messages: Messages, values: Sequence[bytes]
    ) -> tuple[pa.Table, list[Reject]]:
        letters = self._kafka.holds_dead_letters(messages.topic)
        rejects: list[Reject] = []
        try:
            made = lines(messages, values, part.position.identity, dead_letter=letters)
        except pa.ArrowInvalid:
            # Some value is no UTF-8.
            good = []
            for row, value in enumerate(values):
                try:
                    value.decode()
                    good.append(row)
                except UnicodeDecodeError as error:
                    at = f"not UTF-8 at byte {error.start + 1} (0x{value[error.start]:02x})"
                    rejects.append(reject(messages, row, at))
            messages = messages.take(good)
            made = lines(messages, [values[row] for row in good], part.position.identity, dead_letter=letters)
        return pa.table({"line": made, "position": pa.array(messages.offsets, pa.int64())}), rejects

    # -- delivering

    def _deliver(self) -> Iterator[Batch]:
        for key, part in list(self._parts.items()):
            if part.moved and self._parts.get(key) is part:
                yield self._batch(part, None)

    def _batch(self, part: Part, mark: Watermark | None) -> Batch:
        raw = pa.concat_tables(part.waiting) if part.waiting else None
        plan = self._plan(part.position.topic, raw) if raw is not None else None
        if mark is None and part.newest_ms > 0:
            mark = Watermark(min(part.newest_ms * 1000, time.time_ns() // 1000), exact=False)
        position = replace(part.position, offset=part.offset)
        batch = Batch(
            source=position.source,
            raw=raw,
            select=plan.select if plan else empty_select(),
            short=plan.short if plan else None,
            position=position.text(),
            rejects=tuple(part.rejects),
            watermark=mark,
            scope=self._scope,
            format=plan.format if plan else self._kafka.format,
            first=part.first,
            rowwise=plan is not None and plan.multiline is None,
            bytes=part.bytes,
            settle=self._settle(position) if self._kafka.group else None,
        )
        part.position = part.delivered = position
        part.waiting, part.rejects, part.bytes, part.rows, part.newest_ms = [], [], 0, 0, -1
        part.moved = part.first = False
        return batch

    def _settle(self, position: Position) -> Callable[[Outcome], None]:
        def commit(outcome: Outcome) -> None:
            if outcome.committed:
                self._assignment.commit(TopicPartition(position.topic, position.partition, position.offset))

        return commit

    def _plan(self, topic: str, raw: pa.Table) -> Plan:
        """How to decode a topic's lines; more closely once there are enough to learn from."""
        from clew.collectors.formats import plan

        enough = raw.num_rows >= LEARN
        known = self._plans.get(topic)
        if known is None or (enough and not known[1]):
            sample = [str(line) for line in raw["line"].slice(0, SAMPLE).to_pylist()]
            known = (plan(self._kafka.format, sample, settings=self._settings), enough)
            self._plans[topic] = known
        return known[0]

    def _marks(self) -> Iterator[Batch]:
        """Batches that say of partitions read to their end that they are, exactly."""
        idle = {key: part for key, part in self._parts.items() if not part.moved and part.reached >= 0}
        now = time.time_ns() // 1000
        try:
            # All that was written, also by transactions that are open: they may hold what is older.
            ends = self._cluster.ends(idle, read_committed=False)
        except SourceUnavailable:
            return
        for key, part in idle.items():
            if part.offset >= ends[key] and self._parts.get(key) is part and not part.moved:
                yield self._batch(part, Watermark(now, exact=True))


def _registry(kafka: KafkaSettings) -> Registry | None:
    if kafka.registry is None:
        return None
    return Registry(kafka.registry, kafka.registry_auth)
