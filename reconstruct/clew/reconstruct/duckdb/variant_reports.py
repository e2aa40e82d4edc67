"""The ways that flows of a type go: distinct sequences of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.detail import StepKind
from clew.reconstruct.duckdb.sequences import sequence
from clew.reconstruct.duckdb.step_table import KINDS
from clew.reconstruct.duckdb.type_reports import TOOK, by_status
from clew.reconstruct.reports import Variant, VariantReport, VariantStep

if TYPE_CHECKING:
    import duckdb

PLACES = 1_000
"""Of one variant's sequence at most so many places are read."""


def variants(connection: duckdb.DuckDBPyConnection, limit: int | None) -> VariantReport:
    """Read ``chosen`` and ``step``: the most frequent first, ties by the example's ID."""
    sequence(connection)
    connection.execute(f"""
        CREATE OR REPLACE TABLE report.counted AS
        WITH shaped AS (
            SELECT c.*, coalesce(s.variant, 0) AS variant FROM report.chosen AS c LEFT JOIN report.shape AS s USING (flow)
        )
        SELECT c.type_no, c.variant, count(*) AS flows, sum(count(*)) OVER (PARTITION BY c.type_no) AS of,
            histogram(c.status) AS statuses, quantile_disc({TOOK}, 0.5) AS median,
            max(ROW(c.started, c.flow_id, c.scope, c.flow)) AS example,
            row_number() OVER (ORDER BY count(*) DESC, example[2], example[3]) AS nth
        FROM shaped AS c GROUP BY c.type_no, c.variant
    """).fetchall()
    ((flows, number),) = connection.execute(
        "SELECT coalesce(sum(flows), 0)::BIGINT, count(*) FROM report.counted"
    ).fetchall()
    rows = connection.execute(
        """
        SELECT n.nth, k.type, n.flows, n.flows / n.of, n.statuses, n.median, n.example[2], n.example[3]
        FROM report.counted AS n JOIN report.kinds AS k USING (type_no)
        WHERE n.nth <= coalesce($limit, n.nth) ORDER BY n.nth
        """,
        {"limit": limit},
    ).fetchall()
    steps, lengths = _steps(connection, limit)
    listed = tuple(
        Variant(
            type=row[1],
            steps=tuple(steps.get(row[0], ())),
            truncated=max(0, lengths.get(row[0], 0) - PLACES),
            flows=row[2],
            share=row[3],
            by_status=by_status(row[4]),
            median_us=row[5],
            example=row[6] or "",
            example_scope=row[7],
        )
        for row in rows
    )
    return VariantReport(flows, number, listed)


def _steps(
    connection: duckdb.DuckDBPyConnection, limit: int | None
) -> tuple[dict[int, list[VariantStep]], dict[int, int]]:
    """The sequence of each listed variant, and how many places it has."""
    found: dict[int, list[VariantStep]] = {}
    lengths: dict[int, int] = {}
    for nth, place, kind, name, service, least, most in connection.execute(
        """
        WITH
            listed AS (FROM report.counted WHERE nth <= coalesce($limit, nth)),
            named AS (
                SELECT n.nth, r.nth AS place, r.kind, r.name_no, r.service_no, r.times
                FROM report.run AS r JOIN report.shape AS s USING (flow) JOIN report.chosen AS c USING (flow)
                JOIN listed AS n ON n.variant = s.variant AND n.type_no = c.type_no
            )
        SELECT n.nth, n.place, any_value(n.kind), any_value(w.text), any_value(v.text),
            min(n.times), max(n.times)
        FROM named AS n JOIN report.word AS w ON w.no = n.name_no LEFT JOIN report.word AS v ON v.no = n.service_no
        GROUP BY n.nth, n.place ORDER BY n.nth, n.place
        """,
        {"limit": limit},
    ).fetchall():
        lengths[nth] = place
        if place <= PLACES:
            found.setdefault(nth, []).append(
                VariantStep(StepKind(KINDS[kind]), name, service, int(least), int(most))
            )
    return found, lengths
