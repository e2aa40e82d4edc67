"""From the structure of flows to a definition: what is owed, what may come, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any, Final, NamedTuple

from clew.reconstruct.definition_file import Place, root
from clew.reconstruct.definition_writer import as_text
from clew.reconstruct.definitions import Definition, Rule
from clew.reconstruct.errors import DefinitionError
from clew.reconstruct.learning.evidence import Evidence
from clew.reconstruct.learning.ordering import Ordering
from clew.reconstruct.learning.outcomes import outcome_of
from clew.reconstruct.learning.structure import Choice, Leaf, Part, Perhaps, Row, Side, Structure, leaves

LAST: Final = 0.95
"""The share of the flows with an event in which nothing comes after it, for it to be an end."""
ENOUGH: Final = 3
"""Flows from which an end is told: it makes no flow stuck. Where its name tells, too, one less is enough."""
SAME_NUMBER: Final = 0.9
"""The share of flows in which an event comes equally often, for that number to be owed."""
EXPLAINS: Final = 0.5
"""A definition by which fewer flows ended says too little."""
Z: Final = 1.96
"""Standard errors of 95 %."""


class End(NamedTuple):
    """A milestone after which nothing comes."""

    outcome: str
    number: int
    flows: int
    """That have it."""
    last: int
    """Those of them in which nothing comes after it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A definition without limits, and what it was made of."""

    definition: Definition | None
    silent: str
    """Why there is none."""
    ends: tuple[End, ...] = ()
    explained: float = 0.0
    shares: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Milestone → (flows that have it or an alternative, flows that got as far as to owe it)."""


def drafted(evidence: Evidence, support: int) -> Draft:
    """The definition that the flows of one start follow."""
    if evidence.settled < support:
        return Draft(None, f"{evidence.settled:,} settled flows; {support:,} are asked for")
    return Synthesis(evidence, Ordering(evidence), support).draft()


def least_share(count: int, of: int) -> float:
    """The least that a share is likely to be, given that many of so many: Wilson's bound, 95 %."""
    if not of:
        return 0.0
    share, part = count / of, Z * Z / of
    spread = Z * sqrt((share * (1 - share) + part / 4) / of)
    return max(0.0, (share + part / 2 - spread) / (1 + part))


def is_owed(rule: Rule, definition: Definition) -> bool:
    """Whether it is owed, or an alternative to it, once what it waits for was seen.

    A branch that others than its own steps begin says only that it waits for what may not come.
    """
    for branch in definition.branches:
        if branch.choice is None and branch.number in rule.branches:
            own = {other.number for other in definition.rules if branch.number in other.branches}
            if own.issuperset(branch.begun_by):
                return False
    return True


