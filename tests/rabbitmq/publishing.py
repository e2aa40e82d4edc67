"""An application's side of a broker: declares, publishes with confirms, looks and takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self

import pika
from pika import BasicProperties

STREAM = {"x-queue-type": "stream"}
QUORUM = {"x-queue-type": "quorum"}


class Publisher:
    """One connection with confirms: what was published is in the broker when the call returns."""

    def __init__(self, url: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.connection.is_open:
            self.connection.close()

    def exchange(self, name: str, kind: str = "topic") -> str:
        """Declare an exchange."""
        self.channel.exchange_declare(name, kind, durable=True)
        return name

    def queue(self, name: str, **arguments: Any) -> str:
        """Declare a durable queue, by arguments with _ for - and without x-."""
        given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
        self.channel.queue_declare(name, durable=True, arguments=given)
        return name

    def publish(self, exchange: str, key: str, body: bytes | str | dict[str, Any], **properties: Any) -> None:
        """One persistent message; a dict is a JSON body."""
        if isinstance(body, dict):
            properties.setdefault("content_type", "application/json")
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        self.channel.basic_publish(exchange, key, data, BasicProperties(delivery_mode=2, **properties))

    def publish_all(self, exchange: str, key: str, numbers: Iterable[int], *, ids: bool = True) -> None:
        """Events ``event-N`` of flows ``flow-N//5``."""
        for some in batched(numbers, 500):
            channel = self.connection.channel()
            for number in some:
                body = {"event_type": "Tick", "correlation_id": f"flow-{number // 5:06}", "number": number}
                given = {"message_id": f"event-{number:06}"} if ids else {}
                _send(channel, exchange, key, json.dumps(body).encode(), given)
            # Closing is answered when everything before it was taken in.
            channel.close()

    def publish_many(self, exchange: str, key: str, bodies: Iterable[bytes], **properties: Any) -> None:
        """Persistent messages, JSON by their content type."""
        channel = self.connection.channel()
        for body in bodies:
            _send(channel, exchange, key, body, properties)
        channel.close()

    def ready(self, queue: str) -> int:
        """Messages that wait in a queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def stream(self, queue: str) -> list[str]:
        """The message IDs in a stream, in its order."""
        found: list[str] = []
        channel = self.connection.channel()
        channel.basic_qos(prefetch_count=10_000)
        # What a stream gives cannot be given back, as pika would do with the rest.
        channel._impl.basic_reject = lambda *_told, **_named: None  # noqa: SLF001

        def note(channel: Any, method: Any, properties: BasicProperties, _body: bytes) -> None:
            found.append(str(properties.message_id))
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(queue, note, arguments={"x-stream-offset": "first"})
        before = -1
        while len(found) > before:
            before = len(found)
            self.connection.process_data_events(0.5)
            self.connection.process_data_events(0.5)
        channel.close()
        return found

    def take_all(self, queue: str) -> list[bytes]:
        """Everything in a queue, in its order, taken for good."""
        found: list[bytes] = []
        while True:
            method, _, body = self.channel.basic_get(queue, auto_ack=True)
            if method is None or body is None:
                return found
            found.append(body)


def _send(channel: Any, exchange: str, key: str, body: bytes, properties: dict[str, Any]) -> None:
    made = BasicProperties(delivery_mode=2, content_type="application/json", **properties)
    channel.basic_publish(exchange, key, body, made)


def batched(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    """So many at a time."""
    rest = iter(numbers)
    while some := list(islice(rest, size)):
        yield some
