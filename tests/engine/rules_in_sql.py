"""One table of rules, one of edges and one of branches are enough to judge many flows at once.

``dues(connection, definition, flows)`` asks in SQL what :func:`clew.reconstruct.owed.owed` says of
each flow alone. It shows that the rules' shape is fit for sets, and how the tables look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from clew.reconstruct.definitions import Definition
from clew.reconstruct.owed import Event

Fields = dict[str, pa.DataType]
TEXTS: pa.DataType = pa.list_(pa.string())
RULE: Fields = {
    "number": pa.int32(),
    "events": TEXTS,
    "service": pa.string(),
    "versions": TEXTS,
    "at_least": pa.int32(),
    "limit_us": pa.int64(),
    "quorum": pa.int32(),
    "quorum_needs": pa.int32(),
    "role": pa.string(),
}
EDGE: Fields = {
    "rule": pa.int32(),
    "clause": pa.int32(),
    "needs": pa.int32(),
    "kind": pa.string(),
    "other": pa.int32(),
}
"""kind: ``of`` a rule that must be done, ``when`` a branch that must be begun, ``in`` a branch that it is in
(no clause), ``undoes`` a rule (no clause)."""
BRANCH: Fields = {"number": pa.int32(), "choice": pa.int32(), "begun_by": pa.int32()}
BORDER: Fields = {"name": pa.string(), "role": pa.string()}
"""role: start, or what an end means."""
EVENT: Fields = {
    "flow": pa.int32(),
    "name": pa.string(),
    "time": pa.timestamp("us"),
    "service": pa.string(),
    "version": pa.string(),
}

FACTS = """
    CREATE OR REPLACE TEMP TABLE started AS
    SELECT flow, min(time) AS since FROM event WHERE name IN (SELECT name FROM border WHERE role = 'start') GROUP BY flow;

    CREATE OR REPLACE TEMP TABLE hit AS
    SELECT e.flow, r.number AS rule, e.time
    FROM event AS e JOIN rule AS r
      ON list_contains(r.events, e.name) AND (r.service IS NULL OR r.service = e.service)
     AND (len(r.versions) = 0 OR list_contains(r.versions, e.version));

    CREATE OR REPLACE TEMP TABLE seen AS
    SELECT h.flow, h.rule, max(h.time) AS last, list_sort(list(h.time))[any_value(r.at_least)] AS done
    FROM hit AS h JOIN rule AS r ON r.number = h.rule GROUP BY h.flow, h.rule;

    CREATE OR REPLACE TEMP TABLE begun AS
    SELECT DISTINCT s.flow, b.number AS branch, b.choice FROM seen AS s JOIN branch AS b ON b.begun_by = s.rule;

    -- Undoings at or after the last event of what they undo: in force.
    CREATE OR REPLACE TEMP TABLE undoing AS
    SELECT h.flow, x.other AS undone, h.rule, count(*) >= any_value(r.at_least) AS complete, max(h.time) AS last
    FROM hit AS h
    JOIN rule AS r ON r.number = h.rule
    JOIN edge AS x ON x.rule = h.rule AND x.kind = 'undoes'
    LEFT JOIN seen AS s ON s.flow = h.flow AND s.rule = x.other
    WHERE s.last IS NULL OR h.time >= s.last
    GROUP BY h.flow, x.other, h.rule;

    CREATE OR REPLACE TEMP TABLE ended AS
    SELECT DISTINCT flow FROM event WHERE name IN (SELECT name FROM border WHERE role <> 'start');
"""

FORWARD = """
    WITH
        candidate AS (
            SELECT t.flow, t.since, r.*
            FROM started AS t CROSS JOIN rule AS r
            LEFT JOIN seen AS s ON s.flow = t.flow AND s.rule = r.number
            WHERE s.done IS NULL AND r.role IN ('step', 'completed')
              AND t.flow NOT IN (FROM ended) AND t.flow NOT IN (SELECT flow FROM undoing)
        ),
        clause AS (
            SELECT c.flow, c.number, x.clause,
                bool_or(x.kind = 'when' AND b.branch IS NULL) AS void,
                list_sort(list(s.done) FILTER (s.done IS NOT NULL))[any_value(x.needs)] AS holds
            FROM candidate AS c
            JOIN edge AS x ON x.rule = c.number AND x.kind IN ('of', 'when')
            LEFT JOIN seen AS s ON x.kind = 'of' AND s.flow = c.flow AND s.rule = x.other
            LEFT JOIN begun AS b ON x.kind = 'when' AND b.flow = c.flow AND b.branch = x.other
            GROUP BY c.flow, c.number, x.clause
        ),
        ready AS (
            SELECT flow, number, max(holds) FILTER (NOT void) AS holds
            FROM clause GROUP BY flow, number HAVING bool_and(void OR holds IS NOT NULL)
        ),
        choice_of AS (SELECT DISTINCT number AS branch, choice FROM branch),
        within AS (
            SELECT c.flow, c.number, min(o.choice) FILTER (b.branch IS NULL) AS undecided,
                bool_and(b.branch IS NOT NULL OR o.choice IS NOT NULL AND d.flow IS NULL) AS open
            FROM candidate AS c
            JOIN edge AS x ON x.rule = c.number AND x.kind = 'in'
            JOIN choice_of AS o ON o.branch = x.other
            LEFT JOIN begun AS b ON b.flow = c.flow AND b.branch = x.other
            LEFT JOIN (SELECT DISTINCT flow, choice FROM begun) AS d ON d.flow = c.flow AND d.choice = o.choice
            GROUP BY c.flow, c.number
        ),
        enough AS (
            SELECT s.flow, r.quorum, count(s.done) AS done
            FROM seen AS s JOIN rule AS r ON r.number = s.rule WHERE r.quorum IS NOT NULL GROUP BY s.flow, r.quorum
        ),
        open AS (
            SELECT c.flow, c.number, c.since AS started, greatest(c.since, y.holds) AS since, c.limit_us,
                CASE WHEN w.undecided IS NOT NULL THEN ('choice', w.undecided)
                    WHEN c.quorum IS NOT NULL THEN ('quorum', c.quorum) ELSE ('rule', c.number) END AS due,
                CASE WHEN w.undecided IS NULL AND c.quorum IS NOT NULL
                    THEN c.quorum_needs - coalesce(q.done, 0) ELSE 1 END AS needs
            FROM candidate AS c
            LEFT JOIN ready AS y ON y.flow = c.flow AND y.number = c.number
            LEFT JOIN within AS w ON w.flow = c.flow AND w.number = c.number
            LEFT JOIN enough AS q ON q.flow = c.flow AND q.quorum = c.quorum
            WHERE coalesce(w.open, true) AND (y.flow IS NOT NULL OR c.number NOT IN (
                SELECT rule FROM edge WHERE kind = 'of'
            ))
        )
    SELECT flow, list(number ORDER BY number), any_value(needs), min(since),
        list_sort(
            list(least(since + to_microseconds(limit_us), started + to_microseconds($whole))), 'DESC', 'NULLS FIRST'
        )[any_value(needs)]
    FROM open GROUP BY flow, due HAVING any_value(needs) > 0
