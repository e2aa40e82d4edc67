"""The structure of flows: milestones nested into sequences, choices and parallel parts.

The relations of :mod:`.ordering` are taken apart from the outside in, as process discovery does
(Leemans' inductive miner, on a behavioural profile instead of a directly-follows graph, since
what follows directly says little where services work side by side):

1. events that never meet in one flow are a **choice**;
2. else, events that are all before others are a **sequence** of such groups;
3. else, groups without any order between them are **parallel**;
4. else, what only some flows have is taken aside and stands as a choice beside the first event
   that these lack: a way that leads out of one of several parallel parts;
5. else the order is a net: its layers are a sequence, which owes nothing that the net does not,
   only some of it later.

Flows that stopped halfway are among the flows learned from. They never *skip*: so that a part
may be left out is told by the flows that went past it without it. How many may stop and the
part is still owed is bounded by :data:`STOPPED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from clew.reconstruct.learning.ordering import Ordering

SKIPPED: Final = 0.05
"""A part that more flows go past without it is no part of each run. Less may be lost records."""
STOPPED: Final = 0.2
"""Where more flows go no further, to go on is nothing that they owe."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One milestone."""

    number: int
    flows: int


@dataclass(frozen=True, slots=True)
class Row:
    """Parts one after the other."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """Parts side by side; what follows waits for all."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Parts of which a flow has one."""

    parts: tuple[Part, ...]
    flows: int


@dataclass(frozen=True, slots=True)
class Perhaps:
    """A part that may be left out."""

    part: Part


Part = Leaf | Row | Side | Choice | Perhaps


@dataclass(frozen=True, slots=True)
class Way:
    """Flows that have the same milestones of those looked at."""

    has: frozenset[int]
    flows: int
    past: bool
    """Whether they went on to what comes after those looked at."""


@dataclass(slots=True)
class Structure:
    """Finds the structure of milestones by their ordering."""

    ordering: Ordering
    unplaced: list[int] = field(default_factory=list)
    """Milestones that fit nowhere: rare ones, left out."""

    def of(self, numbers: Iterable[int]) -> Part | None:
        """The part that these milestones are; None for none."""
        among = frozenset(numbers)
        ways = [
            Way(has & among, flows, past=False) for has, flows in self.ordering.evidence.sets if has & among
        ]
        return self._part(among, ways) if among and ways else None

    def _part(self, among: frozenset[int], ways: Sequence[Way]) -> Part:
        if len(among) == 1:
            (number,) = among
            return Leaf(number, sum(way.flows for way in ways))
        precedes, excludes = self.ordering.precedes, self.ordering.excludes
        groups = _connected(among, lambda one, other: not excludes(one, other))
        if len(groups) > 1:
            return self._choice(groups, ways)
        groups = _connected(among, lambda one, other: not (precedes(one, other) or precedes(other, one)))
        if len(groups) > 1:
            return self._row(self._in_order(groups), ways)
        groups = _connected(
            among,
            lambda one, other: precedes(one, other) or precedes(other, one) or excludes(one, other),
        )
        if len(groups) > 1:
            return self._side(groups, ways)
        return self._net(among, ways)

    def _choice(self, groups: Sequence[frozenset[int]], ways: Sequence[Way]) -> Part:
        parts = []
        for group in groups:
            # A flow with some of two branches belongs to that of which it has more.
            own = [
                way
                for way in ways
                if way.has & group and all(len(way.has & group) >= len(way.has & other) for other in groups)
            ]
            parts.append((sum(way.flows for way in own), self._part(group, _within(own, group))))
        parts.sort(key=lambda one: -one[0])
        return Choice(tuple(part for _, part in parts), sum(way.flows for way in ways))

    def _row(self, groups: Sequence[frozenset[int]], ways: Sequence[Way]) -> Part:
        parts: list[Part] = []
        for nth, group in enumerate(groups):
            later = frozenset().union(*groups[nth + 1 :])
            own = [
                Way(way.has & group, way.flows, past=way.past or bool(way.has & later))
                for way in ways
                if way.has & group
            ]
            part = self._part(group, own)
            went_on = [way for way in ways if way.has & later or (way.past and not later)]
            if _lacking(went_on, group) > SKIPPED:
                part = Perhaps(part)
            elif nth:
                reached = [way for way in ways if way.has & (group | later) or _is_done(parts[-1], way.has)]
                if _lacking(reached, group | later) > STOPPED:
                    rest = self._rest(groups[nth:], ways)
                    return Row((*parts, Perhaps(rest)))
            parts.append(part)
        return Row(tuple(parts))

    def _rest(self, groups: Sequence[frozenset[int]], ways: Sequence[Way]) -> Part:
        among = frozenset().union(*groups)
        own = _within([way for way in ways if way.has & among], among)
        return self._part(among, own)

    def _side(self, groups: Sequence[frozenset[int]], ways: Sequence[Way]) -> Part:
        past = [way for way in ways if way.past]
        asked, bound = (past, SKIPPED) if past else (ways, STOPPED)
        parts = []
        for group in groups:
            own = _within([way for way in ways if way.has & group], group)
            part = self._part(group, own)
            lacks = _lacking(asked, group)
            parts.append(Perhaps(part) if lacks > bound else part)
        return Side(tuple(parts))

    def _net(self, among: frozenset[int], ways: Sequence[Way]) -> Part:
        """Neither nested nor apart: without what only some flows have, else by layers."""
        whole = sum(way.flows for way in ways)
        rarest = min(among, key=lambda number: (_flows_with(ways, number), number))
        aside = frozenset(number for number in among if self._comes_with(number, rarest, ways))
        rest = among - aside
        if rest and _flows_with(ways, rarest) < whole / 2:
            straight = _within([way for way in ways if not way.has & aside and way.has & rest], rest)
            if straight:
                astray = _within([way for way in ways if way.has & aside], aside)
                return self._branched(self._part(rest, straight), aside, astray)
        layers = self._layers(among)
        if len(layers) > 1:
            return self._row(layers, ways)
        return self._side([frozenset([number]) for number in sorted(among)], ways)

    def _comes_with(self, number: int, other: int, ways: Sequence[Way]) -> bool:
        """Whether nearly all flows with one milestone have the other, too."""
        both = sum(way.flows for way in ways if {number, other} <= way.has)
        return number == other or both >= (1 - SKIPPED) * _flows_with(ways, number)

    def _branched(self, part: Part, aside: frozenset[int], astray: Sequence[Way]) -> Part:
        """A part from which some flows go astray: in place of the first that never comes then."""
        entry = min(self._layers(aside)[0])
        lacking = {one for one in leaves(part) if self.ordering.excludes(entry, one)}
        first = [one for one in lacking if not any(self.ordering.precedes(other, one) for other in lacking)]
        if not first:
            self.unplaced.extend(sorted(aside))
            return part
        return _beside(part, min(first), self._part(aside, astray))

    def _layers(self, among: frozenset[int]) -> list[frozenset[int]]:
        left, layers = set(among), []
        while left:
            layer = frozenset(
                one for one in left if not any(self.ordering.precedes(other, one) for other in left)
            )
            layers.append(layer)
            left -= layer
        return layers

    def _in_order(self, groups: Sequence[frozenset[int]]) -> list[frozenset[int]]:
        """Each group behind those before it; between two of them every pair is in order."""

        def behind(group: frozenset[int]) -> int:
            return sum(
                self.ordering.precedes(min(other), min(group)) for other in groups if other is not group
            )

        return sorted(groups, key=behind)


