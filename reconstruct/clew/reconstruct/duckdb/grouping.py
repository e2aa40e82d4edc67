"""Flows by what they have in common, and what changed right before the first of them.

All of it set-wise: a million flows are one scan of the flows and their waits, and one of the
records' narrow columns up to the last of the groups' first sightings.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from clew.reconstruct.answers import Change, FlowGroup, GroupBy
from clew.reconstruct.duckdb.lookups import FEW
from clew.reconstruct.duckdb.querying import chosen, scopes, utc
from clew.reconstruct.duckdb.refining import refine
from clew.reconstruct.model import FlowFilter, Settings, Status
from clew.reconstruct.passes.fold import HANDLES, SENDS

if TYPE_CHECKING:
    from collections.abc import Collection

    import duckdb

WINDOW = "INTERVAL 10 MINUTE"
"""How long before a group's first sighting a change may lie and still be told."""
WARM_UP = "INTERVAL 1 HOUR"
"""At a store's beginning everything is new: a change before that much of it says nothing."""
SURE = 3
"""More changes than that at one time are a start or a gap in the records, and none is told."""
HARMED = f"('{Status.STUCK}', '{Status.FAILED}', '{Status.DEAD_LETTERED}')"
BROKEN = f"('{Status.FAILED}', '{Status.DEAD_LETTERED}')"

CAUSE = "coalesce(r.cause, g.cause)"

VALUES = {
    GroupBy.CAUSE: CAUSE,
    GroupBy.TYPE: "g.type",
    GroupBy.STEP: f"""CASE WHEN g.status IN {BROKEN} AND b.name IS NOT NULL THEN b.name
        ELSE CASE g.kind WHEN 'end' THEN 'end of ' WHEN 'handling' THEN 'handling of ' ELSE '' END || g.name
        END""",
    GroupBy.SERVICE: f"""CASE WHEN g.status IN {BROKEN} AND b.name IS NOT NULL THEN b.service
        ELSE coalesce(CASE WHEN g.kind <> 'handling' THEN g.service END, u.service) END""",
}
"""The value that a flow is grouped by. What broke a flow comes before what it is owed since."""


def groups(
    connection: duckdb.DuckDBPyConnection,
    which: FlowFilter,
    by: GroupBy,
    as_of: datetime | None,
    settings: Settings,
    joined: Collection[tuple[str, str]] = (),
) -> list[FlowGroup]:
    """The groups, the largest first, then by value; what has none comes last of its size.

    Needs ``open_wait`` of ``as_of``. ``joined`` are scope and ID of the flows that are joined with a likely continuation.
    """
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE grouped AS
        SELECT flow, flow_id, scope_no, type, status, cause, started, last, shape, records,
            waits_for[2] AS since, waits_for[3] AS kind, waits_for[4] AS name, waits_for[5] AS service
        FROM ({chosen(connection, which, settings)})
    """).fetchall()
    refine(connection, as_of, settings, joined)
    ends = [event for one in settings.definitions for event, outcome in one.ends if outcome == "failed"]
    _blame(connection, ends, wanted=by in {GroupBy.STEP, GroupBy.SERVICE})
    limit = f"LIMIT {int(which.limit)}" if which.limit is not None else ""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE group_of AS
        SELECT {VALUES[by]} AS value, count(*) AS flows,
            min(coalesce(g.since, g.last)) AS oldest, max(coalesce(g.since, g.last)) AS newest,
            min(ROW(coalesce(g.last, TIMESTAMP 'infinity'), g.flow_id, g.scope_no, g.flow)) AS one,
            bool_and(g.status IN {HARMED}) AS harmed,
            histogram({CAUSE}) AS causes,
            row_number() OVER (ORDER BY count(*) DESC, value NULLS LAST) AS nth
        FROM grouped AS g
        LEFT JOIN refined AS r USING (flow)
        LEFT JOIN blamed AS b USING (flow)
        LEFT JOIN usual AS u ON u.name = g.name AND u.kind = g.kind
        GROUP BY value ORDER BY nth {limit}
    """).fetchall()
    changes = _changes(connection)
    scope_of = scopes(connection)
    rows = connection.execute(
        "SELECT nth, value, flows, causes, oldest, newest, one[1], one[2], one[3] FROM group_of ORDER BY nth"
    ).fetchall()
    return [
        FlowGroup(
            value=value,
            flows=flows,
            causes=dict(sorted((causes or {}).items(), key=lambda one: (-one[1], one[0]))),
            oldest=utc(oldest),
            newest=utc(newest),
            first=utc(first),
            example=example or "",
            scope=scope_of.get(scope_no, ""),
            changes=tuple(changes.get(nth, ())),
        )
        for nth, value, flows, causes, oldest, newest, first, example, scope_no in rows
    ]


