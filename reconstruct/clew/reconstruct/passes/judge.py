"""judge: what each flow is, when it began, how it ended, and what it waits for.

Leaves ``verdict_flow`` (the rows of ``store.flows`` for every touched flow), ``wait``
(those of ``store.waits``), ``channel_now`` and ``link_now``. Limits and ``as_of`` are
applied when somebody asks, so that time alone changes no stored row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import EVIDENCE, OUTCOMES, WAITS
from clew.reconstruct.keys import quoted
from clew.reconstruct.passes.identify import anchor_of

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

KIND = {name: number for number, name in enumerate(WAITS)}
OUTCOME = {name: number for number, name in enumerate(OUTCOMES)}


def judge(context: Context) -> None:
    """Judge every touched flow anew from all its records."""
    _defined(context)
    _ends(context)
    _wait_for_parents_and_causes(context)
    _wait_for_handling(context)
    _wait_for_ends(context)
    _wait_for_retries(context)
    _wait_for_steps(context)
    _flows(context)


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
                f"({quoted(definition.name)}, 'step', {quoted(step.event)}, {service}, NULL, {_number(limit)})"
            )
        rows.extend(
            f"({quoted(definition.name)}, 'end', {quoted(event)}, NULL, {OUTCOME[outcome]}, "
            f"{_number(definition.limit_us)})"
            for event, outcome in definition.ends
        )
    values = ", ".join(rows) if rows else "(NULL, NULL, NULL, NULL, NULL, NULL)"
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE written AS
        SELECT row_number() OVER () AS number, type::VARCHAR AS type, role::VARCHAR AS role, event::VARCHAR AS event,
            service::VARCHAR AS service, outcome::UTINYINT AS outcome, limit_us::BIGINT AS limit_us
        FROM (VALUES {values}) AS w(type, role, event, service, outcome, limit_us) WHERE type IS NOT NULL
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE hit AS
        SELECT m.flow, w.number, w.type, w.role, w.event, w.outcome, min(m.moment) AS moment
        FROM member AS m JOIN written AS w ON w.event = m.name AND (w.service IS NULL OR w.service = m.service)
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
    """``ending(flow, outcome, moment)``: a history's own word, a definition's end, or a failed root."""
    names = " ".join(f"WHEN {quoted(name)} THEN {number}" for name, number in OUTCOME.items() if number)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE ending AS
        WITH told AS (
            SELECT flow, CASE outcome {names} END AS outcome, until AS moment, 1 AS rank
            FROM member WHERE outcome IS NOT NULL
            UNION ALL
            SELECT h.flow, h.outcome, h.moment, 0 AS rank
            FROM hit AS h JOIN defined_flow AS d USING (flow, type) WHERE h.role = 'end'
            UNION ALL
            SELECT m.flow, {OUTCOME["failed"]}, m.until, 2 AS rank
            FROM member AS m
            WHERE m.kind = 'span' AND m.parent_h IS NULL AND m.status = 'error' AND m.operation IS NULL
        ),
        ranked AS (
            SELECT *, row_number() OVER (
                PARTITION BY flow ORDER BY rank, moment DESC NULLS LAST, outcome DESC
            ) AS nth
            FROM told WHERE outcome IS NOT NULL
        )
        SELECT flow, outcome::UTINYINT AS outcome, moment FROM ranked WHERE nth = 1
    """)
    context.run(f"""
        INSERT INTO ending
        SELECT d.flow, {OUTCOME["completed"]}, max(h.moment)
        FROM defined_flow AS d
        JOIN written AS w ON w.type = d.type AND w.role = 'step'
        LEFT JOIN hit AS h ON h.flow = d.flow AND h.number = w.number
        WHERE d.type NOT IN (SELECT type FROM written WHERE role = 'end')
          AND d.flow NOT IN (SELECT flow FROM ending)
        GROUP BY d.flow HAVING count(*) = count(h.flow)
    """)


