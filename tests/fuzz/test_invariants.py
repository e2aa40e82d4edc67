"""Some mutated inputs of every format, and arbitrary bytes; ``make fuzz`` goes on for minutes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.fuzz.inputs import SEEDS, crowd, mutated
from tests.fuzz.invariants import check_file, check_lines, is_said

# Shrinking takes minutes here: each example plans SELECTs of hundreds of expressions.
few = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
RANDOMS = st.integers(0, 2**64).map(Random)


@few
@given(random=RANDOMS)
def test_units_become_sound_records_or_rejects(random: Random) -> None:
    check_lines(crowd(random).decode(errors="replace").split("\n"))
    check_lines(mutated(random.choice(SEEDS), random).decode(errors="replace").split("\n"))


@few
@given(random=RANDOMS, step=st.sampled_from([16, 300, 2000]))
def test_a_file_becomes_sound_records_or_rejects_however_it_is_cut(random: Random, step: int) -> None:
    check_file(mutated(random.choice(SEEDS), random), step)


@few
@given(data=st.binary(max_size=2000), step=st.integers(1, 300))
def test_arbitrary_bytes_become_records_or_rejects(data: bytes, step: int) -> None:
    check_file(data, step)


@pytest.mark.parametrize(
    ("micros", "text", "said"),
    [
        (1_772_366_400_000_000, '{"t":1772366400}', True),
        (1_772_366_400_005_000, '{"t":"1772366400000000","d":5000}', True),
        (1_772_366_400_000_000, "2026-03-01T12:00:00Z", True),
        (1_772_366_400_000_000, "2025-12-31T23:59:59-01:00", True),
        (1_772_366_400_000_000, "01/03/26 12:00:00", False),
        (1_772_366_400_000_000, "12:00:00", False),
        (17_280_000_000_000, "2026-03-01T12:00:00Z", False),
    ],
)
def test_what_a_text_says_of_a_time(micros: int, text: str, said: bool) -> None:  # noqa: FBT001
    assert is_said(micros, text) is said