def _blame(connection: duckdb.DuckDBPyConnection, ends: list[str], *, wanted: bool) -> None:
    """Make ``blamed(flow, name, service)`` and ``usual(kind, name, service)``.

    What is blamed for a broken flow is the last failure told: a dead letter before a
    handling, that before any other, and that before the bad end itself. Usual is the one
    service that sends such a step, or that handles such a message.
    """
    only = "true" if wanted else "false"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE blamed AS
        WITH bad AS (
            SELECT series, name, service,
                CASE WHEN kind = 'dead_letter' THEN 3
                     WHEN outcome IS NOT NULL OR NOT erred THEN 0
                     WHEN operation IN {HANDLES} THEN 2
                     ELSE 1 END AS rank
            FROM (
                SELECT *, coalesce(severity IN ('ERROR', 'FATAL') OR status = 'error', false) AS erred
                FROM store.series
            )
            WHERE {only} AND (erred OR kind = 'dead_letter' OR outcome = 'failed'
                OR name IN (SELECT unnest($ends::VARCHAR[])) AND NOT coalesce(operation IN {HANDLES}, false))
        )
        SELECT flow, last[3] AS name, last[4] AS service
        FROM (
            SELECT r.flow, max(ROW(b.rank, r.time, b.name, b.service)) AS last
            FROM store.records AS r JOIN bad AS b USING (series)
            WHERE r.flow IN (SELECT flow FROM grouped WHERE status IN {BROKEN})
            GROUP BY r.flow
        )
        """,
        {"ends": ends},
    ).fetchall()
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE usual AS
        SELECT k.kind, s.name, min(s.service) AS service
        FROM store.series AS s, (VALUES ('step'), ('handling')) AS k(kind)
        WHERE {only} AND s.service IS NOT NULL AND s.kind <> 'dead_letter'
          AND CASE k.kind WHEN 'step' THEN coalesce(s.operation, 'send') IN {SENDS}
                          ELSE s.operation IN {HANDLES} END
        GROUP BY k.kind, s.name HAVING count(DISTINCT s.service) = 1
    """).fetchall()


def _changes(connection: duckdb.DuckDBPyConnection) -> dict[int, list[Change]]:
    """What the first flow of each harmed group holds that nobody had seen until shortly before.

    - ``schema_version``: of an event of which another version had been seen.
    - ``error_type``: of a service that had been seen.
    - ``service``: one that had not.
    """
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE example AS
        SELECT o.nth, o.one[1] AS sighted, g.flow, g.started, g.last
        FROM group_of AS o JOIN grouped AS g ON g.flow = o.one[4] WHERE o.harmed
    """).fetchall()
    examples = connection.execute("""
        SELECT nth, flow, started::VARCHAR, last::VARCHAR, max(sighted) OVER ()::VARCHAR FROM example
        WHERE isfinite(sighted) AND started IS NOT NULL
    """).fetchall()
    if not examples:
        return {}
    # What was seen later than all of them is not looked at.
    until = f"time BETWEEN TIMESTAMP '2000-01-01' AND TIMESTAMP '{examples[0][-1]}'"
    few = " UNION ALL ".join(
        f"SELECT {nth} AS nth, series FROM store.records "
        f"WHERE flow = {flow} AND time BETWEEN TIMESTAMP '{started}' AND TIMESTAMP '{last}'"
        for nth, flow, started, last, _ in examples
    )
    many = "SELECT nth, series FROM store.records JOIN example USING (flow)"
    rows = connection.execute(f"""
        WITH
            first_seen AS (SELECT series, min(time) AS first FROM store.records WHERE {until} GROUP BY series),
            told AS ({few if len(examples) <= FEW else many}),
            trait AS (
                SELECT series, 'schema_version' AS kind, name, schema_version AS value
                FROM store.series WHERE schema_version IS NOT NULL AND name IS NOT NULL
                UNION ALL
                SELECT series, 'error_type', service, error_type
                FROM store.series WHERE error_type IS NOT NULL AND service IS NOT NULL
                UNION ALL
                SELECT series, 'service', service, service FROM store.series WHERE service IS NOT NULL
            ),
            known AS (
                SELECT kind, name, value, min(first) AS first
                FROM trait JOIN first_seen USING (series) GROUP BY ALL
            ),
            begun AS (SELECT min(first) + {WARM_UP} AS warm FROM first_seen)
        SELECT DISTINCT e.nth, k.kind, k.name, k.value, k.first
        FROM example AS e
        JOIN told USING (nth)
        JOIN trait AS t USING (series)
        JOIN known AS k USING (kind, name, value)
        CROSS JOIN begun
        WHERE k.first BETWEEN e.sighted - {WINDOW} AND e.sighted AND k.first >= begun.warm
          AND CASE k.kind
              WHEN 'schema_version' THEN EXISTS (
                  FROM known AS o WHERE o.kind = k.kind AND o.name = k.name AND o.first < k.first)
              WHEN 'error_type' THEN EXISTS (
                  FROM known AS o
                  WHERE o.kind = 'service' AND o.name = k.name AND o.first < e.sighted - {WINDOW})
              ELSE true END
        ORDER BY e.nth, k.first, k.kind, k.name, k.value
    """).fetchall()
    found: dict[int, list[Change]] = {}
    for nth, kind, name, value, first in rows:
        time = utc(first)
        if time is not None:
            found.setdefault(nth, []).append(Change(kind, name, value, time))
    return {nth: changes for nth, changes in found.items() if len(changes) <= SURE}
