"""What every collector must do. A collector's own test file makes one and feeds it."""

from __future__ import annotations

import threading
import tracemalloc
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from clew.collectors.collector import Collector
from clew.collectors.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.collectors.record import Batch, Reject

MANY = 60
"""Records that a conformance collector reads in at least three batches."""


class Received:
    """What a store would hold: positions and input, committed together."""

    def __init__(self) -> None:
        self.positions: dict[str, str] = {}
        self.batches: list[Batch] = []

    def commit(self, batch: Batch) -> None:
        self.positions[batch.source] = batch.position
        self.batches.append(batch)
        settle(batch)

    def rows(self) -> list[dict[str, Any]]:
        """What the batches decode to, those of the same SELECT at once, because each costs its planning."""
        together: dict[str, list[Batch]] = {}
        for batch in self.batches:
            if batch.raw is not None:
                together.setdefault(batch.select, []).append(batch)
        decoded = [
            replace(
                batches[0], raw=pa.concat_tables([batch.raw for batch in batches if batch.raw is not None])
            )
            for batches in together.values()
        ]
        return [row for batch in decoded for row in batch.records().to_pylist()]

    @property
    def events(self) -> Counter[str]:
        """Event IDs received."""
        return Counter(row["event_id"] for row in self.rows() if row["reject"] is None)

    @property
    def rejects(self) -> list[Reject | str]:
        """What could not be decoded, by the collector or by the SELECT."""
        undecoded = [row["reject"] for row in self.rows() if row["reject"] is not None]
        return [*undecoded, *(reject for batch in self.batches for reject in batch.rejects)]

    def read(self, collector: Collector, batches: int | None = None) -> None:
        """Commit what ``collector`` gives, or so many batches, and close it."""
        given = collector.batches(self.positions)
        try:
            for number, batch in enumerate(given):
                if number == batches:
                    break
                self.commit(batch)
        finally:
            collector.close()


def settle(batch: Batch) -> None:
    """Tell a source that waits for it that its batch is committed."""
    if batch.settle is not None:
        batch.settle(Outcome(committed=True))


class CollectorConformance(ABC):
    """Subclass it, and implement the four methods below."""

    many_more = 40_000
    """Records of more than four megabytes of input."""
    forgets: str = ""
    """Why the source cannot give again what was committed; empty where it can."""

    @abstractmethod
    def append(self, events: Sequence[str]) -> None:
        """Write one record per event ID to the source, behind those that are there."""

    @abstractmethod
    def append_broken(self) -> None:
        """Write one thing to the source that cannot be decoded."""

    @abstractmethod
    def make(self, *, batch_bytes: int = 2048) -> Collector:
        """A new collector of the source, whose batches are of about that size."""

    @abstractmethod
    def progress(self, position: str) -> object:
        """Something that grows as a source's position moves on."""

    @pytest.fixture(autouse=True)
    def _no_thread_is_left(self) -> Iterator[None]:
        before = set(threading.enumerate())
        yield
        assert set(threading.enumerate()) <= before

    def events(self, count: int = MANY, start: int = 0) -> list[str]:
        return [f"event-{number:06}" for number in range(start, start + count)]

    def test_it_is_a_collector(self) -> None:
        collector = self.make()
        assert isinstance(collector, Collector)
        collector.close()

    def test_an_empty_source_gives_no_record_and_no_error(self) -> None:
        received = Received()
        received.read(self.make())
        assert not received.events
        assert not received.rejects

    def test_every_record_comes_once(self) -> None:
        self.append(self.events())
        received = Received()
        received.read(self.make())
        assert received.events == Counter(self.events())
        assert len(received.batches) >= 3

    def test_after_any_commit_a_restart_gives_the_rest_once(self) -> None:
        self.append(self.events())
        whole = Received()
        whole.read(self.make())
        for batches in range(len(whole.batches) + 1):
            if self.forgets:
                self.append(self.events())
            received = Received()
            received.read(self.make(), batches)
            received.read(self.make(batch_bytes=1500))
            assert received.events == Counter(self.events())

    def test_a_batch_that_was_not_committed_comes_again(self) -> None:
        self.append(self.events())
        received = Received()
        collector = self.make()
        given = collector.batches({})
        received.commit(next(given))
        next(given)
        collector.close()
        received.read(self.make())
        assert received.events == Counter(self.events())

    def test_reading_again_gives_no_batch(self) -> None:
        self.append(self.events())
        self.append_broken()
        received = Received()
        received.read(self.make())
        batches = len(received.batches)
        received.read(self.make())
        assert len(received.batches) == batches

    def test_what_was_added_comes_alone(self) -> None:
        received = Received()
        for start in range(0, 3 * MANY, MANY):
            self.append(self.events(start=start))
            received.batches.clear()
            received.read(self.make())
            assert received.events == Counter(self.events(start=start))

    def test_broken_input_is_a_reject_and_costs_nothing_else(self) -> None:
        self.append(self.events(MANY))
        self.append_broken()
        self.append(self.events(MANY, start=MANY))
        self.append_broken()
        received = Received()
        received.read(self.make())
        assert received.events == Counter(self.events(2 * MANY))
        assert len(received.rejects) == 2

    def test_positions_only_move_on(self) -> None:
        self.append(self.events())
        seen: dict[str, list[object]] = {}
        collector = self.make()
        for batch in collector.batches({}):
            seen.setdefault(batch.source, []).append(self.progress(batch.position))
            settle(batch)
        collector.close()
        assert seen
        for places in seen.values():
            assert places == sorted(places)  # type: ignore[type-var]
            assert len(set(places)) == len(places)

    def test_the_size_of_batches_changes_no_record(self) -> None:
        found: list[list[str]] = []
        for size in (600, 5000, 1 << 20):
            if self.forgets or not found:
                self.append(self.events())
                self.append_broken()
            received = Received()
            received.read(self.make(batch_bytes=size))
            found.append(sorted(map(repr, received.rows())))
        assert found[0] == found[1] == found[2]

    def test_a_batch_stays_valid_after_the_next_ones(self) -> None:
        self.append(self.events(5 * MANY))
        collector = self.make()
        held = []
        for batch in collector.batches({}):
            held.append(batch)
            settle(batch)
        collector.close()
        received = Received()
        for batch in held:
            received.commit(batch)
        assert received.events == Counter(self.events(5 * MANY))

    def test_memory_does_not_grow_with_the_input(self) -> None:
        self.append(self.events(self.many_more))
        collector = self.make(batch_bytes=100_000)
        given = collector.batches({})
        first = next(given)
        size = first.bytes
        settle(first)
        tracemalloc.start()
        try:
            for batch in given:
                size += batch.bytes
                settle(batch)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            collector.close()
        assert size > 4_000_000
        assert peak < 2_500_000

    def test_closing_early_and_twice_is_no_error(self) -> None:
        self.append(self.events())
        collector = self.make()
        collector.close()
        collector = self.make()
        next(collector.batches({}))
        collector.close()
        collector.close()
