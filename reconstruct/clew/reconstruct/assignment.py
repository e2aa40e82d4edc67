"""Who belongs with whom, where each has at most one partner: how likely each pair is, among all ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

BEAM = 256
"""Sets of what is taken that are followed on at a time; fewer where pairs are so many that it took long."""
WORK = 20_000_000
"""Times that a set and a pair are looked at together, about ten seconds' worth."""
NEGLIGIBLE = 1e-6
"""Odds of so small a share of the best that either side has are none."""

Edge = tuple[int, int, float]
"""(left, right, odds of the pair against neither having a partner)"""


@dataclass(frozen=True, slots=True)
class Assigned:
    """The best partner of one thing on the right."""

    left: int
    right: int
    likelihood: float
    second: float
    """Likelihood of the next best partner of ``right``; 0 where there is none."""


def assign(pairs: Iterable[Edge]) -> list[Assigned]:
    """(left, right, odds of the pair against neither having a partner) → the best partner of each on the right.

    Each side has at most one partner on the other, and the likelihoods are marginals over all
    such assignments, each weighed by the product of its odds. What is given more than one half
    cannot contradict another: of the marginals of one thing on either side at most one is
    above it. The best first, ties by left and right.

    The sum goes from right to right and knows only which lefts are taken that a later one may
    still want; where the numbers of both follow time these are few. Where they are many, the
    likeliest sets are followed on, :data:`BEAM` at most. (Belief propagation, which needs no such
    bound, is sure of one assignment where two are about as likely.)
    """
    edges = list(pairs)
    marginal = [0.0] * len(edges)
    by_right: dict[int, list[int]] = {}
    for number, (_, right, _) in enumerate(edges):
        by_right.setdefault(right, []).append(number)
    kept = _worth(edges, by_right)
    beam = max(1, min(BEAM, WORK // max(len(kept), 1)))
    for component in _components(edges, kept):
        _sum(edges, component, marginal, beam)
    found = []
    for right, numbers in by_right.items():
        ranked = sorted(numbers, key=lambda number: (-marginal[number], edges[number][0]))
        second = marginal[ranked[1]] if len(ranked) > 1 else 0.0
        found.append(Assigned(edges[ranked[0]][0], right, marginal[ranked[0]], second))
    return sorted(found, key=lambda one: (-one.likelihood, one.left, one.right))


def _worth(edges: Sequence[Edge], by_right: Mapping[int, list[int]]) -> list[int]:
    """Numbers of the edges without those that neither side can take seriously, by right."""
    best_left: dict[int, float] = {}
    best_right: dict[int, float] = {}
    for left, right, odds in edges:
        best_left[left] = max(best_left.get(left, 0.0), odds)
        best_right[right] = max(best_right.get(right, 0.0), odds)
    return [
        number
        for right in sorted(by_right)
        for number in by_right[right]
        if edges[number][2] > NEGLIGIBLE * max(1.0, min(best_left[edges[number][0]], best_right[right]))
    ]


def _components(edges: Sequence[Edge], kept: Sequence[int]) -> list[list[int]]:
    """The edges by what hangs together, each in the order given."""
    above: dict[tuple[int, int], tuple[int, int]] = {}

    def root(node: tuple[int, int]) -> tuple[int, int]:
        while (up := above.setdefault(node, node)) != node:
            above[node] = above.setdefault(up, up)
            node = above[node]
        return node

    for number in kept:
        above[root((0, edges[number][0]))] = root((1, edges[number][1]))
    found: dict[tuple[int, int], list[int]] = {}
    for number in kept:
        found.setdefault(root((1, edges[number][1])), []).append(number)
    return list(found.values())


class _Right(NamedTuple):
    """One thing on the right: what it may take, and which lefts no later one wants."""

    choices: list[tuple[int, float, int]]
    """(bit of the left, odds, number of the edge)"""
    mask: int
    """The bits that need be remembered after it."""


def _rights(edges: Sequence[Edge], component: Sequence[int]) -> list[_Right]:
    by_right: dict[int, list[int]] = {}
    last: dict[int, int] = {}
    for number in component:
        left, right, _ = edges[number]
        by_right.setdefault(right, []).append(number)
        last[left] = right
    bit = {left: 1 << place for place, left in enumerate(last)}
    return [
        _Right(
            [(bit[edges[number][0]], edges[number][2], number) for number in own],
            ~sum(bit[edges[number][0]] for number in own if last[edges[number][0]] == right),
        )
        for right, own in by_right.items()
    ]


def _forward(rights: Sequence[_Right], beam: int) -> list[dict[int, float]]:
    """Before each right and after the last: set of taken lefts → weight of all ways to it."""
    layers = [{0: 1.0}]
    for choices, mask in rights:
        after: dict[int, float] = {}
        for taken, weight in layers[-1].items():
            after[taken & mask] = after.get(taken & mask, 0.0) + weight
            for bit, odds, _ in choices:
                if not taken & bit:
                    state = (taken | bit) & mask
                    after[state] = after.get(state, 0.0) + weight * odds
        likeliest = sorted(after.items(), key=lambda item: -item[1])[:beam]
        whole = sum(weight for _, weight in likeliest)
        layers.append({state: weight / whole for state, weight in likeliest})
    return layers


def _sum(edges: Sequence[Edge], component: Sequence[int], marginal: list[float], beam: int) -> None:
    """Set the marginals of one component's edges, backward over what :func:`_forward` found."""
    rights = _rights(edges, component)
    layers = _forward(rights, beam)
    later = dict.fromkeys(layers.pop(), 1.0)
    for (choices, mask), layer in zip(reversed(rights), reversed(layers), strict=True):
        ways: dict[int, float] = {}
        found: dict[int, float] = {}
        for taken, weight in layer.items():
            ways[taken] = later.get(taken & mask, 0.0)
            for bit, odds, number in choices:
                if not taken & bit:
                    share = odds * later.get((taken | bit) & mask, 0.0)
                    ways[taken] += share
                    found[number] = found.get(number, 0.0) + weight * share
        whole = sum(weight * ways[taken] for taken, weight in layer.items())
        for number, share in found.items():
            marginal[number] = share / whole
        most = max(ways.values())
        later = {taken: way / most for taken, way in ways.items()}
