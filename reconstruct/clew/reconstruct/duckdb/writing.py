"""One batch into the store: decode it, run the passes, and put down what they found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clew.collectors.record import RECORD_COLUMNS, Batch, empty_select
from clew.reconstruct.duckdb.schema import ENGINE_COLUMNS
from clew.reconstruct.keys import KeyNames, quoted
from clew.reconstruct.model import Settings, Written
from clew.reconstruct.passes.attribute import attribute
from clew.reconstruct.passes.context import Context
from clew.reconstruct.passes.fold import EARLIEST, fold
from clew.reconstruct.passes.identify import identify, staging
from clew.reconstruct.passes.judge import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

PASSES: tuple[Callable[[Context], object], ...] = (attribute, fold, judge)
"""What follows ``identify``, in this order."""

REJECT_BYTES = 4096


def decode(cursor: duckdb.DuckDBPyConnection, batch: Batch, settings: Settings, rows: str) -> None:
    """Make the table ``rows`` of a batch on the workbench; needs no turn at the store."""
    names = KeyNames.of(settings)
    if batch.raw is None:
        cursor.execute(staging(empty_select(), f"TABLE {rows}", batch.scope, names)).fetchall()
        return
    cursor.register("raw", batch.raw)
    try:
        cursor.execute(staging(batch.select, f"TABLE {rows}", batch.scope, names)).fetchall()
    finally:
        cursor.unregister("raw")


def put(connection: duckdb.DuckDBPyConnection, batch: Batch, settings: Settings, rows: str) -> Written:
    """Store the decoded ``rows`` and the batch's position, within the caller's transaction."""
    rejects = _put_aside_rejects(connection, batch, rows)
    scope_no = _scope_number(connection, batch.scope)
    source_no = _source_number(connection, batch, scope_no)
    base = int(connection.execute("SELECT coalesce(max(record), 0) FROM store.records").fetchall()[0][0])
    context = Context(
        connection=connection,
        scope=batch.scope,
        scope_no=scope_no,
        source_no=source_no,
        base=base,
        names=KeyNames.of(settings),
        definitions=settings.definitions,
        arrival=datetime.now(UTC).replace(tzinfo=None),
    )
    context.present(rows)
    records = context.count("SELECT count(*) FROM stage")
    duplicates = identify(context) if records else 0
    if records > duplicates:
        absorb(context, source_no=str(source_no))
    _put_copies(context, changed=bool(records))
    by_kind = {
        str(kind): int(str(number))
        for kind, number in context.run("SELECT kind, count(*) FROM stage GROUP BY kind ORDER BY kind")
    }
    _put_source(context, batch, duplicates, rejects)
    return Written(
        records=records, new=records - duplicates, duplicates=duplicates, rejects=rejects, by_kind=by_kind
    )


def absorb(context: Context, source_no: str) -> None:
    """Run the passes over ``stage`` and store its records and the flows they touch.

    ``source_no`` is SQL: a number, or the column of ``stage`` that holds it.
    """
    for each in PASSES:
        each(context)
    _put_records(context, source_no)
    _put_flows(context)


def _put_aside_rejects(connection: duckdb.DuckDBPyConnection, batch: Batch, rows: str) -> int:
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE reject_now AS
        SELECT position, reject AS reason, encode(left(coalesce(body, ''), {REJECT_BYTES})) AS raw
        FROM {rows} WHERE reject IS NOT NULL
    """)
    for reject in batch.rejects:
        connection.execute(
            "INSERT INTO reject_now VALUES (?, ?, ?)",
            [reject.position, reject.reason, reject.raw[:REJECT_BYTES]],
        )
    return int(connection.execute("SELECT count(*) FROM reject_now").fetchall()[0][0])


def _scope_number(connection: duckdb.DuckDBPyConnection, scope: str) -> int:
    found = connection.execute("SELECT scope_no FROM store.scopes WHERE scope = ?", [scope]).fetchall()
    if found:
        return int(found[0][0])
    number = int(connection.execute("SELECT count(*) FROM store.scopes").fetchall()[0][0])
    connection.execute("INSERT INTO store.scopes VALUES (?, ?)", [number, scope])
    return number


