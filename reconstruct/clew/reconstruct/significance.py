"""When a difference between two windows is more than chance, and large enough to matter.

Three conditions, all of which must hold:

- *Support*: each window has at least :data:`SUPPORT` observations.
- *Chance*: the difference is at least :data:`Z` standard errors. Three of them leave 0.27 % to
  chance, so that a report of a hundred measures does not cry wolf.
- *Size*: of a million flows every difference is real and few matter. A share must differ by
  Cohen's h of :data:`SMALL_H` (95.0 to 96.1 %, or 0 to 0.07 %); of durations, one taken after
  must be longer than one taken before in at least :data:`SMALL_A` of all pairs, or in at most
  the complement (Vargha and Delaney 2000: 0.56 is a small effect).

Shares are compared by the two-proportion z-test with the pooled share. Durations by the
Mann-Whitney rank test, which no outlier moves, over histograms of eight buckets for each
doubling, with the usual correction for ties.
"""

from __future__ import annotations

from math import asin, sqrt
from typing import NamedTuple

SUPPORT = 30
Z = 3.0
SMALL_H = 0.05
SMALL_A = 0.56


class Verdict(NamedTuple):
    """``z`` standard errors, ``effect`` (h, or the share of pairs), and whether it counts."""

    z: float
    effect: float
    significant: bool


def of_shares(count_before: int, before: int, count_after: int, after: int) -> Verdict | None:
    """Compare two shares; None where either window has nothing."""
    if not before or not after:
        return None
    share_before, share_after = count_before / before, count_after / after
    pooled = (count_before + count_after) / (before + after)
    error = sqrt(pooled * (1 - pooled) * (1 / before + 1 / after))
    z = (share_after - share_before) / error if error else 0.0
    h = 2 * asin(sqrt(share_after)) - 2 * asin(sqrt(share_before))
    enough = min(before, after) >= SUPPORT
    return Verdict(z, h, enough and abs(z) >= Z and abs(h) >= SMALL_H)


def of_durations(before: int, after: int, longer: float, ties: float) -> Verdict | None:
    """Compare two sets of durations; None where either is empty.

    ``longer`` is the share of pairs in which the one after is longer, equal ones counted
    half; ``ties`` the sum of t³ - t over the numbers t of durations in one bucket.
    """
    if not before or not after:
        return None
    both = before + after
    loose = 1 - ties / (both**3 - both) if both > 1 else 0.0
    error = sqrt((both + 1) / (12 * before * after) * max(loose, 0.0))
    z = (longer - 0.5) / error if error else 0.0
    enough = min(before, after) >= SUPPORT
    large = longer >= SMALL_A or longer <= 1 - SMALL_A
    return Verdict(z, longer, enough and abs(z) >= Z and large)
