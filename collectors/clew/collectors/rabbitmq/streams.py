"""Reads a stream by offset: nothing is taken from it, and the position lives in the store."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from clew.collectors.rabbitmq.reader import Given, Reader, Surroundings, Waiting, message_of
from clew.collectors.rabbitmq.topology import bind, declare

if TYPE_CHECKING:
    import pika
    from pika import BasicProperties
    from pika.adapters.blocking_connection import BlockingChannel

    from clew.collectors.rabbitmq.settings import Exchange
    from clew.collectors.record import Batch

OFFSET = "x-stream-offset"
_FACTOR = 2
_SILENCE_S = 2.0
"""After which a stream that should go on is asked where it ends."""
_CHUNK = 10_000


class StreamReader(Reader):
    """A stream, from where the store has it, else from its first message."""

    kind = "stream"

    def __init__(self, around: Surroundings, name: str) -> None:
        super().__init__(around, name)
        self._channel: BlockingChannel | None = None
        self._sent_ahead = 0
        self._end = -1
        self._opened = 0.0
        self._verified = False
        self._begin_anew = False

    def open(self, connection: pika.BlockingConnection) -> None:
        if not self.around.follow:
            self._end = self._last_offset(connection)
        self._consume(connection)

    def _consume(self, connection: pika.BlockingConnection) -> None:
        """From the last message read, which tells whether it is the same stream; else from the first."""
        known = self.position
        self._verified = not known.last
        self._opened = time.monotonic()
        self._sent_ahead = self.window()
        channel = self._channel = _channel_of_stream(connection)
        channel.basic_qos(prefetch_count=self._sent_ahead)
        start: Any = known.count - 1 if known.last else "first"
        channel.basic_consume(self.queue, self._on_message, arguments={OFFSET: start})

    def _on_message(
        self, channel: BlockingChannel, method: Any, properties: BasicProperties, body: bytes
    ) -> None:
        if channel is not self._channel or self._begin_anew:
            return
        self.waiting.tag = method.delivery_tag
        headers = properties.headers or {}
        offset = int(headers.pop(OFFSET))
        message = message_of(method, properties, body)
        mark = fingerprint(offset, body)
        if not self._verified and not self._verify(offset, mark):
            return
        self._verified = True
        if offset < self.position.count:
            return
        self.position = replace(self.position, count=offset + 1, last=mark)
        self.take(message, offset + 1, self._place(offset))
        if self.is_full():
            self.deliver()

    def _verify(self, offset: int, mark: str) -> bool:
        """Whether reading goes on in the stream that was read before."""
        known = self.position
        if offset < known.count - 1 or (offset == known.count - 1 and mark != known.last):
            self._begin_anew = True
            return False
        gone = offset - known.count
        if gone > 0:
            self.position = replace(known, lost=known.lost + gone)
            # Offsets that the broker uses itself, one for each segment, are among them.
            self.lose(offset, f"up to {gone} messages were dropped from the stream before they could be read")
        return True

    def _place(self, offset: int) -> dict[str, Any]:
        again = f"~{self.position.again}" if self.position.again else ""
        parts = (self.cluster, self.around.address.vhost, f"{self.queue}{again}@{offset}")
        told: dict[str, Any] = {"rabbitmq.id": "/".join(parts)}
        return told | self.seen_at(offset)

    def seen_at(self, offset: int) -> dict[str, Any]:
        """Where a message was met: a stream is where it was sent to, whatever exchange it came through."""
        return {"messaging.destination.name": self.queue, "rabbitmq.offset": offset}

    def give(self, batch: Batch, waiting: Waiting) -> None:
        # Nothing is taken from a stream: an acknowledgement only lets the broker send more.
        self.around.inbox.put(
            Given(batch, partial(self.soon, partial(self._credit, self._channel, waiting.tag)))
        )

    def _credit(self, channel: BlockingChannel | None, tag: int) -> None:
        if channel is self._channel and channel is not None and channel.is_open and tag:
            channel.basic_ack(tag, multiple=True)

    def turn(self) -> None:
        channel = self._channel
        if channel is None:
            return
        connection = channel.connection
        if self._begin_anew:
            self._start_again(channel)
            return
        if not self._verified and time.monotonic() - self._opened > _SILENCE_S:
            self._opened = time.monotonic()
            end = self._last_offset(connection)
            if 0 <= end < self.position.count - 1:
                self._start_again(channel)
                return
        window = self.window()
        if not self._sent_ahead // _FACTOR <= window <= self._sent_ahead * _FACTOR and self.waiting.is_empty:
            channel.close()
            self._consume(connection)

    def _start_again(self, channel: BlockingChannel) -> None:
        """Read another stream of that name from its beginning."""
        self._begin_anew = False
        self.around.tell(
            f"{self.queue} is another stream than the one that was read before: read from its start"
        )
        if not self.waiting.is_empty:
            self.deliver()
        channel.close()
        known = self.position
        self.position = replace(known, count=0, last="", again=known.again + 1)
        self.first = True
        self._consume(channel.connection)

    def is_done(self) -> bool:
        return self.position.count > self._end and (self._verified or self._end < 0)

    def _last_offset(self, connection: pika.BlockingConnection) -> int:
        """The offset of the last message; -1 where there is none."""
        found = [-1]
        last_at = [time.monotonic()]

        def note(_channel: BlockingChannel, _method: Any, properties: BasicProperties, _body: bytes) -> None:
            found[0] = int((properties.headers or {})[OFFSET])
            last_at[0] = time.monotonic()

        with _channel_of_stream(connection) as channel:
            channel.basic_qos(prefetch_count=_CHUNK)
            channel.basic_consume(self.queue, note, arguments={OFFSET: "last"})
            # The broker sends a chunk at once: when nothing follows for a while it is here.
            quiet = self.around.pace.quiet
            while time.monotonic() - last_at[0] < quiet and not self.around.stop.is_set():
                connection.process_data_events(quiet / 3)
        return found[0]


def _channel_of_stream(connection: pika.BlockingConnection) -> BlockingChannel:
    """A channel that rejects nothing.

    A channel that is closed gives back what pika has not handed on by then; a stream refuses
    that, because nothing was taken from it, and the broker closes the whole connection.
    """
    channel = connection.channel()
    channel._impl.basic_reject = lambda *_told, **_named: None  # noqa: SLF001
    return channel


class TapStreamReader(StreamReader):
    """A stream beside the application's queues: exactly once without message IDs, losses told by its offsets."""

    kind = "tap"

    def __init__(self, around: Surroundings, exchanges: tuple[Exchange, ...]) -> None:
        super().__init__(around, around.rabbit.tap.queue(self.kind))
        self._exchanges = exchanges

    def open(self, connection: pika.BlockingConnection) -> None:
        declare(connection, self.around.rabbit.tap, self.queue)
        bind(connection, self.queue, self._exchanges)
        super().open(connection)

    def seen_at(self, offset: int) -> dict[str, Any]:
        return {"rabbitmq.tap_offset": offset}


def fingerprint(offset: int, body: bytes) -> str:
    """Tells one message of a stream from another at the same offset of another stream."""
    return blake2b(body, digest_size=8, salt=offset.to_bytes(8)).hexdigest()
