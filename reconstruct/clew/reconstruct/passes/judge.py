"""judge: what each flow is, when it began, how it ended, and what it waits for.

Leaves ``verdict_flow`` (the rows of ``store.flows`` for every touched flow), ``wait``
(those of ``store.waits``), ``channel_now`` and ``key_now``. Limits and ``as_of`` are
applied when somebody asks, so that time alone changes no stored row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import EVIDENCE, OUTCOMES
from clew.reconstruct.keys import quoted
from clew.reconstruct.passes.identify import anchor_of
from clew.reconstruct.passes.waits import find_waits

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

OUTCOME = {name: number for number, name in enumerate(OUTCOMES)}


def judge(context: Context) -> None:
    """Judge every touched flow anew from all its records."""
    _defined(context)
    _ends(context)
    find_waits(context)
    _count(context)
    _name(context)
    _flows(context)
    _keys(context)


def _keys(context: Context) -> None:
    """``key_now(flow, keys)``: the other IDs of each flow; a demoted instance key is one of them."""
    demoted = ", ".join(quoted(name) for name in context.names.demoted)
    also = f"""
        UNION
        SELECT m.flow, json_object(r.correlation_key, r.correlation_id)
        FROM member AS m JOIN (
            SELECT record, correlation_key, correlation_id FROM stage
            UNION ALL
            SELECT record, correlation_key, correlation_id FROM store.records
        ) AS r USING (record)
        WHERE r.correlation_id IS NOT NULL AND r.correlation_key IN ({demoted})
    """
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE key_now AS
        SELECT DISTINCT flow, keys FROM member WHERE keys IS NOT NULL
        {also if demoted else ""}
    """)


def _defined(context: Context) -> None:
    """``defined_flow``: flows whose definition's start was seen; ``hit``: its events seen."""
    rows: list[str] = []
    for definition in context.definitions:
        rows.extend(
            f"({quoted(definition.name)}, 'start', {quoted(event)}, NULL, NULL, NULL)"
            for event in definition.start
        )
        for step in definition.steps:
            limit = step.limit_us if step.limit_us is not None else definition.limit_us
            service = quoted(step.service) if step.service else "NULL"
            rows.append(
                f"({quoted(definition.name)}, 'step', {quoted(step.event)}, {service}, NULL, "
                f"{_number(limit)})"
            )
        rows.extend(
            f"({quoted(definition.name)}, 'end', {quoted(event)}, NULL, {OUTCOME[outcome]}, "
            f"{_number(definition.limit_us)})"
            for event, outcome in definition.ends
        )
    numbered = ", ".join(f"({number}, {row[1:]}" for number, row in enumerate(rows, 1))
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE written AS
        SELECT number, type::VARCHAR AS type, role::VARCHAR AS role, event::VARCHAR AS event,
            service::VARCHAR AS service, outcome::UTINYINT AS outcome, limit_us::BIGINT AS limit_us
        FROM (VALUES {numbered or "(0, NULL, NULL, NULL, NULL, NULL, NULL)"})
            AS w(number, type, role, event, service, outcome, limit_us)
        WHERE type IS NOT NULL
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE hit AS
        SELECT m.flow, w.number, w.type, w.role, w.event, w.outcome, min(m.moment) AS moment
        FROM member AS m
        JOIN written AS w ON w.event = m.name AND (w.service IS NULL OR w.service = m.service)
        WHERE m.kind <> 'dead_letter'
        GROUP BY ALL
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE defined_flow AS
        SELECT flow, min(ROW(moment, type)) AS first, first[1] AS since, first[2] AS type
        FROM hit WHERE role = 'start' GROUP BY flow
    """)


def _number(value: int | None) -> str:
    return "NULL" if value is None else str(value)


def _ends(context: Context) -> None:
    """``ending(flow, outcome, moment, own)``: how a flow ended, as the best witness tells.

    A history's own word comes first, unless the history goes on after it; then a written
    definition's end; then a root span's error. ``own`` says that it is the first of these.
    """
    names = " ".join(f"WHEN {quoted(name)} THEN {number}" for name, number in OUTCOME.items() if number)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE ending AS
        WITH
        history AS (
            SELECT flow, max(until) AS last FROM member
            WHERE kind = 'history' AND flow IN (SELECT flow FROM member WHERE outcome IS NOT NULL)
            GROUP BY flow
        ),
        told AS (
            SELECT m.flow, CASE m.outcome {names} END AS outcome, m.until AS moment, 0 AS rank
            FROM member AS m LEFT JOIN history AS h USING (flow)
            WHERE m.outcome IS NOT NULL AND NOT coalesce(m.until < h.last, false)
            UNION ALL
            SELECT h.flow, h.outcome, h.moment, 1 AS rank
            FROM hit AS h JOIN defined_flow AS d USING (flow, type) WHERE h.role = 'end'
            UNION ALL
            SELECT m.flow, {OUTCOME["failed"]}, m.until, 2 AS rank
            FROM member AS m
            WHERE m.kind = 'span' AND m.parent_h IS NULL AND NOT m.shared AND m.status = 'error'
              AND m.operation IS NULL
        ),
        ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY flow ORDER BY rank, moment DESC NULLS LAST, outcome DESC
            ) AS nth
            FROM told WHERE outcome IS NOT NULL
        )
        SELECT flow, outcome::UTINYINT AS outcome, moment, rank = 0 AS own FROM ranked WHERE nth = 1
    """)
    context.run(f"""
        INSERT INTO ending
        SELECT d.flow, {OUTCOME["completed"]}, max(h.moment), false
        FROM defined_flow AS d
        JOIN written AS w ON w.type = d.type AND w.role = 'step'
        LEFT JOIN hit AS h ON h.flow = d.flow AND h.number = w.number
        WHERE d.type NOT IN (SELECT type FROM written WHERE role = 'end')
          AND d.flow NOT IN (SELECT flow FROM ending)
        GROUP BY d.flow HAVING count(*) = count(h.flow)
    """)


