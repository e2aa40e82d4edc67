"""The tables of a DuckDB store, in the attached schema ``store``.

Identities are 64-bit hashes (DuckDB's ``hash``, salted by class and scope), because
narrow integer columns are scanned at gigabytes per second: an index (ART) on a record
table costs five times what appending costs (measured), a scan of five million hashes
20 ms. Whatever a person sees is kept as text beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.collectors.record import RECORD

if TYPE_CHECKING:
    import duckdb

SERIES_COLUMNS = (
    "kind",
    "service",
    "name",
    "operation",
    "span_kind",
    "correlation_key",
    "system",
    "destination",
    "consumer_group",
    "severity",
    "status",
    "outcome",
    "error_type",
    "schema_version",
)
"""What many records have in common: a record names its **series**, the hash of these, and the
text stands once in ``store.series``. Fourteen columns less to write for each record."""

OWN_COLUMNS = tuple(column.name for column in RECORD if column.name not in SERIES_COLUMNS)
"""What each record has for itself."""

UNCOMPRESSED = frozenset({"event_id", "causation_id", "span_id"})
"""Text that does not repeat: looking for a compression costs more than writing it (measured)."""

TOKENS = ("event_h", "cause_h", "place_h", "trace_h", "span_h", "parent_h", "hop_h")
"""Hashes by which records find each other; NULL where a record has no such ID."""

ENGINE_COLUMNS = (
    ("record", "UBIGINT"),
    ("batch", "INTEGER"),
    ("source_no", "INTEGER"),
    ("scope_no", "INTEGER"),
    ("series", "UBIGINT"),
    ("content", "UBIGINT"),
    ("flow", "UBIGINT"),
    ("evidence", "UTINYINT"),
    *((token, "UBIGINT") for token in TOKENS),
)
"""What the engine adds to a Record.

``record`` is its identity: ``content``, the hash of what it says or of the source's own
identity of it, and of a further copy the copy's number besides. ``batch`` numbers the
commits: those of one transaction are the highest. ``flow`` is NULL for a shared or
unattributed record, ``evidence`` 0 for an unattributed one. ``place_h`` is the broker
coordinates' hash.
"""

OBSERVATIONS = "(SELECT * FROM store.records JOIN store.series USING (series))"
"""Records with all their columns."""

REJECTED = 255
"""``evidence`` of what could not be decoded, on its way through the records to the rejects."""

ROW_GROUP = 16_384
"""Rows of a row group: so few that a batch has some for each core."""

OUTCOMES = ("none", "completed", "failed", "cancelled", "compensated", "compensating")
"""``flows.outcome`` as a number: how the flow ended, or that it undoes itself."""

WAITS = ("parent", "cause", "handling", "end", "retry", "step")
"""``waits.kind`` as a number: what a flow lacks. Parents and causes are looked for, not owed."""

EVIDENCE = ("correlation", "causation", "message", "span", "hop", "trace", "alone")
"""``records.evidence`` is 1 + the index here."""


def _record_columns() -> str:
    return ",\n    ".join(
        f'"{column.name}" {column.type}{" USING COMPRESSION uncompressed" if column.name in UNCOMPRESSED else ""}'
        for column in RECORD
        if column.name in OWN_COLUMNS
    )


RECORD_TABLE = f"""
CREATE TABLE store.records (
    {_record_columns()},
    {", ".join(f"{name} {kind}" for name, kind in ENGINE_COLUMNS)}
);
"""

SERIES_TABLE = f"""
CREATE TABLE store.series (series UBIGINT, {", ".join(f"{name} VARCHAR" for name in SERIES_COLUMNS)});
"""

SHAPE = "(sum(series) % 18446744073709551616)::UBIGINT"
"""``flows.shape`` of a flow's records: those of which the same was told, in whatever order, have the same."""

