"""``learn`` on a store: from what is counted of its flows to a model, and what the model changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clew.reconstruct.duckdb import learned_times, learning, models
from clew.reconstruct.duckdb.kept import number_in_use
from clew.reconstruct.duckdb.step_table import build, drop
from clew.reconstruct.duckdb.versions import this_clew
from clew.reconstruct.learned import LearnedType, Model, Transition
from clew.reconstruct.learning.models import learned_type, numbers_of
from clew.reconstruct.learning.synthesis import Draft, drafted

if TYPE_CHECKING:
    import duckdb

    from clew.reconstruct.definitions import Definition
    from clew.reconstruct.learned import Asked
    from clew.reconstruct.learning.evidence import Evidence
    from clew.reconstruct.model import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """What was learned, before it is a model."""

    asked: Asked
    types: tuple[LearnedType, ...]
    transitions: tuple[Transition, ...]


def find(connection: duckdb.DuckDBPyConnection, asked: Asked, settings: Settings) -> Found:
    """Learn from what :func:`~clew.reconstruct.duckdb.learning.choose` copied; needs no turn."""
    build(connection)
    learning.mark(connection, settings)
    drafts = [(g, one, drafted(one, asked.support)) for g, one in learning.evidence(connection)]
    took = learned_times.waits(
        connection, [awaited for g, one, draft in drafts for awaited in _awaited(g, one, draft)]
    )
    durations = learned_times.durations(connection)
    types = tuple(
        learned_type(
            one,
            draft,
            {m: spread for (start, m), spread in took.items() if start == g},
            durations.get(g),
            asked,
        )
        for g, one, draft in drafts
    )
    found = Found(asked, types, tuple(learned_times.transitions(connection)))
    drop(connection)
    return found


def _awaited(g: int, evidence: Evidence, draft: Draft) -> list[learned_times.Awaited]:
    """What each rule waits for, as milestones."""
    if draft.definition is None:
        return []
    numbers = numbers_of(evidence)
    of = {
        rule.number: (numbers[rule.events[0], rule.service], rule.at_least) for rule in draft.definition.rules
    }
    return [
        learned_times.Awaited(
            g,
            *of[rule.number],
            tuple(dict.fromkeys(of[one] for clause in rule.after for one in clause.rules)),
        )
        for rule in draft.definition.rules
    ]


def assembled(connection: duckdb.DuckDBPyConnection, found: Found, *, current: bool) -> Model:
    """The model that comes next; of types that were not asked for it keeps what the one in use has."""
    ((newest,),) = connection.execute("SELECT coalesce(max(number), 0) FROM store.models").fetchall()
    types = found.types
    if found.asked.types:
        names = {one.type for one in types} | set(found.asked.types)
        kept = [one for model in _in_use(connection) for one in model.types if one.type not in names]
        types = (*types, *kept)
    return Model(
        newest + 1, datetime.now(UTC).replace(microsecond=0), this_clew(), found.asked, types, current=current
    )


def put(connection: duckdb.DuckDBPyConnection, model: Model, found: Found) -> None:
    """Store a model."""
    models.keep(connection, model, found.transitions)
    if found.asked.types:
        names = {one.type for one in found.types} | set(found.asked.types)
        before = number_in_use(connection)
        models.keep_others(
            connection, before, model.number, [one.type for one in model.types if one.type not in names]
        )


def changed_starts(before: Sequence[Definition], now: Sequence[Definition]) -> set[str]:
    """The events with which flows begin that are judged otherwise by other definitions."""
    differing = set(before) ^ set(now)
    return {event for definition in differing for event in definition.start}


def _in_use(connection: duckdb.DuckDBPyConnection) -> list[Model]:
    return models.models(connection, number_in_use(connection))
