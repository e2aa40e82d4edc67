"""The bus: topics, partitions, offsets, consumer groups, retries, dead letters. Here it is in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from clew.cli.demo.facts import Anchor, Delivery

if TYPE_CHECKING:
    from clew.cli.demo.world import World
    from clew.tracer import Event
    from clew.tracer.event import Binding

PARTITIONS: Final = 6
MAX_ATTEMPTS: Final = 3
_BACKOFF_S: Final = (1.0, 4.0)


class HandlingFailed(Exception):
    """A handler could not do its work. What derives from it is what real clients raise."""


@dataclass(frozen=True, slots=True)
class Message:
    """What lies on a partition. ``anchor`` is not part of it: it is for the truth alone."""

    topic: str
    partition: int | None
    offset: int | None
    """None where the broker has no such thing."""
    headers: list[tuple[str, bytes]]
    value: bytes
    sent_ns: int
    type: str
    anchor: Anchor


class Subscription(NamedTuple):
    """A consumer group's way to handle one event type."""

    group: str
    handle: Callable[[Message, int], None]
    """Raises HandlingFailed where the attempt (counted from 1) fails."""
    give_up: Callable[[Message, HandlingFailed], bool]
    """Called after the last attempt; True where it wrote a dead letter."""
    dead_letters: bool = False
    """Whether it may do so."""


class Bus:
    """Delivers each message once to each group that subscribed to its type, later."""

    system: str = "kafka"
    """As ``messaging.system`` has it."""
    binding: Binding = "kafka"
    """How CloudEvents name their headers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._offsets: dict[tuple[str, int], int] = {}
        self._groups: dict[tuple[str, str], list[Subscription]] = {}

    def topic(self, name: str) -> str:
        """What a topic of the workflows is called here."""
        return name

    def notes(self, message: Message, group: str, error: Mapping[str, str]) -> dict[str, object]:
        """Headers that a dead letter gets."""
        return kafka_notes(message, group, error)

    def subscribe(self, topic: str, event_type: str, subscription: Subscription) -> None:
        """Have a group handle the events of one type on a topic."""
        self._groups.setdefault((topic, event_type), []).append(subscription)

    def send(
        self, topic: str, event: Event, key: str, headers: list[tuple[str, bytes]], value: bytes
    ) -> None:
        """Take a message that carries ``event``, sent now."""
        world = self._world
        anchor = world.anchor
        sent_ns = world.clock.now_ns

        def append() -> None:
            # Offsets follow the order of virtual time, so they are given out then.
            partition = crc32(key.encode()) % PARTITIONS
            offset = self._offsets.get((topic, partition), 0)
            self._offsets[topic, partition] = offset + 1
            message = Message(topic, partition, offset, headers, value, sent_ns, event.type, anchor)
            for subscription in self._groups.get((topic, event.type), ()):
                self._deliver(message, subscription)

        world.later(sent_ns, append, anchor)

    def _deliver(self, message: Message, subscription: Subscription) -> None:
        world = self._world
        anchor = message.anchor
        delivery = Delivery(message.type, subscription.group, message.sent_ns)
        anchor.deliveries.append(delivery)
        kind = anchor.flow.struck(subscription.group, message.type)
        if kind == "never_handled":
            return
        if kind == "lost_context":
            # Its handling leaves nothing that leads back to the message.
            delivery = Delivery(message.type, subscription.group, message.sent_ns)
        arrival_ns = max(message.sent_ns + world.wait_ns(0.004, 0.9), world.clock.now_ns)

        def attempt(number: int) -> None:
            started_ns = world.clock.now_ns
            error: HandlingFailed | None = None
            try:
                subscription.handle(message, number)
            except HandlingFailed as failure:
                error = failure
            ended_ns = world.clock.now_ns
            delivery.attempts.append((started_ns, ended_ns))
            if error is None:
                delivery.done_ns = ended_ns
            elif number < MAX_ATTEMPTS:
                retry_ns = ended_ns + world.wait_ns(_BACKOFF_S[number - 1], 0.05)
                world.later(retry_ns, lambda: attempt(number + 1), anchor)
            elif subscription.give_up(message, error):
                delivery.dead_ns = world.clock.now_ns
            else:
                delivery.exhausted_ns = world.clock.now_ns

        world.later(arrival_ns, lambda: attempt(1), anchor)
        if kind == "duplicate_delivery":
            world.later(arrival_ns + world.wait_ns(2.0, 0.4), lambda: attempt(1), anchor)


def kafka_notes(message: Message, group: str, error: Mapping[str, str]) -> dict[str, object]:
    """Headers of a dead letter as Spring Kafka's DeadLetterPublishingRecoverer names them."""
    return {
        "kafka_dlt-original-topic": message.topic,
        "kafka_dlt-original-partition": message.partition,
        "kafka_dlt-original-offset": message.offset,
        "kafka_dlt-original-timestamp": message.sent_ns // 1_000_000,
        "kafka_dlt-original-timestamp-type": "CREATE_TIME",
        "kafka_dlt-original-consumer-group": group,
        "kafka_dlt-exception-fqcn": error["error.type"],
        "kafka_dlt-exception-message": error["error.message"],
    }
