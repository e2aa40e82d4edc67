"""Streams are read by offset: exactly once, whatever became of the stream meanwhile."""

from __future__ import annotations

from pathlib import Path

from tests.rabbitmq.collecting import collect, events, rejects, rows
from tests.rabbitmq.publishing import Publisher
from tests.servers.rabbitmq import RabbitMQ

from clew.collectors.rabbitmq.reader import Limits
from clew.collectors.rabbitmq.settings import RabbitSettings


def test_a_stream_is_read_once_and_keeps_what_it_has(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    store = tmp_path / "s.duckdb"
    rabbit = RabbitSettings(url=broker.url, streams=(name,))
    publisher.queue(name, queue_type="stream")
    assert collect(store, rabbit).problems == ()
    # Without IDs: the offset is the identity.
    publisher.publish_all("", name, range(40), ids=False)
    assert collect(store, rabbit, limits=Limits(batch_bytes=300)).new == 40
    publisher.publish_all("", name, range(40), ids=False)
    assert collect(store, rabbit).new == 40
    assert collect(store, rabbit).records == 0
    assert len(publisher.stream(name)) == 80
    found = rows(
        store,
        'SELECT destination, min("offset"), max("offset") FROM records JOIN series USING (series) GROUP BY 1',
    )
    assert found == [(name, 0, 79)]


def test_a_stream_made_anew_is_another_one_although_its_offsets_are_the_same(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    store, told = tmp_path / "s.duckdb", list[str]()
    rabbit = RabbitSettings(url=broker.url, streams=(name,))
    publisher.queue(name, queue_type="stream")
    publisher.publish_all("", name, range(10))
    assert collect(store, rabbit).new == 10
    for count in (20, 5):
        publisher.channel.queue_delete(name)
        publisher.queue(name, queue_type="stream")
        publisher.publish_all("", name, range(100 * count, 101 * count))
        assert collect(store, rabbit, tell=told.append).new == count
        assert collect(store, rabbit).records == 0
    assert [one.split(":")[0] for one in told] == 2 * [
        f"{name} is another stream than the one that was read before"
    ]
    assert len(events(store)) == 35


def test_what_retention_took_from_a_stream_is_told(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    store = tmp_path / "s.duckdb"
    rabbit = RabbitSettings(url=broker.url, streams=(name,))
    publisher.queue(name, queue_type="stream", max_length_bytes=100_000, stream_max_segment_size_bytes=20_000)
    publisher.publish_all("", name, range(10))
    collect(store, rabbit)
    publisher.publish_all("", name, range(10, 3_000))
    report = collect(store, rabbit)
    assert report.rejects == 1
    assert "messages were dropped from the stream before they could be read" in rejects(store)[0]
    held = events(store)
    assert set(publisher.stream(name)) <= set(held)
    assert set(held.values()) == {1}
    assert len(held) < 3_000


def test_a_stream_that_is_not_there_hinders_no_other(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    publisher.queue(name, queue_type="stream")
    publisher.publish_all("", name, range(5))
    rabbit = RabbitSettings(url=broker.url, streams=(f"{name}.no", name))
    report = collect(tmp_path / "s.duckdb", rabbit)
    assert report.new == 5
    assert f"no queue '{name}.no'" in report.problems[0]
