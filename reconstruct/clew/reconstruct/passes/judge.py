"""judge: what each flow is, when it began, how it ended, and what it waits for.

Leaves ``verdict_flow`` (the rows of ``store.flows`` for every touched flow), ``wait``
(those of ``store.waits``), ``channel_now`` and ``key_now``. Limits and ``as_of`` are
applied when somebody asks, so that time alone changes no stored row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import EVIDENCE, OBSERVATIONS, OUTCOMES, SHAPE
from clew.reconstruct.keys import quoted
from clew.reconstruct.passes.identify import anchor_of
from clew.reconstruct.passes.rules import follow_rules
from clew.reconstruct.passes.waits import find_waits

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

OUTCOME = {name: number for number, name in enumerate(OUTCOMES)}
NAMES = 1 << 32
"""More than there are names in one run."""
NEVER = (1 << 63) - 1
FIRST = f"coalesce(epoch_us(moment), {NEVER})::HUGEINT * {NAMES} + t.name_no"
"""A time and then a name, as one number; NULL where there is no name. No time is the latest."""


def judge(context: Context) -> None:
    """Judge every touched flow anew from all its records."""
    follow_rules(context)
    _ends(context)
    find_waits(context)
    _count(context)
    _name(context)
    _flows(context)
    _keys(context)


def _keys(context: Context) -> None:
    """``key_now(flow, name, value)``: the other IDs of each flow; a demoted instance key is one of them.

    Of a flow that only grew, those of its new records that it lacks; of a ``regrouped``
    one, which may have lost some, all.
    """
    demoted = ", ".join(quoted(name) for name in context.names.demoted)
    is_key = f"r.keys IS NOT NULL OR t.correlation_key IN ({demoted})" if demoted else "r.keys IS NOT NULL"
    named = f"CASE WHEN t.correlation_key IN ({demoted or 'NULL'}) THEN t.correlation_key END AS demoted"
    columns = f"r.keys, {named}, CASE WHEN demoted IS NOT NULL THEN r.correlation_id END AS correlation_id"
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE key_text AS
        SELECT flow, any_value(keys) AS keys, demoted, any_value(correlation_id) AS correlation_id
        FROM (
            SELECT m.flow, {columns}
            FROM member AS m JOIN store.records AS r USING (record)
            JOIN store.series AS t ON t.series = r.series
            WHERE r.batch >= {context.first} AND ({is_key})
            {_older_keys(columns, is_key) if context.count("SELECT count(*) FROM regrouped") else ""}
        )
        GROUP BY flow, hash(keys), demoted, hash(correlation_id)
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE key_now AS
        SELECT DISTINCT flow, name, value FROM (
            SELECT flow, entry.key AS name, entry.value AS value FROM (
                SELECT flow, unnest(map_entries(from_json(keys, '"MAP(VARCHAR, VARCHAR)"'))) AS entry
                FROM key_text WHERE keys IS NOT NULL
            )
            UNION ALL
            SELECT flow, demoted, correlation_id FROM key_text WHERE demoted IS NOT NULL
        ) AS k
        WHERE value IS NOT NULL
          AND (flow IN (FROM regrouped) OR NOT EXISTS (
              SELECT 1 FROM store.flow_keys AS o
              SEMI JOIN existing USING (flow)
              WHERE o.flow = k.flow AND o.name = k.name AND o.value = k.value))
    """)


def _older_keys(columns: str, is_key: str) -> str:
    return f"""
        UNION ALL
        SELECT m.flow, {columns}
        FROM member AS m SEMI JOIN regrouped USING (flow)
        JOIN older AS r USING (record)
        JOIN store.series AS t ON t.series = r.series
        WHERE {is_key}
    """


def _number(value: int | None) -> str:
    return "NULL" if value is None else str(value)


