"""The status line of ``clew receive``: rate, what waits, what was rejected."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from clew.cli.units import count, size

if TYPE_CHECKING:
    from datetime import datetime

    from clew.cli.collecting import Trouble
    from clew.collectors.otlp.receiver import Receiver
    from clew.reconstruct.running import RunningSource

_OVER_S = 5.0


class ReceivingLine:
    """Asks a receiver each time it is drawn; the rate is of the last few seconds. For one thread."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._marks = [(time.monotonic(), receiver.tally.records)]

    def rate(self) -> float:
        """Records a second, of late."""
        now, records = time.monotonic(), self._receiver.tally.records
        self._marks.append((now, records))
        while len(self._marks) > 2 and now - self._marks[1][0] > _OVER_S:  # noqa: PLR2004
            del self._marks[0]
        since, before = self._marks[0]
        return (records - before) / max(now - since, 0.1)

    def text(self) -> str:
        """``1,204,311 records, 5,012/s, 3 requests (1.2 MB) wait, 2 rejected``."""
        tally = self._receiver.tally
        parts = [count(tally.records, "record"), f"{count(round(self.rate()))}/s"]
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

    def told(self, trouble: Trouble) -> tuple[list[RunningSource], tuple[str, datetime | None]]:
        """What other processes are told."""
        from clew.reconstruct.running import RunningSource

        tally = self._receiver.tally
        return [
            RunningSource(
                name="received",
                state="receiving",
                records=tally.records,
                rate=round(self.rate(), 1),
                behind_us=None,
                rejects=tally.rejected + tally.refused,
                failures=0,
                error="",
                error_time=None,
            )
        ], trouble.last