def _wait_for_parents_and_causes(context: Context) -> None:
    """Parents and causes that the flow lacks; found in another flow, they link the two."""
    context.run("""
        CREATE OR REPLACE TEMP TABLE wait (
            flow UBIGINT, kind UTINYINT, token UBIGINT, channel UBIGINT, since TIMESTAMP, limit_us BIGINT,
            name VARCHAR, service VARCHAR, destination VARCHAR
        )
    """)
    context.run(
        "CREATE OR REPLACE TEMP TABLE link_now (flow UBIGINT, other UBIGINT, kind VARCHAR, via VARCHAR)"
    )
    for kind, mine, theirs, extra in (
        ("parent", "parent_h", "span_h", " AND m.kind = 'span'"),
        ("cause", "cause_h", "event_h", ""),
    ):
        context.run(f"""
            CREATE OR REPLACE TEMP TABLE lacking AS
            SELECT m.flow, m.{mine} AS token, count(DISTINCT coalesce(m.span_h, m.record)) AS records,
                min(m.moment) AS since
            FROM member AS m
            ANTI JOIN member AS own ON own.flow = m.flow AND own.{theirs} = m.{mine}
            WHERE m.{mine} IS NOT NULL{extra}
            GROUP BY ALL
        """)
        if not context.count("SELECT count(*) FROM lacking"):
            continue
        context.run(f"""
            CREATE OR REPLACE TEMP TABLE elsewhere AS
            SELECT DISTINCT {theirs} AS token, flow FROM stage SEMI JOIN lacking ON lacking.token = {theirs}
            UNION
            SELECT r.{theirs}, r.flow FROM store.records AS r SEMI JOIN lacking ON lacking.token = r.{theirs}
            WHERE r.record NOT IN (SELECT record FROM moved)
            UNION
            SELECT r.{theirs}, m.flow FROM store.records AS r JOIN moved AS m USING (record)
            SEMI JOIN lacking ON lacking.token = r.{theirs}
        """)
        context.run(f"""
            INSERT INTO link_now
            SELECT DISTINCT l.flow, e.flow, 'parent', {quoted(kind)}
            FROM lacking AS l JOIN elsewhere AS e USING (token)
            WHERE e.flow IS NOT NULL AND e.flow <> l.flow
        """)
        context.run(f"""
            INSERT INTO wait
            SELECT flow, {KIND[kind]}, token, NULL, since,
                CASE WHEN token IN (SELECT token FROM elsewhere) THEN 0 ELSE records END, NULL, NULL, NULL
            FROM lacking
        """)