def _ends(context: Context) -> None:
    """``ending(flow, outcome, moment, own, owes)``: how a flow ended, as the best witness tells.

    A history's own word comes first, unless the history goes on after it; then a written
    definition's end or undoing; then a root span's error; then that all steps of a definition
    without an end were seen. ``own`` says that it is the first of these, ``owes`` that an
    undoing has begun and owes something.
    """
    names = " ".join(f"WHEN {quoted(name)} THEN {number}" for name, number in OUTCOME.items() if number)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE ending AS
        WITH
        history AS (
            SELECT flow, max(until) AS last FROM member
            WHERE kind = 'history' AND flow IN (SELECT flow FROM told WHERE outcome IS NOT NULL)
            GROUP BY flow
        ),
        told AS (
            SELECT m.flow, CASE m.outcome {names} END AS outcome, m.until AS moment, 0 AS rank, false AS owes
            FROM told AS m LEFT JOIN history AS h USING (flow)
            WHERE m.outcome IS NOT NULL AND NOT coalesce(m.until < h.last, false)
            UNION ALL
            SELECT flow, outcome, moment, CASE WHEN reached THEN 3 ELSE 1 END, owes FROM defined_end
            UNION ALL
            SELECT m.flow, {OUTCOME["failed"]}, m.until, 2, false
            FROM told AS m
            WHERE m.kind = 'span' AND m.parent_h IS NULL AND NOT m.shared AND m.status = 'error'
              AND m.operation IS NULL
        ),
        ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY flow ORDER BY rank, moment DESC NULLS LAST, outcome DESC
            ) AS nth
            FROM told WHERE outcome IS NOT NULL
        )
        SELECT flow, outcome::UTINYINT AS outcome, moment, rank = 0 AS own, owes
        FROM ranked WHERE nth = 1
    """)


def _count(context: Context) -> None:
    """``basic``: one row for each flow with its numbers, its ``type_no`` and its ``service_set``.

    ``trait`` numbers the names and services of the members' series in the order of their
    text: so the first name, and of several at one time the least, is the minimum of a number.
    """
    context.run("""
        CREATE OR REPLACE TEMP TABLE trait AS
        SELECT series, name, service,
            CASE WHEN name IS NOT NULL THEN dense_rank() OVER (ORDER BY name) END AS name_no,
            CASE WHEN service IS NOT NULL THEN dense_rank() OVER (ORDER BY service) - 1 END AS service_no
        FROM store.series SEMI JOIN member USING (series)
    """)
    services = max(context.count("SELECT max(service_no) + 1 FROM trait"), 1)
    evidence = "[count(*)::INTEGER" + ", 0" * (len(EVIDENCE) - 1) + "]"
    if context.count("SELECT count(*) FROM member WHERE evidence <> 1"):
        evidence = ", ".join(f"count(*) FILTER (evidence = {number})" for number, _ in enumerate(EVIDENCE, 1))
        evidence = f"[{evidence}]::INTEGER[]"
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE basic AS
        SELECT flow, started, last, records, errors, dead_letters, evidence, service_set, shape,
            coalesce(first_root, first_name) % {NAMES} AS type_no
        FROM (
            SELECT m.flow, min(moment) AS started, max(until) AS last, count(*) AS records,
                count(*) FILTER (bad) AS errors,
                count(*) FILTER (m.kind = 'dead_letter')::INTEGER AS dead_letters,
                {evidence} AS evidence,
                bitstring_agg(t.service_no, 0, {services - 1}) AS service_set,
                {SHAPE} AS shape,
                min({FIRST}) FILTER (m.kind = 'span' AND parent_h IS NULL) AS first_root,
                min({FIRST}) FILTER (m.kind <> 'dead_letter') AS first_name
            FROM member AS m JOIN trait AS t USING (series) GROUP BY m.flow
        )
    """)


