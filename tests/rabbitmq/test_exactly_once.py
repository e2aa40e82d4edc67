"""Killed, restarted and locked out: the store holds each message once, by the broker's own count."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pika.exceptions import AMQPError
from tests.rabbitmq.collecting import rejects, rows
from tests.rabbitmq.publishing import Publisher
from tests.servers.rabbitmq import RabbitMQ

from clew.reconstruct import open_store

WAIT_S = 600
LAST = 50
"""Messages that come when all else is over: whoever stores them is there to be ended."""


class Collecting:
    """``clew collect rabbitmq`` as a process that can be killed and started again."""

    def __init__(self, store: Path, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "clew.cli.main", "collect", "rabbitmq", *arguments]
        self._environment = os.environ | {"CLEW_STORE": str(store)}
        self._log = store.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, cwd=self._log.parent
            )

    def end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(WAIT_S)

    @property
    def told(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def collecting(store: Path, *arguments: str) -> Iterator[Collecting]:
    running = Collecting(store, *arguments)
    try:
        yield running
    finally:
        running.end(signal.SIGKILL)


def wait_for(what: Callable[[], bool], why: Callable[[], str]) -> None:
    """Wait until it holds, with an end."""
    end = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < end, why()
        time.sleep(0.1)


def stored(store: Path) -> int:
    """Records in the store; a reader as any other, who waits for its turn."""
    if not store.exists():
        return 0
    with open_store(str(store)) as opened:
        return opened.summary().records


def is_there(broker: RabbitMQ, queue: str) -> bool:
    try:
        with Publisher(broker.url) as publisher:
            publisher.ready(queue)
    except AMQPError:
        return False
    return True


def locked(store: Path, seconds: float) -> None:
    """Keep the file open for reading, as a person's own DuckDB does."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            with duckdb.connect(str(store), read_only=True):
                time.sleep(seconds)
        except duckdb.IOException:
            assert time.monotonic() < end, "the file was never free"
            time.sleep(0.02)
        else:
            return


def event_id(number: int) -> str:
    return f"event-{number:06}"


def checksum(events: Iterable[Any]) -> str:
    return sha256("\n".join(sorted(str(one) for one in events)).encode()).hexdigest()


def publish(broker: RabbitMQ, exchange: str, stream: str, numbers: range) -> None:
    """The same events to both, and one that is broken; again where the broker went away before it confirmed."""
    done = numbers.start
    while done < numbers.stop:
        some = range(done, min(done + 250, numbers.stop))
        try:
            with Publisher(broker.url) as publisher:
                publisher.publish_all(exchange, "a.b", some)
                publisher.publish_all("", stream, some)
                if some.start == numbers.start:
                    publisher.publish(exchange, "a.b", b'{"number": 1, ', content_type="application/json")
        except (AMQPError, OSError):
            time.sleep(0.2)
        else:
            done = some.stop


def declare(broker: RabbitMQ, name: str) -> str:
    """An application's exchange and its queue, and a stream; the stream's name."""
    with Publisher(broker.url) as publisher:
        publisher.exchange(name)
        publisher.queue(f"{name}.app")
        publisher.channel.queue_bind(f"{name}.app", name, "#")
        return publisher.queue(f"{name}.stream", queue_type="stream")


def run(broker: RabbitMQ, name: str, folder: Path, *, count: int, kills: int, seed: int) -> None:
    """Publish to an exchange and a stream while the collector of both is killed again and again."""
    store = folder / "s.duckdb"
    chance = random.Random(seed)
    stream, tap = declare(broker, name), f"clew.tap.{name}"
    given = ("--url", broker.url, "--exchange", name, "--stream", stream, "--tap-name", name)
    with collecting(store, *given) as collector:
        collector.start()
        wait_for(lambda: is_there(broker, tap), lambda: collector.told)
        writer = threading.Thread(target=publish, args=(broker, name, stream, range(count)))
        writer.start()
        for number in range(kills):
            time.sleep(0.4 + chance.random())
            collector.end(signal.SIGKILL)
            if number == kills // 2:
                broker.restart()
            collector.start()
            if number == kills // 2:
                wait_for(lambda: stored(store) > 0, lambda: collector.told)
                locked(store, 5.0)
        writer.join()
        total = count + LAST
        publish(broker, name, stream, range(count, total))
        with Publisher(broker.url) as publisher:
            in_stream = publisher.stream(stream)
        wait_for(
            lambda: stored(store) >= total + len(in_stream), lambda: f"{stored(store)}: {collector.told}"
        )
        assert collector.end(signal.SIGTERM) == 0, collector.told
    with Publisher(broker.url) as publisher:
        assert publisher.ready(f"{name}.app") >= total + 2
        assert publisher.ready(tap) == 0
    found = rows(store, "SELECT destination, event_id FROM records JOIN series USING (series)")
    assert checksum(event for place, event in found if place == name) == checksum(map(event_id, range(total)))
    # A publisher that was cut off publishes again: in a stream those are two messages.
    assert checksum(event for place, event in found if place == stream) == checksum(in_stream)
    assert set(in_stream) == set(map(event_id, range(total)))
    assert set(rejects(store)) == {"not valid JSON"}


def test_a_killed_collector_a_restarted_broker_and_a_locked_store_lose_and_double_nothing(
    broker: RabbitMQ, name: str, tmp_path: Path
) -> None:
    run(broker, name, tmp_path, count=1_500, kills=3, seed=1)


@pytest.mark.soak
def test_two_hundred_thousand_messages_and_twenty_kills(broker: RabbitMQ, name: str, tmp_path: Path) -> None:
    run(broker, name, tmp_path, count=100_000, kills=20, seed=int(os.environ.get("CLEW_SEED", "7")))
