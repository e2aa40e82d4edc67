"""Kafka to committed flows, against a consumer that looks at every message and keeps nothing."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest
from confluent_kafka import Producer
from tests.benchmarks.figures import Figure, Figures, NotRun
from tests.benchmarks.inputs import Inputs
from tests.benchmarks.measuring import CLEW, PYTHON, Run, alternate, duration, run, seconds
from tests.kafka.topics import Topics
from tests.servers.fetching import Unavailable
from tests.servers.kafka import Kafka, kafka

pytestmark = pytest.mark.bench

COUNT = 500_000
PARTITIONS = 6
ROUNDS = 3
TOPIC = "orders"

LOOP = """
import sys
from confluent_kafka import Consumer, TopicPartition
bootstrap, topic, count, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "loop", "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
seen = 0
while seen < count:
    for message in consumer.consume(num_messages=1000, timeout=1.0):
        message.key(), message.value(), message.headers()
        seen += 1
consumer.close()
"""
"""The quickest a Python consumer can be that touches each message."""


def test_kafka_to_committed_flows_against_a_loop_that_only_consumes(inputs: Inputs, figures: Figures) -> None:
    name = (
        f"messages per second of `clew collect kafka` of {inputs.named(COUNT)} / of a loop that only consumes"
    )
    try:
        with kafka(inputs.folder / "kafka") as broker:
            figures.add(_measured(name, inputs, broker))
    except Unavailable as error:
        figures.add(NotRun(name, str(error)))


def _measured(name: str, inputs: Inputs, broker: Kafka) -> Figure:
    count = inputs.scaled(COUNT)
    _fill(broker, count)
    store = inputs.folder / "kafka.duckdb"

    def collect(_: int) -> Run:
        for path in store.parent.glob(f"{store.name}*"):
            path.unlink()
        command = [CLEW, "collect", "kafka", "--bootstrap", broker.bootstrap, "--topic", TOPIC, "--once"]
        done = run([*command, "--store", str(store), "--json", "--no-progress"], inputs.folder)
        said = json.loads(done.output)
        assert (said["new"], said["rejects"], said["flows"]) == (count, 0, (count + 3) // 4)
        return done

    def loop(_: int) -> Run:
        return run(
            [PYTHON, "-c", LOOP, broker.bootstrap, TOPIC, str(count), str(PARTITIONS)], Path(inputs.folder)
        )

    runs = alternate(inputs.rounds(ROUNDS), {"clew": collect, "loop": loop})
    ours, theirs = median(seconds(runs["clew"])), median(seconds(runs["loop"]))
    detail = (
        f"{count / ours:,.0f}/s in {duration(ours)} / {count / theirs:,.0f}/s in {duration(theirs)}, "
        "both with their start, in batches of thousands"
    )
    return Figure(name, theirs / ours, 0.5, detail, at_least=True)


def _fill(broker: Kafka, count: int) -> None:
    topics = Topics(broker.bootstrap)
    topics.make(TOPIC, PARTITIONS)
    topics.close()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 50, "log_level": 0})
    names = ("OrderPlaced", "PaymentSucceeded", "InventoryReserved", "OrderCompleted")
    for number in range(count):
        order = number // 4
        value = {
            "event_id": f"evt-{number:09}",
            "event_type": names[number % 4],
            "correlation_id": f"order-{order:08}",
            "causation_id": f"evt-{number - 1:09}" if number % 4 else None,
            "order_id": f"ord-{order:08}",
            "customer": {"id": f"cus-{order % 5000}", "country": "NL"},
            "amount": 12.5,
            "lines": [{"sku": f"sku-{number % 97}", "quantity": 2, "price": 6.25}],
        }
        headers: list[tuple[str, str | bytes | None]] = [
            ("traceparent", f"00-{order + 1:032x}-{number + 1:016x}-01".encode()),
            ("content-type", b"application/json"),
            ("service", b"order-service"),
        ]
        producer.poll(0)
        producer.produce(
            TOPIC, json.dumps(value), key=f"ord-{order:08}", headers=headers, partition=order % PARTITIONS
        )
        if number % 50_000 == 0:
            producer.flush(60)
    assert producer.flush(60) == 0
