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
    from collections.abc import Callable, Sequence

    import duckdb
    import pyarrow as pa

PASSES: tuple[Callable[[Context], object], ...] = (attribute, fold, judge)
"""What follows ``identify``, in this order."""

REJECT_BYTES = 4096
POSITION_BITS = 48
"""Bits of a position while batches are decoded together; their number stands above."""

Numbered = list[tuple[int, Batch]]


def decode(
    cursor: duckdb.DuckDBPyConnection, batches: Numbered, settings: Settings, rows: str, *, new: bool
) -> int:
    """Add batches to the table ``rows`` on the workbench under their numbers; needs no turn.

    All have one ``select``, and are ``rowwise`` where there are several. ``new`` makes the
    table anew. Returns how many rows it has then.
    """
    import pyarrow as pa

    names = KeyNames.of(settings)
    number, first = batches[0]
    target = f"CREATE OR REPLACE TABLE {rows} AS" if new else f"INSERT INTO {rows}"
    if first.raw is None:
        select = staging(empty_select(), first.scope, names)
        cursor.execute(f"{target} SELECT {number}::INTEGER AS batch_no, * FROM ({select})").fetchall()
    else:
        select = staging(first.select, first.scope, names)
        raw, columns = first.raw, f"{number}::INTEGER AS batch_no, *"
        if len(batches) > 1:
            # The position is the one column that every format hands on untouched.
            raw = pa.concat_tables([_stamped(batch.raw, number) for number, batch in batches])
            columns = (
                f"(position >> {POSITION_BITS})::INTEGER AS batch_no, "
                f"* REPLACE (position & {(1 << POSITION_BITS) - 1} AS position)"
            )
        cursor.register("raw", raw)
        try:
            cursor.execute(f"{target} SELECT {columns} FROM ({select})").fetchall()
        finally:
            cursor.unregister("raw")
    return int(cursor.execute(f"SELECT count(*) FROM {rows}").fetchall()[0][0])


def _stamped(raw: pa.Table | None, number: int) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if raw is None:
        raise ValueError("an empty batch has nothing to decode")
    at = raw.schema.get_field_index("position")
    stamp = pa.scalar(number << POSITION_BITS, pa.int64())
    return raw.set_column(at, "position", pc.add(raw.column(at), stamp))


def put(
    connection: duckdb.DuckDBPyConnection, batches: Sequence[Batch], settings: Settings, rows: str
) -> list[Written]:
    """Store the decoded ``rows`` and the batches' positions, within the caller's transaction.

    The batches are of one scope; one or many, the store ends up the same.
    """
    rejects = _put_aside_rejects(connection, batches, rows)
    scope_no = _scope_number(connection, batches[0].scope)
    numbers = [_source_number(connection, batch, scope_no) for batch in batches]
    base = int(connection.execute("SELECT coalesce(max(record), 0) FROM store.records").fetchall()[0][0])
    context = Context(
        connection=connection,
        scope=batches[0].scope,
        scope_no=scope_no,
        base=base,
        names=KeyNames.of(settings),
        definitions=settings.definitions,
        arrival=datetime.now(UTC).replace(tzinfo=None),
    )
    cases = " ".join(f"WHEN {number} THEN {source_no}" for number, source_no in enumerate(numbers))
    context.present(rows, str(numbers[0]) if len(batches) == 1 else f"CASE batch_no {cases} END")
    records = _per_batch(context, "stage")
    if records:
        identify(context)
        dropped = _per_batch(context, "dropped")
        if context.count("SELECT count(*) FROM stage"):
            absorb(context)
        _put_copies(context)
    else:
        dropped = {}
    by_kind: dict[int, dict[str, int]] = {}
    for number, kind, count in context.run(
        "SELECT batch_no, kind, count(*) FROM stage GROUP BY ALL ORDER BY ALL"
    ):
        by_kind.setdefault(int(str(number)), {})[str(kind)] = int(str(count))
    written = []
    for number, batch in enumerate(batches):
        one = Written(
            records=records.get(number, 0),
            new=records.get(number, 0) - dropped.get(number, 0),
            duplicates=dropped.get(number, 0),
            rejects=rejects.get(number, 0),
            by_kind=by_kind.get(number, {}),
        )
        context.run(
            f"INSERT INTO store.rejects SELECT {numbers[number]}, position, reason, raw FROM reject_now WHERE batch_no = ?",
            [number],
        )
        _put_source(context, batch, number, numbers[number], one)
        written.append(one)
    return written


