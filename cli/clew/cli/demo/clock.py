"""Virtual time: an hour passes in seconds, and the same way each time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NS: Final = 1_000_000_000
START_NS: Final = int(START.timestamp()) * NS
FOREVER_S: Final = 30 * 24 * 3600.0
"""Longer than any recording: what sleeps this long hangs."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """Time as the running handler sees it; epoch nanoseconds.

    A second of the workflows takes ``second_ns``: fewer than there are in one where an hour
    is to pass in a minute of everybody's time.
    """

    def __init__(self, start_ns: int = START_NS, second_ns: int = NS) -> None:
        self.start_ns = start_ns
        self.second_ns = second_ns
        self.now_ns = start_ns

    def read(self) -> int:
        """Epoch nanoseconds, as ``time.time_ns`` gives them."""
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Let time pass for the running handler alone."""
        self.now_ns += self.lasting(seconds)

    def lasting(self, seconds: float) -> int:
        """Nanoseconds that so many of the workflows' seconds take."""
        # Whole microseconds, so that logs and spans name the very same instant.
        return round(seconds * (self.second_ns / NS) * 1_000_000) * 1000

    def moment(self) -> datetime:
        """Now, in UTC."""
        return as_datetime(self.now_ns)


def as_datetime(time_ns: int) -> datetime:
    """Give an epoch time in nanoseconds as UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


class Timeline:
    """What is to happen, in the order of virtual time (ties in the order of asking)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._asked = 0

    def at(self, time_ns: int, action: Callable[[], None]) -> None:
        """Run ``action`` when the clock reads ``time_ns``."""
        self._asked += 1
        heapq.heappush(self._due, (time_ns, self._asked, action))

    def next_ns(self) -> int | None:
        """When the next thing is due; None for never."""
        return self._due[0][0] if self._due else None

    def run(self, until_ns: int | None = None) -> bool:
        """Run what is due up to ``until_ns`` (all, if None); False when nothing was."""
        ran = False
        while self._due and (until_ns is None or self._due[0][0] <= until_ns):
            time_ns, _, action = heapq.heappop(self._due)
            self._clock.now_ns = time_ns
            action()
            ran = True
        return ran
