"""A difference counts where it is supported, no chance and large enough; each of the three alone does not."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from clew.reconstruct.significance import of_durations, of_shares


def test_shares_are_compared_as_the_textbook_does() -> None:
    # 60 of 100 and 45 of 100: pooled 0.525, standard error 0.07062.
    verdict = of_shares(60, 100, 45, 100)
    assert verdict is not None
    assert verdict.z == pytest.approx(-2.1240, abs=1e-4)
    assert verdict.effect == pytest.approx(-0.3015, abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "significant"),
    [
        ((0, 30, 30, 30), True),
        ((0, 29, 29, 29), False),  # no support
        ((10, 100, 20, 100), False),  # may be chance
        ((500_000, 1_000_000, 505_000, 1_000_000), False),  # no chance, and of no size
        ((999_000, 1_000_000, 995_000, 1_000_000), True),  # five times as many failures
        ((50, 50, 50, 50), False),
        ((0, 50, 0, 50), False),
    ],
)
def test_a_share_is_significant_by_support_chance_and_size_together(
    counts: tuple[int, int, int, int], *, significant: bool
) -> None:
    verdict = of_shares(*counts)
    assert verdict is not None
    assert verdict.significant is significant


def test_nothing_is_compared_with_nothing() -> None:
    assert of_shares(0, 0, 5, 10) is None
    assert of_shares(5, 10, 0, 0) is None
    assert of_durations(0, 10, 0.0, 0.0) is None
    assert of_durations(10, 0, 0.0, 0.0) is None


def test_durations_are_compared_by_rank_as_pair_by_pair() -> None:
    chance = Random(7)
    before = [chance.randrange(20) for _ in range(60)]
    after = [chance.randrange(20) + 5 for _ in range(50)]
    longer = sum((a > b) + (a == b) / 2 for a in after for b in before) / (len(before) * len(after))
    ties = sum(t**3 - t for t in Counter(before + after).values())
    verdict = of_durations(len(before), len(after), longer, ties)
    assert verdict is not None
    shuffled = [chance.sample(before + after, len(before) + len(after)) for _ in range(400)]
    ranks = [
        sum((a > b) + (a == b) / 2 for a in one[60:] for b in one[:60]) / (60 * 50) - 0.5 for one in shuffled
    ]
    deviation = (sum(one**2 for one in ranks) / len(ranks)) ** 0.5
    assert verdict.z == pytest.approx((longer - 0.5) / deviation, rel=0.15)
    assert verdict.significant


def test_durations_that_are_all_the_same_do_not_differ() -> None:
    verdict = of_durations(50, 50, 0.5, 100**3 - 100)
    assert verdict is not None
    assert (verdict.z, verdict.significant) == (0.0, False)


def test_a_small_shift_of_very_many_durations_is_not_significant() -> None:
    verdict = of_durations(1_000_000, 1_000_000, 0.51, 0.0)
    assert verdict is not None
    assert verdict.z > 3
    assert not verdict.significant
