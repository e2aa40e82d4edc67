"""The steps of a flow definition, numbered: what there is, in which branch it stands, what undoes what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from clew.reconstruct.definition_file import Place
from clew.reconstruct.definition_nodes import Named, closest
from clew.reconstruct.definition_tree import AnyOf, Flow, Item, Maybe, OneOf, Step, parts
from clew.reconstruct.definitions import Branch, Clause, Quorum, Role, Rule
from clew.reconstruct.errors import DefinitionError


@dataclass(slots=True, eq=False)
class Draft:
    """A step that becomes a rule."""

    number: int
    step: Step
    inside: tuple[int, ...]
    """The branches in which it stands, outermost first."""
    quorum: Quorum | None = None
    own: tuple[int, ...] = ()
    """Branches of its own: it is optional, undoes, or waits for what may not come."""
    ways: set[int] = field(default_factory=set)
    """The branches without which it never comes."""
    after: tuple[Clause, ...] = ()
    undoes: set[int] = field(default_factory=set)
    role: Role = Role.STEP

    def rule(self) -> Rule:
        """The rule."""
        step = self.step
        return Rule(
            number=self.number,
            events=tuple(event.text for event in step.events),
            service=step.service,
            versions=step.versions,
            after=self.after,
            at_least=step.at_least,
            at_most=step.at_most,
            limit_us=step.limit_us,
            branches=(*self.inside, *self.own),
            quorum=self.quorum,
            undoes=tuple(sorted(self.undoes)),
            role=self.role,
        )


@dataclass(slots=True)
class Drafts:
    """The drafts of one flow type; ``place`` is where its mistakes are shown."""

    flow: Flow
    place: Place
    all: list[Draft] = field(default_factory=list)
    of_step: dict[Step, Draft] = field(default_factory=dict)
    bearing: dict[str, list[Draft]] = field(default_factory=dict)
    """The drafts of each event name."""
    choices: dict[int, int | None] = field(default_factory=dict)
    """Branch → its choice."""
    begun_by: dict[int, set[int]] = field(default_factory=dict)
    number_of: dict[Item, int] = field(default_factory=dict)
    """Branches and quorums by number."""

    def __post_init__(self) -> None:
        self._check_ends()
        self._number(self.flow.steps, ())
        self._check_starts()
        self._compensate()

    def branches(self) -> tuple[Branch, ...]:
        """Every branch, by number."""
        return tuple(
            Branch(number, choice, tuple(sorted(self.begun_by[number])))
            for number, choice in self.choices.items()
        )

    def steps_named(self, name: Named) -> list[Draft]:
        """The steps that bear a name."""
        return [draft for draft in self.bearing.get(name.text, ()) if draft.role is Role.STEP]

    def _number(self, item: Item, inside: tuple[int, ...], quorum: Quorum | None = None) -> None:
        match item:
            case Step():
                self._draft(item, inside, quorum)
            case OneOf():
                choice = max((choice or 0 for choice in self.choices.values()), default=0) + 1
                numbers = [self.branch(choice) for _ in item.branches]
                for branch, number in zip(item.branches, numbers, strict=True):
                    self.number_of[branch] = number
                    self._number(branch, (*inside, number))
            case Maybe():
                self.number_of[item] = self.branch(None)
                self._number(item.row, (*inside, self.number_of[item]))
            case AnyOf():
                self.number_of[item] = 1 + sum(isinstance(one, AnyOf) for one in self.number_of)
                for step in item.steps:
                    self._number(step, inside, Quorum(self.number_of[item], item.needs))
            case _:
                for part in parts(item):
                    self._number(part, inside)

    def branch(self, choice: int | None, begun_by: Iterable[int] = ()) -> int:
        """A new branch's number; ``choice`` is None where it may be left out."""
        number = len(self.choices) + 1
        self.choices[number] = choice
        self.begun_by[number] = set(begun_by)
        return number

    def _draft(self, step: Step, inside: tuple[int, ...], quorum: Quorum | None) -> Draft:
        draft = Draft(len(self.all) + 1, step, inside, quorum)
        for event in step.events:
            for other in self.bearing.get(event.text, ()):
                self._check_apart(draft, other, event)
        self.all.append(draft)
        self.of_step[step] = draft
        for event in step.events:
            self.bearing.setdefault(event.text, []).append(draft)
        for number in inside:
            self.begun_by[number].add(draft.number)
        if step.optional:
            draft.own = (self.branch(None, [draft.number]),)
        return draft

    def _compensate(self) -> None:
        undoing = {undo.text for undo, _ in self.flow.compensations}
        for undo, undone in self.flow.compensations:
            if any(undo.text == event.text for event in self.flow.start):
                raise self.at(undo, f"{undo.text} both starts and undoes", "an event is one or the other")
            targets = [draft for one in undone for draft in self._undone(one, undoing)]
            for draft in self._undoers(undo):
                draft.undoes |= {target.number for target in targets}
        for draft in self.all:
            self._make_undoing(draft)

    def _make_undoing(self, draft: Draft) -> None:
        """A step that undoes is owed where there is something to undo."""
        if not draft.undoes:
            return
        name = draft.step.events[0]
        if draft.quorum:
            raise self.at(
                name,
                f"{name.text} undoes and stands in 'of'",
                "all that was done is to be undone: write 'all'",
            )
        if any(draft.number in other.undoes for other in self.all):
            raise self.at(name, f"{name.text} undoes and is undone", "name the step that was done first")
        if draft.role is Role.STEP and not draft.step.optional:
            draft.own += (self.branch(None, {draft.number} | draft.undoes),)

    def _undone(self, one: Named, undoing: set[str]) -> list[Draft]:
        if one.text in undoing:
            raise self.at(one, f"{one.text} undoes and is undone", "name the step that was done first")
        if any(one.text == event.text for event in self.flow.start):
            raise self.at(
                one,
                f"{one.text} starts it and cannot be undone",
                "name a step; an end tells what became of it",
            )
        drafts = self.steps_named(one)
        if not drafts:
            raise self.at(one, f"{one.text} is to be undone and is none of its steps", self.did_you_mean(one))
        return drafts

    def _undoers(self, undo: Named) -> list[Draft]:
        """Its steps; a rule of its own where it stands among the compensations only."""
        if undo.text not in self.bearing:
            self._draft(Step(undo.node, (undo,)), (), None).role = Role.UNDO
        return self.bearing[undo.text]

    def _check_ends(self) -> None:
        starts = {event.text for event in self.flow.start}
        for event, _ in self.flow.ends:
            if event.text in starts:
                raise self.at(event, f"{event.text} both starts and ends it", "an event is one or the other")

    def _check_starts(self) -> None:
        starts = {event.text for event in self.flow.start}
        for draft in self.all:
            for event in draft.step.events:
                if event.text in starts:
                    raise self.at(
                        event, f"{event.text} both starts it and is a step", "what starts it is never owed"
                    )
        ends = {event.text for event, _ in self.flow.ends}
        for draft in self.all:
            if draft.step.at_least > 1 and ends & {event.text for event in draft.step.events}:
                raise self.at(
                    draft.step.events[0],
                    f"{draft.step.name} ends it and repeats",
                    "the first ends it already",
                )

    def _check_apart(self, draft: Draft, other: Draft, event: Named) -> None:
        """One event is one step."""
        mine, theirs = draft.step, other.step
        services = {mine.service, theirs.service}
        apart = None not in services and len(services) > 1
        versions = mine.versions and theirs.versions and not {*mine.versions} & {*theirs.versions}
        if not apart and not versions:
            raise self.at(
                event,
                f"{event.text} is owed twice",
                "write 'repeats', or tell the two apart by service or versions",
            )

    def did_you_mean(self, name: Named) -> str:
        """The step that may have been meant, and which there are."""
        known = sorted(event for event, drafts in self.bearing.items() if drafts[0].role is Role.STEP)
        few = f"its steps are {', '.join(known[:10])}{', …' if len(known) > 10 else ''}"  # noqa: PLR2004  a line's worth
        return closest(name.text, known) + (few if known else "it has no steps")

    def at(self, name: Named, message: str, help: str) -> DefinitionError:
        """A mistake at a name."""
        return self.place.at(name.node, f"{self.flow.name}: {message}", help)
