"""Partitions that grow, vanish, are made anew, lose their beginning, and hold transactions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer
from tests.conformance.collectors import Received
from tests.kafka.reading import FAST, Following, following, read
from tests.kafka.topics import Topics
from tests.servers.kafka import PASSWORD, USER, Kafka

from clew.collectors.errors import SourceUnavailable
from clew.collectors.kafka.collector import KafkaCollector
from clew.collectors.kafka.settings import KafkaSettings, Start


def events(*names: str) -> list[dict[str, str]]:
    return [{"event_id": name} for name in names]


def test_topics_are_found_by_pattern_and_kafka_s_own_never(topics: Topics, topic: str) -> None:
    for name in (f"{topic}-a", f"{topic}-b", f"other-{topic}"):
        topics.make(name)
        topics.write(name, events(name))
    received = read(KafkaSettings(topics.bootstrap, (f"^{topic}-",)))
    assert received.events == Counter({f"{topic}-a": 1, f"{topic}-b": 1})
    everything = KafkaSettings(topics.bootstrap, ("^.",))
    assert everything.wants(topic)
    assert not everything.wants("__consumer_offsets")


def test_a_topic_that_is_not_there_is_told_after_the_others_were_read(topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, events("e"))
    collector = KafkaCollector(KafkaSettings(topics.bootstrap, (topic, "missing")), follow=False)
    received = Received()
    with pytest.raises(SourceUnavailable, match="no such topic in the cluster: missing"):
        received.read(collector)
    assert received.events == Counter({"e": 1})


def test_logging_in_is_librdkafka_s_and_a_wrong_password_is_said(
    broker: Kafka, topics: Topics, topic: str
) -> None:
    topics.make(topic)
    topics.write(topic, events("e"))
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": USER}
    right = KafkaSettings(broker.with_password, (topic,), client=login | {"sasl.password": PASSWORD})
    assert list(read(right).events) == ["e"]
    wrong = KafkaSettings(broker.with_password, (topic,), client=login | {"sasl.password": "guess"})
    with pytest.raises(SourceUnavailable, match="Authentication failed"):
        read(wrong)


def test_tls_is_spoken_with_a_broker_whose_certificate_is_known_and_with_no_other(
    broker: Kafka, topics: Topics, topic: str
) -> None:
    topics.make(topic)
    topics.write(topic, events("e"))
    tls = {"security.protocol": "SSL"}
    known = KafkaSettings(broker.with_tls, (topic,), client=tls | {"ssl.ca.location": str(broker.ca)})
    assert list(read(known).events) == ["e"]
    with pytest.raises(SourceUnavailable, match=r"certificate verify failed|SSL handshake failed"):
        read(KafkaSettings(broker.with_tls, (topic,), client=tls))


def test_reading_begins_at_the_end_or_at_a_time_where_that_is_wanted(topics: Topics, topic: str) -> None:
    topics.make(topic)
    day_ms = 86_400_000
    for day, name in enumerate(("first", "second", "third")):
        topics.write(topic, events(name), time_ms=1_772_366_400_000 + day * day_ms)
    since = KafkaSettings(topics.bootstrap, (topic,), start=datetime(2026, 3, 2, 12, tzinfo=UTC))
    assert list(read(since).events) == ["second", "third"]
    at_end = KafkaSettings(topics.bootstrap, (topic,), start=Start.END)
    with following(at_end) as received:
        received.wait(lambda: received.positions)
        topics.write(topic, events("later"))
        received.wait(lambda: received.events)
        assert list(received.events) == ["later"]
    topics.write(topic, events("while away"))
    assert list(read(at_end, received).events) == ["later", "while away"]


def test_new_partitions_and_topics_are_read_from_their_beginning_and_said(topics: Topics, topic: str) -> None:
    topics.make(topic)
    kafka = KafkaSettings(topics.bootstrap, (f"^{topic}",), start=Start.END)
    with following(kafka) as received:
        received.wait(lambda: received.positions)
        topics.grow(topic, 3)
        topics.write(topic, events("grown"), partition=2)
        topics.make(f"{topic}-more")
        topics.write(f"{topic}-more", events("new"))
        received.wait(lambda: len(received.events) == 2)
        assert received.events == Counter({"grown": 1, "new": 1})
        assert f"{topic} has 3 partitions now, 2 more" in received.said
        assert f"{topic}-more is there now: it is read from its beginning" in received.said


def test_a_topic_made_anew_is_another_topic_even_with_as_many_messages(topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, events("old-1", "old-2"))
    kafka = KafkaSettings(topics.bootstrap, (topic,))
    received = Following()
    with following(kafka, received):
        received.wait(lambda: len(received.events) == 2)
        topics.delete(topic)
        received.wait(lambda: f"{topic} is no longer there" in received.said)
        topics.make(topic)
        topics.write(topic, events("new-1", "new-2", "new-3"))
        received.wait(lambda: len(received.events) == 5)
        assert any("made anew" in text for text in received.said)
    identities = Counter(row["identity"] for row in received.rows())
    assert set(identities.values()) == {1}
    topics.delete(topic)
    topics.make(topic)
    topics.write(topic, events("newer"))
    read(kafka, received)
    assert received.events == Counter(
        dict.fromkeys(("old-1", "old-2", "new-1", "new-2", "new-3", "newer"), 1)
    )
    assert [batch.first for batch in received.batches].count(True) == 2


@pytest.mark.parametrize("group", [None, "clew-anew"])
def test_a_topic_made_anew_is_noticed_by_an_offset_that_it_does_not_have(
    topics: Topics, topic: str, group: str | None
) -> None:
    topics.make(topic)
    topics.write(topic, events("old-1", "old-2"))
    never = replace(FAST, watch=1_000_000)
    with following(KafkaSettings(topics.bootstrap, (topic,), group=group), pace=never) as received:
        received.wait(lambda: len(received.events) == 2)
        topics.delete(topic)
        topics.make(topic)
        topics.write(topic, events("new"))
        received.wait(lambda: len(received.events) == 3)
    assert received.events == Counter({"old-1": 1, "old-2": 1, "new": 1})


def test_what_was_deleted_before_it_was_read_is_said_and_rejected(topics: Topics, topic: str) -> None:
    topics.make(topic)
    topics.write(topic, events("e-0", "e-1"))
    kafka = KafkaSettings(topics.bootstrap, (topic,))
    received = read(kafka)
    topics.write(topic, events(*(f"e-{number}" for number in range(2, 10))))
    topics.delete_before(topic, 0, 8)
    read(kafka, received)
    assert sorted(received.events) == ["e-0", "e-1", "e-8", "e-9"]
    (reject,) = [reject for batch in received.batches for reject in batch.rejects]
    assert (reject.position, reject.reason) == (2, "6 offsets from 2 on were deleted before they were read")


def test_only_what_transactions_committed_is_read_and_their_marks_are_no_messages(
    topics: Topics, topic: str
) -> None:
    topics.make(topic)
    producer = Producer({"bootstrap.servers": topics.bootstrap, "transactional.id": topic})
    producer.init_transactions(20)
    for number in range(3):
        producer.begin_transaction()
        producer.produce(topic, f'{{"event_id": "e-{number}"}}')
        producer.flush(20)
        if number == 1:
            producer.abort_transaction(20)
        else:
            producer.commit_transaction(20)
    kafka = KafkaSettings(topics.bootstrap, (topic,))
    received = read(kafka)
    assert sorted(received.events) == ["e-0", "e-2"]
    assert topics.end(topic) == 6
    batches = len(received.batches)
    assert len(read(kafka, received).batches) == batches


def test_the_watermark_is_exact_at_the_end_and_goes_on_while_idle_but_not_under_an_open_transaction(
    topics: Topics, topic: str
) -> None:
    topics.make(topic)
    topics.write(topic, events("e"))

    def marks() -> list[int]:
        return [one.watermark.time_us for one in received.batches if one.watermark and one.watermark.exact]

    with following(KafkaSettings(topics.bootstrap, (topic,))) as received:
        received.wait(lambda: len(marks()) > 2)
        assert marks() == sorted(set(marks()))
        producer = Producer({"bootstrap.servers": topics.bootstrap, "transactional.id": topic})
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.produce(topic, '{"event_id": "open"}')
        producer.flush(20)
        written = int(datetime.now(UTC).timestamp() * 1_000_000)
        topics.write(topic, events("behind it"))
        assert not any(at > written for at in marks())
        producer.commit_transaction(20)
        received.wait(lambda: any(at > written for at in marks()))
        assert len(received.events) == 3
