"""The demo's topics in a real Kafka."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from clew.cli.demo.bus import kafka_notes
from clew.cli.demo.live.broker import BrokerError, Headers, Plan, Received

if TYPE_CHECKING:
    from clew.cli.demo.bus import Message as BusMessage
    from clew.tracer import Event
    from clew.tracer.event import Binding

PARTITIONS: Final = 3
_FIRST_ANSWER_S: Final = 5.0
_ANSWER_S: Final = 10.0
_JOIN_S: Final = 60.0
_LOOK_S: Final = 0.1
_MOST: Final = 200


class KafkaBroker:
    """Topics under a prefix, a consumer group of each service, and one producer for all."""

    system: str = "kafka"
    binding: Binding = "kafka"

    def __init__(self, bootstrap: str, prefix: str, properties: Mapping[str, str]) -> None:
        self.prefix = prefix
        self._bootstrap = bootstrap
        self._common: dict[str, Any] = {
            **properties,
            "bootstrap.servers": bootstrap,
            "client.id": "clew-demo",
            "log_level": 0,
        }
        self._failed: list[KafkaError] = []
        self._ready: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._groups: list[_Group] = []
        self._made: list[str] = []
        try:
            self._admin = AdminClient(self._common)
            self._producer = Producer(self._common | {"enable.idempotence": True, "linger.ms": 5})
        except KafkaException as error:
            raise BrokerError(_text(error), help="-X takes properties as librdkafka names them") from None
        try:
            self._admin.list_topics(timeout=_FIRST_ANSWER_S)
        except KafkaException as error:
            raise self._unusable(_text(error)) from None

    def prepare(self, plan: Plan) -> None:
        """Make the topics, and wait until every group has its partitions."""
        topics = [*plan.topics, *plan.dead_letters]
        try:
            wanted = [NewTopic(topic, 1 if topic in plan.dead_letters else PARTITIONS) for topic in topics]
            for topic, future in self._admin.create_topics(wanted).items():
                future.result(_ANSWER_S)
                self._made.append(topic)
            for group, read in plan.groups.items():
                self._groups.append(_Group(self._common, self.prefix, group, read, self._ready, self._stop))
        except KafkaException as error:
            raise self._unusable(_text(error)) from None
        deadline = time.monotonic() + _JOIN_S
        for one in self._groups:
            if not one.assigned.wait(max(0.0, deadline - time.monotonic())):
                raise self._unusable(f"the group {one.group} got no partitions within {_JOIN_S:.0f} s")

    def collecting(self, plan: Plan) -> list[str]:
        """By a pattern."""
        del plan
        return ["kafka", "--bootstrap", self._bootstrap, "--topic", f"^{re.escape(self.prefix)}"]

    def await_collector(self) -> None:
        """It reads from the beginning, whenever it comes."""

    def publish(
        self, topic: str, key: str, event: Event, headers: Headers, value: bytes, sent_ns: int
    ) -> None:
        """Send a message; it may be acknowledged later."""
        del event
        self._producer.produce(
            topic,
            value,
            key=key,
            headers=list(headers),
            timestamp=sent_ns // 1_000_000,
            on_delivery=lambda error, _: self._failed.append(error) if error else None,
        )

    def received(self) -> Iterator[Received]:
        """What came since the last call."""
        self._producer.poll(0)
        if self._failed:
            raise self._unusable(self._failed[0].str())
        while True:
            try:
                yield self._ready.get_nowait()
            except queue.Empty:
                return

    def notes(self, message: BusMessage, group: str, error: Mapping[str, str]) -> dict[str, object]:
        """As Spring Kafka writes them."""
        return kafka_notes(message, group, error)

    def flush(self) -> None:
        """Return when everything sent is acknowledged."""
        if self._producer.flush(_ANSWER_S) or self._failed:
            raise self._unusable(self._failed[0].str() if self._failed else "it acknowledges no more")

    def close(self, *, keep: bool) -> None:
        """Leave the groups, and delete them and the topics unless they are to be kept."""
        self._stop.set()
        for one in self._groups:
            one.join(_ANSWER_S)
        groups, self._groups = [one.group for one in self._groups], []
        topics, self._made = self._made, []
        if keep or not topics:
            return
        try:
            asked = [*self._admin.delete_topics(topics).values()]
            asked += self._admin.delete_consumer_groups(groups).values() if groups else []
            for future in asked:
                future.result(_ANSWER_S)
        except KafkaException as error:
            raise BrokerError(
                f"the topics {self.prefix}… could not be deleted: {_text(error)}", help="delete them by hand"
            ) from None

    def _unusable(self, reason: str) -> BrokerError:
        return BrokerError(
            f"Kafka at {self._bootstrap} cannot be used: {reason}",
            help="--bootstrap says where one runs, -X how to log in; clew starts none",
        )


class _Group(threading.Thread):
    """One service's consumer."""

    def __init__(
        self,
        common: Mapping[str, Any],
        prefix: str,
        service: str,
        topics: Sequence[str],
        ready: queue.SimpleQueue[Received],
        stop: threading.Event,
    ) -> None:
        super().__init__(name=f"clew-demo-{service}", daemon=True)
        self.name_of_service = service
        self.assigned = threading.Event()
        self._consumer = Consumer(
            {
                **common,
                "group.id": prefix + service,
                "client.id": service,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": True,
            }
        )
        self.group = prefix + service
        self._ready = ready
        self._stopping = stop
        self._consumer.subscribe(list(topics), on_assign=lambda _consumer, _parts: self.assigned.set())
        self.start()

    def run(self) -> None:
        """Until it is to stop."""
        while not self._stopping.is_set():
            for message in self._consumer.consume(_MOST, _LOOK_S):
                topic = message.topic()
                if message.error() is None and topic is not None:
                    self._ready.put(
                        Received(
                            self.name_of_service,
                            topic,
                            message.partition(),
                            message.offset(),
                            _headers(message),
                            message.value() or b"",
                        )
                    )
        self._consumer.close()


def _headers(message: Message) -> Headers:
    # Untyped, and sometimes typed as a mapping: it is a list of pairs.
    found: Any = message.headers() or ()
    return [(name, value or b"") for name, value in found]


def _text(error: KafkaException) -> str:
    told = error.args[0] if error.args else error
    return told.str() if isinstance(told, KafkaError) else str(told)
