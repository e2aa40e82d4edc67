"""Running the engine anew over what is stored: for other settings, or for an earlier time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clew.collectors.record import RECORD_COLUMNS
from clew.reconstruct.duckdb.schema import ENGINE_TABLE_NAMES, ENGINE_TABLES, RECORD_TABLE, create
from clew.reconstruct.duckdb.writing import absorb
from clew.reconstruct.keys import KeyNames
from clew.reconstruct.passes.context import Context
from clew.reconstruct.passes.identify import staging

if TYPE_CHECKING:
    import duckdb

    from clew.reconstruct.model import Settings

CHUNK = 250_000
"""Records put through the passes at a time."""

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
    replay(connection, "store.records_before", settings)
    connection.execute("DROP TABLE store.records_before")


def replay(connection: duckdb.DuckDBPyConnection, table: str, settings: Settings) -> None:
    """Put the records of ``table`` into ``store``.

    ``table`` has the Record's columns, ``record``, ``source_no`` and ``scope_no``.
    """
    names = KeyNames.of(settings)
    scopes = connection.execute("SELECT scope_no, scope FROM store.scopes ORDER BY scope_no").fetchall()
    last = int(connection.execute(f"SELECT coalesce(max(record), 0) FROM {table}").fetchall()[0][0])
    for scope_no, scope in scopes:
        for start in range(0, last, CHUNK):
            select = f"""
                SELECT {COLUMNS}, NULL::VARCHAR AS reject, source_no AS stored_source FROM {table}
                WHERE scope_no = {scope_no} AND record > {start} AND record <= {start + CHUNK}
            """
            connection.execute(f"CREATE OR REPLACE TEMP TABLE decoded AS {staging(select, scope, names)}")
            if not connection.execute("SELECT count(*) FROM decoded").fetchall()[0][0]:
                continue
            base = int(
                connection.execute("SELECT coalesce(max(record), 0) FROM store.records").fetchall()[0][0]
            )
            context = Context(
                connection=connection,
                scope=scope,
                scope_no=scope_no,
                base=base,
                names=names,
                definitions=settings.definitions,
                arrival=datetime.now(UTC).replace(tzinfo=None),
            )
            context.present("decoded", "stored_source")
            absorb(context)


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
        SELECT {columns}, record, source_no, scope_no FROM store.records
        WHERE time <= $until OR time IS NULL
           OR time > (SELECT max(updated) + INTERVAL 1 DAY FROM store.sources)
        """,
        {"until": until},
    ).fetchall()
    connection.execute("CREATE OR REPLACE TEMP TABLE past_scopes AS FROM store.scopes").fetchall()
    connection.execute("CREATE OR REPLACE TEMP TABLE past_sources AS FROM store.sources").fetchall()


def relive(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make a store in memory, attached as ``store``, of what :func:`remember` copied."""
    connection.execute("ATTACH ':memory:' AS store")
    create(connection)
    connection.execute("INSERT INTO store.scopes FROM past_scopes").fetchall()
    connection.execute("INSERT INTO store.sources FROM past_sources").fetchall()
    replay(connection, "past", settings)
    for table in ("past", "past_scopes", "past_sources"):
        connection.execute(f"DROP TABLE {table}").fetchall()
