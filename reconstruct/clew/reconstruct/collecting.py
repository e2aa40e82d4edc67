"""Joining live collectors to a store: until they end or are stopped, whatever the store's trouble."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clew.reconstruct.ingest import IngestReport, Progress, Stopped, ingest, stoppable
from clew.reconstruct.receiving import PASSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.collectors.collector import Collector
    from clew.reconstruct.errors import StoreError
    from clew.reconstruct.store import Store

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Until the store is tried again; doubled each time."""


def collect(
    store: Store,
    make: Callable[[], Collector],
    *,
    progress: Progress | None = None,
    trouble: Callable[[StoreError], None],
) -> IngestReport:
    """Store what a collector gives until it ends, or SIGINT or SIGTERM ends it after the batch at hand.

    A store that cannot be written to now (busy, full, missing) is tried again and again, with a
    new collector from what was committed; ``trouble`` is told each time. The report tells of
    the time since then.

    Raises:
        StoreError: the store cannot take what was read, or was in trouble when it was to end.
        CollectError: the collector is used wrongly.
    """
    pause = FIRST_PAUSE_S
    while True:
        collector = make()
        try:
            return ingest(store, collector, progress=progress)
        except PASSING as error:
            trouble(error)
            collector.close()
            if _is_stopped_within(pause):
                raise
            pause = min(2 * pause, LONGEST_PAUSE_S)
        finally:
            collector.close()


def _is_stopped_within(seconds: float) -> bool:
    with stoppable(enabled=True) as stop:
        try:
            with stop.at_once():
                time.sleep(seconds)
        except Stopped:
            return True
    return False
