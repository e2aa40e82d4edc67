"""Messages as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clew.collectors.kafka.headers import Headers


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of one partition, in the order of their offsets: one item of each list for each."""

    topic: str
    partition: int
    offsets: list[int]
    times: list[int]
    """Milliseconds since 1970; -1 where there is none."""
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers | None]

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, rows: Sequence[int]) -> Messages:
        """Only those."""
        return Messages(
            self.topic,
            self.partition,
            [self.offsets[row] for row in rows],
            [self.times[row] for row in rows],
            [self.keys[row] for row in rows],
            [self.values[row] for row in rows],
            [self.headers[row] for row in rows],
        )


def by_partition(messages: Iterable[Message]) -> dict[tuple[str, int], list[Message]]:
    """Messages of each partition, in their order."""
    found: dict[tuple[str, int], list[Message]] = {}
    for message in messages:
        key = (message.topic() or "", message.partition() or 0)
        found.setdefault(key, []).append(message)
    return found


def columns(topic: str, partition: int, messages: list[Message]) -> Messages:
    """Messages of one partition as columns."""
    # The client's own types allow for what it never gives to a consumer.
    get: Any = Message
    return Messages(
        topic,
        partition,
        list(map(get.offset, messages)),
        [at for _, at in map(get.timestamp, messages)],
        list(map(get.key, messages)),
        list(map(get.value, messages)),
        list(map(get.headers, messages)),
    )