def _count(context: Context) -> None:
    """``basic``: one row for each flow, with its numbers and ``named_by``, the record that has its ID.

    Every run of a reused ID is named by the same record.
    """
    base, runs = "m.flow", ""
    if context.count("SELECT count(*) FROM run_now"):
        base, runs = "coalesce(run.base, m.flow)", "LEFT JOIN run_now AS run ON run.flow = m.flow"
    evidence = ", ".join(
        f"count(*) FILTER (evidence = {number})::INTEGER" for number in range(1, len(EVIDENCE) + 1)
    )
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE basic AS
        SELECT m.flow, {base} AS base, min(moment) AS started, max(until) AS last, count(*) AS records,
            count(*) FILTER (bad) AS errors,
            count(*) FILTER (kind = 'dead_letter')::INTEGER AS dead_letters,
            count(DISTINCT span_h) FILTER (kind = 'span' AND parent_h IS NULL AND NOT shared)::INTEGER
                AS roots,
            coalesce(
                min(record) FILTER (evidence = 1),
                min(record) FILTER (trace_h = {base}),
                min(record) FILTER (event_h = {base})
            ) AS named_by,
            [{evidence}] AS evidence
        FROM member AS m {runs} GROUP BY m.flow, {base}
    """)


def _name(context: Context) -> None:
    """``named(flow, flow_id)``: an anchor's value, or the trace or event that the flow comes from."""
    anchor = anchor_of(context.names)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE named AS
        WITH
            named_by AS (SELECT base, min(named_by) AS record FROM basic GROUP BY base),
            name AS (
                SELECT b.base, CASE WHEN r.evidence = 1 THEN r.anchor
                    WHEN r.trace_h = b.base THEN r.trace_id ELSE r.event_id END AS name
                FROM named_by AS b JOIN (
                    SELECT record, evidence, trace_h, trace_id, event_id, {anchor} AS anchor FROM stage
                    UNION ALL
                    SELECT record, evidence, trace_h, trace_id, event_id, {anchor}
                    FROM store.records SEMI JOIN named_by USING (record)
                    WHERE record >= (SELECT min(record) FROM named_by)
                ) AS r USING (record)
            )
        SELECT b.flow, n.name || CASE WHEN run.number > 1 THEN '#' || run.number ELSE '' END AS flow_id
        FROM basic AS b JOIN name AS n USING (base) LEFT JOIN run_now AS run ON run.flow = b.flow
    """)


def _flows(context: Context) -> None:
    limits = (
        ", ".join(f"({quoted(d.name)}, {_number(d.limit_us)})" for d in context.definitions) or "(NULL, NULL)"
    )
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE verdict_flow AS
        WITH
            first_root AS (
                SELECT flow, min(ROW(moment, name)) AS first FROM member
                WHERE kind = 'span' AND parent_h IS NULL AND name IS NOT NULL GROUP BY flow
            ),
            first_name AS (
                SELECT flow, min(ROW(moment, name)) AS first FROM member
                WHERE name IS NOT NULL AND kind <> 'dead_letter' GROUP BY flow
            ),
            served AS (
                SELECT flow, list(service ORDER BY service) AS services
                FROM (SELECT DISTINCT flow, service FROM member WHERE service IS NOT NULL) GROUP BY flow
            ),
            events AS (
                SELECT flow, count(*) AS events FROM step_of GROUP BY flow
            ),
            dead AS (
                SELECT flow, count(DISTINCT unit)::INTEGER AS dead_open FROM dead_now GROUP BY flow
            ),
            written_limit AS (
                SELECT * FROM (VALUES {limits}) AS l(type, limit_us) WHERE type IS NOT NULL
            )
        SELECT
            b.flow, name.flow_id, {context.scope_no} AS scope_no,
            coalesce(d.type, r.first[2], n.first[2]) AS type,
            b.started, b.last, e.moment AS ended, l.limit_us::BIGINT AS overall_limit_us,
            d.type IS NOT NULL AS defined, coalesce(e.outcome, 0)::UTINYINT AS outcome, b.roots, b.records,
            coalesce(v.events, 0) AS events, b.errors, b.dead_letters,
            coalesce(dead.dead_open, 0) AS dead_open, coalesce(o.records, 0)::INTEGER AS missing_parents,
            coalesce(s.services, []) AS services, b.evidence
        FROM basic AS b
        LEFT JOIN named AS name USING (flow)
        LEFT JOIN defined_flow AS d USING (flow)
        LEFT JOIN ending AS e USING (flow)
        LEFT JOIN first_root AS r USING (flow)
        LEFT JOIN first_name AS n USING (flow)
        LEFT JOIN served AS s USING (flow)
        LEFT JOIN events AS v USING (flow)
        LEFT JOIN dead USING (flow)
        LEFT JOIN missing_parent AS o USING (flow)
        LEFT JOIN written_limit AS l ON l.type = d.type
    """)
