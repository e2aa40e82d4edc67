"""What flows wait for: part of judge.

Leaves ``wait``, the rows of ``store.waits``. A ``parent`` or a ``cause`` is looked for and
not owed. A ``handling``, an ``end``, a ``retry`` and a ``step`` are owed; which of them are
overdue is a question of limits and ``as_of``, asked in :mod:`clew.reconstruct.duckdb.judging`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import OUTCOMES, WAITS
from clew.reconstruct.passes.fold import HANDLES, SENDS
from clew.reconstruct.salt import salt

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

KIND = {name: number for number, name in enumerate(WAITS)}
FAILED = OUTCOMES.index("failed")
COMPENSATING = OUTCOMES.index("compensating")


def find_waits(context: Context) -> None:
    """Make ``wait``, ``channel_now``, ``missing_parent(flow, records)`` and ``dead_now(flow, unit)``.

    Reads ``member``, ``step_of``, ``due``, ``turned`` and ``ending``.
    """
    context.run("""
        CREATE OR REPLACE TEMP TABLE wait (
            flow UBIGINT, kind UTINYINT, token UBIGINT, channel UBIGINT, since TIMESTAMP, limit_us BIGINT,
            name VARCHAR, service VARCHAR, destination VARCHAR
        )
    """)
    _look_for_parents_and_causes(context)
    _wait_for_handling(context)
    _wait_for_ends(context)
    _gather_attempts(context)
    _find_dead(context)
    _wait_for_retries(context)
    _wait_for_steps(context)
    _let_spans_run(context)
    _forgive_what_ended(context)


def _look_for_parents_and_causes(context: Context) -> None:
    """Parents and causes that the flow lacks: a parent that no flow has is missing."""
    context.run("CREATE OR REPLACE TEMP TABLE missing_parent (flow UBIGINT, records BIGINT)")
    _look_for(
        context,
        "cause",
        """
        SELECT m.flow, m.cause_h AS token, m.moment, coalesce(m.span_h, m.record) AS step FROM member AS m
        ANTI JOIN step_of AS own ON own.flow = m.flow AND own.unit = m.cause_h
        WHERE m.cause_h IS NOT NULL
        """,
    )
    _look_for(
        context,
        "parent",
        """
        SELECT m.flow, m.parent_h AS token, m.moment, coalesce(m.span_h, m.record) AS step FROM member AS m
        ANTI JOIN member AS own ON own.flow = m.flow AND own.span_h = m.parent_h
        WHERE m.parent_h IS NOT NULL AND m.kind = 'span'
        """,
    )
    if context.count("SELECT count(*) FROM lacking"):
        context.run("""
            INSERT INTO missing_parent
            SELECT flow, sum(records) FROM lacking
            WHERE token NOT IN (SELECT span_h FROM store.records SEMI JOIN lacking ON token = span_h)
            GROUP BY flow
        """)


def _look_for(context: Context, kind: str, lacking: str) -> None:
    """Make ``lacking(flow, token, records, since)`` and the waits of it."""
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE lacking AS
        SELECT flow, token, count(DISTINCT step) AS records, min(moment) AS since FROM ({lacking})
        GROUP BY flow, token
    """)
    context.run(
        f"INSERT INTO wait (flow, kind, token, since) SELECT flow, {KIND[kind]}, token, since FROM lacking"
    )


def _channel(context: Context, name: str) -> str:
    return f"xor(hash({name}), {salt('channel', context.scope)}::UBIGINT)"


