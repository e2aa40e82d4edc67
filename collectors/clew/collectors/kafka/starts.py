"""Where to begin in a partition: where the store stands, if that is still there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from clew.collectors.kafka.position import Ledger, Position
from clew.collectors.kafka.settings import Start
from clew.collectors.record import Reject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clew.collectors.kafka.cluster import Cluster, Partition, Topic
    from clew.collectors.kafka.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Place:
    """A partition, and where to begin in it."""

    position: Position
    first: bool = False
    """It is read from its beginning, as another topic than the one read before."""
    rejects: list[Reject] = field(default_factory=list)
    """What was lost before it was read."""

    @property
    def key(self) -> Partition:
        """Topic and number."""
        return self.position.topic, self.position.partition


class Starts:
    """Knows how far each partition was read, and what has become of it since.

    - A topic with another ID was deleted and made anew: from its beginning.
    - A partition that begins behind the position lost what lies between (retention).
    - One that ends before it was cut off (an unclean election): from its end. Offsets come
      again then, for other messages, so that ``cut`` becomes a part of their identity.
    - One of which nothing was read: where the settings say; but in one that came while the
      others were read nothing is left out.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        cluster: Cluster,
        ledger: Ledger,
        scope: str,
        tell: Callable[[str], None],
    ) -> None:
        self._kafka = kafka
        self._cluster = cluster
        self._ledger = ledger
        self._scope = scope
        self._tell = tell

    def move(self, position: Position) -> None:
        """Remember how far a partition was read."""
        self._ledger.move(position)

    def of(self, topic: Topic, partitions: Sequence[int], *, late: bool = False) -> list[Place]:
        """Where to begin. ``late`` says that the partitions came while others were read.

        Raises:
            SourceUnavailable: the cluster does not answer.
        """
        keys = [(topic.name, number) for number in partitions]
        beginnings = self._cluster.beginnings(keys)
        ends = self._cluster.ends(keys, read_committed=False)
        fresh = [key for key in keys if self._ledger.get(*key) is None]
        starts = beginnings if late else self._fresh(fresh, beginnings)
        places = []
        for key in keys:
            known = self._ledger.get(*key)
            if known is None:
                place = Place(self._position(topic, key[1], starts[key]))
            elif known.topic_id != topic.id:
                place = Place(self._position(topic, key[1], beginnings[key]), first=True)
            else:
                place = self._checked(known, beginnings[key], ends[key])
            places.append(place)
        if any(place.first for place in places):
            self._tell(f"{topic.name} was deleted and made anew: it is read from its beginning")
        for place in places:
            for one in place.rejects:
                self._tell(f"{place.key[0]}/{place.key[1]}: {one.reason}")
            self.move(place.position)
        return places

    def _checked(self, known: Position, beginning: int, end: int) -> Place:
        if known.offset < beginning:
            lost = f"{beginning - known.offset:,} offsets from {known.offset} on were deleted before they were read"
            return Place(replace(known, offset=beginning), rejects=[Reject(known.offset, lost, b"")])
        if known.offset > end:
            cut = (
                f"was read up to {known.offset}, but ends at {end}: the broker lost messages that it had"
                " acknowledged; what comes at these offsets now is other messages"
            )
            return Place(replace(known, offset=end, cut=known.cut + 1), rejects=[Reject(end, cut, b"")])
        return Place(known)

    def _position(self, topic: Topic, partition: int, offset: int) -> Position:
        return Position(self._cluster.id, topic.name, topic.id, partition, offset, self._scope)

    def _fresh(self, keys: list[Partition], beginnings: dict[Partition, int]) -> dict[Partition, int]:
        start = self._kafka.start
        if isinstance(start, datetime):
            return self._cluster.at(keys, round(start.timestamp() * 1000))
        return self._cluster.ends(keys) if start is Start.END else beginnings
