"""Written definitions as tables: what :mod:`clew.reconstruct.passes.rules` asks.

Rules, branches, choices and quorums of all definitions are numbered together.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from clew.reconstruct.definitions import Role
from clew.reconstruct.duckdb.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.reconstruct.definitions import Definition, Rule
    from clew.reconstruct.passes.context import Context

BITS = 16
"""Bits of a number within its definition; the definition's own number stands above."""

TABLES: dict[str, dict[str, Any]] = {
    "rule_flow": {
        "definition": "INTEGER",
        "type": "VARCHAR",
        "limit_us": "BIGINT",
        "by_steps": "BOOLEAN",
        "undoes": "BOOLEAN",
    },
    "rule_name": {
        "number": "INTEGER",
        "definition": "INTEGER",
        "role": "VARCHAR",
        "event": "VARCHAR",
        "service": "VARCHAR",
        "versions": ["VARCHAR"],
        "outcome": "UTINYINT",
    },
    "rule": {
        "number": "INTEGER",
        "definition": "INTEGER",
        "role": "VARCHAR",
        "at_least": "INTEGER",
        "at_most": "INTEGER",
        "limit_us": "BIGINT",
        "quorum": "INTEGER",
        "needs": "INTEGER",
        "name": "VARCHAR",
        "service": "VARCHAR",
        "tells_undone": "BOOLEAN",
    },
    "rule_edge": {
        "rule": "INTEGER",
        "clause": "INTEGER",
        "needs": "INTEGER",
        "kind": "VARCHAR",
        "other": "INTEGER",
    },
    "rule_branch": {"number": "INTEGER", "choice": "INTEGER", "begun_by": "INTEGER"},
}
"""The tables of the definitions. ``rule_name``: what an event of this name is: a ``start``, an
``end`` or a ``rule``. ``rule_edge``: ``of`` a rule that must be done and ``when`` a branch that
must be begun (of one clause), ``in`` a branch that it is in, ``undoes`` a rule."""

Rows = dict[str, list[tuple[Any, ...]]]
"""Table → rows."""


def put_rules(context: Context) -> None:
    """Make the tables of the context's definitions."""
    for table, rows in _rows(context.definitions).items():
        fields = TABLES[table]
        context.run(
            f"""
            CREATE OR REPLACE TEMP TABLE {table} AS
            SELECT unnest(from_json($rows::VARCHAR, '{json.dumps([fields])}'), recursive := true)
            """,
            {"rows": json.dumps([dict(zip(fields, row, strict=True)) for row in rows])},
        )


def _rows(definitions: Sequence[Definition]) -> Rows:
    rows: Rows = {table: [] for table in TABLES}
    for number, definition in enumerate(definitions, 1):
        rows["rule_flow"].append(
            (
                number,
                definition.name,
                definition.limit_us,
                _ends_by_steps(definition),
                any(rule.undoes for rule in definition.rules),
            )
        )
        base = number << BITS
        rows["rule_name"].extend(_names(definition, number))
        told = {event for event, outcome in definition.ends if outcome == "compensated"}
        for rule in definition.rules:
            rows["rule"].append(
                (
                    base + rule.number,
                    number,
                    rule.role,
                    rule.at_least,
                    rule.at_most,
                    rule.limit_us,
                    rule.quorum and base + rule.quorum.number,
                    rule.quorum and rule.quorum.needs,
                    rule.events[0],
                    rule.service,
                    bool(told & set(rule.events)),
                )
            )
            rows["rule_edge"].extend(_edges(rule, base))
        rows["rule_branch"].extend(
            (base + branch.number, branch.choice and base + branch.choice, base + rule_number)
            for branch in definition.branches
            for rule_number in branch.begun_by
        )
    return rows


def _ends_by_steps(definition: Definition) -> bool:
    """Whether it is completed once its steps were seen: no end says so, and some step is owed in any run."""
    left_out = {branch.number for branch in definition.branches if branch.choice is None}
    told = any(outcome == "completed" for _, outcome in definition.ends)
    return not (told or any(rule.role is Role.COMPLETED for rule in definition.rules)) and any(
        rule.role is Role.STEP and not left_out & set(rule.branches) for rule in definition.rules
    )


def _names(definition: Definition, number: int) -> Iterator[tuple[Any, ...]]:
    base = number << BITS
    for rule in definition.rules:
        for event in rule.events:
            yield base + rule.number, number, "rule", event, rule.service, rule.versions, None
    borders = [(event, "start") for event in definition.start] + [*definition.ends]
    for nth, (event, means) in enumerate(borders, len(definition.rules) + 1):
        role, outcome = ("start", None) if means == "start" else ("end", OUTCOMES.index(means))
        yield base + nth, number, role, event, None, (), outcome


def _edges(rule: Rule, base: int) -> Iterator[tuple[Any, ...]]:
    for clause_number, clause in enumerate(rule.after):
        for kind, others in (("of", clause.rules), ("when", clause.when)):
            for other in others:
                yield base + rule.number, clause_number, clause.needs, kind, base + other
    for kind, others in (("in", rule.branches), ("undoes", rule.undoes)):
        for other in others:
            yield base + rule.number, None, None, kind, base + other
