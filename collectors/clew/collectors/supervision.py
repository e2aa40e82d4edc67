"""Several collectors as one: each runs by itself, and is started again when it fails."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

from clew.collectors.errors import CollectError, SourceUnavailable
from clew.collectors.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from clew.collectors.collector import Collector
    from clew.collectors.record import Batch

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Until a collector that failed is started again; doubled each time, less a random part of it."""
STEADY_S = 30.0
"""After so long without a failure the pauses begin anew."""
PATIENCE_S = 8.0
"""How long all of them together may take to end."""
RATE_S = 10.0
_LOOK_S = 0.2


class State(StrEnum):
    """What a collector does."""

    READING = "reading"
    WAITING = "waiting"
    """It failed, and will be started again."""
    ENDED = "ended"
    """It read all there was."""
    WRONG = "wrong"
    """It is set up wrongly, which trying again does not mend."""


@dataclass(slots=True)
class Status:
    """One collector, as it is now."""

    name: str
    state: State = State.READING
    records: int = 0
    """Rows that are stored, of this run."""
    rejects: int = 0
    failures: int = 0
    error: str = ""
    """The last one."""
    error_time: float | None = None
    """When it was: epoch seconds."""
    watermarks: dict[str, int] = field(default_factory=dict)
    """Of each of its sources, in microseconds."""
    marks: list[tuple[float, int]] = field(default_factory=list)
    """When (monotonic) how many records were stored, of the last few seconds."""

    @property
    def watermark_us(self) -> int | None:
        """Up to when all of its sources have told everything."""
        return min(self.watermarks.values(), default=None)

    def rate(self, over_s: float = RATE_S) -> float:
        """Records a second, of late. In any thread."""
        now, marks = time.monotonic(), list(self.marks)
        recent = [mark for mark in marks[1:] if now - mark[0] <= over_s]
        if not marks:
            return 0.0
        since, before = marks[len(marks) - len(recent) - 1]
        return (self.records - before) / max(now - since, 1.0)

    def mark(self) -> None:
        """Note how much is stored now."""
        now = time.monotonic()
        while len(self.marks) > 1 and now - self.marks[1][0] > RATE_S:
            del self.marks[0]
        self.marks.append((now, self.records))


