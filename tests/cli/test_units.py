"""Durations, times and sizes read and written as a person does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.cli.units import count, duration, moment, moments, read_duration, read_moment, size

NOW = datetime(2026, 1, 31, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (None, ""),
        (0, "0ms"),
        (1, "0.001ms"),
        (850, "0.85ms"),
        (4_200, "4.2ms"),
        (350_000, "350ms"),
        (999_400, "999ms"),
        (999_600, "1.00s"),
        (1_240_000, "1.24s"),
        (12_400_000, "12.4s"),
        (59_960_000, "1m00s"),
        (125_000_000, "2m05s"),
        (3_599_600_000, "1h00m"),
        (11_520_000_000, "3h12m"),
        (86_399_999_999, "1d00h"),
        (187_200_000_000, "2d04h"),
        (-5_000_000, "-5.00s"),
    ],
)
def test_a_duration_is_short_and_rounded(us: int | None, text: str) -> None:
    assert duration(us) == text


@given(st.integers(0, 400 * 86_400_000_000))
def test_no_duration_of_a_year_is_longer_than_its_column(us: int) -> None:
    assert len(duration(us)) <= 7


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-30T10:00:00Z", datetime(2026, 1, 30, 10, tzinfo=UTC)),
        ("2026-01-30T10:00:00+02:00", datetime(2026, 1, 30, 8, tzinfo=UTC)),
        ("2026-01-30 10:00", datetime(2026, 1, 30, 10, tzinfo=UTC)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=UTC)),
        ("15m", NOW - timedelta(minutes=15)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2 d ago", NOW - timedelta(days=2)),
        ("now", NOW),
        ("today", datetime(2026, 1, 31, tzinfo=UTC)),
        ("yesterday", datetime(2026, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_a_person_writes_it(text: str, time: datetime) -> None:
    assert read_moment(text, lambda: NOW) == time


@pytest.mark.parametrize("text", ["", "soon", "15", "15x", "2026-13-01", "-5m", "99999999999999w", "1h 2"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the option's message is written by its type
        read_moment(text, lambda: NOW)


def test_durations_are_read_in_microseconds() -> None:
    assert [read_duration(text) for text in ("90s", "1h30m", "1.5ms", "2 d")] == [
        90_000_000,
        5_400_000_000,
        1_500,
        172_800_000_000,
    ]


def test_a_column_of_one_day_leaves_the_date_out() -> None:
    later = NOW + timedelta(hours=1)
    assert moments([NOW, None, later]) == ["12:30:15", "", "13:30:15"]
    assert moments([NOW, NOW + timedelta(days=1)]) == ["2026-01-31 12:30:15", "2026-02-01 12:30:15"]


def test_times_are_shown_in_utc() -> None:
    assert moment(NOW.astimezone(timezone(timedelta(hours=2)))) == "2026-01-31 12:30:15.000Z"
    assert moment(None) == "unknown"


def test_counts_and_sizes_are_set_apart_in_thousands() -> None:
    assert count(1, "error") == "1 error"
    assert count(12_345, "record") == "12,345 records"
    assert [size(one) for one in (0, 999, 1_500, 312_000_000, 4_200_000_000_000)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "312 MB",
        "4.2 TB",
    ]
