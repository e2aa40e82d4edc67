"""The sequence of each flow's steps, with repeats folded: what variants are made of.

:func:`sequence` reads ``step`` and adds two tables to the schema ``report``:

``run(flow, nth, kind, name_no, service_no, times)``
    the places of each flow's sequence from 1 on: a step and how often it comes in a row;
``shape(flow, variant)``
    one number for each sequence. A step once and the same step several times in a row
    differ; how many times does not, or each fan-out would be a variant of its own.

Events published, handled or told make the sequence; spans do where a flow has no events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

ROUNDS = 32
"""Longest chain of effects dated before their causes that is put right."""


def sequence(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``run`` and ``shape``."""
    connection.execute("""
        CREATE OR REPLACE TABLE report.played AS
        SELECT flow, kind, name_no, service_no, step, unit, start AS happened,
            CASE WHEN kind = 1 THEN unit ELSE cause_h END AS cause
        FROM report.step
        WHERE kind < 3 OR flow NOT IN (SELECT flow FROM report.step WHERE kind < 3)
    """).fetchall()
    _put_effects_after_causes(connection)
    connection.execute("""
        CREATE OR REPLACE TABLE report.run AS
        WITH
            placed AS (
                SELECT flow, kind, name_no, service_no, row_number() OVER turn AS place,
                    ROW(kind, name_no, service_no) IS DISTINCT FROM lag(ROW(kind, name_no, service_no)) OVER turn
                        AS fresh
                FROM report.played
                WINDOW turn AS (PARTITION BY flow ORDER BY happened NULLS LAST, kind, name_no, service_no, step)
            ),
            numbered AS (
                SELECT *, sum(fresh::INTEGER) OVER (PARTITION BY flow ORDER BY place)::INTEGER AS nth FROM placed
            )
        SELECT flow, nth, any_value(kind) AS kind, any_value(name_no) AS name_no,
            any_value(service_no) AS service_no, count(*) AS times
        FROM numbered GROUP BY flow, nth
    """).fetchall()
    connection.execute("""
        CREATE OR REPLACE TABLE report.shape AS
        SELECT flow, bit_xor(hash(nth, kind, name_no, service_no, times > 1)) AS variant FROM report.run GROUP BY flow
    """).fetchall()
    connection.execute("DROP TABLE report.played").fetchall()


def _put_effects_after_causes(connection: duckdb.DuckDBPyConnection) -> None:
    """Date an effect that a skewed clock dates before its cause right after it, in ``played`` alone.

    A handling comes after its event's publication, what it publishes after that.
    """
    for _ in range(ROUNDS):
        moved = connection.execute("""
            UPDATE report.played SET happened = cause.happened + to_microseconds(CASE WHEN kind = 1 THEN 1 ELSE 2 END)
            FROM (
                SELECT flow, unit, min(happened) AS happened FROM report.played WHERE kind <> 1 AND unit IS NOT NULL
                GROUP BY flow, unit
            ) AS cause
            WHERE cause.flow = played.flow AND cause.unit = played.cause
              AND played.cause IS DISTINCT FROM CASE WHEN kind = 1 THEN NULL ELSE played.unit END
              AND played.happened <= cause.happened
        """).fetchall()
        if not moved or not moved[0][0]:
            return
