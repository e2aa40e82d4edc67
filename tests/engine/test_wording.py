"""Durations, numbers and IDs as people say them."""

from __future__ import annotations

import pytest

from clew.reconstruct.causes.scene import LONGEST, names, shortened
from clew.reconstruct.causes.wording import DAY, HOUR, MINUTE, SECOND, short, spoken, times


@pytest.mark.parametrize(
    ("us", "said"),
    [
        (-5, "0 ms"),
        (340_000, "340 ms"),
        (2 * SECOND, "2 s"),
        (2_400_000, "2.4 s"),
        (70 * SECOND, "70 s"),
        (12 * MINUTE + 59 * SECOND, "12 min"),
        (3 * HOUR + 20 * MINUTE, "3 h 20 min"),
        (4 * HOUR, "4 h"),
        (30 * HOUR, "30 h"),
        (4 * DAY + HOUR, "4 days"),
    ],
)
def test_a_duration_is_said_in_one_or_two_units(us: int, said: str) -> None:
    assert spoken(us) == said


@pytest.mark.parametrize(
    ("flow_id", "said"),
    [
        ("6441840f-3d79-4c3d-a834-1ec71e110d62", "6441840f"),
        ("1a8721c847c760b9d50fa255b2946e3f", "1a8721c8"),
        ("order-4711", "order-4711"),
        ("6441840f-3d79-4c3d-a834-1ec71e110d62#2", "6441840f-3d79-4c3d-a834-1ec71e110d62#2"),
    ],
)
def test_only_an_id_that_nobody_reads_out_is_shortened(flow_id: str, said: str) -> None:
    assert short(flow_id) == said


def test_lists_and_numbers_read_as_sentences_do() -> None:
    assert [names("A"), names("AB"), names("ABC"), names([])] == ["A", "A and B", "A, B and C", ""]
    assert [times(1), times(2), times(3)] == ["once", "twice", "3 times"]


def test_a_quoted_text_is_one_line_of_bounded_length() -> None:
    assert shortened("no\n  answer\t") == "no answer"
    assert len(shortened("x" * 1_000_000)) == LONGEST + 3
