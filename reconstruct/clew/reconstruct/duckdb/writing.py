"""Batches into the store: decode them, run the passes, and put down what they found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clew.collectors.record import Batch, Rejected
from clew.reconstruct.answers import Written
from clew.reconstruct.duckdb.lags import put_lags
from clew.reconstruct.duckdb.schema import REJECTED, SERIES_COLUMNS
from clew.reconstruct.keys import KeyNames, quoted
from clew.reconstruct.model import Settings
from clew.reconstruct.passes.attribute import attribute
from clew.reconstruct.passes.context import Context
from clew.reconstruct.passes.fold import EARLIEST, fold
from clew.reconstruct.passes.identify import REJECT_BYTES, SERIES, identify, insertion
from clew.reconstruct.passes.judge import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import duckdb
    import pyarrow as pa

PASSES: tuple[Callable[[Context], object], ...] = (attribute, fold, judge)
"""What follows ``identify``, in this order."""

POSITION_BITS = 48
"""Bits of a position while batches are decoded together; their number stands above."""

MOST_TOLD = 1000
"""Rows of a batch of which its source is told what was rejected."""

Numbered = list[tuple[int, Batch]]
"""Batches with their numbers in the store."""


def put(connection: duckdb.DuckDBPyConnection, batches: Sequence[Batch], settings: Settings) -> list[Written]:
    """Decode and store the batches and their positions, within the caller's transaction.

    The batches are of one scope; one or many, the store ends up the same.
    """
    scope_no = _scope_number(connection, batches[0].scope)
    sources = [_source_number(connection, batch, scope_no) for batch in batches]
    newest = connection.execute("SELECT coalesce(max(batch), 0) FROM store.records").fetchall()[0][0]
    context = Context(
        connection=connection,
        scope=batches[0].scope,
        scope_no=scope_no,
        first=int(newest) + 1,
        names=KeyNames.of(settings),
        definitions=settings.definitions,
        limit_us=settings.limit_us,
        arrival=datetime.now(UTC).replace(tzinfo=None),
    )
    numbered = list(enumerate(batches, context.first))
    source_of = dict(zip((number for number, _ in numbered), sources, strict=True))
    by_select: dict[tuple[str, str | None], Numbered] = {}
    for number, batch in numbered:
        if batch.raw is not None and batch.raw.num_rows:
            key = (batch.select, batch.short) if batch.rowwise else (f"{number}", None)
            by_select.setdefault(key, []).append((number, batch))
    for together in by_select.values():
        _decode(context, together, source_of)
    rejects = _put_aside_rejects(context)
    rejected = {number: _rejected(context, number, batch) for number, batch in numbered if number in rejects}
    if rejects:
        context.run(f"DELETE FROM store.records WHERE batch >= {context.first} AND evidence = {REJECTED}")
    records = _per_batch(context, f"FROM store.records WHERE batch >= {context.first}")
    apart = [number for number, batch in numbered if batch.apart]
    again = [number for number, batch in numbered if batch.again]
    dropped = identify(context, apart, again) if records else {}
    context.present()
    if sum(records.values()) > sum(dropped.values()):
        absorb(context)
    by_kind: dict[int, dict[str, int]] = {}
    for batch_no, kind, count in context.run(
        "SELECT batch, kind, count(*) FROM stage JOIN store.series USING (series) GROUP BY ALL ORDER BY ALL"
    ):
        by_kind.setdefault(int(str(batch_no)), {})[str(kind)] = int(str(count))
    written = []
    for number, batch in numbered:
        one = Written(
            records=records.get(number, 0),
            new=records.get(number, 0) - dropped.get(number, 0),
            duplicates=dropped.get(number, 0),
            rejects=rejects.get(number, 0) + len(batch.rejects),
            by_kind=by_kind.get(number, {}),
            rejected=rejected.get(number, {}),
        )
        for reject in batch.rejects:
            context.run(
                "INSERT INTO store.rejects VALUES (?, ?, ?, ?)",
                [source_of[number], reject.position, reject.reason, reject.raw[:REJECT_BYTES]],
            )
        _put_source(context, batch, number, source_of[number], one)
        written.append(one)
    put_lags(context, [(source_of[number], batch) for number, batch in numbered if batch.lags])
    return written


def absorb(context: Context) -> None:
    """Run the passes over ``stage`` and store the flows they touch."""
    for each in PASSES:
        each(context)
    put_flows(context)


def _decode(context: Context, batches: Numbered, source_of: dict[int, int]) -> None:
    """Put the records of batches of one SELECT into ``store.records``, their series known.

    Several batches are ``rowwise``.
    """
    import pyarrow as pa

    first, batch = batches[0]
    # The position is the one column that every format hands on untouched.
    raw = pa.concat_tables([_stamped(one.raw, number - first) for number, one in batches])
    cases = " ".join(f"WHEN {number} THEN {source_of[number]}" for number, _ in batches)
    numbers = {
        "batch": f"(position >> {POSITION_BITS})::INTEGER + {first}",
        "source_no": f"CASE (position >> {POSITION_BITS}) + {first} {cases} END",
        "scope_no": str(context.scope_no),
        "position": f"position & {(1 << POSITION_BITS) - 1}",
    }
    if len(batches) == 1:
        numbers |= {"batch": str(first), "source_no": str(source_of[first]), "position": "position"}
    context.connection.register("input", raw)
    _show(context)
    left = True
    if batch.short is not None:
        context.run(insertion(batch.short, context.scope, context.names, numbers, rejects=False))
        left = _take_out_others(context, first)
    if left:
        context.run(insertion(batch.select, context.scope, context.names, numbers))
    for select in (batch.short, batch.select):
        if select is not None:
            _learn_series(context, first, select, rowwise=batch.rowwise)
    context.run("DROP VIEW raw")
    context.connection.unregister("input")


def _stamped(raw: pa.Table | None, number: int) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if raw is None:
        raise ValueError("an empty batch has nothing to decode")
    if not number:
        return raw
    at = raw.schema.get_field_index("position")
    stamp = pa.scalar(number << POSITION_BITS, pa.int64())
    return raw.set_column(at, "position", pc.add(raw.column(at), stamp))


def _show(context: Context, rows: str = "") -> None:
    """Make ``raw`` of some rows of the input."""
    context.run(f"CREATE OR REPLACE TEMP VIEW raw AS SELECT * FROM input {rows}")


def _stored(first: int) -> str:
    """SELECT ``place`` (the position as in ``raw``), ``series`` and ``evidence`` of what was decoded."""
    return f"""
        SELECT position + ((batch - {first})::BIGINT << {POSITION_BITS}) AS place, series, evidence
        FROM store.records WHERE batch >= {first}
    """


def _take_out_others(context: Context, first: int) -> bool:
    """Make ``raw`` of what the short way marked as not its own, if there is any."""
    marked = f"FROM store.records WHERE batch >= {first} AND evidence = {REJECTED}"
    if not context.count(f"SELECT count(*) {marked}"):
        return False
    context.run(
        f"CREATE OR REPLACE TEMP TABLE other AS SELECT place FROM ({_stored(first)}) WHERE evidence = {REJECTED}"
    )
    context.run(f"DELETE {marked}")
    _show(context, "WHERE position IN (SELECT place FROM other)")
    return True


def _learn_series(context: Context, first: int, select: str, *, rowwise: bool) -> None:
    """Add what is new to ``store.series``: one record of each new series is decoded once more."""
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE unknown AS
        SELECT series, min(place) AS place FROM ({_stored(first)})
        WHERE evidence <> {REJECTED} AND series NOT IN (SELECT series FROM store.series)
        GROUP BY series
    """)
    if not context.count("SELECT count(*) FROM unknown"):
        return
    _show(context, "WHERE position IN (SELECT place FROM unknown)" if rowwise else "")
    told = ", ".join(f"first({name})" for name in SERIES_COLUMNS)
    # Materialized, or the conditions are pushed into the decoding, which grows by each layer.
    context.run(f"""
        INSERT INTO store.series
        WITH decoded AS MATERIALIZED (
            SELECT {", ".join(SERIES_COLUMNS)}, reject, {SERIES} AS series FROM ({select})
        )
        SELECT series, {told} FROM decoded
        WHERE reject IS NULL AND series IN (SELECT series FROM unknown)
        GROUP BY series
    """)


