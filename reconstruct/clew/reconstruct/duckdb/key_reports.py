"""What speaks against the class of an ID-like name, with numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clew.reconstruct.answers import KeyReport
from clew.reconstruct.duckdb.schema import OBSERVATIONS
from clew.reconstruct.keys import class_of
from clew.reconstruct.model import KeyClass, Settings
from clew.reconstruct.passes.fold import HANDLES, SENDS

if TYPE_CHECKING:
    import duckdb

ROOTS = 20
"""Unrelated roots under one value that are too many for one run."""
EDGES = 10
"""Edges, or traces, that are enough to speak of a share of them."""
CHANGING = 0.5
"""Share of edges along which a value that belongs to one run does not change."""


def keys(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[KeyReport]:
    """Every ID-like name seen: suspects first, then by number of records."""
    _see(connection)
    roots = _roots(connection)
    changes = _changes(connection)
    classes = class_of(settings)
    reports = []
    for name, records, values, flows, most_flows, most_records in connection.execute("""
        WITH per_value AS (
            SELECT name, value, sum(records) AS records, count(DISTINCT flow) AS flows
            FROM key_seen GROUP BY name, value
        )
        SELECT v.name, sum(v.records), count(*), any_value(n.flows), max(v.flows), max(v.records)
        FROM per_value AS v
        JOIN (SELECT name, count(DISTINCT flow) AS flows FROM key_seen GROUP BY name) AS n USING (name)
        GROUP BY v.name
    """).fetchall():
        key_class = classes.get(name, KeyClass.ENTITY)
        suspect = None
        if key_class is KeyClass.INSTANCE:
            suspect = _looks_like_group(name, roots) or _looks_like_hop(name, changes)
        reports.append(
            KeyReport(
                name=name,
                key_class=key_class,
                configured=name in settings.key_classes,
                records=int(records),
                values=int(values),
                flows=int(flows),
                max_flows_per_value=int(most_flows),
                max_records_per_value=int(most_records),
                suspect=suspect,
            )
        )
    return sorted(reports, key=lambda report: (report.suspect is None, -report.records, report.name))


def _see(connection: duckdb.DuckDBPyConnection) -> None:
    """``key_seen(name, value, flow, records)``, and ``keyed``: every record with what names it."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE keyed AS
        SELECT scope_no, correlation_key AS name, correlation_id AS value, flow,
            coalesce(trace_h, event_h) AS home, trace_h, event_h, cause_h, span_h, parent_h, operation
        FROM {OBSERVATIONS} WHERE correlation_key IS NOT NULL AND correlation_id IS NOT NULL
    """).fetchall()
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE key_seen AS
        SELECT name, value, flow, count(*) AS records FROM keyed GROUP BY ALL
        UNION ALL
        SELECT name, value, flow, sum(records) FROM (
            SELECT unnest(json_keys(keys)) AS name,
                replace(replace(name, '\\', '\\\\'), '"', '\\"') AS quoted,
                json_extract_string(keys, '$."' || quoted || '"') AS value, flow, records
            FROM (
                SELECT keys, flow, count(*) AS records FROM store.records WHERE keys IS NOT NULL GROUP BY ALL
            )
        )
        WHERE value IS NOT NULL GROUP BY ALL
    """).fetchall()


def _roots(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, int]]:
    """Name → the value with the most unrelated roots, and how many those are.

    A root is a trace, or an event without one, that follows no other of the same value
    by a cause or by the handling of its message.
    """
    rows = connection.execute(f"""
        WITH
            homes AS (SELECT DISTINCT scope_no, name, value, home FROM keyed WHERE home IS NOT NULL),
            many AS (
                SELECT scope_no, name, value FROM homes GROUP BY ALL HAVING count(*) > 1
            ),
            among AS (SELECT k.* FROM keyed AS k SEMI JOIN many USING (scope_no, name, value)),
            follower AS (
                SELECT DISTINCT a.scope_no, a.name, a.value, a.home
                FROM among AS a JOIN among AS b
                  ON b.event_h = a.cause_h AND b.name = a.name AND b.value = a.value
                WHERE a.home <> b.home
                UNION
                SELECT DISTINCT a.scope_no, a.name, a.value, a.home
                FROM among AS a JOIN among AS b
                  ON b.event_h = a.event_h AND b.name = a.name AND b.value = a.value
                WHERE a.home <> b.home
                  AND a.operation IN {HANDLES} AND b.operation IN {SENDS}
            ),
            roots AS (
                SELECT scope_no, name, value, count(*) AS roots
                FROM homes ANTI JOIN follower USING (scope_no, name, value, home)
                GROUP BY ALL
            )
        SELECT name, arg_min(value, ROW(-roots, value)), max(roots) FROM roots GROUP BY name
    """).fetchall()
    return {name: (value, int(roots)) for name, value, roots in rows}


def _changes(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int, str]]:
    """Name → along how many edges its value changes, of how many, and what these edges are."""
    edges = connection.execute("""
        WITH
            spans AS (SELECT DISTINCT name, value, span_h FROM keyed WHERE span_h IS NOT NULL),
            events AS (SELECT DISTINCT name, value, event_h FROM keyed WHERE event_h IS NOT NULL),
            edge AS (
                SELECT k.name, k.value <> s.value AS changes
                FROM (SELECT DISTINCT name, value, parent_h, span_h FROM keyed) AS k
                JOIN spans AS s ON s.span_h = k.parent_h AND s.name = k.name
                UNION ALL
                SELECT k.name, k.value <> e.value
                FROM (SELECT DISTINCT name, value, cause_h, event_h FROM keyed) AS k
                JOIN events AS e ON e.event_h = k.cause_h AND e.name = k.name
            )
        SELECT name, count(*) FILTER (changes), count(*) FROM edge GROUP BY name
    """).fetchall()
    found = {name: (int(changes), int(all_), "parent and causal edges") for name, changes, all_ in edges}
    traces = connection.execute("""
        SELECT name, count(*) FILTER (number > 1), count(*)
        FROM (
            SELECT name, trace_h, count(DISTINCT value) AS number FROM keyed
            WHERE trace_h IS NOT NULL GROUP BY ALL HAVING count(*) > 1
        )
        GROUP BY name
    """).fetchall()
    for name, changes, all_ in traces:
        if found.get(name, (0, 0, ""))[1] < EDGES:
            found[name] = (int(changes), int(all_), "traces")
    return found


def _looks_like_group(name: str, roots: dict[str, tuple[str, int]]) -> str | None:
    value, number = roots.get(name, ("", 0))
    if number < ROOTS:
        return None
    return (
        f"{name}={json.dumps(value, ensure_ascii=False)} covers {number:,} unrelated traces: more like a "
        f"tenant or session than one run; set it to 'group' and rebuild"
    )


def _looks_like_hop(name: str, changes: dict[str, tuple[int, int, str]]) -> str | None:
    changing, number, edges = changes.get(name, (0, 0, ""))
    if number < EDGES or changing < CHANGING * number:
        return None
    return (
        f"its value changes along {changing:,} of {number:,} {edges}: like a request ID made anew at each "
        f"hop; set it to 'hop' and rebuild"
    )
