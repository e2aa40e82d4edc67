"""Flows and their likely continuations looked at as one, with nothing of it stored.

What is joined is judged by the engine itself: the records of the flows in question are put
through the passes anew, under one ID, and the first step after each break is told which
event it is about. All else shows through from the file.

In the schema ``joined`` of the workbench:

``part(flow, flow_id, base, after, service)``
    each flow that is joined, with the ID of the one that it all began with; of the break before
    it, the event's ID and who works on it;
``alias(record, flow, flow_id, event_id, causation_id)``
    what each record of a joined flow says instead;
``gone(flow)``, and the rows of the engine's tables that stand for these flows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.collectors.record import RECORD_COLUMNS
from clew.reconstruct.duckdb import rebuilding
from clew.reconstruct.duckdb.schema import OBSERVATIONS, WAITS
from clew.reconstruct.passes.fold import HANDLES, SENDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

    from clew.reconstruct.answers import Continuation
    from clew.reconstruct.model import Settings

HANDLING = WAITS.index("handling")
CHUNK = 500
"""Continuations that one statement takes."""
ANCHORS = {"correlation_id": "a.flow_id", "correlation_key": "NULL::VARCHAR"}
"""One flow is named by one value, of whichever key the settings take for an anchor."""


def first_of(found: Sequence[Continuation]) -> dict[tuple[str, str], str]:
    """(scope, ID of a flow that continues another) → ID of the flow with which it all began."""
    before = {(one.scope, one.continued): one.flow_id for one in found}
    first: dict[tuple[str, str], str] = {}
    for scope, flow_id in before:
        here, seen = flow_id, set[str]()
        while (scope, here) in before and here not in seen:
            seen.add(here)
            here = before[scope, here]
        first[scope, flow_id] = here
    return first


def name(connection: duckdb.DuckDBPyConnection, found: Sequence[Continuation]) -> None:
    """Make ``alias`` and ``gone`` of what is in ``store``. Needs the turn."""
    first = first_of(found)
    drop(connection)
    connection.execute("CREATE SCHEMA memory.joined")
    connection.execute("""
        CREATE TABLE joined.told (
            scope VARCHAR, continued VARCHAR, base VARCHAR, after VARCHAR, service VARCHAR
        )
    """)
    for start in range(0, len(found), CHUNK):
        rows = [
            (one.scope, one.continued, first[one.scope, one.continued], one.after_id, one.service)
            for one in found[start : start + CHUNK]
        ]
        marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(rows))
        connection.execute(
            f"INSERT INTO joined.told VALUES {marks}", [value for row in rows for value in row]
        )
    connection.execute("""
        CREATE TABLE joined.part AS
        SELECT f.flow, f.flow_id, t.base, t.after, t.service
        FROM joined.told AS t JOIN store.scopes AS s USING (scope)
        JOIN store.flows AS f ON f.flow_id = t.continued AND f.scope_no = s.scope_no
        UNION ALL
        SELECT DISTINCT f.flow, f.flow_id, t.base, NULL, NULL
        FROM joined.told AS t JOIN store.scopes AS s USING (scope)
        JOIN store.flows AS f ON f.flow_id = t.base AND f.scope_no = s.scope_no
    """)
    connection.execute("CREATE TABLE joined.gone AS SELECT flow FROM joined.part")
    connection.execute(f"""
        CREATE TABLE joined.alias AS
        SELECT r.record, r.flow, p.base AS flow_id,
            CASE WHEN r.event_id IS NULL AND r.service = p.service AND r.operation IN {HANDLES}
                 THEN p.after END AS event_id,
            CASE WHEN r.causation_id IS NULL AND r.service = p.service AND r.operation IN {SENDS}
                 THEN p.after END AS causation_id
        FROM {OBSERVATIONS} AS r JOIN joined.part AS p USING (flow)
    """)


def told(columns: Mapping[str, str] | None = None) -> str:
    """The Record's columns as a joined record ``r`` with its alias ``a`` has them."""
    instead = {
        **ANCHORS,
        "event_id": "coalesce(r.event_id, a.event_id)",
        "causation_id": "coalesce(r.causation_id, a.causation_id)",
    } | dict(columns or {})
    return ", ".join(
        f'{instead.get(name, f"r.{chr(34)}{name}{chr(34)}")} AS "{name}"' for name in RECORD_COLUMNS
    )