class Supervisor:
    """Gives the batches of all ``makers``' collectors as they come.

    Each runs in a thread of its own. One that raises SourceUnavailable, or whatever else, is
    made and started again after a pause, from what was committed; the others never wait for
    it. One that is set up wrongly (any other CollectError) is left. The iterator ends when
    every collector has; ``tell`` hears of failures and of what works again.

    Memory: each collector's own, and two batches that wait.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Collector]],
        *,
        tell: Callable[[str], None] | None = None,
        first_pause: float = FIRST_PAUSE_S,
    ) -> None:
        self._makers = dict(makers)
        self._tell = tell or (lambda _: None)
        self._first_pause = first_pause
        self._stop = threading.Event()
        self._runs: list[_Run] = []
        self.statuses = {name: Status(name) for name in self._makers}

    def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
        """Read on from ``positions``, until every collector ended or :meth:`close` is called."""
        ready: Queue[Batch] = Queue(maxsize=2)
        stop = threading.Event()
        runs = [
            _Run(make, dict(positions), ready, stop, self.statuses[name], self._tell, self._first_pause)
            for name, make in self._makers.items()
        ]
        self._runs += runs
        for run in runs:
            run.start()
        try:
            while not self._stop.is_set():
                try:
                    yield ready.get(timeout=_LOOK_S)
                except Empty:
                    if not any(run.is_alive() for run in runs) and ready.empty():
                        return
        finally:
            stop.set()

    def close(self) -> None:
        """Close every collector. Safe to call twice."""
        self._stop.set()
        for run in self._runs:
            run.end()
        deadline = time.monotonic() + PATIENCE_S
        for run in self._runs:
            run.wait(deadline)
        self._runs.clear()


class _Run(threading.Thread):
    """One collector, again and again."""

    def __init__(
        self,
        make: Callable[[], Collector],
        positions: dict[str, str],
        ready: Queue[Batch],
        ending: threading.Event,
        status: Status,
        tell: Callable[[str], None],
        first_pause: float,
    ) -> None:
        # A daemon, so that one that hangs cannot keep the process.
        super().__init__(name=f"clew-collect-{status.name}", daemon=True)
        self._make = make
        self._positions = positions
        self._ready = ready
        self._ending = ending
        self._status = status
        self._tell = tell
        self._first_pause = first_pause
        self._changed = threading.Condition()
        self._open = 0
        """Batches that were given and not settled."""
        self._lost = False
        """One of them was not stored."""
        self._collector: Collector | None = None
        self._closer: threading.Thread | None = None

    def end(self) -> None:
        """Stop, without waiting for it."""
        self._ending.set()
        with self._changed:
            self._changed.notify_all()
        # Its own thread closes the collector; one that waits in there is woken.
        collector = self._collector
        if collector is not None:
            self._closer = threading.Thread(target=collector.close, name=f"{self.name}-close", daemon=True)
            self._closer.start()

    def wait(self, deadline: float) -> None:
        """Wait until it has ended, at most until a (monotonic) time."""
        for thread in (self, self._closer):
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def run(self) -> None:
        """Until it ends by itself, is wrong, or is to stop."""
        pause = self._first_pause
        while not self._ending.is_set():
            begun = time.monotonic()
            error = self._once()
            if self._ending.is_set():
                return
            if error is None:
                self._status.state = State.ENDED
                return
            self._status.failures += 1
            self._status.error, self._status.error_time = str(error) or type(error).__name__, time.time()
            if isinstance(error, CollectError) and not isinstance(error, SourceUnavailable):
                self._status.state = State.WRONG
                self._tell(f"{self._status.name}: {self._status.error}; it is not tried again")
                return
            if self._status.state is not State.WAITING:
                self._tell(f"{self._status.name}: {self._status.error}; it is tried again")
            self._status.state = State.WAITING
            if time.monotonic() - begun > STEADY_S:
                pause = self._first_pause
            self._ending.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _once(self) -> Exception | None:
        """Run a new collector to its end; what ended it otherwise."""
        self._wait_for_outcomes()
        self._lost = False
        try:
            self._collector = collector = self._make()
            try:
                for batch in collector.batches(dict(self._positions)):
                    self._works()
                    if not self._give(batch):
                        return None
            finally:
                collector.close()
                self._collector = None
        except Exception as error:  # noqa: BLE001  whatever ends one must not end the others
            return error
        return None

    def _works(self) -> None:
        if self._status.state is State.WAITING:
            self._tell(f"{self._status.name}: it works again")
        self._status.state = State.READING

    def _give(self, batch: Batch) -> bool:
        """Hand a batch on; False where reading is to stop."""
        settle = batch.settle

        def settled(outcome: Outcome) -> None:
            if outcome.committed:
                self._count(batch, outcome)
            with self._changed:
                self._open -= 1
                self._lost |= not outcome.committed
                self._changed.notify_all()
            if settle is not None:
                settle(outcome)

        with self._changed:
            if self._lost:
                return False
            self._open += 1
        given = replace(batch, settle=settled)
        while not self._ending.is_set():
            try:
                self._ready.put(given, timeout=_LOOK_S)
            except Full:
                continue
            return True
        return False

    def _count(self, batch: Batch, outcome: Outcome) -> None:
        status = self._status
        if not status.marks:
            status.mark()
        self._positions[batch.source] = batch.position
        rejected = sum(one.count for one in outcome.rejected.values())
        status.records += (batch.raw.num_rows if batch.raw is not None else 0) - rejected
        status.rejects += rejected + len(batch.rejects)
        status.mark()
        if batch.watermark is not None:
            status.watermarks[batch.source] = batch.watermark.time_us

    def _wait_for_outcomes(self) -> None:
        """What was given must be stored, or not, before it is read again."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open or self._ending.is_set())
