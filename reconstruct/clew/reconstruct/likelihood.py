"""How likely a lag is, by those that were seen. Lags are microseconds; nothing here knows of flows or of a store."""

from __future__ import annotations

import math
from collections.abc import Mapping

PER_DOUBLING = 8
"""Buckets of a lag's histogram for each doubling."""
_REACH = 3
"""Standard deviations of the kernel beyond which a bucket spreads nothing."""
_LEAST_SPREAD = 1.0
"""Buckets over which even a sharp histogram is smoothed: no lag is known better than by 9 %."""

_ODD = 0.003
"""Share of lags that are like none that was seen."""


def width_us(bucket: int) -> float:
    """How many microseconds a bucket spans."""
    return float(2 ** ((bucket + 1) / PER_DOUBLING) - 2 ** (bucket / PER_DOUBLING))


def density(counts: Mapping[int, int]) -> dict[int, float]:
    """Histogram of lags by bucket → probability density per second, by bucket.

    Smoothed on the logarithm of the lag by a Gaussian kernel whose width follows
    Silverman's rule (Density Estimation, 1986, eq. 3.31), since latencies are closer to
    log-normal than to anything else. {} for no counts.
    """
    total = sum(counts.values())
    if not total:
        return {}
    sigma = _spread(counts, total)
    kernel = max(0.9 * sigma * total**-0.2, _LEAST_SPREAD)
    reach = math.ceil(_REACH * kernel)
    steps = [math.exp(-0.5 * (step / kernel) ** 2) for step in range(-reach, reach + 1)]
    norm = sum(steps)
    mass: dict[int, float] = {}
    for bucket, count in counts.items():
        for step, weight in zip(range(-reach, reach + 1), steps, strict=True):
            place = bucket + step
            if place >= 0:
                mass[place] = mass.get(place, 0.0) + count * weight / norm
    return {bucket: held / total / width_us(bucket) * 1e6 for bucket, held in sorted(mass.items())}


def within(dense: Mapping[int, float], least_us: int, most_us: int) -> dict[int, float]:
    """A density between two lags, of which :data:`_ODD` is spread evenly over the logarithm of the lag.

    So that a lag that nobody saw so far is unlikely and not impossible: or else what fits worse is
    taken for certain where what is right was slower than ever.
    """
    first = math.floor(PER_DOUBLING * math.log2(max(least_us, 1)))
    last = math.floor(PER_DOUBLING * math.log2(max(most_us, 1)))
    odd = _ODD / (last - first + 1)
    return {
        bucket: (1 - _ODD) * dense.get(bucket, 0.0) + odd / width_us(bucket) * 1e6
        for bucket in range(first, last + 1)
    }


def _spread(counts: Mapping[int, int], total: int) -> float:
    """The standard deviation, or a robust one where outliers stretch it."""
    mean = sum(bucket * count for bucket, count in counts.items()) / total
    deviation = math.sqrt(sum(count * (bucket - mean) ** 2 for bucket, count in counts.items()) / total)
    return min(deviation, (quantile(counts, 0.75) - quantile(counts, 0.25)) / 1.34 or deviation)


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The bucket below which ``share`` of the counts lie, or in which it is reached."""
    total, seen = sum(counts.values()), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= share * total:
            return bucket
    raise ValueError("no counts")


def at_quantile(counts: Mapping[int, int], share: float) -> int:
    """A quantile in microseconds: the geometric middle of its bucket."""
    return round(2 ** ((quantile(counts, share) + 0.5) / PER_DOUBLING))
