"""The demo's exchanges and queues in a real RabbitMQ."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker

from clew.cli.demo.live.broker import BrokerError, Headers, Plan, Received
from clew.collectors.errors import CollectError
from clew.collectors.rabbitmq.address import TROUBLE, Address
from clew.collectors.rabbitmq.settings import RabbitSettings, Tap
from clew.collectors.rabbitmq.topology import remove

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic, BasicProperties

    from clew.cli.demo.bus import Message
    from clew.tracer import Event
    from clew.tracer.event import Binding

_LOOK_S: Final = 0.1
_END_S: Final = 10.0
_JOIN_S: Final = 30.0
_EXPIRES_MS: Final = 3_600_000
"""A queue that nobody has used for so long goes by itself, and with its last one an exchange: so that a
demo that was killed leaves nothing for good."""


class RabbitBroker:
    """An exchange of each topic, a queue of each service and topic, and a queue for each sort of dead letters."""

    system: str = "rabbitmq"
    binding: Binding = "amqp"

    def __init__(self, url: str, prefix: str, *, keep: bool) -> None:
        self.prefix = prefix
        self._arguments: dict[str, Any] = {} if keep else {"x-expires": _EXPIRES_MS}
        self._durable = keep
        self._ready: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._exchanges: list[str] = []
        self._queues: list[str] = []
        self._consumers: _Consumers | None = None
        try:
            self._address = Address(RabbitSettings(url=url))
        except CollectError as error:
            raise BrokerError(str(error), help=error.help) from None
        self._tap = Tap(re.sub(r"[^A-Za-z0-9_-]", "-", prefix).strip("-"))
        with self._told("it cannot be reached"):
            self._connection = self._address.connect("plays the demo's services")
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()

    def prepare(self, plan: Plan) -> None:
        """Declare it all, and begin to consume."""
        with self._told("the demo's exchanges cannot be declared"):
            for topic in (*plan.topics, *plan.dead_letters):
                self._channel.exchange_declare(
                    topic, "topic", durable=self._durable, auto_delete=not self._durable
                )
                self._exchanges.append(topic)
            for topic in plan.dead_letters:
                self._declare(topic, topic)
            reading: dict[str, tuple[str, str]] = {}
            for group, topics in plan.groups.items():
                for topic in topics:
                    name = f"{self.prefix}{group}.{topic.removeprefix(self.prefix)}"
                    self._declare(name, topic)
                    reading[name] = group, topic
            self._consumers = _Consumers(self._address, reading, self._ready)

    def _declare(self, name: str, exchange: str) -> None:
        self._channel.queue_declare(name, durable=True, arguments=self._arguments)
        self._queues.append(name)
        self._channel.queue_bind(name, exchange, "#")

    def collecting(self, plan: Plan) -> list[str]:
        """By a tap of its own; the URL is told by the environment, because it may hold a password."""
        exchanges = [word for name in (*plan.topics, *plan.dead_letters) for word in ("--exchange", name)]
        return ["rabbitmq", *exchanges, "--tap-name", self._tap.name, "--lateness", "1s"]

    def await_collector(self) -> None:
        """Wait for its tap to be bound and read: what was published before is lost to it."""
        deadline = time.monotonic() + _JOIN_S
        while not self._is_tapped():
            if time.monotonic() > deadline:
                raise BrokerError(f"clew collect did not begin to read within {_JOIN_S:.0f} s")
            self._connection.sleep(_LOOK_S)

    def _is_tapped(self) -> bool:
        # Asking for what is not there ends a channel.
        with self._told("the tap cannot be asked for"), self._connection.channel() as channel:
            try:
                asked = channel.queue_declare(self._tap.queue("tap"), passive=True)
            except ChannelClosedByBroker:
                return False
            return bool(asked.method.consumer_count)

    def publish(
        self, topic: str, key: str, event: Event, headers: Headers, value: bytes, sent_ns: int
    ) -> None:
        """Send a message, and return when it is acknowledged."""
        del key
        properties = pika.BasicProperties(
            content_type=event.datacontenttype,
            message_id=event.id,
            type=event.type,
            timestamp=sent_ns // 1_000_000_000,
            delivery_mode=2,
            headers={name: raw.decode() for name, raw in headers if name != "content-type"},
        )
        with self._told("it takes no message"):
            self._channel.basic_publish(topic, event.type, value, properties)

    def received(self) -> Iterator[Received]:
        """What came since the last call."""
        with self._told("the connection is gone"):
            self._connection.process_data_events(time_limit=0)
        if self._consumers is not None and self._consumers.error is not None:
            raise self._unusable(self._consumers.error, "the connection is gone")
        while True:
            try:
                yield self._ready.get_nowait()
            except queue.Empty:
                return

    def notes(self, message: Message, group: str, error: Mapping[str, str]) -> dict[str, object]:
        """As Spring AMQP's RepublishMessageRecoverer writes them."""
        del group
        return {
            "x-original-exchange": message.topic,
            "x-original-routingKey": message.type,
            "x-exception-message": error["error.message"],
        }

    def flush(self) -> None:
        """Each was acknowledged when it was sent."""

    def close(self, *, keep: bool) -> None:
        """Stop consuming, and delete clew's tap, and the queues and exchanges unless they are to be kept."""
        if self._consumers is not None:
            self._consumers.stop.set()
            self._consumers.join(_END_S)
            self._consumers = None
        queues, self._queues = self._queues, []
        exchanges, self._exchanges = self._exchanges, []
        if self._connection.is_closed:
            return
        with self._told(f"{self.prefix}… could not be deleted"):
            remove(self._connection.channel(), self._tap)
            for name in () if keep else queues:
                self._channel.queue_delete(name)
            for name in () if keep else exchanges:
                self._channel.exchange_delete(name)
            self._connection.close()

    def _told(self, doing: str) -> Any:
        return _Telling(self, doing)

    def _unusable(self, error: BaseException, doing: str) -> BrokerError:
        found = self._address.unavailable(error, doing)
        return BrokerError(str(found), help=found.help or "--url says where a broker runs; clew starts none")


class _Telling:
    """Within the block what the client raises becomes BrokerError."""

    def __init__(self, broker: RabbitBroker, doing: str) -> None:
        self._broker = broker
        self._doing = doing

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, TROUBLE):
            raise self._broker._unusable(error, self._doing) from None  # noqa: SLF001  it is the broker's own


class _Consumers(threading.Thread):
    """All services' consumers, on one connection: acknowledged once they are handed over."""

    def __init__(
        self, address: Address, reading: Mapping[str, tuple[str, str]], ready: queue.SimpleQueue[Received]
    ) -> None:
        super().__init__(name="clew-demo-consumers", daemon=True)
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._ready = ready
        self._connection = address.connect("plays the demo's consumers")
        channel = self._connection.channel()
        for name, (group, topic) in reading.items():
            channel.basic_consume(name, self._handler(group, topic))
        self.start()

    def _handler(self, group: str, topic: str) -> Any:
        def take(
            channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
        ) -> None:
            headers = [
                (name, value.encode())
                for name, value in (properties.headers or {}).items()
                if isinstance(value, str)
            ]
            if properties.content_type:
                headers.append(("content-type", properties.content_type.encode()))
            self._ready.put(Received(group, topic, None, None, headers, body))
            channel.basic_ack(method.delivery_tag)

        return take

    def run(self) -> None:
        """Until it is to stop, or the broker is gone."""
        try:
            while not self.stop.is_set():
                self._connection.process_data_events(time_limit=_LOOK_S)
            self._connection.close()
        except (AMQPError, OSError) as error:
            self.error = error