def _wait_for_handling(context: Context) -> None:
    """Sends that nobody is known to have handled; owed where their channel has handlers.

    A send's channel is its destination, or its own name where none is told. Which
    channels are handled at all is the store's knowledge: ``channel_now`` adds to it.
    """
    channel = "hash(coalesce(m.destination, m.name, ''))"
    context.run("CREATE OR REPLACE TEMP TABLE channel_now (channel UBIGINT, name VARCHAR)")
    if not context.count("SELECT count(*) FROM member WHERE sends"):
        return
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE sent AS
        SELECT m.flow, coalesce(m.event_h, m.span_h, m.place_h) AS token, m.event_h, m.span_h, m.place_h,
            {channel} AS channel,
            min(m.moment) AS since, min(m.name) AS name, min(m.service) AS service, min(m.destination) AS destination,
            bool_or(m.kind = 'history') AS told
        FROM member AS m
        WHERE m.sends AND coalesce(m.event_h, m.span_h, m.place_h) IS NOT NULL
        GROUP BY m.flow, m.event_h, m.span_h, m.place_h, channel
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE answered AS
        SELECT s.flow, s.token FROM sent AS s
        JOIN step_of AS e ON e.flow = s.flow AND e.event_h = s.event_h AND e.handled
        UNION
        SELECT s.flow, s.token FROM sent AS s
        JOIN member AS m ON m.flow = s.flow AND m.parent_h = s.span_h AND m.handles
        UNION
        SELECT s.flow, s.token FROM sent AS s
        JOIN member AS m ON m.flow = s.flow AND m.place_h = s.place_h AND m.handles
    """)
    context.run(
        "CREATE OR REPLACE TEMP TABLE open_send AS SELECT * FROM sent ANTI JOIN answered USING (flow, token)"
    )
    if context.count("SELECT count(*) FROM open_send"):
        handles = "operation IN ('process', 'receive', 'settle') AND kind <> 'dead_letter'"
        context.run(f"""
            INSERT INTO answered
            WITH handling AS (
                SELECT event_h, parent_h, place_h FROM stage WHERE {handles}
                UNION ALL
                SELECT event_h, parent_h, place_h FROM store.records WHERE {handles}
            ),
            linked AS (SELECT token FROM link_ref UNION SELECT token FROM store.link_refs)
            SELECT s.flow, s.token FROM open_send AS s SEMI JOIN handling AS h ON h.event_h = s.event_h
            UNION
            SELECT s.flow, s.token FROM open_send AS s SEMI JOIN handling AS h ON h.parent_h = s.span_h
            UNION
            SELECT s.flow, s.token FROM open_send AS s SEMI JOIN handling AS h ON h.place_h = s.place_h
            UNION
            SELECT s.flow, s.token FROM open_send AS s SEMI JOIN linked AS l ON l.token = s.span_h
        """)
    context.run("""
        INSERT INTO channel_now
        SELECT s.channel, min(coalesce(s.destination, s.name))
        FROM sent AS s SEMI JOIN answered USING (flow, token)
        WHERE s.channel NOT IN (SELECT channel FROM store.channels)
        GROUP BY s.channel
    """)
    context.run(f"""
        INSERT INTO wait
        SELECT flow, {KIND["handling"]}, token, CASE WHEN bool_or(told) THEN NULL ELSE min(channel) END,
            min(since), NULL, min(name), min(service), min(destination)
        FROM sent ANTI JOIN answered USING (flow, token)
        GROUP BY flow, token
    """)


def _wait_for_ends(context: Context) -> None:
    """Spans that started and are not told to have ended by any row of theirs."""
    context.run(f"""
        INSERT INTO wait
        SELECT m.flow, {KIND["end"]}, m.span_h, NULL, min(m.moment), NULL, min(m.name), min(m.service), NULL
        FROM member AS m
        WHERE m.kind = 'span' AND m.span_h IS NOT NULL
          AND m.flow IN (SELECT flow FROM member WHERE kind = 'span' AND end_time IS NULL)
        GROUP BY m.flow, m.span_h
        HAVING count(m.end_time) = 0
    """)


def _wait_for_retries(context: Context) -> None:
    """Handlings whose last word is an error, unless the message went to a dead-letter queue."""
    context.run("""
        CREATE OR REPLACE TEMP TABLE failing AS
        SELECT DISTINCT flow, coalesce(event_h, span_h) AS token FROM member
        WHERE handles AND bad AND kind <> 'history' AND coalesce(event_h, span_h) IS NOT NULL
    """)
    if not context.count("SELECT count(*) FROM failing"):
        return
    context.run(f"""
        INSERT INTO wait
        SELECT flow, {KIND["retry"]}, token, NULL, max(failed_at), NULL, min(name), min(service), min(destination)
        FROM (
            SELECT m.flow, coalesce(m.event_h, m.span_h) AS token,
                max(m.until) FILTER (m.bad) AS failed_at, max(m.until) FILTER (NOT m.bad) AS ok_at,
                min(m.name) AS name, min(m.service) AS service, min(m.destination) AS destination
            FROM member AS m
            JOIN failing AS f ON f.flow = m.flow AND f.token = coalesce(m.event_h, m.span_h)
            WHERE m.handles
            GROUP BY m.flow, coalesce(m.event_h, m.span_h), coalesce(m.consumer_group, m.service)
        )
        WHERE failed_at IS NOT NULL AND (ok_at IS NULL OR ok_at <= failed_at)
          AND (flow, token) NOT IN (SELECT (flow, event_h) FROM step_of WHERE dead)
        GROUP BY flow, token
    """)


def _wait_for_steps(context: Context) -> None:
    """A definition's steps that were not seen, or its end where all were."""
    context.run(f"""
        INSERT INTO wait
        WITH missing AS (
            SELECT d.flow, w.number, d.since, w.limit_us, w.event, w.service
            FROM defined_flow AS d
            JOIN written AS w ON w.type = d.type AND w.role = 'step'
            ANTI JOIN hit AS h ON h.flow = d.flow AND h.number = w.number
            WHERE d.flow NOT IN (SELECT flow FROM ending)
        )
        SELECT flow, {KIND["step"]}, NULL, NULL, since, limit_us, event, service, NULL FROM missing
        UNION ALL
        SELECT d.flow, {KIND["step"]}, NULL, NULL, d.since, min(w.limit_us), arg_min(w.event, w.number), NULL, NULL
        FROM defined_flow AS d JOIN written AS w ON w.type = d.type AND w.role = 'end'
        WHERE d.flow NOT IN (SELECT flow FROM ending) AND d.flow NOT IN (SELECT flow FROM missing)
        GROUP BY d.flow, d.since
    """)
    context.run(f"""
        DELETE FROM wait WHERE kind IN ({KIND["handling"]}, {KIND["end"]})
          AND flow IN (
            SELECT e.flow FROM ending AS e
            WHERE e.outcome <> {OUTCOME["failed"]} OR e.flow IN (SELECT flow FROM member WHERE kind = 'history')
          )
    """)


