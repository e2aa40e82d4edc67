"""Which partitions are read: all of the topics alone, or those that a group gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from clew.collectors.errors import CollectError, SourceUnavailable
from clew.collectors.kafka.client import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clew.collectors.kafka.cluster import Cluster, Partition, Topic
    from clew.collectors.kafka.position import Position
    from clew.collectors.kafka.settings import KafkaSettings
    from clew.collectors.kafka.starts import Place, Starts


class Listener(Protocol):
    """Who reads the partitions."""

    def added(self, places: Sequence[Place]) -> None:
        """These are read from now on."""
        ...

    def removed(self, partitions: Sequence[Partition]) -> None:
        """These are no longer."""
        ...

    @property
    def offsets(self) -> dict[Partition, Position]:
        """How far each is read."""
        ...

    def say(self, text: str) -> None:
        """Tell a person."""
        ...


class Assignment(ABC):
    """Tells a listener which partitions it reads, and the consumer from where on."""

    def __init__(
        self, kafka: KafkaSettings, cluster: Cluster, consumer: Consumer, starts: Starts, listener: Listener
    ) -> None:
        self._kafka = kafka
        self._cluster = cluster
        self._consumer = consumer
        self._starts = starts
        self._listener = listener
        self._topics: dict[str, Topic] = {}

    def begin(self, *, follow: bool) -> SourceUnavailable | None:
        """Begin to read; what could not be is to be told at the end.

        Raises:
            SourceUnavailable: nothing can be read.
            CollectError: the group is not clew's own.
        """
        self._topics = self._cluster.topics()
        gone = [name for name in self._kafka.names if name not in self._topics]
        missing = None
        if gone:
            what = "no such topic" if len(gone) == 1 else "no such topics"
            missing = SourceUnavailable(
                f"{what} in the cluster: {', '.join(gone)}",
                help="a name, or a pattern such as ^orders; the login must be allowed to describe it",
            )
            if not self._topics:
                raise missing
            if follow:
                self._listener.say(f"{missing}; it is read once it is there")
        self._begin()
        return missing

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def is_settled(self) -> bool:
        """Whether it is known which partitions are read."""

    @abstractmethod
    def look(self) -> None:
        """See what has become of the topics.

        Raises:
            SourceUnavailable: the cluster does not answer.
        """

    def again(self, key: Partition) -> None:
        """The offset at which a partition is read is not there any more: find out why, and go on."""
        topic = self._cluster.described([key[0]]).get(key[0])
        if topic is None:
            return
        self._topics[topic.name] = topic
        known = self._listener.offsets.get(key)
        if known is not None:
            self._starts.move(known)
            self._restart(self._starts.of(topic, [key[1]]))

    def _made_anew(self, now: dict[str, Topic]) -> None:
        """Begin anew in topics that have another ID."""
        for name, topic in now.items():
            known = self._topics.get(name)
            if known is None or known.id == topic.id:
                continue
            self._topics[name] = topic
            reading = [number for (of, number), _ in self._listener.offsets.items() if of == name]
            for key, position in self._listener.offsets.items():
                if key[0] == name:
                    self._starts.move(position)
            there = [number for number in reading if number < topic.partitions]
            self._listener.removed([(name, number) for number in reading if number not in there])
            self._restart(self._starts.of(topic, there))

    def _restart(self, places: Sequence[Place]) -> None:
        self._listener.added(places)
        for place in places:
            try:
                self._consumer.seek(_at(place))
            except KafkaException:
                # Where the offset was out of range, the client has stopped fetching.
                self._consumer.incremental_unassign([_at(place)])
                self._consumer.incremental_assign([_at(place)])

    @abstractmethod
    def commit(self, offset: TopicPartition) -> None:
        """Tell the group how far the store has a partition."""


class Alone(Assignment):
    """Reads every partition of the topics, in no group."""

    def _begin(self) -> None:
        for topic in self._topics.values():
            self._add(self._starts.of(topic, range(topic.partitions)))

    def is_settled(self) -> bool:
        """From the beginning."""
        return True

    def commit(self, offset: TopicPartition) -> None:
        """There is no group."""

    def look(self) -> None:
        """Topics that vanished, came or grew, or were made anew."""
        now = self._cluster.topics()
        for name in self._topics.keys() - now.keys():
            self._listener.say(f"{name} is no longer there")
            self._drop([key for key in self._listener.offsets if key[0] == name])
            del self._topics[name]
        self._made_anew(now)
        for name, topic in now.items():
            before = self._topics.get(name)
            self._topics[name] = topic
            reading = {number for of, number in self._listener.offsets if of == name}
            more = [number for number in range(topic.partitions) if number not in reading]
            if not more:
                continue
            if before is None:
                self._listener.say(f"{name} is there now: it is read from its beginning")
            else:
                self._listener.say(f"{name} has {topic.partitions} partitions now, {len(more)} more")
            self._add(self._starts.of(topic, more, late=True))

    def _add(self, places: Sequence[Place]) -> None:
        self._listener.added(places)
        if places:
            self._consumer.incremental_assign([_at(place) for place in places])

    def _drop(self, keys: Sequence[Partition]) -> None:
        for position in (self._listener.offsets[key] for key in keys):
            self._starts.move(position)
        self._listener.removed(keys)
        if keys:
            self._consumer.incremental_unassign([TopicPartition(*key) for key in keys])


class Shared(Assignment):
    """Reads what the group gives to this member, and commits to it."""

    _assigned = False

    def _begin(self) -> None:
        group = str(self._kafka.group)
        others = self._cluster.foreign_members(group, self._kafka.client.get("client.id", CLIENT_ID))
        if others:
            raise CollectError(
                f"the group {group} is used by {', '.join(others)}: clew would take its messages away",
                help="give --group a name of its own",
            )
        self._consumer.subscribe(
            list(self._kafka.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    def is_settled(self) -> bool:
        """Once the group has given something, be it nothing."""
        return self._assigned

    def look(self) -> None:
        """Topics that were made anew; of any other change the group tells."""
        now = self._cluster.topics()
        self._made_anew({name: topic for name, topic in now.items() if name in self._topics})
        self._topics |= now

    def commit(self, offset: TopicPartition) -> None:
        """Ask for it, and do not wait."""
        # Lag is shown a little late where this fails, or the client is closed; the store knows.
        with suppress(KafkaException, RuntimeError):
            self._consumer.commit(offsets=[offset], asynchronous=True)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        again = self._assigned
        self._assigned = True
        by_topic: dict[str, list[int]] = {}
        for one in partitions:
            by_topic.setdefault(one.topic, []).append(one.partition)
        known = self._cluster.described(list(by_topic))
        self._topics |= known
        places = [
            place
            for name, numbers in by_topic.items()
            if name in known
            for place in self._starts.of(known[name], sorted(numbers))
        ]
        self._listener.added(places)
        consumer.incremental_assign([_at(place) for place in places])
        if again and partitions:
            self._listener.say(f"the group gave {_listed(partitions)}")

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        keys = [(one.topic, one.partition) for one in partitions]
        for key in keys:
            position = self._listener.offsets.get(key)
            if position is not None:
                self._starts.move(position)
        self._listener.removed(keys)
        with suppress(KafkaException):
            consumer.incremental_unassign(partitions)
        self._listener.say(f"the group took {_listed(partitions)} away")


def _at(place: Place) -> TopicPartition:
    return TopicPartition(place.position.topic, place.position.partition, place.position.offset)


def _listed(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(sorted(f"{one.topic}/{one.partition}" for one in partitions))
