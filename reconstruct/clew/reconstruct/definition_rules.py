"""From a flow definition as written to its flat rules.

What a step waits for is a tuple of clauses, handed from item to item: what stands before it.
A step hands on itself. What may be left out hands on what stood before it too, and itself only
for the flows that began it. A choice hands on that one of its last steps is done, and of each
branch its last steps for the flows that began it.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from clew.reconstruct.definition_drafts import Draft, Drafts
from clew.reconstruct.definition_file import Place
from clew.reconstruct.definition_nodes import Named
from clew.reconstruct.definition_tree import All, AnyOf, Flow, Item, Maybe, OneOf, Sequence, Step, parts
from clew.reconstruct.definitions import Clause, Definition, Role
from clew.reconstruct.errors import DefinitionError

Clauses = tuple[Clause, ...]


def compiled(flow: Flow, place: Place) -> Definition:
    """One flow type's definition; ``place`` is where its mistakes are shown.

    Raises:
        DefinitionError: with file, line, the offending text and help.
    """
    drafts = Drafts(flow, place)
    Order(drafts).find()
    return Definition(
        name=flow.name,
        start=tuple(event.text for event in flow.start),
        rules=tuple(draft.rule() for draft in drafts.all),
        branches=drafts.branches(),
        ends=tuple((event.text, outcome) for event, outcome in flow.ends),
        limit_us=flow.limit_us,
        reuse=flow.reuse,
        keys=flow.keys,
    )


@dataclass(frozen=True, slots=True)
class Order:
    """What waits for what."""

    drafts: Drafts

    def find(self) -> None:
        """Say of each draft what it waits for, and add the ends that are owed."""
        for draft in self._awaited_first():
            self._condition(draft)
        self._close(self._link(self.drafts.flow.steps, ()))
        self._check_cycles()

    def _awaited_first(self) -> list[Draft]:
        """The steps, each behind those that it names in ``after``."""
        waits = {
            draft.number: {other.number for name in draft.step.after or () for other in self._named(name)}
            for draft in self.drafts.all
        }
        try:
            return [self.drafts.all[number - 1] for number in TopologicalSorter(waits).static_order()]
        except CycleError as error:
            raise self._circular(error.args[1]) from error

    def _named(self, name: Named) -> list[Draft]:
        """The steps that a name in ``after`` means; none for the start."""
        if any(name.text == event.text for event in self.drafts.flow.start):
            return []
        if any(name.text == event.text for event, _ in self.drafts.flow.ends):
            raise self.drafts.at(
                name, f"{name.text} ends it: nothing comes after", "name a step before the end"
            )
        drafts = self.drafts.steps_named(name)
        if not drafts:
            raise self.drafts.at(
                name, f"after {name.text}, which is none of its steps", self.drafts.did_you_mean(name)
            )
        if any(draft.quorum for draft in drafts):
            raise self.drafts.at(
                name,
                f"after {name.text}, which is one of several in 'of' and may never come",
                "put the step behind the group",
            )
        return drafts

    def _condition(self, draft: Draft) -> None:
        """Make a step conditional that waits for what may not come."""
        certain = set(draft.inside)
        draft.ways = set(draft.inside)
        for name in draft.step.after or ():
            awaited = self._named(name)
            if any({*one.inside, *one.own} - certain for one in awaited):
                numbers = {one.number for one in awaited} | {draft.number}
                draft.own += (self.drafts.branch(None, numbers),)
            draft.ways |= set.intersection(*(one.ways for one in awaited)) if awaited else set()
        by_choice: dict[int, int] = {}
        for way in sorted(draft.ways):
            choice = self.drafts.choices[way]
            if choice is not None and by_choice.setdefault(choice, way) != way:
                raise self.drafts.at(
                    (draft.step.after or draft.step.events)[0],
                    f"{draft.step.name} waits for steps of two branches of one choice",
                    "only one of them comes: give each branch its own step",
                )

    def _link(self, item: Item, before: Clauses) -> Clauses:
        """Say of each step within what it waits for; give what the next one waits for."""
        match item:
            case Step():
                return self._link_step(self.drafts.of_step[item], before)
            case Sequence():
                return self._link_sequence(item, before)
            case All():
                lanes = [self._link(lane, before) for lane in item.lanes]
                kept = before if all(set(before) <= set(lane) for lane in lanes) else ()
                return kept + tuple(clause for lane in lanes for clause in _without(lane, before))
            case OneOf():
                return self._link_choice(item, before)
            case AnyOf():
                linked = [self._link(step, before) for step in item.steps]
                return (Clause(tuple(one for (clause,) in linked for one in clause.rules), item.needs),)
            case Maybe():
                inner = _without(self._link(item.row, before), before)
                return before + _when(inner, self.drafts.number_of[item])

    def _link_step(self, draft: Draft, before: Clauses) -> Clauses:
        named = draft.step.after
        draft.after = before if named is None else self._clauses(named)
        own = (Clause((draft.number,), when=draft.own),)
        if named is None:
            return before + own if draft.own else own
        return (before if draft.own else _without(before, draft.after)) + own

    def _clauses(self, named: tuple[Named, ...]) -> Clauses:
        waits = [tuple(draft.number for draft in self._named(name)) for name in named]
        return tuple(dict.fromkeys(Clause(numbers) for numbers in waits if numbers))

    def _link_sequence(self, row: Sequence, before: Clauses) -> Clauses:
        over: Step | None = None
        for item in row.items:
            beside = isinstance(item, Step) and item.after is not None
            if over and not beside:
                raise self.drafts.at(
                    _first(item).events[0],
                    f"{_first(item).name} stands after the end {over.name}",
                    "nothing is owed once it ended: put it before, or make it a flow type of its own",
                )
            before = self._link(item, before)
            over = over or self._ending(item)
        return before

    def _link_choice(self, choice: OneOf, before: Clauses) -> Clauses:
        exits: list[Clause] = []
        for branch in choice.branches:
            if not _owes(branch):
                raise self.drafts.at(
                    _first(branch).events[0],
                    "a branch of one_of owes nothing: all its steps are optional",
                    "leave 'optional' out there, or put the branch into 'optional: [...]' after the choice",
                )
            own = _without(self._link(branch, before), before)
            exits.extend(_when(own, self.drafts.number_of[branch]))
        decided = dict.fromkeys(number for clause in exits for number in clause.rules)
        return (Clause(tuple(decided)), *exits)

    def _ending(self, item: Item) -> Step | None:
        """The end that every way through an item reaches; None where one goes on."""
        ends = [self._ending(part) for part in parts(item)]
        over = [end for end in ends if end]
        match item:
            case Step():
                draft = self.drafts.of_step[item]
                names = {event.text for event, _ in self.drafts.flow.ends}
                return item if names & {event.text for event in item.events} and not draft.own else None
            case OneOf():
                return over[0] if len(over) == len(ends) else None
            case AnyOf():
                return over[0] if len(ends) - len(over) < item.needs else None
            case Maybe():
                return None
            case _:
                return over[0] if over else None

    def _close(self, last: Clauses) -> None:
        """Rules for the ends that are owed and stand among no steps."""
        open_end = self._ending(self.drafts.flow.steps) is None
        for role, owed, after in (
            (Role.COMPLETED, open_end, last),
            (Role.COMPENSATED, bool(self.drafts.flow.compensations), ()),
        ):
            ends = tuple(
                event
                for event, outcome in self.drafts.flow.ends
                if outcome == role and event.text not in self.drafts.bearing
            )
            if ends and owed:
                draft = Draft(len(self.drafts.all) + 1, Step(ends[0].node, ends), (), after=after, role=role)
                self.drafts.all.append(draft)

    def _check_cycles(self) -> None:
        waits = {
            draft.number: {one for clause in draft.after for one in clause.rules} for draft in self.drafts.all
        }
        try:
            TopologicalSorter(waits).prepare()
        except CycleError as error:
            raise self._circular(error.args[1]) from error

    def _circular(self, numbers: list[int]) -> DefinitionError:
        """Steps that wait for each other; each in the list is awaited by the next."""
        ring = [self.drafts.all[number - 1] for number in reversed(numbers)]
        begin = next(place for place, draft in enumerate(ring) if draft.step.after)
        ring = ring[begin:-1] + ring[: begin + 1] if begin else ring
        told = ", which waits for ".join(draft.step.name for draft in ring[1:])
        told = told if ring[0] is not ring[1] else "itself"
        named = ring[0].step.after or ring[0].step.events
        awaited = {event.text for event in ring[1].step.events}
        return self.drafts.at(
            next((name for name in named if name.text in awaited), named[0]),
            f"{ring[0].step.name} waits for {told}",
            "a list is a sequence already: name in 'after' only steps that come before",
        )


def _without(clauses: Clauses, before: Clauses) -> Clauses:
    known = set(before)
    return tuple(clause for clause in clauses if clause not in known)


def _when(clauses: Clauses, branch: int) -> Clauses:
    return tuple(clause._replace(when=(*clause.when, branch)) for clause in clauses)


def _first(item: Item) -> Step:
    while not isinstance(item, Step):
        item = parts(item)[0]
    return item


def _owes(item: Item) -> bool:
    """Whether it owes anything wherever it is reached."""
    match item:
        case Step():
            return not item.optional
        case Maybe():
            return False
        case _:
            return any(_owes(part) for part in parts(item))
