"""Who would tell of what is owed, and whether they were read far enough to say that it is overdue.

Nothing is overdue while a source that would tell of it was read only up to a time before its
deadline. Which sources would tell is learned from what is stored: those that told of such
things before. Where no watermark lies before ``as_of``, as with files that were read to
their end, this costs one look at the sources.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import WAITS
from clew.reconstruct.passes.fold import HANDLES

if TYPE_CHECKING:
    import duckdb

    from clew.reconstruct.model import Settings

_KIND = {name: number for number, name in enumerate(WAITS)}
_STEP, _END, _HANDLING, _RETRY = (_KIND[name] for name in ("step", "end", "handling", "retry"))

SOURCES = """
    SELECT source, scope_no, arg_max_null(watermark, source_no) AS mark FROM store.sources
    GROUP BY source, scope_no
"""
"""Sources with their watermarks; of several readings of one source the last one's counts."""

NOTHING = """
    CREATE OR REPLACE TEMP TABLE held_wait (wait BIGINT, want BIGINT);
    CREATE OR REPLACE TEMP TABLE holding (want BIGINT, source VARCHAR, scope_no INTEGER, mark TIMESTAMP);
"""

_EVENTS = f"""
    CASE WHEN d.kind <> {_STEP} THEN [d.name]
        WHEN regexp_full_match(d.name, '[0-9]+ of .+')
            THEN list_append(string_split(regexp_replace(d.name, '^[0-9]+ of ', ''), ', '), d.name)
        ELSE list_append(string_split(d.name, ' or '), d.name) END
"""
"""The events of which one would do, as ``Owed.events`` takes them from the name of several."""

_TELLING = f"""
    CREATE OR REPLACE TEMP TABLE doubt_series AS
    WITH
        wanted AS (SELECT d.*, unnest(list_distinct({_EVENTS})) AS event FROM doubt AS d),
        spoken AS (
            SELECT *, coalesce(operation IN {HANDLES}, false) AS handles FROM store.series
            WHERE kind <> 'dead_letter'
        ),
        fitting AS (
            SELECT w.doubt, t.series,
                16 + CASE WHEN t.handles AND w.kind = {_STEP} THEN 0 ELSE 8 END
                    + CASE WHEN w.service IS NULL OR w.service = t.service THEN 2 ELSE 0 END AS fit
            FROM wanted AS w JOIN spoken AS t ON t.name = w.event
            WHERE w.kind = {_STEP} OR w.kind = {_END} AND t.kind = 'span'
            UNION ALL
            SELECT w.doubt, t.series,
                16 + CASE WHEN w.kind = {_HANDLING} OR w.service IS NULL OR w.service = t.service
                    THEN 2 ELSE 0 END
            FROM wanted AS w JOIN spoken AS t ON t.name = w.event
            WHERE w.kind IN ({_HANDLING}, {_RETRY}) AND t.handles
            UNION ALL
            SELECT d.doubt, t.series, 8 FROM doubt AS d JOIN spoken AS t ON t.destination = d.destination
            WHERE d.kind IN ({_HANDLING}, {_RETRY}) AND t.handles
            UNION ALL
            -- What nobody ever told would be told by whoever is named for it.
            SELECT d.doubt, t.series, 0 FROM doubt AS d JOIN spoken AS t ON t.service = d.service
            WHERE d.kind <> {_HANDLING}
        )
    SELECT doubt, series, max(fit) AS fit FROM fitting GROUP BY doubt, series
"""
"""Which series are of what kind of wait. A better fit outweighs all that are worse: who emits an
event before who handles it, the named service before others, and then what tells of the same type."""

_TOLD = """
    CREATE OR REPLACE TEMP TABLE told_by AS
    SELECT DISTINCT series, source_no, NULL::VARCHAR AS type FROM store.records
    WHERE series IN (SELECT series FROM doubt_series)
"""
_TOLD_BY_TYPE = """
    CREATE OR REPLACE TEMP TABLE told_by AS
    SELECT DISTINCT r.series, r.source_no, f.type
    FROM (
        SELECT series, source_no, flow FROM store.records WHERE series IN (SELECT series FROM doubt_series)
    ) AS r
    LEFT JOIN store.flows AS f USING (flow)
"""
"""From which sources the series came, and of which type of flow: NULL where that is not looked up."""

_SEVERAL = """
    SELECT count(*) FROM (
        SELECT doubt FROM doubt_series JOIN told_by USING (series) GROUP BY doubt HAVING count(DISTINCT source_no) > 1
    )
"""

_TELLER = """
    CREATE OR REPLACE TEMP TABLE teller AS
    WITH
        wanted AS (
            SELECT DISTINCT c.doubt, f.scope_no, f.type FROM doubted_wait AS c JOIN store.flows AS f USING (flow)
        ),
        found AS (
            SELECT w.doubt, w.scope_no, w.type, s.source,
                max(t.fit + CASE WHEN o.type IS NULL OR o.type = w.type THEN 1 ELSE 0 END) AS fit
            FROM wanted AS w
            JOIN doubt_series AS t USING (doubt)
            JOIN told_by AS o USING (series)
            JOIN store.sources AS s ON s.source_no = o.source_no AND s.scope_no = w.scope_no
            GROUP BY w.doubt, w.scope_no, w.type, s.source
        )
    SELECT dense_rank() OVER (ORDER BY f.doubt, f.scope_no, f.type) AS want,
        f.doubt, f.scope_no, f.type, f.source, r.mark
    FROM found AS f JOIN read_to AS r ON r.source = f.source AND r.scope_no = f.scope_no
    QUALIFY f.fit = max(f.fit) OVER (PARTITION BY f.doubt, f.scope_no, f.type)
"""


