"""The bus over a real broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clew.cli.demo.bus import Bus, Message, Subscription
from clew.cli.demo.live.broker import Plan
from clew.tracer import Event

if TYPE_CHECKING:
    from clew.cli.demo.facts import Anchor
    from clew.cli.demo.live.broker import Broker, Headers, Received
    from clew.cli.demo.world import World

DEAD_LETTERS: Final = "-dlt"
"""What the services add to a topic's name."""


@dataclass(slots=True)
class _Sent:
    """What the truth knows of a message, and the groups that have not got it yet."""

    anchor: Anchor
    sent_ns: int
    type: str
    waiting: set[str]


class LiveBus(Bus):
    """Sends through the broker, and has handled what the broker delivers."""

    def __init__(self, world: World, broker: Broker) -> None:
        super().__init__(world)
        self._broker = broker
        self.system, self.binding = broker.system, broker.binding
        self._sent: dict[tuple[str, str], _Sent] = {}
        self._topics: dict[str, set[str]] = {}
        self._dead_letters: set[str] = set()
        self.sent = 0
        """Messages given to the broker."""
        self.open = 0
        """Deliveries of them that have not come."""

    def topic(self, name: str) -> str:
        """The name under the demo's prefix."""
        return self._broker.prefix + name

    def notes(self, message: Message, group: str, error: Mapping[str, str]) -> dict[str, object]:
        """Headers that a dead letter gets."""
        return self._broker.notes(message, group, error)

    def subscribe(self, topic: str, event_type: str, subscription: Subscription) -> None:
        """Have a group handle the events of one type on a topic."""
        super().subscribe(topic, event_type, subscription)
        self._topics.setdefault(subscription.group, set()).add(topic)
        if subscription.dead_letters:
            self._dead_letters.add(topic + DEAD_LETTERS)

    @property
    def plan(self) -> Plan:
        """What the subscriptions need."""
        topics = sorted({topic for read in self._topics.values() for topic in read})
        groups = {group: sorted(read) for group, read in self._topics.items()}
        return Plan(topics, sorted(self._dead_letters), groups)

    def send(
        self, topic: str, event: Event, key: str, headers: list[tuple[str, bytes]], value: bytes
    ) -> None:
        """Take a message that carries ``event``, sent now."""
        world = self._world
        anchor, sent_ns = world.anchor, world.clock.now_ns

        def produce() -> None:
            waiting = {one.group for one in self._groups.get((topic, event.type), ())}
            self._sent[topic, event.id] = _Sent(anchor, sent_ns, event.type, waiting)
            anchor.messages.append((topic, event.id))
            self.sent += 1
            self.open += len(waiting)
            self._broker.publish(topic, key, event, headers, value, sent_ns)

        world.later(sent_ns, produce, anchor)

    def take(self) -> None:
        """Have handled, from now on, what the broker delivered."""
        for got in self._broker.received():
            sent = self._sent.get((got.topic, _event_id(got.headers)))
            # What is delivered again was handled: the services know their messages by ID.
            if sent is None or got.group not in sent.waiting:
                continue
            sent.waiting.remove(got.group)
            self.open -= 1
            self._hand_over(got, sent)

    def _hand_over(self, got: Received, sent: _Sent) -> None:
        message = Message(
            got.topic,
            got.partition,
            got.offset,
            got.headers,
            got.value,
            sent.sent_ns,
            sent.type,
            sent.anchor,
        )
        for subscription in self._groups[got.topic, sent.type]:
            if subscription.group == got.group:
                self._deliver(message, subscription)


def _event_id(headers: Headers) -> str:
    return next((value.decode() for name, value in headers if name in {"ce_id", "cloudEvents:id"}), "")
