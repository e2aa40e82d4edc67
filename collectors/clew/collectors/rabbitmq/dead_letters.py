"""Looks through queues of dead letters, and leaves them as they are.

AMQP has no way to look: messages are taken without acknowledgement and given back, all at once, by
closing the channels that hold them. They stand then where they stood: in classic queues (rabbitmq.com/docs/queues,
"requeued to their original position") and in quorum queues, which count it as a delivery.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pika.exceptions import ChannelClosedByBroker

from clew.collectors.errors import SourceUnavailable
from clew.collectors.rabbitmq.reader import TURN_S, Given, Reader, Waiting, message_of
from clew.collectors.rabbitmq.topology import INEQUIVALENT

if TYPE_CHECKING:
    import pika
    from pika import BasicProperties
    from pika.adapters.blocking_connection import BlockingChannel

    from clew.collectors.rabbitmq.envelope import Message
    from clew.collectors.record import Batch

COUNT = "x-delivery-count"
DEFAULT_LIMIT = 20
"""Deliveries after which a quorum queue drops a message, from RabbitMQ 4.0 on (rabbitmq.com/docs/quorum-queues)."""
MARGIN = 3
"""Deliveries that are left to those who are to have the messages."""
_ODD_LIMIT = 1_000_003


class DeadLetterReader(Reader):
    """A queue of dead letters, looked through when it changed.

    While that lasts nobody else gets what is in it. A message is looked at from the oldest on,
    up to as many as there were when the look began.
    """

    kind = "dead letters in"

    _looked: float | None = None
    _limit: int | None = None
    _refused = False
    _untaken = 0
    """Batches that nobody has taken yet: more is only read when there are few."""

    def open(self, connection: pika.BlockingConnection) -> None:
        self._looked = None
        if self._limit is None:
            self._limit = self._learn_limit(connection)

    def turn(self) -> None:
        connection = self.connection
        now = time.monotonic()
        if connection is None or self._refused:
            return
        if self._looked is not None and now - self._looked < self.around.pace.look:
            return
        first = self._looked is None
        self._looked = now
        waiting = _ready(connection, self.queue)
        if not waiting:
            if self.position.waiting > 0:
                self._moved(0, 0)
            return
        quorum = self.position.deliveries > 0
        if waiting == self.position.waiting and (quorum or not first):
            # Nothing came, as far as can be told without touching them.
            return
        try:
            self._look(connection, waiting)
        except SourceUnavailable as error:
            if not self.around.follow:
                raise
            # The others are read on.
            self._refused = True
            self.around.tell(f"{error}; {error.help}")
        self.last_at = time.monotonic()

    def _look(self, connection: pika.BlockingConnection, waiting: int) -> None:
        limit = self._limit or DEFAULT_LIMIT
        if self.position.deliveries >= limit - MARGIN:
            raise self._too_often(self.position.deliveries, limit)
        same: Counter[str] = Counter()
        channels: list[BlockingChannel] = []
        most = 0
        try:
            while sum(same.values()) < waiting:
                # A quorum queue takes many milliseconds for each message that is asked for alone.
                more = min(self.window(), waiting - sum(same.values()))
                got = self._some(connection, channels, more)
                for method, properties, body in got:
                    deliveries = _deliveries(properties)
                    most = max(most, deliveries)
                    if deliveries > limit - MARGIN:
                        # Given back, which counts, and never asked for again.
                        self.position = replace(self.position, deliveries=deliveries)
                        raise self._too_often(deliveries, limit)
                    self._take(message_of(method, properties, body), same)
                    if self.is_full():
                        self.deliver()
                if self.around.stop.is_set():
                    return
                if len(got) < more:
                    break
        finally:
            # This gives back all that was taken.
            for channel in channels:
                if channel.is_open:
                    channel.close()
        self._moved(waiting, most)

    def _some(
        self, connection: pika.BlockingConnection, channels: list[BlockingChannel], count: int
    ) -> list[tuple[Any, BasicProperties, bytes]]:
        """The next so many messages, or fewer where there are no more; they are held by one more channel."""
        got: list[tuple[Any, BasicProperties, bytes]] = []
        channel = connection.channel()
        channels.append(channel)
        channel.basic_qos(prefetch_count=count)
        channel.basic_consume(self.queue, lambda _channel, *told: got.append(told))
        end = time.monotonic() + self.around.pace.quiet
        while (len(got) < count or self._untaken > 1) and not self.around.stop.is_set():
            before = len(got)
            connection.process_data_events(TURN_S)
            if len(got) > before or self._untaken > 1:
                end = time.monotonic() + self.around.pace.quiet
            elif time.monotonic() > end:
                break
        return got

    def _take(self, message: Message, same: Counter[str]) -> None:
        digest = message.digest()
        same[digest] += 1
        parts = (self.cluster, self.around.address.vhost, "dead", self.queue, f"{digest}.{same[digest]}")
        more = {
            "rabbitmq.id": "/".join(parts),
            "rabbitmq.dead_letter_queue": self.queue,
            "messaging.consumer.group.name": self.queue,
        }
        self.waiting.again = True
        # What nobody can decode often lies here for that very reason.
        self.take(message, sum(same.values()), more, lenient=True)

    def _moved(self, waiting: int, most: int) -> None:
        known = self.position
        self.position = replace(known, count=known.count + 1, waiting=waiting, deliveries=most)
        self.deliver()

    def _too_often(self, deliveries: int, limit: int) -> SourceUnavailable:
        return SourceUnavailable(
            f"{self.queue} is a quorum queue, and a message in it was delivered {deliveries} times of {limit}:"
            " looking at it counts as one more, and the broker drops what was delivered too often",
            help="tap the dead-letter exchange instead (--exchange), or --delivery-limit if its limit is higher",
        )

    def give(self, batch: Batch, waiting: Waiting) -> None:
        del waiting
        self._untaken += 1
        self.around.inbox.put(Given(batch, partial(self.soon, self._was_taken)))

    def _was_taken(self) -> None:
        self._untaken -= 1

    def is_done(self) -> bool:
        return self._looked is not None

    def _learn_limit(self, connection: pika.BlockingConnection) -> int | None:
        """The delivery limit that the queue was declared with; a policy's cannot be learned by AMQP.

        A declaration that differs changes nothing, and the refusal names what the queue has.
        """
        given = self.around.rabbit.delivery_limit
        if given is not None:
            return given
        _ready(connection, self.queue)
        asked = {"x-queue-type": "quorum", "x-delivery-limit": _ODD_LIMIT}
        try:
            with connection.channel() as channel:
                channel.queue_declare(self.queue, durable=True, arguments=asked)
        except ChannelClosedByBroker as error:
            if error.reply_code == INEQUIVALENT:
                found = re.search(r"'x-delivery-limit'.* but current is the value '(\d+)'", error.reply_text)
                found = found or re.search(r"'x-delivery-limit'.* but current is '(\d+)'", error.reply_text)
                return int(found[1]) if found else None
        return None


def _deliveries(properties: BasicProperties) -> int:
    """Times that a message was delivered, this one included; 0 where the queue does not count."""
    counted = (properties.headers or {}).get(COUNT)
    return int(counted) + 1 if isinstance(counted, int) else 0


def _ready(connection: pika.BlockingConnection, queue: str) -> int:
    def ask(channel: BlockingChannel) -> Any:
        return channel.queue_declare(queue, passive=True).method.message_count

    with connection.channel() as channel:
        return int(ask(channel))