ENGINE_TABLES = """
CREATE TABLE store.ids (id UBIGINT, batch INTEGER);
CREATE TABLE store.link_refs (record UBIGINT, token UBIGINT);
CREATE TABLE store.shared (record UBIGINT, flow UBIGINT, evidence UTINYINT);
CREATE TABLE store.flows (
    flow UBIGINT, flow_id VARCHAR, scope_no INTEGER, type VARCHAR,
    started TIMESTAMP, last TIMESTAMP, ended TIMESTAMP, overall_limit_us BIGINT, defined BOOLEAN,
    outcome UTINYINT, roots INTEGER, records BIGINT, events BIGINT, errors BIGINT,
    dead_letters INTEGER, dead_open INTEGER, missing_parents INTEGER, services VARCHAR[],
    evidence INTEGER[], shape UBIGINT
);
CREATE TABLE store.waits (
    flow UBIGINT, kind UTINYINT, token UBIGINT, channel UBIGINT, since TIMESTAMP, limit_us BIGINT,
    name VARCHAR, service VARCHAR, destination VARCHAR
);
CREATE TABLE store.channels (channel UBIGINT, name VARCHAR);
CREATE TABLE store.flow_keys (flow UBIGINT, name VARCHAR, value VARCHAR, value_h UBIGINT);
CREATE TABLE store.instances (base UBIGINT, flow UBIGINT, number INTEGER, since TIMESTAMP);
"""
"""What the passes make of the records; ``rebuild`` makes all of it anew.

``ids`` says in which batches an event's or a trace's ID stands (``event_h``, ``trace_h``): each
batch adds its IDs in their order, so that looking one up reads a row group of each batch.
So do ``flow_keys``, by flow.
"""

ENGINE_TABLE_NAMES = ("ids", "link_refs", "shared", "flows", "waits", "channels", "flow_keys", "instances")

SOURCE_TABLES = """
CREATE TABLE store.scopes (scope_no INTEGER, scope VARCHAR);
CREATE TABLE store.sources (
    source_no INTEGER, source VARCHAR, scope_no INTEGER, format VARCHAR, position VARCHAR,
    records BIGINT, duplicates BIGINT, rejects BIGINT, undated BIGINT, unattributed BIGINT,
    first TIMESTAMP, last TIMESTAMP, watermark TIMESTAMP, watermark_exact BOOLEAN, updated TIMESTAMP
);
CREATE TABLE store.seen (source_no INTEGER, content UBIGINT, copies BIGINT);
CREATE TABLE store.rejects (source_no INTEGER, position BIGINT, reason VARCHAR, raw BLOB);
CREATE TABLE store.settings (name VARCHAR, value VARCHAR);
"""

MODEL_TABLES = """
CREATE TABLE store.models (number INTEGER, learned TIMESTAMP, made_by VARCHAR, body VARCHAR);
CREATE TABLE store.transitions (
    model INTEGER, type VARCHAR, event VARCHAR, emitter VARCHAR, follower VARCHAR, service VARCHAR,
    flows BIGINT, share DOUBLE,
    took_count BIGINT, took BIGINT[], wait_count BIGINT, wait BIGINT[], work_count BIGINT, work BIGINT[]
);
"""
"""What was learned: see :mod:`clew.reconstruct.duckdb.models`. ``rebuild`` keeps it.

``took``, ``wait`` and ``work`` are the 50th, 95th and 99th percentile in microseconds, and of how many.
"""

LAG_TABLES = """
CREATE TABLE store.lags (
    scope_no INTEGER, consumer VARCHAR, destination VARCHAR, partition INTEGER, time TIMESTAMP, messages BIGINT
);
"""
"""How far consumers were behind: see :mod:`clew.reconstruct.duckdb.lags`. ``rebuild`` keeps it."""


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make all tables of an empty store."""
    _execute(
        connection, RECORD_TABLE + SERIES_TABLE + ENGINE_TABLES + SOURCE_TABLES + MODEL_TABLES + LAG_TABLES
    )


def add_models(connection: duckdb.DuckDBPyConnection) -> None:
    """Make a store of version 2 one of version 3."""
    _execute(connection, MODEL_TABLES)


def add_lags_and_shapes(connection: duckdb.DuckDBPyConnection) -> None:
    """Make a store of version 3 one of version 4."""
    _execute(
        connection,
        f"""
        {LAG_TABLES};
        ALTER TABLE store.flows ADD COLUMN shape UBIGINT;
        UPDATE store.flows SET shape = told.shape FROM (
            SELECT flow, {SHAPE} AS shape FROM (
                SELECT flow, series FROM store.records WHERE flow IS NOT NULL
                UNION ALL SELECT s.flow, r.series FROM store.shared AS s JOIN store.records AS r USING (record)
            ) GROUP BY flow
        ) AS told WHERE told.flow = flows.flow
        """,
    )


def _execute(connection: duckdb.DuckDBPyConnection, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            connection.execute(statement)
