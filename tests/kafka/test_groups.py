"""Collectors of one group share the partitions, and commit what is stored."""

from __future__ import annotations

from collections import Counter

import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.kafka.reading import Following, following, read
from tests.kafka.topics import Topics
from tests.servers.kafka import Kafka

from clew.collectors.errors import CollectError
from clew.collectors.kafka.settings import KafkaSettings

GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def events(start: int, count: int) -> list[dict[str, str]]:
    return [{"event_id": f"e-{number}"} for number in range(start, start + count)]


def test_what_is_stored_is_committed_so_that_the_lag_shows(broker: Kafka, topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, events(0, 5))
    kafka = KafkaSettings(topics.bootstrap, (topic,), group=f"clew-{topic}")
    with following(kafka) as received:
        received.wait(lambda: len(received.events) == 5)
        consumer = Consumer({"bootstrap.servers": topics.bootstrap, "group.id": f"clew-{topic}"})
        asked = [TopicPartition(topic, 0)]
        received.wait(lambda: consumer.committed(asked, 20)[0].offset == 5)
        consumer.close()
    topics.write(topic, events(5, 2))
    told = broker.run(GROUPS, "--describe", "--group", f"clew-{topic}")
    (line,) = [line.split() for line in told.splitlines() if topic in line]
    assert line[:6] == [f"clew-{topic}", topic, "0", "5", "7", "2"]


def test_without_a_group_none_is_made(broker: Kafka, topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, events(0, 5))
    read(KafkaSettings(topics.bootstrap, (topic,)))
    assert "clew" not in broker.run(GROUPS, "--list").split()


def test_a_second_collector_takes_its_share_and_nothing_is_lost_or_doubled(
    topics: Topics, topic: str
) -> None:
    topics.make(topic, 4)
    kafka = KafkaSettings(topics.bootstrap, (topic,), group=f"clew-{topic}")
    with following(kafka) as first:
        for partition in range(4):
            topics.write(topic, events(10 * partition, 5), partition=partition)
        first.wait(lambda: len(first.events) == 20)
        second = Following()
        second.positions.update(first.positions)
        with following(kafka, second):
            first.wait(lambda: any("took" in text for text in first.said))
            for partition in range(4):
                topics.write(topic, events(10 * partition + 5, 5), partition=partition)
            first.wait(lambda: len(first.events + second.events) == 40)
        first.wait(lambda: any("gave" in text for text in first.said))
        topics.write(topic, events(40, 5))
        first.wait(lambda: len(first.events + second.events) == 45)
    assert second.events
    identities = Counter(row["identity"] for row in (*first.rows(), *second.rows()))
    assert len(identities) == 45


def test_a_group_of_others_is_left_alone(topics: Topics, topic: str) -> None:
    topics.make(topic)
    group = f"billing-{topic}"
    other = Consumer({"bootstrap.servers": topics.bootstrap, "group.id": group, "client.id": "billing-1"})
    other.subscribe([topic])
    try:
        while not other.assignment():
            other.poll(0.1)
        with pytest.raises(CollectError, match="is used by billing-1"):
            read(KafkaSettings(topics.bootstrap, (topic,), group=group))
        other.poll(0.5)
        assert other.assignment()
    finally:
        other.close()