@dataclass
class Synthesis:
    """One definition in the making."""

    evidence: Evidence
    ordering: Ordering
    support: int
    ends: dict[int, End] = field(default_factory=dict)

    def draft(self) -> Draft:
        """The definition, or why there is none."""
        body = self._body()
        if not body and not self.ends:
            return Draft(None, "no event follows its start")
        flow: dict[str, Any] = {"start": self.evidence.milestones[self.evidence.start].event}
        if body:
            flow["steps"] = body
        told: dict[str, list[str]] = {}
        for number, end in self.ends.items():
            names = told.setdefault(end.outcome, [])
            event = self.evidence.milestones[number].event
            names.extend([event] if event not in names else [])
        if told:
            flow["ends"] = told
        place = Place("learned", as_text({"flows": {self.evidence.name: flow}}))
        try:
            from clew.reconstruct.definition_reader import Reader

            (definition,) = Reader(place).definitions(root(place))
        except DefinitionError as error:
            return Draft(None, f"its events stand to each other in no order that can be told: {error}")
        if not self.ends and not any(is_owed(rule, definition) for rule in definition.rules):
            return Draft(None, "its flows have no step in common, and no end")
        explained = self._explained(definition)
        if explained < EXPLAINS:
            return Draft(None, f"only {explained:.0%} of its settled flows come to one of the same ends")
        shares = {number: self._reached(number) for number in self.evidence.milestones}
        return Draft(definition, "", tuple(self.ends.values()), explained, shares)

    def _body(self) -> list[Any]:
        """The items after the start."""
        start = self.evidence.start
        structure = Structure(self.ordering)
        part = structure.of(self.evidence.milestones)
        match part:
            case Row(parts=(Leaf(number=first), *rest)) if first == start:
                part = Row(tuple(rest))
            case Leaf() | None:
                return []
            case _:
                part = structure.of(set(self.evidence.milestones) - {start})
        return self._items(self._ended(part), must=False) if part else []

    def _ended(self, part: Part) -> Part:
        """The part with its ends known, and without what comes after them."""
        match part:
            case Leaf(number=number):
                self._end(number)
                return part
            case Choice():
                parts = [self._ended(one) for one in part.parts]
                # To cancel is nobody's turn: it may come at any time, and is never owed.
                kept = tuple(one for one in parts if not self._cancels(one))
                return Choice(kept, part.flows) if len(kept) > 1 else kept[0] if kept else Row(())
            case Row():
                owed = [nth for nth, one in enumerate(part.parts) if not isinstance(one, Perhaps)]
                if not owed:
                    return part
                last = self._ended(part.parts[owed[-1]])
                before = tuple(self._led_out(one) for one in part.parts[: owed[-1]])
                over = isinstance(last, Leaf) and last.number in self.ends
                rest = () if over else part.parts[owed[-1] + 1 :]
                return Row((*before, last, *(self._ended(one) for one in rest)))
            case Perhaps():
                return Perhaps(self._ended(part.part))
            case _:
                return self._led_out(part)

    def _led_out(self, part: Part) -> Part:
        """A part that others follow or stand beside: only a branch of a choice in it may end the flow."""
        match part:
            case Leaf():
                return part
            case Choice():
                return self._ended(part)
            case Perhaps():
                return Perhaps(self._led_out(part.part))
            case _:
                return replace(part, parts=tuple(self._led_out(one) for one in part.parts))

    def _end(self, number: int) -> None:
        later = {other for other in self.evidence.milestones if self.ordering.precedes(number, other)}
        having = over = 0
        for has, flows in self.evidence.sets:
            if number in has:
                having += flows
                over += flows if has.isdisjoint(later) else 0
        outcome = outcome_of(self.evidence.milestones[number].event)
        enough = ENOUGH if outcome == "completed" else ENOUGH - 1
        if having >= enough and over >= LAST * having and not self._is_counted(number):
            self.ends[number] = End(outcome, number, having, over)

    def _cancels(self, part: Part) -> bool:
        return (
            isinstance(part, Leaf)
            and part.number in self.ends
            and self.ends[part.number].outcome == "cancelled"
        )

    def _items(self, part: Part, *, must: bool) -> list[Any]:
        """A part as items of a list. ``must``: its first step is owed whatever its support."""
        match part:
            case Leaf():
                return [self._step(part, must=must)]
            case Row():
                found: list[Any] = []
                for nth, one in enumerate(part.parts):
                    items = self._items(one, must=must and not found)
                    ahead = self._straight(part.parts[nth - 1]) if nth and isinstance(one, Leaf) else []
                    if ahead:
                        # Owed where the flow went straight on, not where it went astray.
                        items[0]["after"] = ahead
                    found += items
                return found
            case Side():
                lanes = [lane for one in part.parts if (lane := self._items(one, must=must))]
                return [{"all": [_lane(lane) for lane in lanes]}] if len(lanes) > 1 else [*lanes[0]]
            case Choice():
                return [self._choice(part, must=must)]
            case Perhaps():
                inner = self._items(part.part, must=True)
                return inner if must else [_left_out(inner)]

    def _choice(self, part: Choice, *, must: bool) -> dict[str, Any]:
        branches = [self._items(one, must=True) for one in part.parts]
        item = {"one_of": [_lane(branch) for branch in branches]}
        return item if must or part.flows >= self.support else _left_out([item])

    def _straight(self, part: Part) -> list[str]:
        """The events of a part that what follows waits for, where a way leads out of it that owes no end."""
        owed: list[str] = []
        astray = False
        for one in part.parts if isinstance(part, Side) else (part,):
            straight = one.parts[0] if isinstance(one, Choice) else one
            astray |= isinstance(one, Choice) and not all(self._goes_on(branch) for branch in one.parts[1:])
            if not isinstance(straight, Leaf):
                return []
            owed.append(self.evidence.milestones[straight.number].event)
        return owed if astray else []

    def _goes_on(self, part: Part) -> bool:
        """Whether what follows a branch is owed after it, or it certainly owes its end."""
        number = next(reversed(list(leaves(part))))
        flows = self.evidence.milestones[number].flows
        return number not in self.ends or flows >= self.support or isinstance(part, Leaf)

    def _step(self, leaf: Leaf, *, must: bool) -> dict[str, Any]:
        milestone = self.evidence.milestones[leaf.number]
        step: dict[str, Any] = {"event": milestone.event}
        if milestone.service is not None:
            step["service"] = milestone.service
        if leaf.flows < self.support and not must:
            step["optional"] = True
        if self._is_counted(leaf.number):
            step["repeats"] = {"at_least": milestone.times}
        return step

    def _is_counted(self, number: int) -> bool:
        """Whether so many of it are owed: then only the last of them could end a flow."""
        one = self.evidence.milestones[number]
        return one.times > 1 and one.times_share >= SAME_NUMBER and one.flows >= self.support

    def _explained(self, definition: Definition) -> float:
        """The share of settled flows that came to an end; without ends, to all that every run owes."""
        number_of = {(one.event, one.service): number for number, one in self.evidence.milestones.items()}
        certain = {number_of[rule.events[0], rule.service] for rule in definition.rules if not rule.branches}

        def over(has: frozenset[int]) -> bool:
            return not has.isdisjoint(self.ends) if self.ends else certain <= has

        settled = sum(flows for _, flows in self.evidence.sets)
        return sum(flows for has, flows in self.evidence.sets if over(has)) / settled if settled else 0.0

    def _reached(self, number: int) -> tuple[int, int]:
        """How many settled flows have a milestone or one instead of it, and how many got to where it could come."""
        before = [one for one in self.evidence.milestones if self.ordering.precedes(one, number)]
        nearest = [one for one in before if not any(self.ordering.precedes(one, other) for other in before)]
        instead = {
            other
            for other in self.evidence.milestones
            if other != number and self.ordering.excludes(number, other)
        }
        having = of = 0
        for has, flows in self.evidence.sets:
            if number in has or has.issuperset(nearest):
                of += flows
                having += flows if number in has or not has.isdisjoint(instead) else 0
        return having, of


def _left_out(items: list[Any]) -> dict[str, Any]:
    """Items as a part that may be left out."""
    if len(items) == 1 and isinstance(items[0], dict) and "event" in items[0]:
        return {**items[0], "optional": True}
    return {"optional": items}


def _lane(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items
