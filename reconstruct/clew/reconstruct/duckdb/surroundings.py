"""What a flow waits for, and what the rest of the store knows of such things."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.judging import open_waits
from clew.reconstruct.model import Owed

if TYPE_CHECKING:
    import duckdb

WAITS = 1_000
"""Waits of one flow that are listed."""


def waits(connection: duckdb.DuckDBPyConnection, flow: int, limit_us: int) -> tuple[Owed, ...]:
    """All that a flow owes, the earliest deadline first."""
    rows = connection.execute(f"""
        SELECT DISTINCT kind, name, since, deadline, service, destination
        FROM ({open_waits(limit_us, f"flow = {flow}")})
        ORDER BY deadline, since, kind, name, service, destination LIMIT {WAITS}
    """).fetchall()
    return tuple(
        Owed(
            kind=kind,
            name=name or "",
            since=_utc(since) or datetime.fromtimestamp(0, UTC),
            deadline=_utc(deadline),
            service=service,
            destination=destination,
        )
        for kind, name, since, deadline, service, destination in rows
    )


def senders(connection: duckdb.DuckDBPyConnection, owed: tuple[Owed, ...]) -> dict[str, tuple[str, ...]]:
    """Event of an owed step → the services that send or tell it anywhere."""
    names = sorted({name for one in owed if one.kind == "step" for name in one.events})
    if not names:
        return {}
    rows = connection.execute(
        """
        SELECT name, list(DISTINCT service ORDER BY service) FROM store.series
        WHERE name IN (SELECT unnest(?)) AND service IS NOT NULL AND kind <> 'dead_letter'
          AND coalesce(operation, 'send') IN ('send', 'create')
        GROUP BY name ORDER BY name
        """,
        [names],
    ).fetchall()
    return {name: tuple(services) for name, services in rows}


def tellers(
    connection: duckdb.DuckDBPyConnection, owed: tuple[Owed, ...], scope: str
) -> dict[str, tuple[str, ...]]:
    """Owed name → the sources of ``scope`` that told of such: of a step itself, of a handling, of a span."""
    names = sorted({one.name for one in owed})
    if not names:
        return {}
    rows = connection.execute(
        """
        WITH telling AS (
            SELECT series, name FROM store.series
            WHERE name IN (SELECT unnest($names)) AND kind <> 'dead_letter'
              AND (name NOT IN (SELECT unnest($handled))
                   OR operation IN ('process', 'receive', 'settle'))
        )
        SELECT t.name, list(DISTINCT s.source ORDER BY s.source)
        FROM (
            SELECT DISTINCT series, source_no FROM store.records SEMI JOIN telling USING (series)
        ) AS r
        JOIN telling AS t USING (series)
        JOIN store.sources AS s USING (source_no)
        JOIN store.scopes AS c ON c.scope_no = s.scope_no AND c.scope = $scope
        GROUP BY t.name ORDER BY t.name
        """,
        {
            "names": names,
            "scope": scope,
            "handled": [one.name for one in owed if one.kind in {"handling", "retry"}],
        },
    ).fetchall()
    return {name: tuple(sources) for name, sources in rows}


def _utc(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None
