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

NARROW = "series, time, end_time, trace_h, event_h, cause_h, place_h, span_h, parent_h"
"""What a member needs of its record; text is looked up by its series."""


def fold(context: Context) -> None:
    """Leave ``touched(flow)``, ``existing(flow)``, ``regrouped(flow)``, ``member``, ``told``, ``step_of``.

    ``member`` has one row for each record and flow, with ``shared`` (by several flows),
    ``unit`` (its event's or message's identity within the flow), ``moment`` and ``until``
    (plausible times), ``ended`` (its end is told), ``bad``, ``sends`` and ``handles``;
    ``told`` is the same with the text of its series. ``step_of`` has one row for each flow
    and unit: whether it was sent and whether it was handled.
    """
    _touched(context)
    gather(context)


def gather(context: Context) -> None:
    """:func:`fold` for the flows that are in ``touched`` and ``existing`` already."""
    _members(context)
    split_runs(context)
    _regrouped(context)
    _name_units(context)
    _steps(context)


def _touched(context: Context) -> None:
    """Flows whose records change, and those that wait for one of the batch's records.

    A record may change between the runs of a reused ID.
    """
    kind = {name: WAITS.index(name) for name in ("parent", "cause", "handling")}
    touch(
        context,
        f"""
            SELECT flow FROM stage WHERE flow IS NOT NULL
            UNION SELECT flow FROM shared_now
            UNION SELECT flow FROM moved
            UNION SELECT r.flow FROM older AS r SEMI JOIN moved USING (record)
            UNION SELECT s.flow FROM store.shared AS s SEMI JOIN component USING (record)
            UNION SELECT w.flow FROM store.waits AS w
                  WHERE (w.kind IN ({kind["cause"]}, {kind["handling"]})
                         AND w.token IN (SELECT event_h FROM stage))
                     OR (w.kind = {kind["parent"]} AND w.token IN (SELECT span_h FROM stage))
                     OR (w.kind = {kind["handling"]} AND (
                            w.token IN (SELECT parent_h FROM stage)
                         OR w.token IN (SELECT place_h FROM stage)
                         OR w.token IN (SELECT token FROM link_ref)))
        """,
    )


def touch(context: Context, flows: str) -> None:
    """``touched(flow)`` of a SELECT of flows: with each run of a reused ID come all its runs. And ``existing``."""
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE touched AS
        WITH told AS ({flows}),
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


def _regrouped(context: Context) -> None:
    """``regrouped(flow)``: flows that got or lost records that were stored before."""
    context.run("""
        CREATE OR REPLACE TEMP TABLE regrouped AS
        SELECT flow FROM moved WHERE flow IS NOT NULL
        UNION SELECT r.flow FROM older AS r SEMI JOIN moved USING (record) WHERE r.flow IS NOT NULL
        UNION SELECT s.flow FROM shared_now AS s SEMI JOIN older USING (record)
        UNION SELECT s.flow FROM store.shared AS s SEMI JOIN component USING (record)
        UNION SELECT flow FROM touched SEMI JOIN store.instances USING (flow)
        UNION SELECT flow FROM run_now
        UNION SELECT base FROM rerun
    """)


def _members(context: Context) -> None:
    latest = f"TIMESTAMP {quoted(context.arrival.isoformat(sep=' '))} + INTERVAL 1 DAY"
    plausible = f"BETWEEN {EARLIEST} AND {latest}"
    sources = [f"SELECT flow, record, false AS shared, {NARROW}, evidence FROM stage WHERE flow IS NOT NULL"]
    if context.count("SELECT count(*) FROM existing"):
        sources.append(f"""
            SELECT r.flow, r.record, false, {NARROW}, r.evidence
            FROM older AS r SEMI JOIN existing USING (flow)
            WHERE r.record NOT IN (SELECT record FROM moved)
        """)
    if context.count("SELECT count(*) FROM moved"):
        sources.append(f"""
            SELECT m.flow, r.record, false, {NARROW}, m.evidence
            FROM older AS r JOIN moved AS m USING (record) WHERE m.flow IS NOT NULL
        """)
    if context.count("SELECT count(*) FROM shared_now"):
        sources.extend(
            f"""
            SELECT s.flow, r.record, true, {NARROW}, s.evidence
            FROM {rows} AS r JOIN shared_now AS s USING (record)
            """
            for rows in ("older", "stage")
        )
    if context.count("SELECT count(*) FROM store.shared"):
        sources.append(f"""
            SELECT s.flow, r.record, true, {NARROW}, s.evidence
            FROM older AS r JOIN (
                SELECT record, flow, evidence FROM store.shared
                SEMI JOIN touched USING (flow)
                ANTI JOIN component USING (record)
            ) AS s USING (record)
        """)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE member AS
        SELECT m.* EXCLUDE (time, end_time), t.kind,
            coalesce(event_h, place_h) AS unit,
            CASE WHEN time {plausible} THEN time END AS moment,
            CASE WHEN end_time {plausible} THEN greatest(moment, end_time) ELSE moment END AS until,
            end_time IS NOT NULL AS ended,
            coalesce(t.severity IN ('ERROR', 'FATAL') OR t.status = 'error', false) AS bad,
            coalesce(t.operation IN {SENDS} AND t.kind <> 'dead_letter', false) AS sends,
            coalesce(t.operation IN {HANDLES} AND t.kind <> 'dead_letter', false) AS handles
        FROM ({" UNION ALL ".join(sources)}) AS m JOIN store.series AS t USING (series)
    """)
    context.run("""
        CREATE OR REPLACE TEMP VIEW told AS
        SELECT m.*, t.* EXCLUDE (series, kind) FROM member AS m JOIN store.series AS t USING (series)
    """)


def _name_units(context: Context) -> None:
    """A message told once with its event ID and once with its coordinates only is one unit."""
    if not context.count("SELECT count(*) FROM member WHERE event_h IS NULL AND place_h IS NOT NULL"):
        return
    context.run("""
        UPDATE member SET unit = named.event_h
        FROM (
            SELECT flow, place_h, min(event_h) AS event_h FROM member
            WHERE event_h IS NOT NULL AND place_h IS NOT NULL
            GROUP BY flow, place_h
        ) AS named
        WHERE member.event_h IS NULL AND named.flow = member.flow AND named.place_h = member.place_h
    """)


def _steps(context: Context) -> None:
    """Events and messages of each flow; one is handled wherever its handling was recorded."""
    context.run("""
        CREATE OR REPLACE TEMP TABLE step_of AS
        SELECT flow, unit, bool_or(sends) AS sent, bool_or(handles) AS handled
        FROM member WHERE unit IS NOT NULL
        GROUP BY flow, unit
    """)
