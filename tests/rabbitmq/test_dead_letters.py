"""Dead letters are looked at where they lie, and lie there afterwards as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.rabbitmq.collecting import collect, rows
from tests.rabbitmq.publishing import Publisher
from tests.servers.rabbitmq import RabbitMQ

from clew.collectors.rabbitmq.settings import RabbitSettings
from clew.reconstruct import open_store
from clew.reconstruct.model import FlowFilter


def dead(broker: RabbitMQ, publisher: Publisher, name: str, **arguments: Any) -> RabbitSettings:
    """A queue whose rejected messages go to ``NAME.dead``, declared with the arguments."""
    publisher.queue(f"{name}.dead", **arguments)
    publisher.queue(name, dead_letter_exchange="", dead_letter_routing_key=f"{name}.dead")
    return RabbitSettings(url=broker.url, dead_letters=(f"{name}.dead",))


def reject_all(publisher: Publisher, queue: str) -> None:
    while True:
        method, _, _ = publisher.channel.basic_get(queue)
        if method is None:
            return
        publisher.channel.basic_reject(method.delivery_tag, requeue=False)


@pytest.mark.parametrize("arguments", [{}, {"queue_type": "quorum"}], ids=["classic", "quorum"])
def test_dead_letters_are_told_with_why_and_stay_in_their_order(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    store = tmp_path / "s.duckdb"
    rabbit = dead(broker, publisher, name, **arguments)
    publisher.publish_all("", name, range(50))
    publisher.publish("", name, b'{"broken": ', content_type="application/json", message_id="poison")
    reject_all(publisher, name)
    report = collect(store, rabbit)
    assert (report.new, report.rejects, report.problems) == (51, 0, ())
    # Looking again adds nothing, and with two more only those.
    assert collect(store, rabbit).new == 0
    publisher.publish_all("", name, range(50, 52))
    reject_all(publisher, name)
    assert collect(store, rabbit).new == 2
    found = rows(
        store,
        "SELECT DISTINCT kind, destination, consumer_group, error_type FROM records JOIN series USING (series)",
    )
    assert found == [("dead_letter", name, name, "rejected")]
    with open_store(str(store)) as opened:
        statuses = {flow.status for flow in opened.flows(FlowFilter()) if flow.flow_id.startswith("flow-")}
    assert statuses == {"dead_lettered"}
    bodies = publisher.take_all(f"{name}.dead")
    assert [body.split(b'"number": ')[-1] for body in bodies if b"Tick" in body] == [
        f"{number}}}".encode() for number in range(52)
    ]
    assert len(bodies) == 53


def test_a_quorum_queue_is_left_alone_before_its_delivery_limit(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    """Declared with a limit of 6: looked at three times, then refused without being touched."""
    store = tmp_path / "s.duckdb"
    rabbit = dead(broker, publisher, name, queue_type="quorum", delivery_limit=6)
    looks = 0
    for number in range(8):
        publisher.publish_all("", f"{name}.dead", range(number, number + 1))
        report = collect(store, rabbit)
        if report.problems:
            break
        looks += 1
    assert looks == 3
    assert "delivered 3 times of 6" in report.problems[0]
    assert publisher.ready(f"{name}.dead") == looks + 1
    again = collect(store, rabbit)
    assert again.problems == report.problems
    _, properties, _ = publisher.channel.basic_get(f"{name}.dead")
    assert properties is not None
    assert (properties.headers or {})["x-delivery-count"] == looks


def test_equal_dead_letters_without_ids_are_as_many_as_they_are(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    rabbit = dead(broker, publisher, name)
    for _ in range(3):
        publisher.publish("", f"{name}.dead", {"event_type": "Same"})
    assert collect(tmp_path / "s.duckdb", rabbit).new == 3
    assert collect(tmp_path / "s.duckdb", rabbit).new == 0
