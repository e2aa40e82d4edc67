"""How far consumers were behind, as metrics told it: a short history of each, and of not too many."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from clew.reconstruct.detail import ConsumerLag
from clew.reconstruct.passes.fold import SENDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from clew.collectors.record import Batch
    from clew.reconstruct.passes.context import Context

SERIES: Final = 5_000
"""Consumers and partitions that are kept; of others nothing is."""
POINTS: Final = 32
"""Of each, the newest: half an hour where one comes each minute."""
FULL: Final = f"more than {SERIES:,} consumers and partitions tell of their lag: no others are kept"
_TOLD: Final = 100
"""Consumers of which one flow is told."""
_SAME: Final = """
    l.scope_no = p.scope_no AND l.consumer = p.consumer AND l.destination = p.destination
    AND l.partition IS NOT DISTINCT FROM p.partition
"""


def put_lags(context: Context, batches: Sequence[tuple[int, Batch]]) -> None:
    """Keep what ``batches`` (each with its source's number) tell; what was told before adds nothing.

    Where they tell of too many consumers, that is a reject of the source, once.
    """
    import pyarrow as pa

    told = [lag for _, batch in batches for lag in batch.lags]
    if not told:
        return
    context.connection.register(
        "told_lags",
        pa.table(
            {
                "consumer": pa.array([lag.consumer for lag in told], pa.string()),
                "destination": pa.array([lag.destination for lag in told], pa.string()),
                "partition": pa.array([lag.partition for lag in told], pa.int32()),
                "time_us": pa.array([lag.time_us for lag in told], pa.int64()),
                "messages": pa.array([lag.messages for lag in told], pa.int64()),
            }
        ),
    )
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE point AS
        SELECT {context.scope_no} AS scope_no, consumer, destination, partition, make_timestamp(time_us) AS time,
            max(messages) AS messages, consumer || chr(0) || destination || chr(0) || coalesce(partition, -1) AS series
        FROM told_lags GROUP BY ALL
    """)
    context.connection.unregister("told_lags")
    held = context.count(
        "SELECT count(*) FROM (SELECT DISTINCT scope_no, consumer, destination, partition FROM store.lags)"
    )
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE new_series AS
        SELECT series, row_number() OVER (ORDER BY series) + {held} > {SERIES} AS beyond
        FROM (SELECT DISTINCT series FROM point AS p WHERE NOT EXISTS (FROM store.lags AS l WHERE {_SAME}))
    """)
    if context.count("SELECT count(*) FROM new_series WHERE beyond"):
        context.run("DELETE FROM point WHERE series IN (SELECT series FROM new_series WHERE beyond)")
        _say_full(context, batches[-1][0])
    context.run(f"""
        INSERT INTO store.lags
        SELECT scope_no, consumer, destination, partition, time, messages FROM point AS p
        WHERE NOT EXISTS (FROM store.lags AS l WHERE {_SAME} AND l.time = p.time)
    """)
    context.run(f"""
        DELETE FROM store.lags WHERE rowid IN (
            SELECT id FROM (
                SELECT rowid AS id, row_number() OVER (
                    PARTITION BY scope_no, consumer, destination, partition ORDER BY time DESC
                ) AS age FROM store.lags
            ) WHERE age > {POINTS}
        )
    """)


def _say_full(context: Context, source_no: int) -> None:
    if context.run("FROM store.rejects WHERE source_no = ? AND reason = ?", [source_no, FULL]):
        return
    context.run("INSERT INTO store.rejects VALUES (?, 0, ?, '')", [source_no, FULL])
    context.run("UPDATE store.sources SET rejects = rejects + 1 WHERE source_no = ?", [source_no])


def lags(
    connection: duckdb.DuckDBPyConnection, scope: str, as_of: datetime | None
) -> tuple[ConsumerLag, ...]:
    """How far behind consumers were, up to ``as_of``, on what the flow in the temporary table ``mine`` sent to."""
    if not connection.execute("SELECT count(*) FROM (FROM store.lags LIMIT 1)").fetchall()[0][0]:
        return ()
    rows = connection.execute(
        f"""
        WITH place AS MATERIALIZED (
            SELECT DISTINCT destination, partition FROM mine
            WHERE destination IS NOT NULL AND (operation IN {SENDS} OR operation IS NULL AND kind = 'message')
        )
        SELECT consumer, destination, partition, arg_max(messages, time), max(time),
            arg_min(messages, time), min(time)
        FROM store.lags AS l JOIN store.scopes USING (scope_no)
        WHERE scope = $scope AND time <= coalesce($as_of, TIMESTAMP 'infinity') AND EXISTS (
            FROM place AS p WHERE p.destination = l.destination
              AND (p.partition = l.partition OR p.partition IS NULL OR l.partition IS NULL)
        )
        GROUP BY ALL ORDER BY ALL LIMIT {_TOLD}
        """,
        {"scope": scope, "as_of": as_of},
    ).fetchall()
    return tuple(
        ConsumerLag(
            consumer=consumer,
            destination=destination,
            partition=partition,
            messages=messages,
            time=time.replace(tzinfo=UTC),
            before=before,
            since=since.replace(tzinfo=UTC),
        )
        for consumer, destination, partition, messages, time, before, since in rows
    )