def _per_batch(context: Context, rows: str) -> dict[int, int]:
    counted = context.run(f"SELECT batch, count(*) {rows} GROUP BY batch")
    return {int(str(number)): int(str(count)) for number, count in counted}


def _put_aside_rejects(context: Context) -> dict[int, int]:
    """Copy what could not be decoded from the records to the rejects; return batch → how many."""
    rows = f"FROM store.records WHERE batch >= {context.first} AND evidence = {REJECTED}"
    counts = _per_batch(context, rows)
    if counts:
        context.run(f"""
            INSERT INTO store.rejects
            SELECT source_no, position, error_message, encode(coalesce(body, '')) {rows}
        """)
    return counts


def _rejected(context: Context, number: int, batch: Batch) -> dict[int, Rejected]:
    """What to tell the source of a batch that waits for its outcome: position → what was rejected."""
    if batch.settle is None:
        return {}
    found = context.run(f"""
        SELECT position, count(*) FILTER (bad), first(error_message ORDER BY rowid) FILTER (bad),
            count(*) FILTER (NOT bad)
        FROM (SELECT *, rowid, evidence = {REJECTED} AS bad FROM store.records WHERE batch = {number})
        GROUP BY position HAVING bool_or(bad) ORDER BY position LIMIT {MOST_TOLD}
    """)
    return {
        int(str(position)): Rejected(int(str(bad)), str(reason), int(str(good)))
        for position, bad, reason, good in found
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


def put_flows(context: Context) -> None:
    """Store what ``judge`` left."""
    _put_attribution(context)
    for table in ("flows", "waits"):
        context.run(f"DELETE FROM store.{table} WHERE flow IN (SELECT flow FROM existing)")
    context.run("INSERT INTO store.flows SELECT * FROM verdict_flow")
    context.run("INSERT INTO store.waits SELECT * FROM wait")
    context.run("INSERT INTO store.channels SELECT * FROM channel_now")
    context.run("DELETE FROM store.instances WHERE base IN (SELECT base FROM rerun)")
    context.run("INSERT INTO store.instances SELECT * FROM run_now")
    context.run("DELETE FROM store.flow_keys WHERE flow IN (SELECT flow FROM regrouped)")
    context.run(
        "INSERT INTO store.flow_keys SELECT flow, name, value, hash(value) FROM key_now ORDER BY flow"
    )
    context.run("""
        INSERT INTO store.ids
        SELECT id, batch FROM (
            SELECT DISTINCT event_h AS id, batch FROM stage WHERE event_h IS NOT NULL
            UNION ALL
            SELECT DISTINCT trace_h, batch FROM stage WHERE trace_h IS NOT NULL
        )
        ORDER BY id
    """)


def _put_attribution(context: Context) -> None:
    """Tell ``store.records`` to which flow its records belong now, where it does not know."""
    context.run("INSERT INTO store.link_refs SELECT * FROM link_ref")
    if context.count("SELECT count(*) FROM stage WHERE evidence > 1") or context.count(
        "SELECT count(*) FROM rerun"
    ):
        context.run(f"""
            UPDATE store.records SET flow = s.flow, evidence = s.evidence
            FROM stage AS s
            WHERE s.record = records.record AND records.batch >= {context.first}
              AND (s.flow IS DISTINCT FROM records.flow OR s.evidence <> records.evidence)
        """)
    if context.count("SELECT count(*) FROM moved"):
        context.run("""
            UPDATE store.records SET flow = m.flow, evidence = m.evidence
            FROM moved AS m WHERE m.record = records.record
        """)
    if context.count("SELECT count(*) FROM component"):
        context.run("DELETE FROM store.shared WHERE record IN (SELECT record FROM component)")
        context.run("INSERT INTO store.shared SELECT * FROM shared_now")


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
            -- What was estimated is gone once the source is read to its end, or estimated anew.
            watermark = CASE
                WHEN $more THEN greatest(watermark, fresh.latest, TIMESTAMP 'epoch')
                WHEN $mark IS NULL AND NOT watermark_exact THEN NULL
                ELSE greatest(watermark, make_timestamp($mark::BIGINT)) END,
            watermark_exact = $exact OR $mark IS NULL AND NOT $more AND watermark_exact, updated = $arrival
        FROM (
            SELECT count(*) AS n, count(*) FILTER (moment IS NULL) AS no_time,
                count(*) FILTER (evidence = 0) AS no_flow, min(moment) AS earliest,
                max(greatest(moment, until)) AS latest
            FROM (
                SELECT evidence, CASE WHEN time BETWEEN {EARLIEST} AND {latest} THEN time END AS moment,
                    CASE WHEN end_time BETWEEN {EARLIEST} AND {latest} THEN end_time END AS until
                FROM stage WHERE batch = {number}
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
            "more": batch.more,
            "exact": bool(mark and mark.exact),
            "arrival": context.arrival,
        },
    )
