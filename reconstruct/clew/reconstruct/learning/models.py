"""What one ``learn`` finds of each type: a definition with limits, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from clew.reconstruct.learned import LearnedEnd, LearnedStep, LearnedType
from clew.reconstruct.learning.synthesis import Draft, End, is_owed, least_share

if TYPE_CHECKING:
    from clew.reconstruct.definitions import Branch, Definition, Rule
    from clew.reconstruct.learned import Asked
    from clew.reconstruct.learning.evidence import Evidence
    from clew.reconstruct.reports import Spread

TIMES: Final = 3
"""A limit is so many times the 99th percentile, rounded up to what a person would write."""
SECOND: Final = 1_000_000


def learned_type(
    evidence: Evidence,
    draft: Draft,
    took: Mapping[int, Spread],
    duration: Spread | None,
    asked: Asked,
) -> LearnedType:
    """One type: ``took`` says of each milestone how long it takes from when it is owed."""
    numbers = numbers_of(evidence)
    limits = {number: limit for number, one in took.items() if (limit := _limit(one, asked)) is not None}
    definition = draft.definition and _limited(draft.definition, numbers, limits, _limit(duration, asked))
    return LearnedType(
        type=evidence.name,
        start=evidence.milestones[evidence.start].event if evidence.milestones else evidence.name,
        flows=evidence.flows,
        settled=evidence.settled,
        explained=draft.explained,
        definition=definition,
        silent=draft.silent,
        steps=_steps(evidence, draft, definition, took) if definition else (),
        ends=tuple(_end(evidence, end) for end in draft.ends),
        duration=duration,
        variants=len(evidence.sets),
    )


def numbers_of(evidence: Evidence) -> dict[tuple[str, str | None], int]:
    """(event, service) → milestone."""
    return {(one.event, one.service): number for number, one in evidence.milestones.items()}


def _limit(spread: Spread | None, asked: Asked) -> int | None:
    if spread is None or spread.count < asked.support:
        return None
    limit = max(asked.floor_us, TIMES * spread.p99_us)
    unit = SECOND if limit >= SECOND * 10 else SECOND // 1000
    return -(-limit // unit) * unit


def _limited(
    definition: Definition,
    numbers: Mapping[tuple[str, str | None], int],
    limits: Mapping[int, int],
    whole: int | None,
) -> Definition:
    """The definition with a limit for each step that has the support, and for the whole."""
    rules = tuple(
        replace(rule, limit_us=limits.get(numbers.get((rule.events[0], rule.service), -1)))
        for rule in definition.rules
    )
    rules = _alike(rules, definition.branches)
    longest = max((rule.limit_us or 0 for rule in rules), default=0)
    return replace(definition, rules=rules, limit_us=None if whole is None else max(whole, longest))


def _alike(rules: tuple[Rule, ...], branches: Sequence[Branch]) -> tuple[Rule, ...]:
    """Alternatives too rare to have a limit take the longest of the others: what is owed is one of them."""
    for choice in sorted({branch.choice for branch in branches if branch.choice is not None}):
        numbers = {branch.number for branch in branches if branch.choice == choice}
        inside = [rule for rule in rules if numbers & set(rule.branches)]
        first = {rule.number for rule in inside if rule.after == inside[0].after}
        longest = max((rule.limit_us or 0 for rule in inside if rule.number in first), default=0)
        if longest:
            rules = tuple(
                replace(rule, limit_us=rule.limit_us or longest) if rule.number in first else rule
                for rule in rules
            )
    return rules


def _steps(
    evidence: Evidence, draft: Draft, definition: Definition, took: Mapping[int, Spread]
) -> tuple[LearnedStep, ...]:
    numbers = numbers_of(evidence)
    found = []
    for rule in definition.rules:
        number = numbers[rule.events[0], rule.service]
        having, of = draft.shares[number]
        found.append(
            LearnedStep(
                event=rule.events[0],
                service=rule.service,
                flows=evidence.milestones[number].flows,
                reached=of,
                share=having / of if of else 0.0,
                at_least=least_share(having, of),
                owed=is_owed(rule, definition),
                limit_us=rule.limit_us,
                took=took.get(number),
            )
        )
    return tuple(found)


def _end(evidence: Evidence, end: End) -> LearnedEnd:
    return LearnedEnd(evidence.milestones[end.number].event, end.outcome, end.flows, end.last / end.flows)