def hold_back(
    connection: duckdb.DuckDBPyConnection, as_of: datetime | None, settings: Settings, flow: int | None = None
) -> bool:
    """Make the temporary tables ``held_wait(wait, want)`` and ``holding(want, source, scope_no, mark)``.

    ``wait`` is the ``rowid`` of a row of ``store.waits`` whose deadline passed before ``as_of``
    (naive UTC) and after the ``mark`` up to which a source was read that would tell of it.
    ``flow`` limits it to those of one flow. Gives whether there is any.
    """
    connection.execute(NOTHING).fetchall()
    if as_of is None:
        return False
    first = connection.execute(f"SELECT min(mark) FROM ({SOURCES})").fetchall()[0][0]
    if not isinstance(first, datetime) or first >= as_of:
        return False
    now, silent = _literal(as_of), _literal(as_of - settings.silent_after)
    _run(connection, f"CREATE OR REPLACE TEMP TABLE read_to AS {SOURCES}")
    deadline = f"w.since + to_microseconds(coalesce(w.limit_us, {settings.limit_us}))"
    passed = f"""
        w.kind IN ({_HANDLING}, {_END}, {_RETRY}, {_STEP})
        AND {deadline} > {_literal(first)} AND {deadline} < {now}
        AND {"true" if flow is None else f"w.flow = {flow}"}
    """
    _run(
        connection,
        f"""
        CREATE OR REPLACE TEMP TABLE doubt AS
        SELECT row_number() OVER () AS doubt, * FROM (
            SELECT DISTINCT w.kind, w.name, w.service, w.destination FROM store.waits AS w WHERE {passed}
        )
    """,
    )
    _run(connection, _TELLING)
    _run(connection, _TOLD)
    _run(
        connection,
        f"""
        DELETE FROM doubt_series WHERE doubt NOT IN (
            SELECT doubt FROM doubt_series JOIN told_by USING (series)
            JOIN store.sources AS s USING (source_no)
            JOIN read_to AS r ON r.source = s.source AND r.scope_no = s.scope_no
            WHERE r.mark < {now}
        )
        """,
    )
    if not connection.execute("SELECT count(*) FROM doubt_series").fetchall()[0][0]:
        return False
    _run(
        connection,
        f"""
        CREATE OR REPLACE TEMP TABLE doubted_wait AS
        SELECT w.rowid AS wait, w.flow, d.doubt, {deadline} AS deadline
        FROM store.waits AS w JOIN doubt AS d
          ON d.kind = w.kind AND d.name IS NOT DISTINCT FROM w.name
          AND d.service IS NOT DISTINCT FROM w.service AND d.destination IS NOT DISTINCT FROM w.destination
        WHERE {passed} AND d.doubt IN (SELECT doubt FROM doubt_series)
    """,
    )
    if connection.execute(_SEVERAL).fetchall()[0][0]:
        _run(connection, _TOLD_BY_TYPE)
    _run(connection, _TELLER)
    # A silent source holds back nothing that another one would tell of as well.
    _run(
        connection,
        f"""
        CREATE OR REPLACE TEMP TABLE holding AS
        SELECT want, source, scope_no, mark FROM teller
        QUALIFY mark < {now} AND (
            mark >= {silent} OR bool_and(coalesce(mark < {silent}, false)) OVER (PARTITION BY want)
        )
    """,
    )
    _run(
        connection,
        """
        CREATE OR REPLACE TEMP TABLE held_wait AS
        SELECT c.wait, t.want
        FROM doubted_wait AS c
        JOIN store.flows AS f USING (flow)
        JOIN (SELECT DISTINCT want, doubt, scope_no, type FROM teller) AS t
          ON t.doubt = c.doubt AND t.scope_no = f.scope_no AND t.type IS NOT DISTINCT FROM f.type
        JOIN (SELECT want, min(mark) AS mark FROM holding GROUP BY want) AS h USING (want)
        WHERE c.deadline > h.mark
    """,
    )
    return is_holding(connection)


def behind(
    connection: duckdb.DuckDBPyConnection, as_of: datetime | None, settings: Settings
) -> list[tuple[str, str, datetime, int, bool]]:
    """Sources that hold flows back, or are silent: source, scope, watermark, flows held back, silent.

    Reads what :func:`hold_back` made for ``as_of``. Those that hold back the most come first.
    """
    if as_of is None:
        return []
    silent = _literal(as_of - settings.silent_after)
    return connection.execute(f"""
        WITH held AS (
            SELECT h.source, h.scope_no, count(DISTINCT w.flow) AS flows
            FROM held_wait AS one
            JOIN holding AS h USING (want)
            JOIN store.waits AS w ON w.rowid = one.wait
            WHERE w.since + to_microseconds(coalesce(w.limit_us, {settings.limit_us})) > h.mark
            GROUP BY h.source, h.scope_no
        )
        SELECT r.source, c.scope, r.mark, coalesce(h.flows, 0) AS flows, r.mark < {silent} AS silent
        FROM ({SOURCES}) AS r
        JOIN store.scopes AS c USING (scope_no)
        LEFT JOIN held AS h ON h.source = r.source AND h.scope_no = r.scope_no
        WHERE h.flows > 0 OR r.mark < {silent}
        ORDER BY flows DESC, r.source, c.scope
    """).fetchall()


def is_holding(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether :func:`hold_back` found anything."""
    return bool(connection.execute("SELECT count(*) FROM held_wait").fetchall()[0][0])


def _run(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    connection.execute(statement).fetchall()


def _literal(time: datetime) -> str:
    return f"TIMESTAMP '{time.isoformat(sep=' ')}'"
