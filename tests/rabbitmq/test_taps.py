"""A tap beside the application's queue: everything once, nothing taken from anybody."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.rabbitmq.collecting import PACE, collect, events, rejects, rows
from tests.rabbitmq.publishing import Publisher
from tests.servers.rabbitmq import RabbitMQ

from clew.collectors.errors import CollectError
from clew.collectors.rabbitmq.collector import RabbitCollector
from clew.collectors.rabbitmq.reader import Limits
from clew.collectors.rabbitmq.settings import Exchange, RabbitSettings, Tap, TapKind
from clew.collectors.record import Outcome
from clew.reconstruct import open_store
from clew.reconstruct.model import FlowFilter


def of(broker: RabbitMQ, exchange: str, **tap: object) -> RabbitSettings:
    return RabbitSettings(
        url=broker.url,
        exchanges=(Exchange(exchange),),
        tap=Tap(name=exchange, **tap),  # type: ignore[arg-type]
    )


def test_messages_become_flows_and_stay_in_the_queues_of_others(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    store = tmp_path / "s.duckdb"
    publisher.exchange(name)
    publisher.queue(f"{name}.app")
    publisher.channel.queue_bind(f"{name}.app", name, "#")
    collect(store, of(broker, name))
    publisher.publish_all(name, "tick.tock", range(100))
    report = collect(store, of(broker, name))
    assert (report.new, report.duplicates, report.rejects, report.problems) == (100, 0, 0, ())
    assert events(store) == Counter(f"event-{number:06}" for number in range(100))
    assert publisher.ready(f"{name}.app") == 100
    with open_store(str(store)) as opened:
        assert {flow.flow_id for flow in opened.flows(FlowFilter())} == {f"flow-{n:06}" for n in range(20)}
    assert collect(store, of(broker, name)).records == 0


def test_poison_is_rejected_with_its_reason_and_the_rest_goes_on(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    store = tmp_path / "s.duckdb"
    publisher.exchange(name)
    collect(store, of(broker, name))
    publisher.publish_all(name, "k", range(5))
    publisher.publish(name, "k", b'{"order_id": ', content_type="application/json")
    publisher.publish(name, "k", b'{"order_id": "\xff"}', content_type="application/json")
    publisher.publish(name, "k", b"no gzip", content_encoding="gzip")
    publisher.publish(name, "k", b"nothing", content_type="application/json")
    publisher.publish(name, "k", {"a": 1}, headers={"when": datetime(9999, 12, 31, tzinfo=UTC)})
    publisher.publish_all(name, "k", range(5, 10))
    report = collect(store, of(broker, name))
    assert (report.new, report.rejects) == (11, 4)
    told = rejects(store)
    assert [reason.split(",")[0].split(" although")[0] for reason in told] == [
        "not valid JSON",
        "not valid JSON",
        "the body is not UTF-8",
        "the body is not gzip",
    ]
    assert collect(store, of(broker, name)).rejects == 0


def test_what_a_full_tap_dropped_is_counted_and_told_once(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    store, told = tmp_path / "s.duckdb", list[str]()
    publisher.exchange(name)
    rabbit = of(broker, name, messages=100)
    collect(store, rabbit)
    publisher.publish_all(name, "k", range(350))
    report = collect(store, rabbit, tell=told.append)
    assert report.new == 100
    assert events(store) == Counter(f"event-{number:06}" for number in range(250, 350))
    reason = "250 messages were dropped because the queue was full before they could be read"
    assert rejects(store) == [reason]
    assert told == [f"clew.tap.{name}: {reason}"]
    assert collect(store, rabbit).rejects == 0
    assert publisher.ready(f"clew.tap.{name}.lost") == 0


def test_a_message_given_again_is_stored_once_by_its_id_whatever_the_time(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    """A kill between the commit and the acknowledgement: with an ID it is recognised, without one it is not."""
    store = tmp_path / "s.duckdb"
    publisher.exchange(name)
    collect(store, of(broker, name))
    publisher.publish_all(name, "k", range(10))
    publisher.publish(name, "k", {"event_type": "Nameless"})
    collector = RabbitCollector(of(broker, name), pace=PACE)
    with open_store(str(store)) as opened:
        for batch in collector.batches(opened.positions()):
            opened.write(replace(batch, settle=None))
    collector.close()
    report = collect(store, of(broker, name))
    assert (report.new, report.duplicates) == (1, 10)
    names = rows(
        store, "SELECT name, count(*) FROM records JOIN series USING (series) GROUP BY ALL ORDER BY ALL"
    )
    assert names == [("Nameless", 2), ("Tick", 10)]


def test_a_batch_that_could_not_be_stored_stays_in_the_queue(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    publisher.exchange(name)
    collect(tmp_path / "s.duckdb", of(broker, name))
    publisher.publish_all(name, "k", range(10))
    collector = RabbitCollector(of(broker, name), pace=PACE)
    for batch in collector.batches({}):
        assert batch.settle is not None
        batch.settle(Outcome(committed=False))
    collector.close()
    assert collect(tmp_path / "s.duckdb", of(broker, name)).new == 10


def test_heartbeats_go_on_while_the_store_is_busy(broker: RabbitMQ, publisher: Publisher, name: str) -> None:
    """The broker would close a connection that was silent for twice its heartbeat."""
    publisher.exchange(name)
    rabbit = replace(of(broker, name), url=f"{broker.url}?heartbeat=1")
    collector = RabbitCollector(rabbit, pace=PACE, limits=Limits(batch_bytes=300))
    assert list(collector.batches({})) == []
    collector.close()
    publisher.publish_all(name, "k", range(20))
    told: list[str] = []
    collector = RabbitCollector(
        rabbit, pace=PACE, limits=Limits(batch_bytes=300), follow=True, tell=told.append
    )
    given = collector.batches({})
    first = next(given)
    publisher.connection.sleep(3.5)
    read = first.raw.num_rows if first.raw is not None else 0
    assert first.settle is not None
    first.settle(Outcome(committed=True))
    while read < 20:
        batch = next(given)
        read += batch.raw.num_rows if batch.raw is not None else 0
        assert batch.settle is not None
        batch.settle(Outcome(committed=True))
    collector.close()
    assert told == []
    assert publisher.ready(f"clew.tap.{name}") == 0


def test_an_exchange_is_bound_as_its_type_needs(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    kinds = ["topic", "fanout", "headers", "direct"]
    for kind in kinds:
        publisher.exchange(f"{name}.{kind}", kind)
    exchanges = (*(Exchange(f"{name}.{kind}") for kind in kinds[:3]), Exchange(f"{name}.direct", ("a", "b")))
    rabbit = RabbitSettings(url=broker.url, exchanges=exchanges, tap=Tap(name))
    collect(tmp_path / "s.duckdb", rabbit)
    for kind in kinds:
        for key in "abc":
            publisher.publish(f"{name}.{kind}", key, {"at": kind}, message_id=f"{kind}.{key}")
    collect(tmp_path / "s.duckdb", rabbit)
    wanted = {f"{kind}.{key}" for kind in kinds for key in "abc"} - {"direct.c"}
    assert set(events(tmp_path / "s.duckdb")) == wanted


@pytest.mark.parametrize(
    ("exchange", "reason"),
    [("amq.direct", "gives only what is asked for by key"), ("", "default exchange")],
)
def test_an_exchange_that_does_not_give_all_is_refused_with_what_to_do(
    broker: RabbitMQ, name: str, tmp_path: Path, exchange: str, reason: str
) -> None:
    rabbit = RabbitSettings(url=broker.url, exchanges=(Exchange(exchange),), tap=Tap(name))
    with pytest.raises(CollectError, match=reason) as told:
        collect(tmp_path / "s.duckdb", rabbit)
    assert told.value.help


def test_an_exchange_that_is_not_there_and_other_bounds_are_told(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    report = collect(tmp_path / "s.duckdb", of(broker, name))
    assert f"no exchange '{name}'" in report.problems[0]
    publisher.exchange(name)
    collect(tmp_path / "s.duckdb", of(broker, name))
    with pytest.raises(CollectError, match="declared otherwise") as told:
        collect(tmp_path / "s.duckdb", of(broker, name, messages=5))
    assert "--remove-tap" in told.value.help
    RabbitCollector(of(broker, name)).remove_tap()
    assert collect(tmp_path / "s.duckdb", of(broker, name, messages=5)).problems == ()


@pytest.mark.parametrize("kind", [TapKind.QUORUM, TapKind.STREAM])
def test_a_tap_may_be_a_quorum_queue_or_a_stream(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path, kind: TapKind
) -> None:
    store = tmp_path / "s.duckdb"
    publisher.exchange(name)
    collect(store, of(broker, name, kind=kind))
    publisher.publish_all(name, "k", range(30), ids=False)
    assert collect(store, of(broker, name, kind=kind)).new == 30
    assert collect(store, of(broker, name, kind=kind)).records == 0
    found = rows(store, 'SELECT DISTINCT destination, "offset" FROM records JOIN series USING (series)')
    assert found == [(name, None)]


def test_the_firehose_tells_who_sent_and_to_whom_it_was_delivered(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    store = tmp_path / "s.duckdb"
    rabbit = RabbitSettings(url=broker.url, firehose=True, tap=Tap(name))
    publisher.queue(name)
    collect(store, rabbit)
    broker.ctl("trace_on")
    try:
        publisher.publish(
            "", name, {"event_type": "Asked"}, message_id=name, headers={"x-correlation-id": "c-1"}
        )
        assert publisher.take_all(name)
        collect(store, rabbit)
        collect(store, rabbit)
    finally:
        broker.ctl("trace_off")
    found = rows(
        store,
        "SELECT operation, destination, consumer_group, attempt, correlation_id, name"
        f" FROM records JOIN series USING (series) WHERE event_id = '{name}' ORDER BY ALL DESC",
    )
    assert found == [
        ("send", name, None, None, "c-1", "Asked"),
        ("receive", name, name, 1, "c-1", "Asked"),
    ]
