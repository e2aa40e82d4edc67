"""fold: gather every record of the flows that the batch touches, and make steps of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import WAITS
from clew.reconstruct.keys import quoted
from clew.reconstruct.passes.instances import split_runs

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

SENDS = "('send', 'create')"
HANDLES = "('process', 'receive', 'settle')"
EARLIEST = "TIMESTAMP '2000-01-01'"
"""Times before it are not plausible, nor are those a day beyond the arrival."""

MEMBER_COLUMNS = """kind, time, end_time, service, name, operation, destination, consumer_group, severity, status, outcome, error_type, keys,
            event_h, cause_h, place_h, trace_h, span_h, parent_h, evidence"""


def fold(context: Context) -> None:
    """Leave ``touched(flow)``, ``member`` (one row per record and flow) and ``step_of``.

    ``member`` has for each record ``moment`` and ``until`` (plausible times), ``bad``,
    ``sends`` and ``handles``. ``step_of(flow, event_h, …)`` is one row per flow and event:
    when it was sent and handled, and when it was dead-lettered.
    """
    _touched(context)
    _members(context)
    split_runs(context)
    _steps(context)


def _touched(context: Context) -> None:
    cause, handling = WAITS.index("cause"), WAITS.index("handling")
    parent = WAITS.index("parent")
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE touched AS
        WITH told AS (
            SELECT flow FROM stage WHERE flow IS NOT NULL
            UNION SELECT flow FROM shared_now
            UNION SELECT flow FROM moved
            UNION SELECT r.flow FROM store.records AS r SEMI JOIN moved USING (record)
            UNION SELECT s.flow FROM store.shared AS s SEMI JOIN component USING (record)
            UNION SELECT w.flow FROM store.waits AS w
                  WHERE (w.kind IN ({cause}, {handling}) AND w.token IN (SELECT event_h FROM stage))
                     OR (w.kind = {parent} AND w.token IN (SELECT span_h FROM stage))
                     OR (w.kind = {handling} AND w.token IN (SELECT parent_h FROM stage))
                     OR (w.kind = {handling} AND w.token IN (SELECT token FROM link_ref))
        ),
        based AS (
            SELECT coalesce(i.base, t.flow) AS base FROM told AS t LEFT JOIN store.instances AS i USING (flow)
        )
        SELECT base AS flow FROM based WHERE base IS NOT NULL
        UNION SELECT i.flow FROM store.instances AS i SEMI JOIN based USING (base)
        UNION SELECT flow FROM told WHERE flow IS NOT NULL
    """)
    context.run(
        "CREATE OR REPLACE TEMP TABLE existing AS SELECT flow FROM touched SEMI JOIN store.flows USING (flow)"
    )


def _members(context: Context) -> None:
    latest = f"TIMESTAMP {quoted(context.arrival.isoformat(sep=' '))} + INTERVAL 1 DAY"
    span = ""
    if context.count("SELECT count(*) FROM existing"):
        span = f"""
            UNION ALL
            SELECT r.flow, r.record, {MEMBER_COLUMNS}
            FROM store.records AS r SEMI JOIN existing USING (flow)
            WHERE r.record NOT IN (SELECT record FROM moved)
        """
    shares = ""
    if context.count(
        "SELECT (SELECT count(*) FROM shared_now) + (SELECT count(*) FROM moved)"
    ) or context.count("SELECT count(*) FROM store.shared"):
        shares = f"""
            UNION ALL
            SELECT m.flow, r.record, {MEMBER_COLUMNS.replace("evidence", "m.evidence")}
            FROM store.records AS r JOIN moved AS m USING (record) WHERE m.flow IS NOT NULL
            UNION ALL
            SELECT s.flow, r.record, {MEMBER_COLUMNS.replace("evidence", "s.evidence")}
            FROM store.records AS r JOIN (
                SELECT record, flow, evidence FROM shared_now
                UNION ALL
                SELECT h.record, h.flow, h.evidence FROM store.shared AS h
                SEMI JOIN touched USING (flow)
                ANTI JOIN component ON component.record = h.record
            ) AS s USING (record)
            UNION ALL
            SELECT s.flow, s.record, {MEMBER_COLUMNS.replace("evidence", "s.evidence")}
            FROM stage AS r JOIN shared_now AS s ON s.record = r.record
        """
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE member AS
        SELECT *,
            CASE WHEN time BETWEEN {EARLIEST} AND {latest} THEN time END AS moment,
            CASE WHEN coalesce(end_time, time) BETWEEN {EARLIEST} AND {latest}
                 THEN coalesce(end_time, time) END AS until,
            coalesce(severity IN ('ERROR', 'FATAL') OR status = 'error', false) AS bad,
            coalesce(operation IN {SENDS} AND kind <> 'dead_letter', false) AS sends,
            coalesce(operation IN {HANDLES} AND kind <> 'dead_letter', false) AS handles
        FROM (
            SELECT flow, record, {MEMBER_COLUMNS} FROM stage WHERE flow IS NOT NULL
            {span}
            {shares}
        )
    """)


def _steps(context: Context) -> None:
    """Events of each flow; an event is handled wherever its handling was recorded."""
    context.run("""
        CREATE OR REPLACE TEMP TABLE step_of AS
        SELECT flow, event_h,
            min(moment) FILTER (sends) AS sent_at,
            bool_or(sends) AS sent,
            bool_or(handles) AS handled,
            max(until) FILTER (kind = 'dead_letter') AS dead_at,
            bool_or(kind = 'dead_letter') AS dead,
            max(until) FILTER (handles AND NOT bad) AS ok_at
        FROM member WHERE event_h IS NOT NULL
        GROUP BY flow, event_h
    """)
