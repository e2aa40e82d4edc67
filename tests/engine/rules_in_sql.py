"""What the engine's rules pass says of flows that are given as events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from clew.reconstruct.definitions import Definition
from clew.reconstruct.keys import KeyNames
from clew.reconstruct.model import Settings
from clew.reconstruct.owed import Event
from clew.reconstruct.passes.context import Context
from clew.reconstruct.passes.rules import follow_rules

NO_MEMBERS = """
    CREATE SCHEMA IF NOT EXISTS store;
    CREATE OR REPLACE TABLE store.series AS
    SELECT hash(name, service, version) AS series, any_value(name) AS name, any_value(service) AS service,
        any_value(version) AS schema_version, 'log' AS kind
    FROM given GROUP BY series;
    CREATE OR REPLACE TEMP TABLE member AS
    SELECT flow::UBIGINT AS flow, record::UBIGINT AS record, NULL::UBIGINT AS unit, NULL::UBIGINT AS span_h,
        hash(name, service, version) AS series, 'log' AS kind, false AS handles, time AS moment
    FROM given;
"""
LIMIT_US = 7_000_000
"""The default limit: less than some of the definitions' limits and more than others."""
EVENT: dict[str, pa.DataType] = {
    "flow": pa.int32(),
    "name": pa.string(),
    "time": pa.timestamp("us"),
    "service": pa.string(),
    "version": pa.string(),
    "record": pa.int32(),
}


def dues(
    connection: duckdb.DuckDBPyConnection,
    definitions: Sequence[Definition],
    flows: Sequence[Sequence[Event]],
) -> list[set[tuple[Any, ...]]]:
    """Of each flow: (rules, needs, since, deadline)."""
    told = [(number, *event) for number, events in enumerate(flows) for event in events]
    rows = [dict(zip(EVENT, (*event, record), strict=True)) for record, event in enumerate(told)]
    connection.register("given", pa.Table.from_pylist(rows, pa.schema(EVENT)))
    connection.execute(NO_MEMBERS)
    follow_rules(
        Context(
            connection=connection,
            scope="",
            scope_no=0,
            first=1,
            names=KeyNames.of(Settings()),
            definitions=tuple(definitions),
            limit_us=LIMIT_US,
            arrival=datetime.now(UTC).replace(tzinfo=None),
        )
    )
    found: list[set[tuple[Any, ...]]] = [set() for _ in flows]
    for flow, rules, needs, since, limit_us in connection.execute(
        "SELECT flow, rules, needs, since, limit_us FROM due"
    ).fetchall():
        deadline = since + timedelta(microseconds=LIMIT_US if limit_us is None else limit_us)
        found[flow].add((tuple(rule & 0xFFFF for rule in rules), needs, since, deadline))
    return found
