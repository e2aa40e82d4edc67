"""The steps of many flows at once, set-wise: what ``clew show`` draws of one flow, as a table.

:func:`collect` reads the store within a turn; :func:`build` needs it no more. Together they
leave these tables in the schema ``report`` of the workbench, apart from the passes' own. A report
adds what it makes of them, and :func:`drop` removes all:

``chosen(flow, flow_id, scope, type_no, status, late, started, last, ended)``
    the flows asked for, judged; ``kinds(type_no, type)`` has the text.
``step``
    one row for each flow and step:

    ============  ==============================================================================
    flow, type_no whose
    step          its identity within the flow
    kind          0 publish, 1 handling, 2 event, 3 span (:data:`KINDS`)
    name_no       of the event's name where a log or message tells it, else the span's
    service_no    of who did it; NULL where nobody says
    start, ended  plausible times; ``ended`` NULL for a point in time or for what is still open
    bad, error_no whether an observation tells of an error, and of which type
    attempt       1, and on for each further handling of one event by one consumer
    wait_us       of a first handling: since its event was published, in the same flow
    work_us       how long it took, as :data:`WORK` says; NULL where nothing tells
    work_from     index into :data:`WORK`; NULL with ``work_us``
    self_us       ``work_us`` less the time of the spans right below it, never negative
    caused        whether a cause is named that the flow has
    span_h, parent_h  of the span that tells it; NULL where none does
    ============  ==============================================================================

``link(flow, step, token)``
    the spans that handlings link to
``trait``, ``word(no, text)``
    what each series means for steps; the text of ``name_no``, ``service_no``, ``error_no``.

One step is told by several records: a log line, a span, the broker's message. A publish is
one for each event; a handling one for each span, or else for each attempt of one consumer; an
event that is neither, one for each event ID, name and service. Dead letters and logs that
name no event make no step. The rules are those of :mod:`clew.reconstruct.passes.steps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.judging import judged
from clew.reconstruct.duckdb.querying import conditions
from clew.reconstruct.passes.fold import EARLIEST, HANDLES, SENDS

if TYPE_CHECKING:
    import duckdb

    from clew.reconstruct.model import FlowFilter, Settings

KINDS = ("publish", "handling", "event", "span")
"""``step.kind`` as a number, in the order in which an event's steps of one time happen."""

WORK = ("span", "publish", "lines", "cause")
"""``step.work_from`` as a number: how ``work_us`` is known, the best first.

From a span's begin to its end; from a handling to the first event that it published; from
its first line to its last; or, where nobody tells of a handling, from the cause's
publication to the effect's, waiting and work together.
"""

NAMES = 1 << 32
"""More than there are names."""
NEVER = (1 << 63) - 1

_PUBLISH, _HANDLING, _EVENT, _SPAN = range(len(KINDS))


