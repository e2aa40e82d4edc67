"""Joining a collector to a store: what is reported, and how it may be ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conformance.records import batch, log

from clew.collectors.errors import SourceUnavailable, UnknownFormat
from clew.collectors.record import Batch, Reject
from clew.reconstruct import open_store
from clew.reconstruct.duckdb.file import DuckFile
from clew.reconstruct.duckdb.schema import create
from clew.reconstruct.duckdb.store import VERSION
from clew.reconstruct.duckdb.versions import Layout
from clew.reconstruct.errors import StoreMissing
from clew.reconstruct.ingest import ingest
from clew.reconstruct.model import FlowFilter
from clew.reconstruct.store import Store

ROOT = Path(__file__).resolve().parents[2]


class Given:
    """A collector of batches made by hand; skips what was committed, as the contract says."""

    def __init__(self, batches: Sequence[Batch], end: Exception | None = None) -> None:
        self.given = batches
        self.end = end
        self.left = False

    def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
        try:
            for each in self.given:
                if int(each.position) > int(positions.get(each.source, "0")):
                    yield each
            if self.end is not None:
                raise self.end
        finally:
            self.left = True

    def close(self) -> None:
        self.left = True


def numbered(source: str, count: int, *, size: int | None = 100) -> list[Batch]:
    """``count`` batches of a reject and two records each, of which the second is the same in all."""
    span = {"kind": "span", "trace_id": source, "span_id": "s", "service": "a", "name": "b"}
    return [
        replace(
            batch(
                [log(number, name="A", correlation_id=f"{source}-{number}"), span],
                source=source,
                position=str(number),
                first=number == 1,
                rejects=(Reject(number, "no", b""),),
            ),
            bytes=10,
            total_bytes=size,
        )
        for number in range(1, count + 1)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as store:
        yield store


def test_the_report_adds_up_what_every_batch_did(store: Store) -> None:
    report = ingest(store, Given([*numbered("a", 3), *numbered("b", 2)]))
    assert (report.records, report.new, report.duplicates, report.rejects) == (10, 7, 3, 5)
    assert report.by_kind == {"log": 5, "span": 2}
    assert {source: (done.records, done.new) for source, done in report.by_source.items()} == {
        "a": (6, 4),
        "b": (4, 3),
    }
    assert report.by_source["a"].by_kind == {"log": 3, "span": 1}
    assert report.flows == 7
    assert (report.unattributed, report.problems, report.stopped_by) == (0, (), None)
    assert report.seconds > 0


def test_nothing_to_read_is_no_error(store: Store) -> None:
    report = ingest(store, Given([]))
    assert (report.records, report.flows, report.by_source) == (0, 0, {})


def test_progress_tells_how_much_of_what_is_known(store: Store) -> None:
    told: list[tuple[int, int | None, int]] = []
    ingest(
        store,
        Given([*numbered("a", 2), *numbered("b", 1), *numbered("c", 1, size=None)]),
        progress=lambda done, total, records, _seconds: told.append((done, total, records)),
    )
    assert told == [(10, 100, 2), (20, 100, 4), (30, 200, 6), (40, None, 8)]


def test_a_source_that_cannot_be_read_is_a_problem_and_not_an_error(store: Store) -> None:
    report = ingest(store, Given(numbered("a", 2), SourceUnavailable("b.log: Permission denied")))
    assert report.problems == ("b.log: Permission denied",)
    assert report.records == 4


def test_wrong_use_of_the_collector_is_raised_and_the_store_is_free(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat):
        ingest(store, Given(numbered("a", 2), UnknownFormat("no format of that name")))
    other = DuckFile(tmp_path / "store", layout=Layout(VERSION, create), timeout=0)
    with other.reading() as connection:
        assert connection.execute("SELECT count(*) FROM store.records").fetchall() == [(3,)]
    other.close()


def test_the_store_is_free_and_the_collector_left_at_the_end(store: Store, tmp_path: Path) -> None:
    given = Given(numbered("a", 2))
    ingest(store, given)
    assert given.left
    other = DuckFile(tmp_path / "store", layout=Layout(VERSION, create), timeout=0)
    with other.writing() as connection:
        assert connection.execute("SELECT count(*) FROM store.sources").fetchall() == [(1,)]
    other.close()


def test_going_on_reads_what_is_new_only(store: Store) -> None:
    ingest(store, Given(numbered("a", 2)))
    report = ingest(store, Given(numbered("a", 5)))
    assert (report.records, report.new) == (6, 3)
    assert store.positions() == {"a": "5"}


def test_an_error_of_the_store_is_raised_with_what_was_committed_before_kept(
    store: Store, tmp_path: Path
) -> None:
    batches = numbered("a", 4)

    class Removing(Given):
        def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
            for number, each in enumerate(super().batches(positions)):
                if number == 3:
                    deadline = time.monotonic() + 20
                    while open_store(tmp_path / "store").positions().get("a") != "3":
                        assert time.monotonic() < deadline
                    (tmp_path / "store").rename(tmp_path / "moved")
                yield each

    with pytest.raises(StoreMissing, match="removed or replaced"):
        ingest(store, Removing(batches))
    with open_store(tmp_path / "moved", create=False) as moved:
        assert moved.positions() == {"a": "3"}
        assert moved.summary().records == 4


def test_in_another_thread_no_signal_is_taken(store: Store) -> None:
    handler = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    class Looking(Given):
        def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
            seen.append(signal.getsignal(signal.SIGINT))
            return super().batches(positions)

    thread = threading.Thread(target=lambda: ingest(store, Looking(numbered("a", 1))))
    thread.start()
    thread.join()
    assert seen == [handler]
    ingest(store, Looking([]))
    assert seen[1] is not handler
    assert signal.getsignal(signal.SIGINT) is handler


WAITING = """
import json, sys, time
from clew.reconstruct import open_store
from clew.reconstruct.ingest import ingest
from tests.store.test_ingest import Given, numbered

class Waiting(Given):
    def batches(self, positions):
        for each in super().batches(positions):
            yield each
        print("waiting", flush=True)
        while True:
            time.sleep(60)

with open_store(sys.argv[1]) as store:
    report = ingest(store, Waiting(numbered("a", 3)))
print(json.dumps([report.records, report.new, report.stopped_by]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting_for_input_with_everything_committed(
    tmp_path: Path, number: signal.Signals
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "waiting\n"
    run.send_signal(number)
    out, err = run.communicate(timeout=30)
    assert (err, run.returncode) == ("", 0)
    assert json.loads(out) == [6, 4, number.name]
    with open_store(tmp_path / "store", create=False) as store:
        assert store.positions() == {"a": "3"}
        assert len(list(store.flows(FlowFilter()))) == 4
