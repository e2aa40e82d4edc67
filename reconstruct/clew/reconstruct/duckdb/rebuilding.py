"""Running the engine anew over what is stored: for other settings, or for an earlier time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clew.collectors.record import RECORD_COLUMNS
from clew.reconstruct.duckdb.schema import (
    ENGINE_TABLE_NAMES,
    ENGINE_TABLES,
    OBSERVATIONS,
    RECORD_TABLE,
    SERIES_COLUMNS,
    create,
)
from clew.reconstruct.duckdb.writing import absorb
from clew.reconstruct.keys import KeyNames
from clew.reconstruct.passes.context import Context
from clew.reconstruct.passes.identify import SERIES, insertion

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from clew.reconstruct.model import Settings

CHUNK = 250_000
"""Records put through the passes at a time, more or less."""

TOLD_AT_END = frozenset({"end_time", "status", "outcome", "error_type", "error_message"})
"""Columns that nobody knew of a span while it ran."""

COLUMNS = ", ".join(f'"{name}"' for name in RECORD_COLUMNS)


def rebuild(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Replace everything that the passes made, within the caller's transaction."""
    connection.execute("ALTER TABLE store.records RENAME TO records_before")
    for name in ENGINE_TABLE_NAMES:
        connection.execute(f"DROP TABLE store.{name}")
    for statement in (RECORD_TABLE + ENGINE_TABLES).split(";"):
        if statement.strip():
            connection.execute(statement)
    before = "(SELECT * FROM store.records_before JOIN store.series USING (series))"
    replay(connection, before, settings)
    connection.execute("DROP TABLE store.records_before")


def replay(connection: duckdb.DuckDBPyConnection, rows: str, settings: Settings) -> None:
    """Put the records of ``rows`` into ``store``, whose series are there.

    ``rows`` has the Record's columns, ``record``, ``batch``, ``source_no`` and ``scope_no``.
    """
    names = KeyNames.of(settings)
    numbers = {name: f"stored_{name}" for name in ("record", "batch", "source_no", "scope_no")}
    stored = ", ".join(f"{name} AS {told}" for name, told in numbers.items())
    scopes = dict(connection.execute("SELECT scope_no, scope FROM store.scopes ORDER BY scope_no").fetchall())
    for scope_no, first, last in _chunks(connection, rows):
        select = f"""
            SELECT {COLUMNS}, NULL::VARCHAR AS reject, {stored} FROM {rows}
            WHERE scope_no = {scope_no} AND batch BETWEEN {first} AND {last}
        """
        context = Context(
            connection=connection,
            scope=scopes[scope_no],
            scope_no=scope_no,
            first=first,
            names=names,
            definitions=settings.definitions,
            limit_us=settings.limit_us,
            arrival=datetime.now(UTC).replace(tzinfo=None),
        )
        context.run(insertion(select, context.scope, names, numbers, rejects=False))
        context.present()
        absorb(context)


def _chunks(connection: duckdb.DuckDBPyConnection, rows: str) -> Iterator[tuple[int, int, int]]:
    """(scope number, first batch, last batch): runs of batches of one scope, in their order."""
    counted = connection.execute(
        f"SELECT batch, scope_no, count(*) FROM {rows} GROUP BY ALL ORDER BY batch"
    ).fetchall()
    run: tuple[int, int, int] | None = None
    size = 0
    for batch, scope_no, count in counted:
        if run is not None and (run[0] != scope_no or size + count > CHUNK):
            yield run
            run, size = None, 0
        run = (scope_no, run[1] if run else batch, batch)
        size += count
    if run is not None:
        yield run


def remember(connection: duckdb.DuckDBPyConnection, until: datetime) -> None:
    """Copy what was known at ``until`` (naive UTC) to the workbench.

    A span that ended later had started by then: how it went was not known yet. A record
    without a plausible time is known at any time.
    """
    columns = ", ".join(
        f'CASE WHEN end_time > $until THEN NULL ELSE "{name}" END AS "{name}"'
        if name in TOLD_AT_END
        else f'"{name}"'
        for name in RECORD_COLUMNS
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE past AS
        SELECT {columns}, record, batch, source_no, scope_no FROM {OBSERVATIONS}
        WHERE time <= $until OR time IS NULL
           OR time > (SELECT max(updated) + INTERVAL 1 DAY FROM store.sources)
        """,
        {"until": until},
    ).fetchall()
    remember_surroundings(connection)


def remember_surroundings(connection: duckdb.DuckDBPyConnection) -> None:
    """Copy what :func:`relive` needs beside the records."""
    connection.execute("CREATE OR REPLACE TEMP TABLE past_scopes AS FROM store.scopes").fetchall()
    connection.execute("CREATE OR REPLACE TEMP TABLE past_sources AS FROM store.sources").fetchall()


def relive(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make a store in memory, attached as ``store``, of what :func:`remember` copied."""
    connection.execute("ATTACH ':memory:' AS store")
    create(connection)
    connection.execute("INSERT INTO store.scopes FROM past_scopes").fetchall()
    connection.execute("INSERT INTO store.sources FROM past_sources").fetchall()
    series = ", ".join(SERIES_COLUMNS)
    connection.execute(f"INSERT INTO store.series SELECT DISTINCT {SERIES}, {series} FROM past").fetchall()
    replay(connection, "past", settings)
    for table in ("past", "past_scopes", "past_sources"):
        connection.execute(f"DROP TABLE {table}").fetchall()
