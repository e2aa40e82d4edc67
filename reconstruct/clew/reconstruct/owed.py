"""What one flow is owed by its definition: the rules' meaning, in Python.

It is the reference that the engine's SQL is tested against, and what checks a definition.

**Which events.** Each is one step of the flow as folded: a publish with its log line, span and
redeliveries is one event, not four. Events after ``as_of`` are not there yet. An event belongs
to every rule that bears its name, whose service (if it names one) is the event's, and whose
versions (if it names some) hold the event's; an event without a version has none of them. What
belongs to no rule and is no start and no end is *unknown*. The order in which events are given
never matters, only their times.

**Seen, done, begun.** A rule is seen with each of its events and done with the ``at_least``-th.
A branch is begun once a rule of its ``begun_by`` was seen. A choice is decided once one of its
branches is begun.

**Owed.** Nothing before the start, and nothing after an end. A step is owed while it is not done,
every clause in its ``after`` holds (at least ``needs`` of its rules are done; void unless all
branches in ``when`` are begun), and each of its branches is begun or of a choice that is not
decided. Where a choice is not decided, its steps that could begin it are one due of which one is
needed. Of a quorum as many are needed as are lacking, and none once enough are done. A step that
was seen owes what stands behind it, whether or not what stands before it was seen.

**Since when.** The latest time at which a clause came to hold, and not before the start. A clause
holds since the ``needs``-th of its rules was done. A due of several is owed since the first of them.

**Until when.** Its limit after that, or the whole's limit after the start, whichever is first;
where neither is given, the default limit after that; else never. Of several the last ``needs``
deadlines count, since any of them may still come. A deadline is exclusive: what comes at it is in
time, and what is lacking is overdue only after it.

**Undoing** is in force once an event was seen that undoes a step which was not seen again later.
From then on nothing of the way forward is owed: only, for each step that was seen and is not undone,
one of the events that undo it, since the last undoing; then, since that too, an end of ``compensated``
if there is one. A step is undone by ``at_least`` events of one rule at or after its last own event.

**Ended.** By the latest end event (of several at one time by the one that :data:`ENDS` names last);
else, where no such end is defined, by all steps seen or by all undone.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from clew.reconstruct.definitions import ENDS, Clause, Definition, Role, Rule

NEVER = datetime.max.replace(tzinfo=UTC)


class Event(NamedTuple):
    """A step of a flow, as folded. ``time`` has a zone."""

    name: str
    time: datetime
    service: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A rule of which at least one event was seen."""

    rule: int
    count: int
    first: datetime
    last: datetime
    done: datetime | None
    """None while events are lacking."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is owed: ``needs`` of ``rules``."""

    rules: tuple[int, ...]
    needs: int
    since: datetime
    deadline: datetime | None
    """Exclusive; None where no limit says."""
    overdue: bool


@dataclass(frozen=True, slots=True)
class End:
    """How and when the flow ended; ``event`` is None where its steps tell it."""

    outcome: str
    event: str | None
    time: datetime


@dataclass(frozen=True, slots=True)
class Undoing:
    """Undoing has begun (by an event, or by an end of ``compensated``)."""

    since: datetime
    last: datetime
    undone: tuple[int, ...]
    left: tuple[int, ...]
    """Rules that were seen, can be undone and are not: none where compensation is complete."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a flow stands by its definition. Rules come by number, dues by deadline."""

    started: datetime | None
    """None: no start was seen, and nothing is owed."""
    seen: tuple[Seen, ...]
    owed: tuple[Due, ...]
    unknown: tuple[Event, ...]
    """By time."""
    ended: End | None
    late: bool
    """It was completed beyond the whole's limit."""
    undoing: Undoing | None
    contradicted: tuple[int, ...]
    """Choices of which several branches were begun; each of them is owed."""
    exceeded: tuple[int, ...]
    """Rules seen more often than their ``at_most``."""


def owed(
    definition: Definition, events: Iterable[Event], as_of: datetime, default_limit_us: int | None = None
) -> Standing:
    """How a flow with these events stands at ``as_of``; the module's docstring says by which rules."""
    told = sorted((event for event in events if event.time <= as_of), key=_by_time)
    facts = _facts(definition, told)
    ended = _end_told(definition, told)
    undoing = _undoing(facts, ended)
    dues: list[Due] = []
    if facts.started and not ended:
        limits = Limits(definition.limit_us, default_limit_us, facts.started, as_of)
        dues = sorted(
            _undo_dues(facts, undoing, limits) if undoing else _dues(facts, limits), key=_by_deadline
        )
        ended = None if dues else _end_reached(facts, undoing)
    return Standing(
        started=facts.started,
        seen=tuple(facts.seen(rule) for rule in definition.rules if facts.times[rule.number]),
        owed=tuple(dues),
        unknown=tuple(event for event in told if _is_unknown(definition, event)),
        ended=ended,
        late=_is_late(definition, facts.started, ended),
        undoing=undoing,
        contradicted=facts.contradicted(),
        exceeded=tuple(
            rule.number
            for rule in definition.rules
            if rule.at_most is not None and len(facts.times[rule.number]) > rule.at_most
        ),
    )


