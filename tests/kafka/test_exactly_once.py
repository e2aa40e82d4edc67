"""Nothing is lost and nothing doubled, whatever ends the collector or stands in its way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import duckdb
import pytest
from tests.kafka.enduring import (
    PARTITIONS,
    Collecting,
    assert_each_is_stored_once,
    filling,
    kill_at_work,
    stored,
    wait_until,
)
from tests.kafka.topics import Topics
from tests.servers.kafka import Kafka


def test_killed_at_work_and_started_again_it_stores_each_message_once(
    topics: Topics, topic: str, tmp_path: Path
) -> None:
    count, store = 5_000, tmp_path / "clew.duckdb"
    topics.make(topic, PARTITIONS)
    collecting = Collecting(topics, topic, store)
    collecting.start()
    with filling(topics, topic, count, 6.0):
        kill_at_work(collecting, store, 3, count, seed=1)
    wait_until(lambda: stored(store) >= count)
    said = collecting.end()
    assert "Traceback" not in said
    assert_each_is_stored_once(topics, topic, store, count)


SOAK = 200_000


@pytest.mark.soak
def test_kills_a_restarted_broker_a_rebalance_and_a_locked_store(
    alone: Kafka, topic: str, tmp_path: Path
) -> None:
    topics = Topics(alone.bootstrap)
    count, store, other_store = SOAK, tmp_path / "clew.duckdb", tmp_path / "other.duckdb"
    topics.make(topic, PARTITIONS)
    group = ("--group", f"clew-{topic}", "-X", "session.timeout.ms=6000")
    # Known again at once: the group waits minutes for a member that dies while it joins.
    collecting = Collecting(topics, topic, store, *group, "-X", "group.instance.id=first")
    collecting.start()
    with filling(topics, topic, count, 120.0):
        kill_at_work(collecting, store, 10, count, seed=2)
        # A second member takes partitions away, into the same store, and leaves again.
        second = Collecting(topics, topic, store, *group)
        second._log = other_store.with_suffix(".log")  # noqa: SLF001  its own words
        second.start()
        before = stored(store)
        wait_until(lambda: stored(store) > before)
        time.sleep(10)
        second.kill()
        alone.stop(kill=True)
        time.sleep(2)
        alone.start()
        locked = threading.Thread(target=_hold, args=(store, 5.0))
        locked.start()
        locked.join()
        kill_at_work(collecting, store, 10, count, seed=3)
    wait_until(lambda: stored(store) >= count)
    said = collecting.end()
    assert "Traceback" not in said
    assert_each_is_stored_once(topics, topic, store, count)


def _hold(store: Path, seconds: float) -> None:
    """Another program has the file open."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with duckdb.connect(str(store), read_only=True) as connection:
                connection.execute("SELECT count(*) FROM records").fetchall()
                time.sleep(seconds)
                return
        except duckdb.Error:
            assert time.monotonic() < deadline
            time.sleep(0.01)