def absorb(context: Context) -> None:
    """Run the passes over ``stage`` and store its records and the flows they touch."""
    for each in PASSES:
        each(context)
    _put_records(context)
    _put_flows(context)


def _per_batch(context: Context, table: str) -> dict[int, int]:
    rows = context.run(f"SELECT batch_no, count(*) FROM {table} GROUP BY batch_no")
    return {int(str(number)): int(str(count)) for number, count in rows}


def _put_aside_rejects(
    connection: duckdb.DuckDBPyConnection, batches: Sequence[Batch], rows: str
) -> dict[int, int]:
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE reject_now AS
        SELECT batch_no, position, reject AS reason, encode(left(coalesce(body, ''), {REJECT_BYTES})) AS raw
        FROM {rows} WHERE reject IS NOT NULL
    """)
    for number, batch in enumerate(batches):
        for reject in batch.rejects:
            connection.execute(
                "INSERT INTO reject_now VALUES (?, ?, ?, ?)",
                [number, reject.position, reject.reason, reject.raw[:REJECT_BYTES]],
            )
    return {
        int(number): int(count)
        for number, count in connection.execute(
            "SELECT batch_no, count(*) FROM reject_now GROUP BY batch_no"
        ).fetchall()
    }


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


def _put_records(context: Context) -> None:
    engine = ", ".join(
        f"{context.scope_no} AS scope_no" if name == "scope_no" else name for name, _ in ENGINE_COLUMNS
    )
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
    for table in ("flows", "waits", "flow_keys"):
        context.run(f"DELETE FROM store.{table} WHERE flow IN (SELECT flow FROM existing)")
    context.run("INSERT INTO store.flows SELECT * FROM verdict_flow")
    context.run("INSERT INTO store.waits SELECT * FROM wait")
    context.run("INSERT INTO store.channels SELECT * FROM channel_now")
    context.run("DELETE FROM store.instances WHERE base IN (SELECT base FROM rerun)")
    context.run("INSERT INTO store.instances SELECT * FROM run_now")
    context.run("""
        INSERT INTO store.flow_keys
        SELECT DISTINCT flow, name, value, hash(value) FROM (
            SELECT flow, unnest(json_keys(keys)) AS name,
                json_extract_string(keys, '$."' || replace(replace(name, '\\', '\\\\'), '"', '\\"') || '"') AS value
            FROM key_now
        ) WHERE value IS NOT NULL
    """)


def _put_copies(context: Context) -> None:
    if context.count("SELECT count(*) FROM seen_now"):
        context.run("""
            DELETE FROM store.seen
            WHERE (source_no, content) IN (SELECT (source_no, content) FROM seen_now)
        """)
        context.run("INSERT INTO store.seen SELECT source_no, content, copies FROM seen_now")


def _put_source(context: Context, batch: Batch, number: int, source_no: int, one: Written) -> None:
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
                count(*) FILTER (evidence = 0) AS no_flow, min(moment) AS earliest,
                max(greatest(moment, until)) AS latest
            FROM (
                SELECT evidence, CASE WHEN time BETWEEN {EARLIEST} AND {latest} THEN time END AS moment,
                    CASE WHEN end_time BETWEEN {EARLIEST} AND {latest} THEN end_time END AS until
                FROM stage WHERE batch_no = {number}
            )
        ) AS fresh
        WHERE source_no = {source_no}
        """,
        {
            "format": batch.format,
            "position": batch.position,
            "duplicates": one.duplicates,
            "rejects": one.rejects,
            "mark": mark.time_us if mark else None,
            "exact": bool(mark and mark.exact),
            "arrival": context.arrival,
        },
    )
