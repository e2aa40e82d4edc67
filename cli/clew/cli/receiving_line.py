"""The status line of ``clew receive``: rate, what waits, what was rejected."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clew.cli.units import count, size

if TYPE_CHECKING:
    from clew.collectors.otlp.receiver import Receiver

_OVER_S = 5.0


class ReceivingLine:
    """Asks a receiver each time it is drawn; the rate is of the last few seconds."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._marks = [(time.monotonic(), receiver.tally.records)]

    def text(self) -> str:
        """``1,204,311 records, 5,012/s, 3 requests (1.2 MB) wait, 2 rejected``."""
        tally = self._receiver.tally
        now = time.monotonic()
        self._marks.append((now, tally.records))
        while len(self._marks) > 2 and now - self._marks[1][0] > _OVER_S:  # noqa: PLR2004
            del self._marks[0]
        since, before = self._marks[0]
        rate = round((tally.records - before) / max(now - since, 0.1))
        parts = [count(tally.records, "record"), f"{count(rate)}/s"]
        if tally.waiting:
            parts.append(f"{count(tally.waiting, 'request')} ({size(tally.waiting_bytes)}) waiting")
        for number, what in (
            (tally.rejected, "rejected"),
            (tally.refused, "refused"),
            (tally.put_off, "put off"),
        ):
            if number:
                parts.append(f"{count(number)} {what}")
        return ", ".join(parts)
