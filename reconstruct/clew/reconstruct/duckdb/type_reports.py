"""One row for each flow type: how many, how they stand, how long they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.querying import utc
from clew.reconstruct.duckdb.sequences import sequence
from clew.reconstruct.duckdb.spreads import spread, to_spread
from clew.reconstruct.model import Status
from clew.reconstruct.reports import TypeReport

if TYPE_CHECKING:
    import duckdb

GOING_ON = (Status.IN_PROGRESS, Status.STUCK, Status.COMPENSATING)
"""Every other status is an end."""
TOOK = "epoch_us(c.ended) - epoch_us(c.started)"


def types(connection: duckdb.DuckDBPyConnection) -> list[TypeReport]:
    """Read ``chosen``, ``step`` and ``duplicated``: the types with the most flows first, ties by name."""
    sequence(connection)
    rows = connection.execute(f"""
        WITH window_of AS (
            SELECT flow, epoch_us(max(coalesce(ended, start)) FILTER (kind = 1 OR caused))
                - epoch_us(min(start) FILTER (kind <> 1)) AS us
            FROM report.step WHERE kind < 3 GROUP BY flow
        )
        SELECT k.type, count(*), histogram(c.status),
            {spread("took", TOOK, f"c.status = '{Status.COMPLETED}'")},
            {spread("reaction", "w.us", "w.us >= 0")},
            count(DISTINCT coalesce(s.variant, 0)), count(*) FILTER (c.late),
            count(*) FILTER (c.flow IN (SELECT flow FROM duplicated)), min(c.started), max(c.last)
        FROM report.chosen AS c JOIN report.kinds AS k USING (type_no)
        LEFT JOIN report.shape AS s ON s.flow = c.flow
        LEFT JOIN window_of AS w ON w.flow = c.flow
        GROUP BY k.type ORDER BY count(*) DESC, k.type
    """).fetchall()
    return [
        TypeReport(
            type=row[0],
            flows=row[1],
            by_status=by_status(row[2]),
            success=success(row[2]),
            duration=to_spread(row[3], row[4]),
            consistency=to_spread(row[5], row[6]),
            variants=row[7],
            late=row[8],
            duplicates=row[9],
            first=utc(row[10]),
            last=utc(row[11]),
        )
        for row in rows
    ]


def type_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Every flow type of the store, in order."""
    rows = connection.execute(
        "SELECT DISTINCT type FROM store.flows WHERE type IS NOT NULL ORDER BY type"
    ).fetchall()
    return [name for (name,) in rows]


def by_status(counts: dict[str, int]) -> dict[str, int]:
    """Counts in the order of the statuses' precedence."""
    return {str(status): int(counts[status]) for status in Status if counts.get(status)}


def success(counts: dict[str, int]) -> float | None:
    """Completed flows of those that ended."""
    ended = sum(number for status, number in counts.items() if status not in GOING_ON)
    return counts.get(Status.COMPLETED, 0) / ended if ended else None