def _wait_for_handling(context: Context) -> None:
    """Sends that nobody is known to have handled; owed where their channel has handlers.

    A send's channel is its destination, or its own name where none is told. Which
    channels are handled at all is the store's knowledge: ``channel_now`` adds to it.
    A history's send is owed in any case.
    """
    context.run("CREATE OR REPLACE TEMP TABLE channel_now (channel UBIGINT, name VARCHAR)")
    if not context.count("SELECT count(*) FROM member WHERE sends"):
        return
    # Nearly every send is answered within its own flow: only the others are looked at closely.
    context.run("""
        CREATE OR REPLACE TEMP TABLE sent AS
        SELECT m.flow, coalesce(m.unit, m.span_h) AS token, m.event_h, m.span_h, m.place_h,
            min(m.moment) AS since, min(m.name) AS name, min(m.service) AS service,
            min(m.destination) AS destination, bool_or(m.kind = 'history') AS by_history
        FROM told AS m
        LEFT JOIN step_of AS s ON s.flow = m.flow AND s.unit = m.unit
        WHERE m.sends AND NOT coalesce(s.handled, false) AND coalesce(m.unit, m.span_h) IS NOT NULL
        GROUP BY m.flow, m.unit, m.event_h, m.span_h, m.place_h
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE answered AS
        SELECT DISTINCT s.flow, s.token FROM sent AS s
        JOIN member AS m ON m.flow = s.flow AND m.parent_h = s.span_h AND m.handles
    """)
    _look_for_handling_elsewhere(context)
    _know_channels(context)
    context.run(f"""
        INSERT INTO wait
        WITH
            open_send AS (FROM sent ANTI JOIN answered USING (flow, token)),
            owed AS (
                SELECT flow, token, min(since) AS since, min(name) AS name, min(service) AS service,
                    min(destination) AS destination, bool_or(by_history) AS by_history
                FROM open_send GROUP BY flow, token
            ),
            known_by AS (
                SELECT DISTINCT flow, token, unnest([event_h, span_h, place_h]) AS id FROM open_send
            )
        SELECT o.flow, {KIND["handling"]}, k.id,
            CASE WHEN NOT o.by_history THEN {_channel(context, "coalesce(o.destination, o.name, '')")} END,
            o.since, NULL, o.name, o.service, o.destination
        FROM owed AS o JOIN known_by AS k USING (flow, token)
        WHERE k.id IS NOT NULL
    """)


