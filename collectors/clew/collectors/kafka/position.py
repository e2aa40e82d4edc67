"""Where reading stands in one partition of one topic.

A topic that was deleted and made anew is another topic under the same name, and a name may
stand in several clusters: so a position holds the IDs of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from clew.collectors.positions import as_text, from_text

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition was read."""

    cluster: str
    """The cluster's ID."""
    topic: str
    topic_id: str
    partition: int
    offset: int
    """Of the next message to read."""
    scope: str = ""
    cut: int = 0
    """How often the partition was found to end before what had been read of it."""

    def text(self) -> str:
        """As it is stored."""
        return as_text("kafka", self)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From what :meth:`text` gave; None for what is no position in Kafka."""
        return from_text("kafka", cls, text)

    @property
    def source(self) -> str:
        """The name of this partition as a source."""
        return source_name(self.cluster, self.topic, self.partition)

    @property
    def identity(self) -> str:
        """What every message of this partition is called, followed by ``@`` and its offset."""
        again = f"~{self.cut}" if self.cut else ""
        return f"{self.cluster}/{self.topic_id}/{self.partition}{again}"


def source_name(cluster: str, topic: str, partition: int) -> str:
    """What a partition is called as a source."""
    return f"kafka://{cluster}/{topic}/{partition}"


class Ledger:
    """How far each partition of one cluster was read, in one scope."""

    def __init__(self, positions: Mapping[str, str], cluster: str, scope: str) -> None:
        self._known: dict[tuple[str, int], Position] = {}
        for text in positions.values():
            position = Position.parse(text)
            if position is not None and (position.cluster, position.scope) == (cluster, scope):
                self.move(position)

    def move(self, position: Position) -> None:
        """Remember how far a partition was read."""
        self._known[position.topic, position.partition] = position

    def get(self, topic: str, partition: int) -> Position | None:
        """How far it was read, None where it was never seen."""
        return self._known.get((topic, partition))
