"""How the steps of a definition nest: the way back from flat rules to lists and groups.

Which branches a rule is in tells the choices and the parts that may be left out. What it waits
for tells the rest: an item that waits for what the one before it handed on follows it in a
list; one that waits for the same as the one before it stands beside it in ``all``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice, product
from typing import Any, NamedTuple, Protocol

from clew.reconstruct.definitions import Branch, Clause, Definition, Role, Rule

Clauses = tuple[Clause, ...]
TRIES = 2_000
"""Placings that are tried, where steps that name what they wait for leave several."""
WAYS = 8
"""Ways to nest that are given at most."""


class WriteStep(Protocol):
    """How a step is written."""

    def __call__(self, rule: Rule, after: Sequence[str] | None, *, optional: bool) -> Any:
        """A step as an item of a list."""
        ...


class Element(NamedTuple):
    """Rules that are one item: a step, or a group with its parts."""

    kind: str
    """step, any, one_of or optional"""
    rules: tuple[Rule, ...]
    parts: tuple[tuple[int, tuple[Element, ...]], ...] = ()
    """(branch, what is in it) of a group."""


class Lane(NamedTuple):
    """Items one after the other, and what they hand on."""

    items: tuple[Any, ...]
    hands_on: Clauses


class Frame(NamedTuple):
    """Lanes that begin at one place."""

    before: Clauses
    lanes: tuple[Lane, ...] = ()

    def merged(self, first: int) -> Lane:
        """The lanes from ``first`` on as one: an ``all`` where there are several."""
        lanes = self.lanes[first:]
        if len(lanes) == 1:
            return lanes[0]
        kept = self.before if all(set(self.before) <= set(lane.hands_on) for lane in lanes) else ()
        handed = tuple(clause for lane in lanes for clause in _without(lane.hands_on, self.before))
        return Lane(({"all": [_lane(lane.items) for lane in lanes]},), kept + handed)


@dataclass(slots=True)
class Nesting:
    """The ways to nest the steps of one definition."""

    definition: Definition
    beside: bool
    """Whether steps may name what they wait for, and so stand anywhere."""
    single_is_optional: bool
    """Whether a part of one step that may be left out is that step's flag."""
    step: WriteStep
    tries: int = TRIES
    branch: dict[int, Branch] = field(init=False)
    rules_in: dict[int, set[int]] = field(init=False)
    """Branch → the rules that are in it."""
    named: dict[tuple[int, ...], str] = field(init=False)
    """Rules → the name that means just these."""

    def __post_init__(self) -> None:
        self.branch = {branch.number: branch for branch in self.definition.branches}
        self.rules_in = {number: set() for number in self.branch}
        bearing: dict[str, list[int]] = {}
        for rule in self._steps():
            for number in rule.branches:
                self.rules_in[number].add(rule.number)
            for event in rule.events:
                bearing.setdefault(event, []).append(rule.number)
        self.named = {tuple(numbers): event for event, numbers in reversed(bearing.items())}

    def found(self) -> Iterator[list[Any]]:
        """Lists of items that may read back to the definition."""
        for lane in islice(self._row(self._elements(self._steps(), 0), ()), WAYS):
            yield list(lane.items)

    def _steps(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.definition.rules if rule.role is Role.STEP)

    def _inside(self, rule: Rule) -> tuple[int, ...]:
        """The groups in which a rule stands, outermost first; not the branches of its own."""
        return tuple(number for number in rule.branches if self._is_group(number))

    def _is_group(self, number: int) -> bool:
        branch = self.branch[number]
        if branch.choice is not None:
            return True
        inside = self.rules_in[number]
        return set(branch.begun_by) <= inside and not (self.single_is_optional and len(inside) == 1)

    def _is_flag(self, number: int) -> bool:
        return not self._is_group(number) and set(self.branch[number].begun_by) <= self.rules_in[number]

    def _elements(self, rules: Sequence[Rule], deep: int) -> tuple[Element, ...]:
        def belongs(rule: Rule) -> tuple[str, int]:
            inside = self._inside(rule)[deep:]
            if inside:
                choice = self.branch[inside[0]].choice
                return ("optional", inside[0]) if choice is None else ("one_of", choice)
            return ("step", rule.number) if rule.quorum is None else ("any", rule.quorum.number)

        def nth(rule: Rule) -> int:
            return self._inside(rule)[deep]

        found = []
        for (kind, _), group in groupby(rules, belongs):
            row = tuple(group)
            parts: tuple[tuple[int, tuple[Element, ...]], ...] = ()
            if kind in {"one_of", "optional"}:
                parts = tuple(
                    (number, self._elements(tuple(lane), deep + 1)) for number, lane in groupby(row, nth)
                )
            found.append(Element(kind, row, parts))
        return tuple(found)

    def _row(self, elements: Sequence[Element], before: Clauses) -> Iterator[Lane]:
        """The ways to put elements one after the other and beside each other."""
        if not elements:
            yield Lane((), before)
            return
        # What is left to try, the most likely on top: a stack, for a list may be long.
        start: tuple[Frame, ...] = (Frame(before),)
        trying: list[Iterator[tuple[tuple[Frame, ...], int]]] = [iter([(start, 0)])]
        while trying:
            state = next(trying[-1], None)
            if state is None:
                trying.pop()
                continue
            stack, nth = state
            if nth == len(elements):
                yield _closed(stack)
                continue
            trying.append(self._placed(stack, elements[nth], nth + 1))

    def _placed(
        self, stack: tuple[Frame, ...], element: Element, after: int
    ) -> Iterator[tuple[tuple[Frame, ...], int]]:
        """Where an element may stand: beside the lanes of an open group, or behind some of them."""
        yield from self._placed_by(stack, element, after, named=False)
        if self.beside:
            yield from self._placed_by(stack, element, after, named=True)

    def _placed_by(
        self, stack: tuple[Frame, ...], element: Element, after: int, *, named: bool
    ) -> Iterator[tuple[tuple[Frame, ...], int]]:
        while stack:
            *outer, frame = stack
            if frame.lanes and named:
                # A step that names what it waits for stands best behind all that is there.
                yield from self._behind(outer, frame, 0, element, after, named=named)
            for lane in self._linked(element, frame.before, named=named):
                yield (*outer, frame._replace(lanes=(*frame.lanes, lane))), after
            for first in reversed(range(1 if named else 0, len(frame.lanes))):
                yield from self._behind(outer, frame, first, element, after, named=named)
            stack = _popped(stack)

    def _behind(
        self, outer: Sequence[Frame], frame: Frame, first: int, element: Element, after: int, *, named: bool
    ) -> Iterator[tuple[tuple[Frame, ...], int]]:
        merged = frame.merged(first)
        for lane in self._linked(element, merged.hands_on, named=named):
            kept = frame._replace(lanes=(*frame.lanes[:first], merged))
            yield (*outer, kept, Frame(merged.hands_on, (lane,))), after

    def _linked(self, element: Element, before: Clauses, *, named: bool) -> Iterator[Lane]:
        """An element as items, where it fits behind ``before``; ``named``: a step that names what it waits for."""
        self.tries -= 1
        if self.tries < 0 and self.beside:
            return
        match element.kind:
            case "step":
                yield from self._linked_step(element.rules[0], before, named=named)
            case "any":
                rules, quorum = element.rules, element.rules[0].quorum
                if quorum is not None and all(rule.after == before for rule in rules):
                    steps = [self.step(rule, None, optional=False) for rule in rules]
                    clause = Clause(tuple(rule.number for rule in rules), quorum.needs)
                    yield Lane(({"any": quorum.needs, "of": steps},), (clause,))
            case "optional":
                ((number, inside),) = element.parts
                for lane in self._row(inside, before):
                    inner = _when(_without(lane.hands_on, before), number)
                    yield Lane(({"optional": list(lane.items)},), before + inner)
            case _:
                yield from self._linked_choice(element, before)

    def _linked_choice(self, element: Element, before: Clauses) -> Iterator[Lane]:
        branches = [list(islice(self._row(inside, before), WAYS)) for _, inside in element.parts]
        for lanes in product(*branches):
            exits: list[Clause] = []
            for (number, _), lane in zip(element.parts, lanes, strict=True):
                exits.extend(_when(_without(lane.hands_on, before), number))
            decided = dict.fromkeys(number for clause in exits for number in clause.rules)
            item = {"one_of": [_lane(lane.items) for lane in lanes]}
            yield Lane((item,), (Clause(tuple(decided)), *exits))

    def _linked_step(self, rule: Rule, before: Clauses, *, named: bool) -> Iterator[Lane]:
        inside = self._inside(rule)
        own = tuple(number for number in rule.branches if number not in inside)
        item = (Clause((rule.number,), when=own),)
        optional = any(self._is_flag(number) for number in own)
        if rule.after == before:
            if named:
                return
            yield Lane((self.step(rule, None, optional=optional),), before + item if own else item)
        elif named and all(clause.needs == 1 and not clause.when for clause in rule.after):
            names = [self.named.get(clause.rules) for clause in rule.after]
            after = [name for name in names if name is not None] or [self.definition.start[0]]
            if None not in names:
                kept = before if own else _without(before, rule.after)
                yield Lane((self.step(rule, after, optional=optional),), kept + item)


def _popped(stack: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The innermost frame closed, its items behind those of the lane from which it went on."""
    *outer, frame = stack
    if not outer:
        return ()
    *rest, parent = outer
    done, lane = frame.merged(0), parent.lanes[-1]
    longer = Lane(lane.items + done.items, done.hands_on)
    return (*rest, parent._replace(lanes=(*parent.lanes[:-1], longer)))


def _closed(stack: tuple[Frame, ...]) -> Lane:
    while len(stack) > 1:
        stack = _popped(stack)
    return stack[0].merged(0)


def _lane(items: tuple[Any, ...]) -> Any:
    return items[0] if len(items) == 1 else list(items)


def _without(clauses: Clauses, before: Clauses) -> Clauses:
    known = set(before)
    return tuple(clause for clause in clauses if clause not in known)


def _when(clauses: Clauses, branch: int) -> Clauses:
    return tuple(clause._replace(when=(*clause.when, branch)) for clause in clauses)