@dataclass(slots=True)
class Facts:
    """What the events say of a definition."""

    definition: Definition
    started: datetime | None
    times: dict[int, list[datetime]]
    """Of each rule, ascending."""
    begun: set[int] = field(default_factory=set)
    """Branches."""

    def __post_init__(self) -> None:
        self.begun = {
            branch.number
            for branch in self.definition.branches
            if any(self.times[number] for number in branch.begun_by)
        }

    def rule(self, number: int) -> Rule:
        """The rule of that number."""
        return self.definition.rules[number - 1]

    def done(self, number: int) -> datetime | None:
        """When a rule was done."""
        times, least = self.times[number], self.rule(number).at_least
        return times[least - 1] if len(times) >= least else None

    def seen(self, rule: Rule) -> Seen:
        """How often and when a rule was seen."""
        times = self.times[rule.number]
        return Seen(rule.number, len(times), times[0], times[-1], self.done(rule.number))

    def choice(self, branch: int) -> int | None:
        """The choice that a branch belongs to."""
        return self.definition.branches[branch - 1].choice

    def decided(self) -> set[int | None]:
        """Choices of which a branch is begun."""
        return {self.choice(branch) for branch in self.begun} - {None}

    def contradicted(self) -> tuple[int, ...]:
        """Choices of which several branches are begun."""
        begun = [choice for choice in map(self.choice, self.begun) if choice is not None]
        return tuple(sorted({choice for choice in begun if begun.count(choice) > 1}))


class Limits(NamedTuple):
    """What deadlines are made of."""

    whole_us: int | None
    default_us: int | None
    started: datetime
    as_of: datetime

    def due(self, rules: Iterable[Rule], needs: int, since: Iterable[datetime]) -> Due:
        """Rules of which ``needs`` are owed, each since its own time."""
        each = list(zip(rules, since, strict=True))
        deadlines = sorted((self._deadline(rule, one) for rule, one in each), reverse=True)
        deadline = deadlines[needs - 1]
        return Due(
            rules=tuple(sorted(rule.number for rule, _ in each)),
            needs=needs,
            since=min(one for _, one in each),
            deadline=None if deadline == NEVER else deadline,
            overdue=deadline < self.as_of,
        )

    def _deadline(self, rule: Rule, since: datetime) -> datetime:
        own = _later(since, rule.limit_us)
        whole = _later(self.started, self.whole_us)
        told = min(own, whole)
        return _later(since, self.default_us) if rule.limit_us is None and self.whole_us is None else told


def _later(time: datetime, limit_us: int | None) -> datetime:
    try:
        return NEVER if limit_us is None else time + timedelta(microseconds=limit_us)
    except OverflowError:
        return NEVER


def _by_time(event: Event) -> tuple[datetime, str, str, str]:
    return event.time, event.name, event.service or "", event.version or ""


def _by_deadline(due: Due) -> tuple[datetime, datetime, tuple[int, ...]]:
    return due.deadline or NEVER, due.since, due.rules


def _facts(definition: Definition, told: list[Event]) -> Facts:
    times: dict[int, list[datetime]] = {rule.number: [] for rule in definition.rules}
    for event in told:
        for rule in definition.rules:
            if _belongs(event, rule):
                insort(times[rule.number], event.time)
    starts = [event.time for event in told if event.name in definition.start]
    return Facts(definition, min(starts, default=None), times)


def _belongs(event: Event, rule: Rule) -> bool:
    return (
        event.name in rule.events
        and rule.service in {None, event.service}
        and (not rule.versions or event.version in rule.versions)
    )


def _is_unknown(definition: Definition, event: Event) -> bool:
    named = {*definition.start, *(end for end, _ in definition.ends)}
    return event.name not in named and not any(_belongs(event, rule) for rule in definition.rules)


def _end_told(definition: Definition, told: list[Event]) -> End | None:
    outcomes = dict(definition.ends)
    ends = [
        (event.time, ENDS.index(outcomes[event.name]), event.name) for event in told if event.name in outcomes
    ]
    if not ends:
        return None
    time, outcome, event = max(ends)
    return End(ENDS[outcome], event, time)


def _is_late(definition: Definition, started: datetime | None, ended: End | None) -> bool:
    if started is None or ended is None or ended.outcome != "completed":
        return False
    return ended.time > _later(started, definition.limit_us)