def _flows(context: Context) -> None:
    anchor = anchor_of(context.names)
    evidence = ", ".join(
        f"count(*) FILTER (evidence = {number})::INTEGER" for number in range(1, len(EVIDENCE) + 1)
    )
    limits = (
        ", ".join(f"({quoted(d.name)}, {_number(d.limit_us)})" for d in context.definitions) or "(NULL, NULL)"
    )
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE verdict_flow AS
        WITH
            basic AS (
                SELECT flow, min(moment) AS started, max(until) AS last, count(*) AS records,
                    count(*) FILTER (bad) AS errors,
                    count(*) FILTER (kind = 'dead_letter')::INTEGER AS dead_letters,
                    count(DISTINCT span_h) FILTER (kind = 'span' AND parent_h IS NULL)::INTEGER AS roots,
                    coalesce(
                        min(record) FILTER (evidence = 1),
                        min(record) FILTER (trace_h = flow),
                        min(record) FILTER (event_h = flow)
                    ) AS named_by,
                    [{evidence}] AS evidence
                FROM member GROUP BY flow
            ),
            named AS (
                SELECT b.flow, CASE WHEN r.evidence = 1 THEN r.anchor
                    WHEN r.trace_h = b.flow THEN r.trace_id ELSE r.event_id END AS flow_id
                FROM basic AS b JOIN (
                    SELECT record, evidence, trace_h, trace_id, event_id, {anchor} AS anchor FROM stage
                    UNION ALL
                    SELECT record, evidence, trace_h, trace_id, event_id, {anchor}
                    FROM store.records SEMI JOIN (SELECT named_by AS record FROM basic) USING (record)
                    WHERE record >= (SELECT min(named_by) FROM basic)
                ) AS r ON r.record = b.named_by
            ),
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
                SELECT flow, count(*)::INTEGER AS dead_open FROM (
                    SELECT flow FROM step_of WHERE dead AND (ok_at IS NULL OR ok_at <= dead_at)
                    UNION ALL
                    SELECT flow FROM member WHERE kind = 'dead_letter' AND event_h IS NULL
                ) GROUP BY flow
            ),
            orphans AS (
                SELECT flow, sum(limit_us)::INTEGER AS missing_parents
                FROM wait WHERE kind = {KIND["parent"]} GROUP BY flow
            ),
            written_limit AS (
                SELECT * FROM (VALUES {limits}) AS l(type, limit_us) WHERE type IS NOT NULL
            )
        SELECT
            b.flow,
            name.flow_id || CASE WHEN run.number > 1 THEN '#' || run.number ELSE '' END AS flow_id,
            {context.scope_no} AS scope_no,
            coalesce(d.type, r.first[2], n.first[2]) AS type,
            b.started, b.last, e.moment AS ended, l.limit_us::BIGINT AS overall_limit_us, d.type IS NOT NULL AS defined,
            coalesce(e.outcome, 0)::UTINYINT AS outcome, b.roots, b.records,
            coalesce(v.events, 0) AS events, b.errors, b.dead_letters, coalesce(dead.dead_open, 0) AS dead_open,
            coalesce(o.missing_parents, 0) AS missing_parents, coalesce(s.services, []) AS services, b.evidence
        FROM basic AS b
        LEFT JOIN named AS name USING (flow)
        LEFT JOIN run_now AS run USING (flow)
        LEFT JOIN defined_flow AS d USING (flow)
        LEFT JOIN ending AS e USING (flow)
        LEFT JOIN first_root AS r USING (flow)
        LEFT JOIN first_name AS n USING (flow)
        LEFT JOIN served AS s USING (flow)
        LEFT JOIN events AS v USING (flow)
        LEFT JOIN dead USING (flow)
        LEFT JOIN orphans AS o USING (flow)
        LEFT JOIN written_limit AS l ON l.type = d.type
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE key_now AS
        SELECT DISTINCT flow, keys FROM member WHERE keys IS NOT NULL
    """)
