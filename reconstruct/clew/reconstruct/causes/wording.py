"""Durations and times as people say them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FEW = 10
SHORT = 8
_LONG_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|[0-9a-f]{16,}", re.IGNORECASE)


def spoken(us: int) -> str:
    """``340 ms``, ``2.4 s``, ``12 min``, ``3 h 20 min``, ``4 days``."""
    us = max(us, 0)
    if us < SECOND:
        return f"{round(us / 1000)} ms"
    if us < FEW * SECOND:
        return f"{us / SECOND:.1f} s".replace(".0 ", " ")
    if us < 2 * MINUTE:
        return f"{us // SECOND} s"
    if us < 2 * HOUR:
        return f"{us // MINUTE} min"
    if us < 2 * DAY:
        hours, rest = divmod(us, HOUR)
        return f"{hours} h {rest // MINUTE} min" if rest >= MINUTE and hours < FEW else f"{hours} h"
    return f"{us // DAY} days"


def between(start: datetime | None, end: datetime | None) -> int | None:
    """Microseconds, None where either time is not known."""
    if start is None or end is None:
        return None
    return (end - start) // timedelta(microseconds=1)


def likely(likelihood: float) -> str:
    """``0.97``: rounded down, and never 1, since nothing inferred is certain."""
    return f"{min(int(likelihood * 100), 99) / 100:.2f}"


def at(time: datetime | None) -> str:
    """``at 2026-03-02 09:42:50Z``; "" where not known."""
    return f"at {time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if time is not None else ""


def times(number: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def short(flow_id: str) -> str:
    """The beginning of an ID that nobody reads out; any other stands whole."""
    return flow_id[:SHORT] if _LONG_ID.fullmatch(flow_id) else flow_id