def _know_channels(context: Context) -> None:
    """``channel_now``: destinations and names of answered sends that the store does not know yet."""
    named = "SELECT series, unnest([destination, name]) AS name FROM store.series"
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE strange AS
        SELECT t.series, t.name, {_channel(context, "t.name")} AS channel
        FROM ({named} WHERE operation IN {SENDS}) AS t
        WHERE t.name IS NOT NULL AND channel NOT IN (SELECT channel FROM store.channels)
    """)
    if not context.count("SELECT count(*) FROM strange"):
        return
    context.run("""
        INSERT INTO channel_now
        SELECT DISTINCT s.channel, s.name FROM strange AS s
        WHERE s.series IN (
            SELECT m.series FROM member AS m
            LEFT JOIN step_of AS o ON o.flow = m.flow AND o.unit = m.unit
            LEFT JOIN answered AS a ON a.flow = m.flow AND a.token = coalesce(m.unit, m.span_h)
            WHERE m.sends AND (o.handled OR a.token IS NOT NULL)
        )
    """)


def _look_for_handling_elsewhere(context: Context) -> None:
    """A message may be handled within another flow, whatever that flow is."""
    context.run("CREATE OR REPLACE TEMP TABLE open_send AS FROM sent ANTI JOIN answered USING (flow, token)")
    if not context.count("SELECT count(*) FROM open_send"):
        return
    handling = f"""
        SELECT event_h, parent_h, place_h FROM store.records
        WHERE series IN (
            SELECT series FROM store.series WHERE operation IN {HANDLES} AND kind <> 'dead_letter'
        )
    """
    told_by = (("event_h", "event_h"), ("parent_h", "span_h"), ("place_h", "place_h"))
    elsewhere = " UNION ".join(
        f"SELECT s.flow, s.token FROM open_send AS s SEMI JOIN handling AS h ON h.{theirs} = s.{mine}"
        for theirs, mine in told_by
    )
    context.run(f"""
        INSERT INTO answered
        WITH
            handling AS NOT MATERIALIZED ({handling}),
            linked AS (SELECT token FROM link_ref UNION SELECT token FROM store.link_refs)
        {elsewhere}
        UNION
        SELECT s.flow, s.token FROM open_send AS s SEMI JOIN linked AS l ON l.token = s.span_h
    """)


def _wait_for_ends(context: Context) -> None:
    """Spans that started and are not told to have ended by any row of theirs."""
    context.run(f"""
        INSERT INTO wait
        SELECT m.flow, {KIND["end"]}, m.span_h, NULL, min(m.moment), NULL, min(m.name), min(m.service), NULL
        FROM told AS m
        WHERE m.kind = 'span' AND m.span_h IS NOT NULL
          AND m.flow IN (SELECT flow FROM member WHERE kind = 'span' AND NOT ended)
        GROUP BY m.flow, m.span_h
        HAVING NOT bool_or(m.ended)
    """)


def _gather_attempts(context: Context) -> None:
    """``attempt``: each try to handle a message, by whom, until when, and whether it failed.

    ``by_service`` says that the handler is told by its service alone.

    Only of flows with a failed one or a dead letter. All records within one span are one
    try, and its span alone says how it went. A batch's try is one of each message that it
    links to. Who handles is the consumer group, or the service where no group is told.
    """
    context.run("""
        CREATE OR REPLACE TEMP TABLE attempt (
            flow UBIGINT, unit UBIGINT, handler VARCHAR, until TIMESTAMP, bad BOOLEAN,
            name VARCHAR, service VARCHAR, destination VARCHAR, by_service BOOLEAN
        )
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE trying AS
        SELECT DISTINCT flow FROM member WHERE handles AND bad AND kind <> 'history' OR kind = 'dead_letter'
    """)
    if not context.count("SELECT count(*) FROM trying"):
        return
    context.run("""
        INSERT INTO attempt
        WITH
            told AS (
                SELECT m.flow, coalesce(m.unit, l.token, m.span_h, m.record) AS unit,
                    coalesce(m.span_h, m.record) AS try,
                    m.kind, m.until, m.bad, m.name, m.service, m.destination, m.consumer_group
                FROM told AS m SEMI JOIN trying USING (flow)
                LEFT JOIN (FROM link_ref UNION ALL FROM store.link_refs) AS l
                    ON l.record = m.record AND m.unit IS NULL
                WHERE m.handles AND m.kind <> 'history'
            ),
            grouped AS (
                SELECT *,
                    coalesce(consumer_group, min(consumer_group) OVER (PARTITION BY flow, unit, service)) AS by_group,
                    coalesce(by_group, service, '') AS handler
                FROM told
            )
        SELECT flow, unit, handler, max(until),
            CASE WHEN bool_or(kind = 'span') THEN bool_or(bad AND kind = 'span') ELSE bool_or(bad) END,
            min(name), min(service), min(destination), bool_and(by_group IS NULL)
        FROM grouped GROUP BY flow, unit, handler, try
    """)


def _find_dead(context: Context) -> None:
    """``dead_now(flow, unit, handler)``: dead letters that nobody handled well afterwards.

    Who must handle one is its consumer group, or whoever is told by the service alone and had
    failed to; where the letter tells no group whoever had failed to, else anybody. One
    without a time is resolved by any success.
    """
    context.run("CREATE OR REPLACE TEMP TABLE dead_now (flow UBIGINT, unit UBIGINT, handler VARCHAR)")
    if not context.count("SELECT count(*) FROM member WHERE kind = 'dead_letter'"):
        return
    context.run("""
        INSERT INTO dead_now
        WITH
            dead AS (
                SELECT flow, coalesce(unit, record) AS unit, consumer_group AS handler, max(until) AS until
                FROM told WHERE kind = 'dead_letter'
                GROUP BY ALL
            ),
            resolved AS (
                SELECT DISTINCT d.flow, d.unit, d.handler
                FROM dead AS d JOIN attempt AS a ON a.flow = d.flow AND a.unit = d.unit AND NOT a.bad
                WHERE (d.until IS NULL OR a.until > d.until)
                  AND (
                    a.handler = d.handler
                    OR a.by_service AND (a.flow, a.unit, a.handler) IN (
                        SELECT (flow, unit, handler) FROM attempt WHERE bad
                    )
                    OR d.handler IS NULL AND (
                        (a.flow, a.unit, a.handler) IN (SELECT (flow, unit, handler) FROM attempt WHERE bad)
                        OR (a.flow, a.unit) NOT IN (SELECT (flow, unit) FROM attempt WHERE bad)
                    )
                  )
            )
        SELECT d.flow, d.unit, d.handler FROM dead AS d
        ANTI JOIN resolved AS r
            ON r.flow = d.flow AND r.unit = d.unit AND r.handler IS NOT DISTINCT FROM d.handler
    """)


def _wait_for_retries(context: Context) -> None:
    """Messages whose handler's last word is an error, unless they went to a dead-letter queue."""
    context.run(f"""
        INSERT INTO wait
        WITH
            last_word AS (
                SELECT flow, unit, handler, max(until) FILTER (bad) AS failed_at,
                    max(until) FILTER (NOT bad) AS ok_at, bool_or(NOT bad) AS ok, bool_or(by_service) AS by_service,
                    min(name) AS name, min(service) AS service, min(destination) AS destination
                FROM attempt GROUP BY flow, unit, handler HAVING bool_or(bad)
            ),
            dead AS (
                SELECT DISTINCT flow, unit, consumer_group AS handler FROM told
                WHERE kind = 'dead_letter' AND unit IS NOT NULL
            )
        SELECT w.flow, {KIND["retry"]}, w.unit, NULL, w.failed_at, NULL, w.name, w.service, w.destination
        FROM last_word AS w
        ANTI JOIN dead AS d
            ON d.flow = w.flow AND d.unit = w.unit AND (w.by_service OR coalesce(d.handler, w.handler) = w.handler)
        WHERE NOT coalesce(w.ok AND (w.failed_at IS NULL OR w.ok_at > w.failed_at), false)
    """)


