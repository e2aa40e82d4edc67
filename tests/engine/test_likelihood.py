"""Likelihoods: lags as they were seen, and pairs among all ways in which each has at most one partner."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.reconstruct.assignment import assign
from clew.reconstruct.likelihood import PER_DOUBLING, at_quantile, density, width_us, within

ODDS = st.floats(0.01, 1000)


def bucket_of(lag_us: float) -> int:
    """The bucket of a lag, as the store counts it."""
    return math.floor(PER_DOUBLING * math.log2(max(lag_us, 1)))


def every_way(lefts: int, rights: int, odds: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """The marginals, by trying every assignment."""
    whole, found = 0.0, Counter[tuple[int, int]]()
    for chosen in product([None, *range(lefts)], repeat=rights):
        taken = [left for left in chosen if left is not None]
        pairs = [(left, right) for right, left in enumerate(chosen) if left is not None]
        if len(set(taken)) < len(taken) or any(pair not in odds for pair in pairs):
            continue
        weight = math.prod(odds[pair] for pair in pairs)
        whole += weight
        for pair in pairs:
            found[pair] += weight  # type: ignore[assignment]
    return {pair: weight / whole for pair, weight in found.items()}


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), ODDS, min_size=1))
def test_a_pair_is_as_likely_as_all_assignments_together_say(odds: dict[tuple[int, int], float]) -> None:
    exact = every_way(4, 4, odds)
    for one in assign((left, right, weight) for (left, right), weight in odds.items()):
        ranked = sorted((exact[pair] for pair in odds if pair[1] == one.right), reverse=True)
        assert one.likelihood == pytest.approx(ranked[0], abs=1e-5)
        assert one.second == pytest.approx(ranked[1] if len(ranked) > 1 else 0.0, abs=1e-5)


@given(st.dictionaries(st.tuples(st.integers(0, 40), st.integers(0, 40)), ODDS, min_size=1, max_size=200))
def test_what_is_likelier_than_not_contradicts_nothing_else_that_is(
    odds: dict[tuple[int, int], float],
) -> None:
    found = assign((left, right, weight) for (left, right), weight in odds.items())
    lefts = [one.left for one in found if one.likelihood > 0.5]
    assert len(lefts) == len(set(lefts))
    assert len({one.right for one in found}) == len(found)
    assert all(0 <= one.second <= one.likelihood <= 1 + 1e-9 for one in found)


def test_two_that_may_as_well_be_the_other_way_round_are_not_sure() -> None:
    found = assign([(1, 1, 4e6), (1, 2, 6e6), (2, 1, 1e6), (2, 2, 2e6)])
    assert [(one.left, one.right) for one in found] == [(1, 1), (2, 2)]
    assert found[0].likelihood == pytest.approx(8 / 14, abs=1e-3)


def test_a_pair_without_rivals_is_as_likely_as_its_odds() -> None:
    assert assign([(7, 9, 3.0)])[0].likelihood == pytest.approx(0.75)
    assert assign([]) == []


def test_order_does_not_matter() -> None:
    pairs = [(left, right, 1.0 + left * right) for left in range(12) for right in range(12)]
    assert {(one.left, one.right, round(one.likelihood, 9)) for one in assign(pairs)} == {
        (one.left, one.right, round(one.likelihood, 9)) for one in assign(reversed(pairs))
    }


@given(st.lists(st.integers(10**6, 10**10), min_size=1, max_size=300))
def test_a_density_is_one_in_all(lags: list[int]) -> None:
    found = density(Counter(map(bucket_of, lags)))
    whole = sum(each * width_us(bucket) / 1e6 for bucket, each in found.items())
    assert whole == pytest.approx(1)
    assert all(bucket_of(lag) in found for lag in lags)


def test_a_lag_like_many_is_denser_than_one_far_from_all() -> None:
    found = density(Counter(map(bucket_of, [4_000, 4_200, 3_900, 5_000, 6_100, 4_400])))
    assert found[bucket_of(4_100)] > 10 * found.get(bucket_of(40_000), 0.0)
    assert density({}) == {}


def test_quantiles_are_within_a_bucket() -> None:
    counts = Counter(map(bucket_of, range(1, 1001)))
    assert at_quantile(counts, 0.5) == pytest.approx(500, rel=0.1)
    assert at_quantile(counts, 0.99) == pytest.approx(990, rel=0.1)


@given(st.dictionaries(st.integers(80, 200), st.integers(1, 50), min_size=1))
def test_a_lag_that_nobody_saw_is_unlikely_and_not_impossible(lags: dict[int, int]) -> None:
    seen = density(lags)
    least, most = (at_quantile(lags, share) for share in (0.0, 1.0))
    found = within(seen, least // 3, most * 3 + 1)
    assert all(found[bucket] > 0 for bucket in range(bucket_of(least // 3), bucket_of(most * 3 + 1) + 1))
    likeliest = max(lags, key=lambda bucket: lags[bucket])
    assert found[likeliest] == pytest.approx(seen[likeliest], rel=0.1)
    beyond = sum(found[bucket] * width_us(bucket) / 1e6 for bucket in found if bucket not in seen)
    assert beyond < 0.01
