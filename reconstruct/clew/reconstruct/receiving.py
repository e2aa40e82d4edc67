"""Joining a collector that is pushed to a store: until it is closed, whatever the store's trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from clew.reconstruct.errors import StoreBusy, StoreError, StoreFull, StoreMissing, StoreUnusable
from clew.reconstruct.ingest import ingest

if TYPE_CHECKING:
    from clew.collectors.collector import Pushed
    from clew.reconstruct.store import Store

PASSING = (StoreBusy, StoreFull, StoreMissing, StoreUnusable)
"""What has to do with the store and not with what is written."""
PAUSE = 1.0
"""Seconds until the store is tried again."""


def receive(
    store: Store, collector: Pushed, *, ending: threading.Event, trouble: Callable[[StoreError], None]
) -> None:
    """Store what ``collector`` gives until it is closed and everything it took is stored.

    A store that cannot be written to is tried again and again; ``trouble`` is told each time.
    Once ``ending`` is set it is not tried again: what is not stored then was never answered
    with success, and whoever sent it sends it again.

    Raises:
        CollectError: the collector is used wrongly.
    """
    while True:
        try:
            ingest(store, collector, signals=False)
        except StoreError as error:
            passing = isinstance(error, PASSING)
            collector.failed(str(error), passing=passing)
            trouble(error)
            if passing and (ending.is_set() or ending.wait(PAUSE)):
                return
        else:
            return