def _is_done(part: Part, has: frozenset[int]) -> bool:
    """Whether flows with these milestones owe nothing more of a part, so that what follows is owed."""
    match part:
        case Leaf():
            return part.number in has
        case Perhaps():
            return True
        case Choice():
            return any(_is_done(one, has) for one in part.parts)
        case _:
            return all(_is_done(one, has) for one in part.parts)


def leaves(part: Part) -> Iterator[int]:
    """Every milestone of a part."""
    match part:
        case Leaf():
            yield part.number
        case Perhaps():
            yield from leaves(part.part)
        case _:
            for one in part.parts:
                yield from leaves(one)


def _beside(part: Part, number: int, other: Part) -> Part:
    """The part with a choice between one of its milestones and another part."""
    match part:
        case Leaf():
            flows = sum(leaf.flows for leaf in (part, other) if isinstance(leaf, Leaf))
            return Choice((part, other), max(flows, part.flows)) if part.number == number else part
        case Perhaps():
            return Perhaps(_beside(part.part, number, other))
        case _:
            return replace(part, parts=tuple(_beside(one, number, other) for one in part.parts))


def _flows_with(ways: Iterable[Way], number: int) -> int:
    return sum(way.flows for way in ways if number in way.has)


def _within(ways: Iterable[Way], group: frozenset[int]) -> list[Way]:
    return [Way(way.has & group, way.flows, way.past) for way in ways]


def _lacking(ways: Sequence[Way], group: frozenset[int]) -> float:
    """The share of flows that have none of a group."""
    whole = sum(way.flows for way in ways)
    return sum(way.flows for way in ways if not way.has & group) / whole if whole else 0.0


def _connected(among: frozenset[int], together: Callable[[int, int], bool]) -> list[frozenset[int]]:
    """The groups of which no member belongs together with one of another."""
    left, groups = set(among), []
    while left:
        group, ahead = set(), [min(left)]
        while ahead:
            one = ahead.pop()
            if one in left:
                left.remove(one)
                group.add(one)
                ahead.extend(other for other in left if together(one, other))
        groups.append(frozenset(group))
    return groups
