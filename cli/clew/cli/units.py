"""Durations, times, counts and sizes as a person reads and writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MS = 1_000
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_TEN = 10

_UNITS = {
    "us": 1,
    "µs": 1,
    "ms": _MS,
    "s": _SECOND,
    "m": _MINUTE,
    "min": _MINUTE,
    "h": _HOUR,
    "d": _DAY,
    "w": 7 * _DAY,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|min|m|h|d|w)")


def microseconds(start: datetime | None, end: datetime | None) -> int | None:
    """From ``start`` to ``end``; None where either is not known."""
    if start is None or end is None:
        return None
    return (end - start) // timedelta(microseconds=1)


def duration(us: int | None) -> str:
    """A duration in about six characters: ``4.2ms``, ``1.24s``, ``2m05s``, ``3d04h``; "" for None."""
    if us is None:
        return ""
    if us < 0:
        return "-" + duration(-us)
    if us < _MINUTE - _SECOND / 20:
        return _short_duration(us)
    for unit, small, name, small_name, per in (
        (_MINUTE, _SECOND, "m", "s", 60),
        (_HOUR, _MINUTE, "h", "m", 24),
        (_DAY, _HOUR, "d", "h", None),
    ):
        whole, part = divmod(round(us / small), unit // small)
        if per is None or whole < per:
            return f"{whole}{name}{part:02}{small_name}"
    raise AssertionError(us)


def _short_duration(us: int) -> str:
    if us < _SECOND - _MS / 2:
        return f"{us / _MS:.2g}ms" if us < _TEN * _MS else f"{round(us / _MS)}ms"
    return f"{us / _SECOND:.2f}s" if us < _TEN * _SECOND else f"{us / _SECOND:.1f}s"


def moment(time: datetime | None) -> str:
    """A time to the millisecond, e.g. ``2026-01-31 12:00:00.123Z``; ``unknown`` for None."""
    if time is None:
        return "unknown"
    return _utc(time).strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


def moments(times: list[datetime | None]) -> list[str]:
    """Times of a column: without the date where all are of one day, to the second."""
    days = {_utc(time).date() for time in times if time is not None}
    pattern = "%H:%M:%S" if len(days) == 1 else "%Y-%m-%d %H:%M:%S"
    return ["" if time is None else _utc(time).strftime(pattern) for time in times]


def count(number: int, thing: str = "", things: str | None = None) -> str:
    """A number with thousands set apart, and what it counts: ``1 error``, ``12,345 records``."""
    if not thing:
        return f"{number:,}"
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def size(bytes_: int) -> str:
    """Bytes in decimal units, e.g. ``1.2 MB``."""
    amount = float(bytes_)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"  # noqa: PLR2004
        amount /= 1000
    return f"{amount:.1f} TB"


def read_duration(text: str) -> int:
    """Microseconds of ``90s``, ``1h30m``, ``2 d``.

    Raises:
        ValueError: it is no such duration.
    """
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        raise ValueError(text)
    return sum(int(float(number) * _UNITS[unit]) for number, unit in parts)


def read_moment(text: str, now: Callable[[], datetime]) -> datetime:
    """A time: ISO 8601 (UTC where it names no zone), now, today, yesterday, or so long before now.

    ``now`` is only asked where the text depends on it.

    Raises:
        ValueError: it is none of these.
    """
    word = text.strip().lower()
    if word in {"now", "today", "yesterday"}:
        present = _utc(now())
        midnight = present.replace(hour=0, minute=0, second=0, microsecond=0)
        return {"now": present, "today": midnight, "yesterday": midnight - timedelta(days=1)}[word]
    try:
        return _utc(datetime.fromisoformat(text.strip()))
    except ValueError:
        try:
            return _utc(now()) - timedelta(microseconds=read_duration(word.removesuffix("ago").strip()))
        except OverflowError:
            raise ValueError(text) from None


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
