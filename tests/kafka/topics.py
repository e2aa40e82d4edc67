"""Topics as a service writes to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec

_ANSWER_S = 20.0

Header = tuple[str, bytes | None]


class Topics:
    """Makes topics, and produces to them; what is written is there when a call returns."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "linger.ms": 5, "enable.idempotence": True, "log_level": 0}
        )

    def make(self, topic: str, partitions: int = 1, config: dict[str, str] | None = None) -> None:
        """A new topic."""
        wanted = NewTopic(topic, partitions, 1, config=config or {})
        self._wait(self.admin.create_topics([wanted]))

    def delete(self, topic: str) -> None:
        """Remove it, and wait until it is gone."""
        self._wait(self.admin.delete_topics([topic], operation_timeout=_ANSWER_S))

    def grow(self, topic: str, partitions: int) -> None:
        """Give it more partitions."""
        self._wait(self.admin.create_partitions([NewPartitions(topic, partitions)]))

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete a partition's messages before an offset, as retention does."""
        self._wait(self.admin.delete_records([TopicPartition(topic, partition, offset)]))

    def end(self, topic: str, partition: int = 0) -> int:
        """The broker's own word on where a partition ends."""
        asked = self.admin.list_offsets({TopicPartition(topic, partition): OffsetSpec.latest()})
        return int(next(iter(asked.values())).result().offset)

    def write(
        self,
        topic: str,
        values: Iterable[bytes | str | Mapping[str, Any] | None],
        *,
        key: str | bytes | None = None,
        headers: Sequence[Header] | None = None,
        partition: int = 0,
        time_ms: int = 0,
    ) -> None:
        """Produce, and wait until all of it is acknowledged."""
        failed: list[KafkaError] = []
        for value in values:
            raw = json.dumps(value) if isinstance(value, Mapping) else value
            self._producer.produce(
                topic,
                raw,
                key=key,
                headers=list(headers or []),
                partition=partition,
                timestamp=time_ms,
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
        self._producer.flush(_ANSWER_S)
        assert not failed, failed

    def close(self) -> None:
        """Nothing is left unsent."""
        assert self._producer.flush(_ANSWER_S) == 0

    @staticmethod
    def _wait(futures: Mapping[Any, Any]) -> None:
        for future in futures.values():
            future.result(_ANSWER_S)
