"""Reads a queue that is clew's own: each message is acknowledged when the store has it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pika import BasicProperties
from pika.exceptions import ChannelClosedByBroker, ConsumerCancelled

from clew.collectors.rabbitmq.envelope import Message
from clew.collectors.rabbitmq.reader import Given, Reader, Surroundings, Waiting, message_of, moved
from clew.collectors.rabbitmq.settings import Exchange, TapKind
from clew.collectors.rabbitmq.topology import LOST_MESSAGES, REFUSED, TRACE, TRACED, bind, declare, overflow

if TYPE_CHECKING:
    import pika
    from pika.adapters.blocking_connection import BlockingChannel

    from clew.collectors.record import Batch, Outcome

_FACTOR = 2
"""A window is changed when it would be so many times larger or smaller."""


@dataclass(frozen=True, slots=True)
class _Receipt:
    """What to do when a batch is committed."""

    channel: BlockingChannel | None
    tag: int
    """Of its last message; those before it are acknowledged with it."""
    losses_told: bool
    """The store has the number of what was dropped."""


class TapReader(Reader):
    """A queue beside the application's."""

    kind = "tap"

    def __init__(self, around: Surroundings, exchanges: tuple[Exchange, ...]) -> None:
        super().__init__(around, around.rabbit.tap.queue(self.kind))
        self._exchanges = exchanges
        self._channel: BlockingChannel | None = None
        self._consumer = ""
        self._sent_ahead = 0
        tap = around.rabbit.tap
        # What the tracer tells stands in nested headers, and a stream keeps none.
        self._tap = replace(tap, kind=TapKind.CLASSIC) if tap.kind is TapKind.STREAM else tap
        self._counts_losses = tap.messages is not None or tap.bytes is not None
        self._asked = 0.0
        self._losses = 0
        self._losses_wait = False
        self._forget = False

    def open(self, connection: pika.BlockingConnection) -> None:
        declare(connection, self._tap, self.queue)
        bind(connection, self.queue, self._exchanges)
        self._channel = connection.channel()
        self._asked, self._losses, self._losses_wait, self._forget = 0.0, 0, False, False
        self._consume(self._channel)

    def _consume(self, channel: BlockingChannel) -> None:
        self._sent_ahead = self.window()
        channel.add_on_cancel_callback(_cancelled)
        channel.basic_qos(prefetch_count=self._sent_ahead)
        end = time.monotonic() + self.around.pace.patience
        while True:
            try:
                # Alone: of two readers each would miss what the other takes.
                self._consumer = channel.basic_consume(self.queue, self._on_message, exclusive=True)
            except ChannelClosedByBroker as error:
                # A collector that was killed holds the queue until the broker notices.
                if error.reply_code != REFUSED or time.monotonic() > end or self.around.stop.wait(0.2):
                    raise
                channel = self._channel = channel.connection.channel()
                channel.basic_qos(prefetch_count=self._sent_ahead)
            else:
                return

    def _on_message(
        self, _channel: BlockingChannel, method: Any, properties: BasicProperties, body: bytes
    ) -> None:
        self.position = moved(self.position, 1)
        self.waiting.tag = method.delivery_tag
        self.waiting.again = self.waiting.again or method.redelivered
        self.take_delivery(method, message_of(method, properties, body))
        if self.is_full():
            self.deliver()

    def take_delivery(self, method: Any, message: Message) -> None:
        """Put what was delivered with the others."""
        del method
        self.take(message, self.position.count, self.known_by(message, message.exchange))

    def known_by(self, message: Message, *place: str) -> dict[str, Any]:
        """The identity of a message, where its publisher gave it an ID: delivered again it is the same."""
        given = message.properties.message_id
        if given is None:
            return {}
        parts = (self.cluster, self.around.address.vhost, *place, str(given), message.digest())
        return {"rabbitmq.id": "/".join(parts)}

    def give(self, batch: Batch, waiting: Waiting) -> None:
        receipt = _Receipt(self._channel, waiting.tag, self._losses_wait)
        self._losses_wait = False
        settle = partial(self._on_settled, receipt)
        self.around.inbox.put(Given(replace(batch, settle=settle), self.taken))

    def _on_settled(self, receipt: _Receipt, outcome: Outcome) -> None:
        if self.settled(outcome):
            self.soon(partial(self._acknowledge, receipt))

    def _acknowledge(self, receipt: _Receipt) -> None:
        # Tags are the channel's: what came by another one is delivered again by itself.
        if receipt.channel is not self._channel:
            return
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        if receipt.tag:
            channel.basic_ack(receipt.tag, multiple=True)
        self._forget = self._forget or receipt.losses_told

    def turn(self) -> None:
        channel = self._channel
        if channel is None:
            return
        now = time.monotonic()
        if self._forget:
            self._forget_losses(channel)
        elif self._counts_losses and now - self._asked > self.around.pace.losses and not self._losses:
            self._asked = now
            self._losses = _ready(channel, overflow(self.queue))
            self._tell_losses(self._losses)
        window = self.window()
        if not self._sent_ahead // _FACTOR <= window <= self._sent_ahead * _FACTOR:
            channel.basic_cancel(self._consumer)
            self._consume(channel)

    def _tell_losses(self, count: int) -> None:
        if not count:
            return
        self.position = moved(self.position, 0, lost=count)
        self._losses_wait = True
        least = "at least " if count >= LOST_MESSAGES else ""
        self.lose(
            self.position.count,
            f"{least}{count} messages were dropped because the queue was full before they could be read",
        )

    def _forget_losses(self, channel: BlockingChannel) -> None:
        """Empty the queue of what was dropped, now that the store has its number."""
        self._forget = False
        told, self._losses = self._losses, 0
        dropped = channel.queue_purge(overflow(self.queue)).method.message_count
        self._tell_losses(dropped - told)
        self._losses_wait = False

    def is_done(self) -> bool:
        channel = self._channel
        if channel is None or _ready(channel, self.queue):
            return False
        # What was sent before this answer is here when the next one is.
        ready = _ready(channel, self.queue)
        seen = self.position.count
        channel.connection.process_data_events(0)
        return not ready and seen == self.position.count and not self._losses