"""

BACK = """
    WITH
        left_over AS (
            SELECT s.flow, s.rule FROM seen AS s
            WHERE s.flow IN (SELECT flow FROM undoing) AND s.rule IN (SELECT other FROM edge WHERE kind = 'undoes')
              AND (s.flow, s.rule) NOT IN (SELECT (flow, undone) FROM undoing WHERE complete)
        ),
        wanted AS (
            SELECT l.flow, list(x.rule ORDER BY x.rule) AS rules
            FROM left_over AS l JOIN edge AS x ON x.kind = 'undoes' AND x.other = l.rule GROUP BY l.flow, l.rule
            UNION
            SELECT u.flow, rules FROM undoing AS u, (
                SELECT list(number ORDER BY number) AS rules FROM rule
                WHERE list_has_any(events, (SELECT list(name) FROM border WHERE role = 'compensated'))
            ) WHERE rules IS NOT NULL AND u.flow NOT IN (SELECT flow FROM left_over)
        )
    SELECT w.flow, w.rules, 1, u.last, (
        SELECT max(least(u.last + to_microseconds(r.limit_us), t.since + to_microseconds($whole)))
        FROM rule AS r WHERE list_contains(w.rules, r.number)
    )
    FROM wanted AS w
    JOIN (SELECT flow, max(last) AS last FROM undoing GROUP BY flow) AS u USING (flow)
    JOIN started AS t USING (flow)
    WHERE w.flow NOT IN (FROM ended)
"""


def dues(
    connection: duckdb.DuckDBPyConnection, definition: Definition, flows: Sequence[Sequence[Event]]
) -> list[set[tuple[Any, ...]]]:
    """Of each flow: (rules, needs, since, deadline). Where no limit says one, the deadline is None."""
    told = [(number, *event) for number, events in enumerate(flows) for event in events]
    for name, rows, fields in (
        ("rule", _rules(definition), RULE),
        ("edge", _edges(definition), EDGE),
        ("branch", _branches(definition), BRANCH),
        ("border", [*((start, "start") for start in definition.start), *definition.ends], BORDER),
        ("event", told, EVENT),
    ):
        table = pa.Table.from_pylist([dict(zip(fields, row, strict=True)) for row in rows], pa.schema(fields))
        connection.register("given_rows", table)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given_rows")
    connection.execute(FACTS)
    found: list[set[tuple[Any, ...]]] = [set() for _ in flows]
    for sql in (FORWARD, BACK):
        rows = connection.execute(sql, {"whole": definition.limit_us}).fetchall()
        for flow, rules, needs, since, deadline in rows:
            found[flow].add((tuple(rules), needs, since, deadline))
    return found


def _rules(definition: Definition) -> list[tuple[Any, ...]]:
    return [
        (
            rule.number,
            rule.events,
            rule.service,
            rule.versions,
            rule.at_least,
            rule.limit_us,
            rule.quorum and rule.quorum.number,
            rule.quorum and rule.quorum.needs,
            rule.role,
        )
        for rule in definition.rules
    ]


def _edges(definition: Definition) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for rule in definition.rules:
        for number, clause in enumerate(rule.after):
            found.extend((rule.number, number, clause.needs, "of", other) for other in clause.rules)
            found.extend((rule.number, number, clause.needs, "when", other) for other in clause.when)
        found.extend((rule.number, None, None, "in", other) for other in rule.branches)
        found.extend((rule.number, None, None, "undoes", other) for other in rule.undoes)
    return found


def _branches(definition: Definition) -> list[tuple[Any, ...]]:
    return [
        (branch.number, branch.choice, rule) for branch in definition.branches for rule in branch.begun_by
    ]
