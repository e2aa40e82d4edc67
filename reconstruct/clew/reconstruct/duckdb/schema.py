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

COMPRESSED = frozenset(
    {
        "event_id",
        "correlation_id",
        "causation_id",
        "trace_id",
        "span_id",
        "parent_span_id",
        "links",
        "error_message",
        "body",
        "keys",
        "attributes",
        "identity",
    }
)
"""High-cardinality text: zstd is both the smallest and the fastest to write (measured)."""

TOKENS = ("event_h", "cause_h", "place_h", "trace_h", "span_h", "parent_h", "hop_h")
"""Hashes by which records find each other; NULL where a record has no such ID."""

ENGINE_COLUMNS = (
    ("record", "BIGINT"),
    ("source_no", "INTEGER"),
    ("scope_no", "INTEGER"),
    ("content", "UBIGINT"),
    ("flow", "UBIGINT"),
    ("evidence", "UTINYINT"),
    *((token, "UBIGINT") for token in TOKENS),
)
"""What the engine adds to a Record. ``flow`` is NULL for a shared or unattributed one,
``evidence`` 0 for an unattributed one. ``place_h`` is the broker coordinates' hash."""

OUTCOMES = ("none", "completed", "failed", "cancelled", "compensated", "compensating")
"""``flows.outcome`` as a number: how the flow ended, or that it undoes itself."""

WAITS = ("parent", "cause", "handling", "end", "retry", "step")
"""``waits.kind`` as a number: what a flow lacks. Parents and causes are looked for, not owed."""

EVIDENCE = ("correlation", "causation", "message", "span", "hop", "trace", "alone")
"""``records.evidence`` is 1 + the index here."""


def _record_columns() -> str:
    return ",\n    ".join(
        f'"{column.name}" {column.type}{" USING COMPRESSION zstd" if column.name in COMPRESSED else ""}'
        for column in RECORD
    )


RECORD_TABLE = f"""
CREATE TABLE store.records (
    {_record_columns()},
    {", ".join(f"{name} {kind}" for name, kind in ENGINE_COLUMNS)}
);
"""

ENGINE_TABLES = """
CREATE TABLE store.link_refs (record BIGINT, token UBIGINT);
CREATE TABLE store.shared (record BIGINT, flow UBIGINT, evidence UTINYINT);
CREATE TABLE store.flows (
    flow UBIGINT, flow_id VARCHAR, scope_no INTEGER, type VARCHAR,
    started TIMESTAMP, last TIMESTAMP, ended TIMESTAMP, overall_limit_us BIGINT, defined BOOLEAN,
    outcome UTINYINT, roots INTEGER, records BIGINT, events BIGINT, errors BIGINT,
    dead_letters INTEGER, dead_open INTEGER, missing_parents INTEGER, services VARCHAR[],
    evidence INTEGER[]
);
CREATE TABLE store.waits (
    flow UBIGINT, kind UTINYINT, token UBIGINT, channel UBIGINT, since TIMESTAMP, limit_us BIGINT,
    name VARCHAR, service VARCHAR, destination VARCHAR
);
CREATE TABLE store.channels (channel UBIGINT, name VARCHAR);
CREATE TABLE store.flow_keys (flow UBIGINT, name VARCHAR, value VARCHAR, value_h UBIGINT);
CREATE TABLE store.instances (base UBIGINT, flow UBIGINT, number INTEGER, since TIMESTAMP);
"""
"""What the passes make of the records; ``rebuild`` makes all of it anew."""

ENGINE_TABLE_NAMES = ("link_refs", "shared", "flows", "waits", "channels", "flow_keys", "instances")

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


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make all tables of an empty store."""
    for statement in (RECORD_TABLE + ENGINE_TABLES + SOURCE_TABLES).split(";"):
        if statement.strip():
            connection.execute(statement)