class FirehoseReader(TapReader):
    """A queue beside everybody's: what the firehose tracer tells of every message published and delivered."""

    kind = "firehose"

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around, tuple(Exchange(TRACE, (key,)) for key in TRACED))

    def take_delivery(self, method: Any, message: Message) -> None:
        told = message.properties.headers or {}
        what, _, where = str(method.routing_key).partition(".")
        if self._is_own(what, where, told):
            return
        keys = told.get("routing_keys") or [""]
        traced = Message(
            str(told.get("exchange_name", "")),
            str(keys[0]),
            BasicProperties(**(told.get("properties") or {})),
            message.body,
            message.received_ms,
        )
        around: dict[str, Any] = {
            name: told[name]
            for name in ("node", "user", "connection", "channel", "routed_queues")
            if name in told
        }
        more: dict[str, Any] = {"rabbitmq.trace": around, "rabbitmq.operation": "send"}
        place = [what, where]
        if what == "deliver":
            attempt = _attempt(traced, told)
            place.append(str(attempt))
            more |= {
                "rabbitmq.operation": "receive",
                "messaging.consumer.group.name": where,
                "messaging.message.delivery_count": attempt,
            }
        self.take(traced, self.position.count, {**self.known_by(traced, *place), **more})

    def _is_own(self, what: str, where: str, told: dict[str, Any]) -> bool:
        """Whether it is clew that reads there."""
        rabbit = self.around.rabbit
        return what == "deliver" and (
            where.startswith("clew.")
            or where in rabbit.streams
            or (where in rabbit.dead_letters and told.get("user") == self.around.address.user)
        )


def _attempt(message: Message, told: dict[str, Any]) -> int:
    """Which delivery it is. A classic queue tells the first from any other, and no more."""
    counted = (message.properties.headers or {}).get("x-delivery-count")
    return int(counted) + 1 if isinstance(counted, int) else 1 + bool(told.get("redelivered"))


def _ready(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def _cancelled(_frame: Any) -> None:
    raise ConsumerCancelled("the queue was deleted")