def choose(connection: duckdb.DuckDBPyConnection, which: FlowFilter, settings: Settings) -> None:
    """Make ``chosen`` and ``kinds``. Needs the turn, and ``open_wait``."""
    drop(connection)
    _run(connection, "CREATE SCHEMA memory.report")
    where, bound = conditions(connection, which, settings)
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE report.chosen AS
        SELECT flow, flow_id, scope, type, status, late, started, last, coalesce(ended, last) AS ended
        FROM ({judged()}) JOIN store.scopes USING (scope_no)
        WHERE {where}
        """,
        bound,
    ).fetchall()
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.kinds AS
        SELECT row_number() OVER (ORDER BY type)::INTEGER AS type_no, type
        FROM (SELECT DISTINCT coalesce(type, '') AS type FROM report.chosen)
        """,
    )
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.chosen AS
        SELECT c.flow, c.flow_id, c.scope, k.type_no, c.status, c.late, c.started, c.last, c.ended
        FROM report.chosen AS c JOIN report.kinds AS k ON k.type = coalesce(c.type, '')
        """,
    )


def collect(connection: duckdb.DuckDBPyConnection, which: FlowFilter, settings: Settings) -> None:
    """Copy what the steps of the flows asked for are made of: narrow columns, no text. Needs the turn, and ``open_wait``."""
    choose(connection, which, settings)
    gather(connection)


def gather(connection: duckdb.DuckDBPyConnection) -> None:
    """:func:`collect` for flows that are in ``chosen`` already: of its columns ``flow`` and ``type_no`` are read."""
    _traits(connection)
    ((read,),) = connection.execute("SELECT max(updated)::VARCHAR FROM store.sources").fetchall()
    plausible = f"BETWEEN {EARLIEST} AND TIMESTAMP '{read or 'infinity'}' + INTERVAL 1 DAY"
    columns = f"""
        c.type_no, r.record, t.role, t.by_span, t.series,
        CASE WHEN r.time {plausible} THEN r.time END AS moment,
        CASE WHEN r.end_time {plausible} THEN greatest(moment, r.end_time) END AS until,
        r.attempt, coalesce(r.event_h, r.place_h) AS unit, r.event_h, r.place_h, r.cause_h, r.span_h, r.parent_h
    """
    _run(
        connection,
        f"""
        CREATE OR REPLACE TABLE report.told AS
        SELECT r.flow, {columns}
        FROM store.records AS r JOIN report.trait AS t USING (series) JOIN report.chosen AS c ON c.flow = r.flow
        WHERE t.role IS NOT NULL
        UNION ALL
        SELECT s.flow, {columns}
        FROM store.shared AS s JOIN store.records AS r USING (record) JOIN report.trait AS t USING (series)
        JOIN report.chosen AS c ON c.flow = s.flow
        WHERE t.role IS NOT NULL
        """,
    )
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.linked AS
        SELECT l.record, l.token FROM store.link_refs AS l SEMI JOIN report.told USING (record)
        """,
    )
    if _any(connection, "report.told WHERE event_h IS NULL AND place_h IS NOT NULL"):
        # A message told once with its event ID and once with its coordinates only is one.
        _run(
            connection,
            """
            UPDATE report.told SET unit = named.event_h FROM (
                SELECT flow, place_h, min(event_h) AS event_h FROM report.told
                WHERE event_h IS NOT NULL AND place_h IS NOT NULL GROUP BY flow, place_h
            ) AS named
            WHERE told.event_h IS NULL AND named.flow = told.flow AND named.place_h = told.place_h
            """,
        )