def _source_number(connection: duckdb.DuckDBPyConnection, batch: Batch, scope_no: int) -> int:
    """A source's number; a source read anew from its beginning is another reading of it."""
    found = connection.execute(
        "SELECT max(source_no) FROM store.sources WHERE source = ? AND scope_no = ?", [batch.source, scope_no]
    ).fetchall()[0][0]
    if found is not None and not batch.first:
        return int(found)
    number = int(connection.execute("SELECT count(*) FROM store.sources").fetchall()[0][0])
    connection.execute(
        "INSERT INTO store.sources VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, 0, NULL, NULL, NULL, false, NULL)",
        [number, batch.source, scope_no, batch.format, batch.position],
    )
    return number


def _put_records(context: Context, source_no: str) -> None:
    values = {
        "source_no": source_no,
        "scope_no": str(context.scope_no),
    }
    engine = ", ".join(f"{values.get(name, name)} AS {name}" for name, _ in ENGINE_COLUMNS)
    columns = ", ".join(f'"{name}"' for name in RECORD_COLUMNS)
    context.run(f"INSERT INTO store.records SELECT {columns}, {engine} FROM stage")
    context.run("INSERT INTO store.link_refs SELECT * FROM link_ref")
    if context.count("SELECT count(*) FROM moved"):
        context.run("""
            UPDATE store.records SET flow = m.flow, evidence = m.evidence
            FROM moved AS m WHERE m.record = records.record
        """)
    if context.count("SELECT count(*) FROM component"):
        context.run("DELETE FROM store.shared WHERE record IN (SELECT record FROM component)")
        context.run("INSERT INTO store.shared SELECT * FROM shared_now")


def _put_flows(context: Context) -> None:
    for table in ("flows", "waits", "flow_keys", "links"):
        context.run(f"DELETE FROM store.{table} WHERE flow IN (SELECT flow FROM existing)")
    context.run("INSERT INTO store.flows SELECT * FROM verdict_flow")
    context.run("INSERT INTO store.waits SELECT * FROM wait")
    context.run("INSERT INTO store.links SELECT * FROM link_now")
    context.run("INSERT INTO store.channels SELECT * FROM channel_now")
    context.run("DELETE FROM store.instances WHERE base IN (SELECT base FROM run_now)")
    context.run("INSERT INTO store.instances SELECT * FROM run_now")
    context.run("""
        INSERT INTO store.flow_keys
        SELECT DISTINCT flow, name, value, hash(value) FROM (
            SELECT flow, unnest(json_keys(keys)) AS name, json_extract_string(keys, '$."' || replace(replace(name, '\\', '\\\\'), '"', '\\"') || '"') AS value FROM key_now
        ) WHERE value IS NOT NULL
    """)


def _put_copies(context: Context, *, changed: bool) -> None:
    if changed and context.count("SELECT count(*) FROM seen_now"):
        context.run(f"""
            DELETE FROM store.seen
            WHERE source_no = {context.source_no} AND content IN (SELECT content FROM seen_now)
        """)
        context.run(f"INSERT INTO store.seen SELECT {context.source_no}, content, copies FROM seen_now")
    context.run(
        f"INSERT INTO store.rejects SELECT {context.source_no}, position, reason, raw FROM reject_now"
    )


def _put_source(context: Context, batch: Batch, duplicates: int, rejects: int) -> None:
    latest = f"TIMESTAMP {quoted(context.arrival.isoformat(sep=' '))} + INTERVAL 1 DAY"
    mark = batch.watermark
    context.run(
        f"""
        UPDATE store.sources SET
            format = $format, position = $position,
            records = sources.records + fresh.n, duplicates = duplicates + $duplicates,
            rejects = rejects + $rejects, undated = sources.undated + fresh.no_time,
            unattributed = sources.unattributed + fresh.no_flow,
            first = least(sources.first, fresh.earliest), last = greatest(sources.last, fresh.latest),
            watermark = greatest(watermark, make_timestamp($mark::BIGINT)),
            watermark_exact = $exact, updated = $arrival
        FROM (
            SELECT count(*) AS n, count(*) FILTER (moment IS NULL) AS no_time,
                count(*) FILTER (evidence = 0) AS no_flow, min(moment) AS earliest, max(moment) AS latest
            FROM (
                SELECT evidence, CASE WHEN time BETWEEN {EARLIEST} AND {latest} THEN time END AS moment FROM stage
            )
        ) AS fresh
        WHERE source_no = {context.source_no}
        """,
        {
            "format": batch.format,
            "position": batch.position,
            "duplicates": duplicates,
            "rejects": rejects,
            "mark": mark.time_us if mark else None,
            "exact": bool(mark and mark.exact),
            "arrival": context.arrival,
        },
    )