def _name(context: Context) -> None:
    """``named(flow, flow_id)``: an anchor's value, or the trace or event that the flow comes from.

    A flow's number is the hash of its ID, so that any record with that ID names it; and
    every run of a reused ID is named by the same record.
    """
    # Which key anchored a record matters only where some of them must not, and costs a join.
    records = OBSERVATIONS if context.names.demoted else "store.records"
    anchor = anchor_of(context.names)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE name AS
        SELECT flow AS base, any_value({anchor}) AS name FROM {records}
        WHERE batch >= {context.first} AND evidence = 1 GROUP BY flow
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE base_of AS
        SELECT b.flow, coalesce(run.base, b.flow) AS base, run.number
        FROM basic AS b LEFT JOIN run_now AS run USING (flow)
    """)
    for rows, column, name, only in (
        ("store.flows", "flow", "flow_id", "true"),
        (f"(FROM store.records WHERE batch >= {context.first})", "trace_h", "trace_id", "true"),
        (records, "flow", anchor, f"batch < {context.first} AND evidence = 1"),
        ("older", "trace_h", "trace_id", "true"),
        ("store.records", "event_h", "event_id", "true"),
    ):
        context.run("""
            CREATE OR REPLACE TEMP TABLE nameless AS SELECT DISTINCT base FROM base_of ANTI JOIN name USING (base)
        """)
        if not context.count("SELECT count(*) FROM nameless"):
            break
        context.run(f"""
            INSERT INTO name
            SELECT {column}, any_value({name}) FROM {rows} AS r
            WHERE {only} AND {column} IN (SELECT base FROM nameless) GROUP BY {column}
        """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE named AS
        SELECT b.flow, n.name || CASE WHEN b.number > 1 THEN '#' || b.number ELSE '' END AS flow_id
        FROM base_of AS b JOIN name AS n USING (base)
    """)


def _roots(context: Context) -> None:
    """``root_of(flow, roots)``: how many spans of each flow have no parent."""
    context.run("""
        CREATE OR REPLACE TEMP TABLE root_of AS
        SELECT flow, count(DISTINCT span_h)::INTEGER AS roots FROM member
        WHERE kind = 'span' AND parent_h IS NULL AND NOT shared
        GROUP BY flow
    """)


def _flows(context: Context) -> None:
    limits = (
        ", ".join(f"({quoted(d.name)}, {_number(d.limit_us)})" for d in context.definitions) or "(NULL, NULL)"
    )
    _roots(context)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE verdict_flow AS
        WITH
            typed AS (SELECT DISTINCT name_no, name FROM trait WHERE name IS NOT NULL),
            served AS (
                SELECT service_set, list(t.service ORDER BY t.service) AS services
                FROM (SELECT DISTINCT service_set FROM basic WHERE service_set IS NOT NULL) AS b
                JOIN (SELECT DISTINCT service, service_no::INTEGER AS service_no FROM trait) AS t
                  ON get_bit(b.service_set, t.service_no) = 1
                GROUP BY service_set
            ),
            events AS (SELECT flow, count(*) AS events FROM step_of GROUP BY flow),
            dead AS (SELECT flow, count(DISTINCT unit)::INTEGER AS dead_open FROM dead_now GROUP BY flow),
            written_limit AS (
                SELECT * FROM (VALUES {limits}) AS l(type, limit_us) WHERE type IS NOT NULL
            )
        SELECT
            b.flow, name.flow_id, {context.scope_no} AS scope_no,
            coalesce(d.type, t.name) AS type,
            b.started, b.last, e.moment AS ended, l.limit_us::BIGINT AS overall_limit_us,
            d.type IS NOT NULL AS defined, coalesce(e.outcome, 0)::UTINYINT AS outcome,
            coalesce(r.roots, 0) AS roots, b.records,
            coalesce(v.events, 0) AS events, b.errors, b.dead_letters,
            coalesce(dead.dead_open, 0) AS dead_open, coalesce(o.records, 0)::INTEGER AS missing_parents,
            coalesce(s.services, []) AS services, b.evidence, b.shape
        FROM basic AS b
        LEFT JOIN named AS name USING (flow)
        LEFT JOIN defined_flow AS d USING (flow)
        LEFT JOIN ending AS e USING (flow)
        LEFT JOIN root_of AS r USING (flow)
        LEFT JOIN typed AS t ON t.name_no = b.type_no
        LEFT JOIN served AS s USING (service_set)
        LEFT JOIN events AS v USING (flow)
        LEFT JOIN dead USING (flow)
        LEFT JOIN missing_parent AS o USING (flow)
        LEFT JOIN written_limit AS l ON l.type = d.type
    """)