def _end_reached(facts: Facts, undoing: Undoing | None) -> End | None:
    """What ended without an end: all undone, or all steps seen of a definition that has such."""
    if undoing:
        return None if undoing.left else End("compensated", None, undoing.last)
    rules = facts.definition.rules
    certain = any(rule.role is Role.STEP and not _optional(facts, rule) for rule in rules)
    done = [time for time in map(facts.done, facts.times) if time]
    told = any(outcome == "completed" for _, outcome in facts.definition.ends)
    if told or any(rule.role is Role.COMPLETED for rule in rules) or not certain:
        return None
    return End("completed", None, max(done)) if done else None


def _optional(facts: Facts, rule: Rule) -> bool:
    return any(facts.choice(branch) is None for branch in rule.branches)


# The way forward.


def _dues(facts: Facts, limits: Limits) -> Iterator[Due]:
    together: dict[tuple[str, int], list[tuple[Rule, datetime]]] = defaultdict(list)
    for rule, since in _open(facts):
        undecided = [facts.choice(branch) or 0 for branch in rule.branches if branch not in facts.begun]
        if undecided:
            together["choice", min(undecided)].append((rule, since))
        elif rule.quorum:
            together["quorum", rule.quorum.number].append((rule, since))
        else:
            together["rule", rule.number].append((rule, since))
    for (kind, _), each in together.items():
        needs = _lacking(facts, each[0][0]) if kind == "quorum" else 1
        yield limits.due((rule for rule, _ in each), needs, (since for _, since in each))


def _open(facts: Facts) -> Iterator[tuple[Rule, datetime]]:
    """Rules that are owed, alone or with others, and since when."""
    decided = facts.decided()
    for rule in facts.definition.rules:
        if rule.role not in {Role.STEP, Role.COMPLETED} or facts.done(rule.number):
            continue
        if any(
            branch not in facts.begun and (facts.choice(branch) is None or facts.choice(branch) in decided)
            for branch in rule.branches
        ):
            continue
        since = _since(facts, rule)
        if since and not (rule.quorum and not _lacking(facts, rule)):
            yield rule, since


def _since(facts: Facts, rule: Rule) -> datetime | None:
    """Since when its clauses hold; None while one does not."""
    since = facts.started
    for clause in rule.after:
        if not facts.begun.issuperset(clause.when):
            continue
        holds = _holds(facts, clause)
        if holds is None or since is None:
            return None
        since = max(since, holds)
    return since


def _holds(facts: Facts, clause: Clause) -> datetime | None:
    done = sorted(time for time in map(facts.done, clause.rules) if time)
    return done[clause.needs - 1] if len(done) >= clause.needs else None


def _lacking(facts: Facts, rule: Rule) -> int:
    """How many of its quorum are not done yet."""
    if rule.quorum is None:
        return 0
    done = sum(1 for one in facts.definition.rules if one.quorum == rule.quorum and facts.done(one.number))
    return max(0, rule.quorum.needs - done)


# The way back.


def _undoing(facts: Facts, ended: End | None) -> Undoing | None:
    in_force = [
        time
        for rule in facts.definition.rules
        for number in rule.undoes
        for time in _after_last(facts, rule.number, number)
    ]
    undoes = {number for rule in facts.definition.rules for number in rule.undoes}
    if undoes and ended and ended.outcome == "compensated":
        in_force.append(ended.time)
    if not in_force:
        return None
    seen = sorted(number for number in undoes if facts.times[number])
    undone = tuple(number for number in seen if _is_undone(facts, number))
    left = tuple(number for number in seen if number not in undone)
    return Undoing(min(in_force), max(in_force), undone, left)


def _after_last(facts: Facts, undoing: int, undone: int) -> list[datetime]:
    """The events of a rule at or after the last one of a rule that it undoes."""
    last = facts.times[undone][-1] if facts.times[undone] else None
    return [time for time in facts.times[undoing] if last is None or time >= last]


def _is_undone(facts: Facts, number: int) -> bool:
    return any(
        len(_after_last(facts, rule.number, number)) >= rule.at_least
        for rule in facts.definition.rules
        if number in rule.undoes
    )


def _undo_dues(facts: Facts, undoing: Undoing, limits: Limits) -> Iterator[Due]:
    rules = facts.definition.rules
    groups = {tuple(rule for rule in rules if number in rule.undoes) for number in undoing.left}
    if not undoing.left:
        good = {event for event, outcome in facts.definition.ends if outcome == "compensated"}
        told = tuple(rule for rule in rules if good & set(rule.events))
        groups = {told} if told else set()
    for group in groups:
        yield limits.due(group, 1, [undoing.last] * len(group))
