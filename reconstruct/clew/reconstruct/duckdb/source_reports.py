"""What was read of each source, and what of it could not be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.answers import SourceStatus, StoredReject
from clew.reconstruct.duckdb.querying import newest, utc
from clew.reconstruct.model import Settings

if TYPE_CHECKING:
    import duckdb


def sources(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[SourceStatus]:
    """Sources by name; readings of one source are added up, and the last one's watermark counts."""
    rows = connection.execute("""
        SELECT s.source, c.scope, arg_max(s.format, s.source_no), arg_max(s.position, s.source_no),
            sum(s.records), sum(s.duplicates), sum(s.rejects), min(s.first), max(s.last),
            arg_max_null(s.watermark, s.source_no), arg_max(s.watermark_exact, s.source_no), max(s.updated)
        FROM store.sources AS s JOIN store.scopes AS c USING (scope_no)
        GROUP BY s.source, c.scope ORDER BY s.source, c.scope
    """).fetchall()
    latest = newest(connection)
    return [
        SourceStatus(
            source=row[0],
            scope=row[1],
            format=row[2],
            position=row[3],
            records=int(row[4]),
            duplicates=int(row[5]),
            rejects=int(row[6]),
            first=utc(row[7]),
            last=utc(row[8]),
            watermark=utc(row[9]),
            watermark_exact=bool(row[10]),
            updated=utc(row[11]),
            silent=latest is not None and row[9] is not None and row[9] < latest - settings.silent_after,
        )
        for row in rows
    ]


def rejects(connection: duckdb.DuckDBPyConnection, source: str | None, limit: int) -> list[StoredReject]:
    """Rejects by source and position."""
    rows = connection.execute(
        """SELECT s.source, r.position, r.reason, r.raw FROM store.rejects AS r
           JOIN store.sources AS s USING (source_no)
           WHERE $source IS NULL OR s.source = $source ORDER BY s.source, r.position LIMIT $limit""",
        {"source": source, "limit": limit},
    ).fetchall()
    return [StoredReject(name, position, reason, bytes(raw)) for name, position, reason, raw in rows]
