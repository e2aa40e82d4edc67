"""A collector that is killed again and again while a topic fills, and what its store holds in the end."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from tests.kafka.topics import Topics

from clew.reconstruct import open_store
from clew.reconstruct.errors import StoreMissing

WAIT_S = 180.0
PARTITIONS = 3


class Collecting:
    """``clew collect kafka`` in a process of its own."""

    def __init__(self, topics: Topics, topic: str, store: Path, *more: str) -> None:
        self._command = [
            sys.executable,
            "-m",
            "clew.cli.main",
            "collect",
            "kafka",
            "--bootstrap",
            topics.bootstrap,
        ]
        self._command += ["--topic", topic, "--store", str(store), "--no-progress", *more]
        self._process: subprocess.Popen[bytes] | None = None
        self._log = store.with_suffix(".log")

    def start(self) -> None:
        """Start it, or start it again."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=subprocess.STDOUT)

    def wait_until(self, what: Callable[[], object]) -> None:
        """Wait for something that it is to do."""
        wait_until(lambda: self._is_alive() and what())

    def _is_alive(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        return True

    def kill(self) -> None:
        """As a power cut does."""
        assert self._is_alive()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> str:
        """Ask it to end; gives what it said in all its runs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        # The last start may have been so short ago that it was not yet there to end well.
        assert self._process.wait(timeout=60) in {0, -signal.SIGTERM}, self._log.read_text()
        return self._log.read_text()


@contextmanager
def filling(topics: Topics, topic: str, count: int, seconds: float) -> Iterator[threading.Thread]:
    """A service that writes so many events within the block, over about so many seconds."""
    step = max(1, count // 50)

    def run() -> None:
        for start in range(0, count, step):
            for partition in range(PARTITIONS):
                numbers = range(start, min(start + step, count))
                events = (event(number) for number in numbers if number % PARTITIONS == partition)
                topics.write(topic, events, partition=partition)
            time.sleep(seconds * step / count)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def event(number: int) -> dict[str, object]:
    """One of four events of a flow."""
    name = ("OrderPlaced", "PaymentSucceeded", "InventoryReserved", "OrderCompleted")[number % 4]
    return {
        "event_id": f"e-{number}",
        "event_type": name,
        "correlation_id": f"c-{number // 4}",
        "amount": number,
    }


def stored(store: Path) -> int:
    """Records in a store that is written to. A reader waits for its turn, and never fails."""
    try:
        with open_store(store) as opened:
            return opened.summary().records
    except StoreMissing:
        return 0


def kill_at_work(collecting: Collecting, store: Path, kills: int, count: int, seed: int) -> None:
    """Kill it once it has stored something since it started, and start it again."""
    chance = random.Random(seed)
    before = 0
    for _ in range(kills):
        collecting.wait_until(lambda: before < stored(store) or stored(store) >= count)  # noqa: B023  called at once
        time.sleep(chance.random())
        collecting.kill()
        before = stored(store)
        collecting.start()


def assert_each_is_stored_once(topics: Topics, topic: str, store: Path, count: int) -> None:
    """By the broker's own count and by a checksum over what was written."""
    wait_until(lambda: stored(store) >= count)
    assert sum(topics.end(topic, partition) for partition in range(PARTITIONS)) == count
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{store}' AS store (READ_ONLY)")
        found = connection.execute(
            "SELECT count(*), count(DISTINCT event_id), bit_xor(hash(event_id)),"
            " count(DISTINCT identity), count(DISTINCT flow) FROM store.records"
        ).fetchall()
        wanted = connection.execute(f"SELECT bit_xor(hash('e-' || range)) FROM range({count})").fetchall()
    assert found == [(count, count, wanted[0][0], count, (count + 3) // 4)]


def wait_until(what: Callable[[], object]) -> None:
    """Wait for it, bounded."""
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)
