"""Joining a collector to a store: batch by batch, each with its position in one transaction."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clew.collectors.errors import SourceUnavailable
from clew.reconstruct.answers import Written
from clew.reconstruct.signals import asked_to_end

if TYPE_CHECKING:
    from types import FrameType

    from clew.collectors.collector import Collector
    from clew.collectors.record import Batch
    from clew.reconstruct.store import Store

Progress = Callable[[int, int | None, int, float], None]
"""Called after each batch: bytes read, bytes in all (None when unknown), records read, seconds."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingest did, and what the store holds after it."""

    records: int
    """Read and decoded: ``new`` + ``duplicates``."""
    new: int
    duplicates: int
    rejects: int
    unattributed: int
    """Records in the store that belong to no flow."""
    flows: int
    """Flows in the store."""
    by_kind: Mapping[str, int]
    """New records by kind."""
    seconds: float
    by_source: Mapping[str, Written]
    problems: tuple[str, ...] = ()
    """One sentence for each source that could not be read, or not to its end."""
    stopped_by: str | None = None
    """``SIGINT`` or ``SIGTERM`` where one ended it before the input did."""


def ingest(
    store: Store, collector: Collector, *, progress: Progress | None = None, signals: bool = True
) -> IngestReport:
    """Read everything that ``collector`` has beyond the store's positions, and release the store.

    Running it again, after whatever end, goes on where the last committed batch ended.
    With ``signals``, and in the main thread, SIGINT and SIGTERM end it after the batch
    at hand, at once while it waits for input; a second one gives up that batch too.
    The caller closes both.

    Raises:
        StoreError: the store could not be read or written. Earlier batches are committed.
        CollectError: wrong use of the collector, as an unknown format. A source that
            cannot be read is no error but one of the report's ``problems``.
    """
    begun = time.monotonic()
    tally = _Tally()
    with stoppable(enabled=signals) as stop:
        batches = _batches(collector, store, stop, tally)
        try:
            for batch, written in store.write_all(batches):
                tally.add(batch, written)
                if progress is not None:
                    progress(tally.bytes, tally.total_bytes, tally.records, time.monotonic() - begun)
            summary = store.summary()
        finally:
            batches.close()
            store.release()
    return IngestReport(
        records=tally.records,
        new=tally.new,
        duplicates=tally.duplicates,
        rejects=tally.rejects,
        unattributed=summary.unattributed,
        flows=summary.flows,
        by_kind=dict(tally.by_kind),
        seconds=time.monotonic() - begun,
        by_source=dict(tally.by_source),
        problems=tuple(tally.problems),
        stopped_by=stop.reason,
    )


@dataclass(slots=True)
class _Tally:
    records: int = 0
    new: int = 0
    duplicates: int = 0
    rejects: int = 0
    bytes: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    by_source: dict[str, Written] = field(default_factory=dict)
    totals: dict[str, int | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def total_bytes(self) -> int | None:
        """Of the sources met so far; None when one of them cannot tell."""
        known = [total for total in self.totals.values() if total is not None]
        return sum(known) if len(known) == len(self.totals) else None

    def add(self, batch: Batch, written: Written) -> None:
        self.records += written.records
        self.new += written.new
        self.duplicates += written.duplicates
        self.rejects += written.rejects
        self.by_kind.update(written.by_kind)
        self.bytes += batch.bytes
        self.totals[batch.source] = batch.total_bytes
        before = self.by_source.get(batch.source)
        self.by_source[batch.source] = written if before is None else _sum(before, written)


def _sum(one: Written, other: Written) -> Written:
    return Written(
        records=one.records + other.records,
        new=one.new + other.new,
        duplicates=one.duplicates + other.duplicates,
        rejects=one.rejects + other.rejects,
        by_kind=dict(Counter(one.by_kind) + Counter(other.by_kind)),
    )


def _batches(collector: Collector, store: Store, stop: _Stop, tally: _Tally) -> Generator[Batch]:
    """The collector's batches until its end, a signal, or a source that cannot be read."""
    batches = iter(collector.batches(store.positions()))
    try:
        while stop.reason is None:
            try:
                with stop.at_once():
                    batch = next(batches, None)
            except Stopped:
                return
            except SourceUnavailable as error:
                tally.problems.append(str(error))
                return
            if batch is None:
                return
            yield batch
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


class Stopped(BaseException):
    """Leaves a collector that waits for input; no ``except Exception`` of its code keeps it."""


class _Stop:
    """Whether a signal asked to stop, and whether it may interrupt what runs now."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._at_once = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block a signal interrupts."""
        self._at_once = True
        try:
            if self.reason is not None:
                raise Stopped
            yield
        finally:
            self._at_once = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        again = self.reason is not None
        self.reason = signal.Signals(number).name
        if self._at_once:
            raise Stopped
        if again:
            raise KeyboardInterrupt


@contextmanager
def stoppable(*, enabled: bool) -> Iterator[_Stop]:
    """Handle SIGINT and SIGTERM within the block, where Python lets us: in the main thread."""
    stop = _Stop()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    with asked_to_end(stop):
        yield stop
