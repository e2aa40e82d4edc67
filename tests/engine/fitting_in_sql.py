"""What the check of definitions says of flows that are given as events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import duckdb
import pyarrow as pa
from tests.engine.rules_in_sql import EVENT, LIMIT_US

from clew.reconstruct.definitions import Definition
from clew.reconstruct.duckdb.fitting import collect, fitness
from clew.reconstruct.model import Settings
from clew.reconstruct.owed import Event
from clew.reconstruct.reports import Fitness, Misfit

TOLD = """
    DROP SCHEMA IF EXISTS report CASCADE;
    CREATE SCHEMA report;
    CREATE SCHEMA IF NOT EXISTS store;
    CREATE OR REPLACE TABLE store.series AS
    SELECT hash(name, service, version) AS series, any_value(name) AS name, any_value(service) AS service,
        any_value(version) AS schema_version, 'log' AS kind
    FROM given GROUP BY series;
    CREATE OR REPLACE TABLE store.scopes AS SELECT 0 AS scope_no, '' AS scope;
    CREATE OR REPLACE TABLE store.sources AS
    SELECT 'a.log' AS source, 1 AS source_no, 0 AS scope_no, NULL::TIMESTAMP AS watermark;
    CREATE TABLE report.chosen AS
    SELECT DISTINCT flow::UBIGINT AS flow, 'f' || flow AS flow_id, '' AS scope, 'in_progress' AS status,
        TIMESTAMP '2026-03-01' AS started
    FROM given;
    CREATE TABLE report.told AS
    SELECT flow::UBIGINT AS flow, record::UBIGINT AS record, hash(name, service, version) AS series,
        record::UBIGINT AS unit, NULL::UBIGINT AS span_h, NULL::UBIGINT AS cause_h, false AS by_span, 0 AS role, time AS moment
    FROM given;
    CREATE TABLE report.word AS
    SELECT row_number() OVER (ORDER BY text) AS no, text
    FROM (SELECT DISTINCT unnest([name, service]) AS text FROM given) WHERE text IS NOT NULL;
    CREATE TABLE report.trait AS
    SELECT s.series, 0 AS name_rank, n.no AS name_no, v.no AS service_no
    FROM store.series AS s JOIN report.word AS n ON n.text = s.name LEFT JOIN report.word AS v ON v.text = s.service;
"""


def fitted(
    connection: duckdb.DuckDBPyConnection,
    definitions: Sequence[Definition],
    flows: Sequence[Sequence[Event]],
    as_of: datetime,
    ignoring: Collection[Misfit] = (),
) -> list[Fitness]:
    """How well each definition fits."""
    told = [(number, *event) for number, events in enumerate(flows) for event in events]
    rows = [dict(zip(EVENT, (*event, record), strict=True)) for record, event in enumerate(told)]
    connection.register("given", pa.Table.from_pylist(rows, pa.schema(EVENT)))
    connection.execute(TOLD)
    now = as_of.replace(tzinfo=None)
    return fitness(collect(connection, definitions, now, Settings(limit_us=LIMIT_US)), now, ignoring)
