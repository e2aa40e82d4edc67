"""Where reading stands in one queue or stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from clew.collectors.positions import as_text, from_text


@dataclass(frozen=True, slots=True)
class Position:
    """How far one was read.

    A queue gives every message until it is acknowledged, so that the position of a tap only
    counts. In a stream an offset names a message for good, but a stream that was deleted and
    made anew is another one under the same name: the fingerprint of the last message read
    tells them apart.
    """

    queue: str
    scope: str = ""
    count: int = 0
    """Messages read of a tap; looks at a queue of dead letters; in a stream the next offset."""
    lost: int = 0
    """Messages that were dropped before they were read, as far as the broker tells."""
    last: str = ""
    """Fingerprint of the message before ``count`` in a stream."""
    again: int = 0
    """How often the stream was found to be another one."""
    waiting: int = -1
    """Dead letters that lay in the queue at the last look."""
    deliveries: int = 0
    """The most times that one of them had been delivered after that look (quorum queues count)."""

    def text(self) -> str:
        """As it is stored."""
        return as_text("rabbitmq", self)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From what :meth:`text` gave; None for what is no position in RabbitMQ."""
        return from_text("rabbitmq", cls, text)


def source_name(cluster: str, vhost: str, queue: str) -> str:
    """What a queue or stream is called as a source."""
    return "/".join(["rabbitmq:/", quote(cluster, safe="@"), quote(vhost, safe=""), quote(queue, safe="")])