def _wait_for_steps(context: Context) -> None:
    """What a definition's rules owe, until the flow ended; what an undoing owes also then."""
    context.run(f"""
        INSERT INTO wait
        SELECT flow, {KIND["step"]}, NULL, NULL, since, limit_us, name, service, NULL FROM due
        WHERE flow NOT IN (SELECT flow FROM ending WHERE NOT owes)
    """)


def _let_spans_run(context: Context) -> None:
    """A written whole's limit says until when a span may run that began within it.

    A team that allows ten minutes is not told of a step that takes six. A message keeps the
    store's limit: how long it may lie in a queue does not follow from how long the work may take.
    """
    if not context.count("SELECT count(*) FROM defined_flow"):
        return
    context.run(f"""
        UPDATE wait SET limit_us = d.due - epoch_us(wait.since)
        FROM (
            SELECT d.flow, d.since + f.limit_us AS due
            FROM defined_flow AS d JOIN rule_flow AS f USING (definition)
            WHERE d.since > 0 AND f.limit_us IS NOT NULL
        ) AS d
        WHERE wait.kind = {KIND["end"]} AND d.flow = wait.flow AND epoch_us(wait.since) <= d.due
    """)


def _forgive_what_ended(context: Context) -> None:
    """What ended owes no handling and no end; what tells its own end owes no retry either.

    A failure before the undoing began is what the undoing answers.
    """
    context.run(f"""
        DELETE FROM wait
        WHERE kind IN ({KIND["handling"]}, {KIND["end"]})
              AND flow IN (SELECT flow FROM ending WHERE outcome NOT IN ({FAILED}, {COMPENSATING}) OR own)
           OR kind = {KIND["retry"]} AND flow IN (SELECT flow FROM ending WHERE own)
           OR kind = {KIND["retry"]} AND EXISTS (
              SELECT 1 FROM turned AS u
              WHERE u.flow = wait.flow AND wait.since <= make_timestamp(u.since)
           )
    """)