def remember(connection: duckdb.DuckDBPyConnection) -> None:
    """Copy the records of the joined flows, as they are told then. Needs the turn."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE past AS
        SELECT {told()}, r.record, r.batch, r.source_no, r.scope_no
        FROM {OBSERVATIONS} AS r JOIN joined.alias AS a USING (record)
    """).fetchall()
    rebuilding.remember_surroundings(connection)


def rename(connection: duckdb.DuckDBPyConnection) -> None:
    """Have what was copied of the whole store tell the joined flows."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE past AS
        SELECT {told()}, r.record, r.batch, r.source_no, r.scope_no FROM past AS r JOIN joined.alias AS a USING (record)
        UNION ALL BY NAME
        FROM past ANTI JOIN joined.alias USING (record)
    """).fetchall()


def forget_answered(connection: duckdb.DuckDBPyConnection) -> None:
    """What a continuation answers is owed no handling, whether or not one was told."""
    connection.execute(f"""
        DELETE FROM store.waits WHERE kind = {HANDLING} AND (flow, since, name) IN (
            SELECT (r.flow, w.since, w.name)
            FROM joined.alias AS a JOIN store.records AS r USING (record)
            JOIN store.waits AS w ON w.flow = r.flow AND w.token = r.cause_h AND w.kind = {HANDLING}
            WHERE a.causation_id IS NOT NULL
        )
    """).fetchall()


def judge(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Put what :func:`remember` copied through the passes, and keep what comes of it."""
    rebuilding.relive(connection, settings)
    forget_answered(connection)
    for table in ("flows", "waits", "channels", "flow_keys", "shared"):
        connection.execute(f"CREATE TABLE joined.{table} AS FROM store.{table}").fetchall()
    connection.execute("CREATE TABLE joined.moved AS SELECT * FROM store.records").fetchall()
    connection.execute("""
        CREATE TABLE joined.instances AS
        SELECT a.flow AS base, any_value(m.flow) AS flow, 1 AS number, NULL::TIMESTAMP AS since
        FROM joined.alias AS a JOIN joined.moved AS m USING (record) GROUP BY a.flow
    """).fetchall()
    connection.execute("CREATE TABLE joined.series AS FROM store.series").fetchall()
    connection.execute("DETACH store").fetchall()


def show(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``store``, a database in memory, of the file attached as ``kept`` and what was joined."""
    rest = "FROM kept.{} ANTI JOIN memory.joined.gone USING (flow)"
    views = {
        "records": """FROM kept.records ANTI JOIN memory.joined.alias USING (record)
            UNION ALL BY NAME FROM memory.joined.moved""",
        "series": "FROM kept.series UNION BY NAME FROM memory.joined.series",
        "shared": f"""{rest.format("shared")} UNION ALL FROM memory.joined.shared
            UNION ALL SELECT s.record, i.flow, s.evidence
            FROM kept.shared AS s JOIN memory.joined.instances AS i ON i.base = s.flow""",
        "channels": "FROM kept.channels UNION BY NAME FROM memory.joined.channels",
    }
    views |= {
        # Rows are told by their numbers, which a view has none of by itself.
        table: f"""SELECT *, rowid {rest.format(table)}
            UNION ALL BY NAME SELECT *, -1 - rowid AS rowid FROM memory.joined.{table}"""
        for table in ("flows", "waits", "flow_keys", "instances")
    }
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'kept'"
    ).fetchall()
    views = {table: f"FROM kept.{table}" for (table,) in tables} | views
    for table, select in views.items():
        connection.execute(f"CREATE VIEW store.{table} AS {select}").fetchall()


def drop(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove all of it."""
    connection.execute("DROP SCHEMA IF EXISTS memory.joined CASCADE").fetchall()