def build(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``step`` of what :func:`collect` copied."""
    _roles_of_spans(connection)
    _stepped(connection)
    _fold(connection)
    _measure(connection)


def drop(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove the schema ``report`` with all that is in it, if it is there."""
    _run(connection, "DROP SCHEMA IF EXISTS memory.report CASCADE")


def _run(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    connection.execute(statement).fetchall()


def _any(connection: duckdb.DuckDBPyConnection, rows: str) -> bool:
    return bool(connection.execute(f"SELECT EXISTS (FROM {rows})").fetchall()[0][0])


def _traits(connection: duckdb.DuckDBPyConnection) -> None:
    """``trait`` and ``word``. Who handles is told by the service, or by the group where it has several."""
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.word AS
        SELECT row_number() OVER (ORDER BY text)::BIGINT AS no, text FROM (
            SELECT DISTINCT unnest([coalesce(name, destination, '(unnamed)'), service, consumer_group, error_type])
                AS text
            FROM store.series
        )
        WHERE text IS NOT NULL
        """,
    )
    _run(
        connection,
        f"""
        CREATE OR REPLACE TABLE report.trait AS
        WITH grouped AS (
            SELECT service FROM store.series WHERE operation IN {HANDLES} AND service IS NOT NULL
            GROUP BY service HAVING count(DISTINCT consumer_group) > 1
        )
        SELECT s.series, s.kind = 'span' AS by_span, s.kind = 'history' AS by_history,
            CASE
                WHEN s.kind = 'dead_letter' THEN NULL
                WHEN s.operation IN {SENDS} OR (s.operation IS NULL AND s.kind = 'message') THEN {_PUBLISH}
                WHEN s.operation IN {HANDLES} THEN {_HANDLING}
                WHEN s.kind = 'span' THEN {_SPAN}
                WHEN s.name IS NOT NULL OR s.kind = 'history' THEN {_EVENT}
            END::UTINYINT AS role,
            s.operation IN ('receive', 'settle') AS receives,
            n.no AS name_no, CASE WHEN s.name IS NULL THEN 2 WHEN s.kind = 'span' THEN 1 ELSE 0 END AS name_rank,
            v.no AS service_no, CASE WHEN s.span_kind IN ('server', 'consumer') THEN 0 ELSE 1 END AS service_rank,
            CASE WHEN g.service IS NULL THEN coalesce(v.no, c.no) ELSE coalesce(c.no, v.no) END AS by_no,
            coalesce(s.severity IN ('ERROR', 'FATAL') OR s.status = 'error', false) AS bad,
            e.no AS error_no
        FROM store.series AS s
        JOIN report.word AS n ON n.text = coalesce(s.name, s.destination, '(unnamed)')
        LEFT JOIN report.word AS v ON v.text = s.service
        LEFT JOIN report.word AS c ON c.text = s.consumer_group
        LEFT JOIN report.word AS e ON e.text = s.error_type
        LEFT JOIN grouped AS g ON g.service = s.service
        """,
    )


def _roles_of_spans(connection: duckdb.DuckDBPyConnection) -> None:
    """``span_role(flow, span_h, role, unit)``: what each stored span does, with which event.

    A span that names no event has the first of the events that lines within it tell of.
    """
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.span_role AS
        SELECT flow, span_h, min(role) AS role, min(unit) AS unit FROM report.told
        WHERE by_span AND span_h IS NOT NULL GROUP BY flow, span_h
        """,
    )
    if _any(connection, f"report.span_role WHERE unit IS NULL AND role < {_EVENT}"):
        _run(
            connection,
            f"""
            UPDATE report.span_role SET unit = lines.unit FROM (
                SELECT t.flow, t.span_h, t.role, min(t.unit) AS unit
                FROM report.told AS t WHERE NOT t.by_span AND t.role < {_EVENT} AND t.unit IS NOT NULL
                GROUP BY t.flow, t.span_h, t.role
            ) AS lines
            WHERE span_role.unit IS NULL AND lines.flow = span_role.flow
              AND lines.span_h = span_role.span_h AND lines.role = span_role.role
            """,
        )


def _stepped(connection: duckdb.DuckDBPyConnection) -> None:
    """``stepped``: each record with the identity of its step.

    Lines of a handling that lie in no span of it join the attempt that had begun, and
    without spans the one after as many errors as came before.
    """
    _run(
        connection,
        f"""
        CREATE OR REPLACE TABLE report.stepped AS
        WITH
            placed AS (
                SELECT t.* EXCLUDE (role, unit), r.by_no, r.bad, r.name_no,
                    CASE WHEN t.by_span THEN coalesce(s.role, t.role) ELSE t.role END AS role,
                    coalesce(t.unit, CASE WHEN s.role = t.role OR t.by_span THEN s.unit END) AS unit,
                    s.role = {_HANDLING} AND (t.unit IS NULL OR s.unit IS NULL OR t.unit = s.unit) AS in_span
                FROM report.told AS t JOIN report.trait AS r USING (series)
                LEFT JOIN report.span_role AS s ON s.flow = t.flow AND s.span_h = t.span_h
            )
        SELECT * EXCLUDE (name_no, in_span),
            CASE
                WHEN role = {_PUBLISH} THEN hash({_PUBLISH}, coalesce(unit, span_h, record))
                WHEN role = {_SPAN} OR (by_span AND role = {_HANDLING}) OR (role = {_HANDLING} AND in_span)
                    THEN hash({_SPAN}, coalesce(span_h, record))
                WHEN role = {_HANDLING} AND span_h IS NOT NULL THEN hash({_HANDLING}, unit, span_h)
                WHEN role = {_HANDLING} AND unit IS NOT NULL THEN hash({_HANDLING}, unit, by_no, attempt)
                WHEN role = {_EVENT} AND unit IS NOT NULL THEN hash({_EVENT}, unit, name_no, by_no)
                ELSE hash(record)
            END AS step,
            role = {_HANDLING} AND NOT by_span AND NOT coalesce(in_span, false) AND unit IS NOT NULL AS loose
        FROM placed
        """,
    )
    if _any(connection, f"report.stepped WHERE role = {_HANDLING} AND by_span") and _any(
        connection, "report.stepped WHERE loose"
    ):
        _join_attempts(connection)
    if _any(connection, "report.stepped WHERE loose AND span_h IS NULL AND bad AND attempt IS NULL"):
        _count_attempts(connection)
    if _any(connection, f"report.stepped WHERE role = {_EVENT} AND unit IS NOT NULL"):
        # A named line about an event that its service published or handled tells of that step.
        _run(
            connection,
            f"""
            DELETE FROM report.stepped AS e USING (
                SELECT DISTINCT flow, unit, by_no FROM report.stepped WHERE role < {_EVENT}
            ) AS known, report.trait AS t
            WHERE e.role = {_EVENT} AND t.series = e.series AND NOT t.by_history
              AND known.flow = e.flow AND known.unit = e.unit
              AND (known.by_no = e.by_no OR e.by_no IS NULL)
            """,
        )


def _join_attempts(connection: duckdb.DuckDBPyConnection) -> None:
    _run(
        connection,
        f"""
        UPDATE report.stepped SET step = begun.step, loose = false FROM (
            SELECT l.record, l.flow,
                coalesce(max(ROW(s.moment, s.step)) FILTER (s.moment <= l.moment), min(ROW(s.moment, s.step)))[2] AS step
            FROM report.stepped AS l
            JOIN report.stepped AS s ON s.flow = l.flow AND s.unit = l.unit
                AND (s.by_no = l.by_no OR l.by_no IS NULL)
                AND (l.attempt IS NULL OR s.attempt IS NULL OR l.attempt = s.attempt)
            WHERE l.loose AND s.by_span AND s.role = {_HANDLING}
            GROUP BY l.record, l.flow
        ) AS begun
        WHERE stepped.record = begun.record AND stepped.flow = begun.flow
        """,
    )


def _count_attempts(connection: duckdb.DuckDBPyConnection) -> None:
    _run(
        connection,
        f"""
        UPDATE report.stepped SET step = hash({_HANDLING}, stepped.unit, stepped.by_no, -1 - failed.before) FROM (
            SELECT record, flow, count(*) FILTER (bad) OVER (
                PARTITION BY flow, unit, by_no ORDER BY moment, record
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS before
            FROM report.stepped
            WHERE loose AND span_h IS NULL AND attempt IS NULL AND (flow, unit) IN (
                SELECT (flow, unit) FROM report.stepped WHERE loose AND bad AND span_h IS NULL
            )
        ) AS failed
        WHERE failed.before > 0 AND stepped.record = failed.record AND stepped.flow = failed.flow
        """,
    )


def _first(what: str) -> str:
    """A number whose minimum has the best witness's ``what``, and of several the earliest's, as remainder."""
    moment = f"coalesce(epoch_us(s.moment), {NEVER})::HUGEINT"
    return f"({moment} + t.{what}_rank * {NEVER}::HUGEINT) * {NAMES} + t.{what}_no"


def _fold(connection: duckdb.DuckDBPyConnection) -> None:
    """``paid``, the steps without their measures; and ``link``, the spans that handlings link to.

    Most steps are told by one record, and those need no gathering.
    """
    _run(
        connection,
        f"""
        CREATE OR REPLACE TABLE report.paid AS
        WITH several AS (SELECT flow, step FROM report.stepped GROUP BY flow, step HAVING count(*) > 1)
        SELECT s.flow, s.type_no, s.step, s.role AS kind,
            t.name_no::INTEGER AS name_no, t.service_no::INTEGER AS service_no,
            s.by_no, s.unit, s.cause_h,
            CASE WHEN s.by_span THEN s.span_h END AS span_h, CASE WHEN s.by_span THEN s.parent_h END AS parent_h,
            s.moment AS start, s.until AS ended, s.by_span, s.bad, t.error_no::INTEGER AS error_no,
            s.attempt AS told_attempt, coalesce(t.receives, false) AS receives
        FROM report.stepped AS s JOIN report.trait AS t USING (series)
        ANTI JOIN several AS o ON o.flow = s.flow AND o.step = s.step
        UNION ALL
        SELECT s.flow, any_value(s.type_no), s.step, min(s.role),
            (min({_first("name")}) % {NAMES})::INTEGER, (min({_first("service")}) % {NAMES})::INTEGER,
            min(s.by_no), min(s.unit), min(s.cause_h),
            min(s.span_h) FILTER (s.by_span), min(s.parent_h) FILTER (s.by_span),
            min(s.moment),
            CASE
                WHEN bool_or(s.by_span) THEN max(s.until) FILTER (s.by_span)
                ELSE coalesce(max(s.until), nullif(max(s.moment), min(s.moment)))
            END,
            bool_or(s.by_span), bool_or(s.bad), min(t.error_no)::INTEGER,
            min(s.attempt), bool_or(coalesce(t.receives, false))
        FROM report.stepped AS s JOIN report.trait AS t USING (series)
        SEMI JOIN several AS o ON o.flow = s.flow AND o.step = s.step
        GROUP BY s.flow, s.step
        """,
    )
    _run(
        connection,
        f"""
        CREATE OR REPLACE TABLE report.link AS
        SELECT s.flow, s.step, l.token FROM report.stepped AS s JOIN report.linked AS l USING (record)
        WHERE s.role = {_HANDLING}
        """,
    )
    _run(connection, "DROP TABLE report.stepped")
    _run(connection, "DROP TABLE report.told")


def _measure(connection: duckdb.DuckDBPyConnection) -> None:
    """Attempts, waits and work: what a step is in relation to others of its flow."""
    _run(
        connection,
        f"""
        CREATE OR REPLACE TABLE report.step AS
        WITH
            again AS (
                SELECT flow, unit FROM report.paid WHERE kind = {_HANDLING} AND unit IS NOT NULL
                GROUP BY flow, unit HAVING count(*) > 1
            ),
            numbered AS (
                SELECT flow, step, row_number() OVER (
                    PARTITION BY flow, unit, by_no, receives ORDER BY start NULLS LAST, step
                ) AS nth
                FROM report.paid SEMI JOIN again USING (flow, unit)
                WHERE kind = {_HANDLING}
            ),
            sent AS (
                SELECT flow, unit, min(start) AS start FROM report.paid
                WHERE kind = {_PUBLISH} AND unit IS NOT NULL GROUP BY flow, unit
            ),
            sent_in AS (
                SELECT flow, span_h, min(start) AS start FROM report.paid
                WHERE kind = {_PUBLISH} AND span_h IS NOT NULL GROUP BY flow, span_h
            ),
            sent_to AS (
                SELECT l.flow, l.step, min(i.start) AS start
                FROM report.link AS l JOIN sent_in AS i ON i.flow = l.flow AND i.span_h = l.token
                GROUP BY l.flow, l.step
            ),
            known AS (
                SELECT flow, unit, min(start) AS start FROM report.paid
                WHERE kind IN ({_PUBLISH}, {_EVENT}) AND unit IS NOT NULL GROUP BY flow, unit
            ),
            handled AS (
                SELECT DISTINCT flow, unit, service_no FROM report.paid WHERE kind = {_HANDLING} AND unit IS NOT NULL
            ),
            answered AS (
                SELECT h.flow, h.step, min(p.start) AS start
                FROM report.paid AS h JOIN report.paid AS p
                  ON p.flow = h.flow AND p.cause_h = h.unit AND p.service_no = h.service_no
                WHERE h.kind = {_HANDLING} AND NOT h.by_span AND NOT h.bad
                  AND p.kind IN ({_PUBLISH}, {_EVENT}) AND p.start >= h.start
                GROUP BY h.flow, h.step
            ),
            below AS (
                SELECT c.flow, c.parent_h AS span_h,
                    sum(greatest(0, epoch_us(least(c.ended, p.ended)) - epoch_us(greatest(c.start, p.start))))::BIGINT
                        AS us
                FROM report.paid AS c JOIN report.paid AS p ON p.flow = c.flow AND p.span_h = c.parent_h
                GROUP BY c.flow, c.parent_h
            ),
            timed AS (
                SELECT p.*,
                    CASE WHEN p.kind = {_HANDLING} THEN coalesce(p.told_attempt, n.nth, 1) ELSE 1 END::INTEGER
                        AS attempt,
                    epoch_us(p.start) - epoch_us(coalesce(s.start, l.start, i.start)) AS since_sent,
                    epoch_us(p.ended) - epoch_us(p.start) AS lasted,
                    epoch_us(a.start) - epoch_us(p.start) AS until_next,
                    CASE WHEN h.flow IS NULL AND p.kind IN ({_PUBLISH}, {_EVENT})
                         THEN epoch_us(p.start) - epoch_us(c.start) END AS since_cause,
                    c.flow IS NOT NULL AS caused,
                    b.us AS below_us
                FROM report.paid AS p
                LEFT JOIN numbered AS n ON n.flow = p.flow AND n.step = p.step
                LEFT JOIN sent AS s ON s.flow = p.flow AND s.unit = p.unit AND p.kind = {_HANDLING}
                LEFT JOIN sent_in AS i ON i.flow = p.flow AND i.span_h = p.parent_h AND p.kind = {_HANDLING}
                LEFT JOIN sent_to AS l ON l.flow = p.flow AND l.step = p.step
                LEFT JOIN answered AS a ON a.flow = p.flow AND a.step = p.step
                LEFT JOIN known AS c ON c.flow = p.flow AND c.unit = p.cause_h
                LEFT JOIN handled AS h ON h.flow = p.flow AND h.unit = p.cause_h AND h.service_no = p.service_no
                LEFT JOIN below AS b ON b.flow = p.flow AND b.span_h = p.span_h
            )
        SELECT flow, type_no, step, kind, name_no, service_no, unit, cause_h, span_h, parent_h, start, ended, bad,
            error_no, attempt, caused,
            CASE WHEN attempt = 1 AND since_sent >= 0 THEN since_sent END AS wait_us,
            CASE
                WHEN by_span AND ended IS NOT NULL THEN 0
                WHEN until_next IS NOT NULL THEN 1
                WHEN NOT by_span AND kind = {_HANDLING} AND lasted IS NOT NULL THEN 2
                WHEN NOT by_span AND since_cause >= 0 THEN 3
            END::UTINYINT AS work_from,
            CASE work_from WHEN 0 THEN lasted WHEN 1 THEN until_next WHEN 2 THEN lasted WHEN 3 THEN since_cause END
                AS work_us,
            CASE WHEN work_us IS NOT NULL THEN greatest(0, work_us - coalesce(below_us, 0)) END AS self_us
        FROM timed
        """,
    )
    _run(connection, "DROP TABLE report.paid")
