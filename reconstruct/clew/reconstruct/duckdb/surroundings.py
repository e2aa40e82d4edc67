"""What a flow waits for, and what the rest of the store knows of such things."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from clew.reconstruct.detail import GroupPosition
from clew.reconstruct.duckdb.holding import is_holding
from clew.reconstruct.duckdb.querying import to_owed, utc
from clew.reconstruct.passes.fold import HANDLES, SENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb

    from clew.reconstruct.model import Owed

WAITS = 1_000
"""Waits of one flow that are listed."""
SUPPORT = 30
"""Flows of which a quantile is told, at least."""
PACE_MINUTES = 10
"""Over which a group's pace is measured."""


def waits(connection: duckdb.DuckDBPyConnection, flow: int) -> tuple[Owed, ...]:
    """All that a flow owes, the earliest deadline first. Needs ``open_wait`` of the time that is asked for."""
    return waits_of(connection, f"flow = {flow}").get(flow, ())


def waits_of(connection: duckdb.DuckDBPyConnection, only: str) -> dict[int, tuple[Owed, ...]]:
    """Flow → all that it owes, the earliest deadline first, of the open waits of which ``only`` is true."""
    rows = connection.execute(f"""
        SELECT DISTINCT flow, kind, since, deadline, name, service, destination, held
        FROM open_wait WHERE {only}
        QUALIFY row_number() OVER (
            PARTITION BY flow ORDER BY deadline, since, kind, name, service, destination, held
        ) <= {WAITS}
        ORDER BY flow, deadline, since, kind, name, service, destination, held
    """).fetchall()
    found: dict[int, list[Owed]] = {}
    for flow, *row in rows:
        found.setdefault(flow, []).append(to_owed(*row))
    return {flow: tuple(owed) for flow, owed in found.items()}


def senders(connection: duckdb.DuckDBPyConnection, owed: tuple[Owed, ...]) -> dict[str, tuple[str, ...]]:
    """Event of an owed step → the services that send or tell it anywhere."""
    names = sorted({name for one in owed if one.kind == "step" for name in one.events})
    if not names:
        return {}
    rows = connection.execute(
        f"""
        SELECT name, list(DISTINCT service ORDER BY service) FROM store.series
        WHERE name IN (SELECT unnest(?)) AND service IS NOT NULL AND kind <> 'dead_letter'
          AND coalesce(operation, 'send') IN {SENDS}
        GROUP BY name ORDER BY name
        """,
        [names],
    ).fetchall()
    return {name: tuple(services) for name, services in rows}


def tellers(connection: duckdb.DuckDBPyConnection, flow: int) -> dict[str, tuple[str, ...]]:
    """Owed name → the sources that would tell of it and were not read up to its deadline."""
    if not is_holding(connection):
        return {}
    rows = connection.execute(f"""
        SELECT w.name, list(DISTINCT h.source ORDER BY h.source)
        FROM store.waits AS w JOIN held_wait AS one ON one.wait = w.rowid JOIN holding AS h USING (want)
        WHERE w.flow = {flow} GROUP BY w.name ORDER BY w.name
    """).fetchall()
    return {name: tuple(sources) for name, sources in rows}


def p99_us(connection: duckdb.DuckDBPyConnection, flow: int, owed: Owed) -> int | None:
    """Within what time of the same beginning 99 of 100 flows of this type came to what this one waits for.

    Reads the temporary table ``mine``, the flow's records. None where fewer than
    :data:`SUPPORT` flows tell.
    """
    events, ahead = list(owed.events), [owed.name]
    if owed.kind == "step":
        since = owed.since.replace(tzinfo=None)
        ahead = [
            name
            for (name,) in connection.execute(
                f"""SELECT DISTINCT name FROM mine WHERE time = ? AND name IS NOT NULL
                    AND kind <> 'dead_letter' AND NOT coalesce(operation IN {HANDLES}, false)""",
                [since],
            ).fetchall()
        ]
    elif owed.kind != "handling":
        return None
    if not ahead:
        return None
    answers = "handles" if owed.kind == "handling" else "NOT handles"
    rows = connection.execute(
        f"""
        WITH
            spoken AS (
                SELECT series, name, coalesce(operation IN {HANDLES}, false) AS handles FROM store.series
                WHERE kind <> 'dead_letter' AND name IN (SELECT unnest($ahead) UNION ALL SELECT unnest($events))
            ),
            told AS (
                SELECT series,
                    NOT handles AND name IN (SELECT unnest($ahead)) AS begins,
                    {answers} AND name IN (SELECT unnest($events)) AS answers
                FROM spoken
            ),
            took AS (
                SELECT r.flow,
                    epoch_us(min(r.time) FILTER (answers)) - epoch_us(min(r.time) FILTER (begins)) AS us
                FROM store.records AS r JOIN told AS t USING (series)
                WHERE (begins OR answers) AND r.flow IS NOT NULL
                GROUP BY r.flow
            ),
            mine_of AS (SELECT type, scope_no FROM store.flows WHERE flow = {flow})
        SELECT quantile_disc(us, 0.99) FROM took
        JOIN store.flows AS f USING (flow) JOIN mine_of AS m ON m.type = f.type AND m.scope_no = f.scope_no
        WHERE us >= 0 HAVING count(*) >= {SUPPORT}
        """,
        {"ahead": ahead, "events": events},
    ).fetchall()
    return int(rows[0][0]) if rows else None


_UNHANDLED = f"""
    WITH
        sent AS (
            SELECT DISTINCT destination, partition, "offset", event_h FROM mine
            WHERE "offset" IS NOT NULL AND partition IS NOT NULL AND destination IS NOT NULL
              AND (operation IN {SENDS} OR operation IS NULL AND kind = 'message')
        ),
        handler AS (
            SELECT DISTINCT destination, coalesce(consumer_group, service) AS handler FROM store.series
            WHERE operation IN {HANDLES} AND kind <> 'dead_letter' AND coalesce(consumer_group, service) IS NOT NULL
              AND ($every OR list_contains($services::VARCHAR[], service))
        ),
        handled AS (
            SELECT *, coalesce(consumer_group, service) AS handler FROM mine
            WHERE operation IN {HANDLES} AND kind <> 'dead_letter'
        )
    SELECT count(*) FROM sent AS s JOIN handler AS h USING (destination)
    WHERE NOT EXISTS (
        SELECT 1 FROM handled AS d
        WHERE d.handler = h.handler AND (
            d.event_h = s.event_h
            OR d.destination = s.destination AND d.partition = s.partition AND d."offset" = s."offset"
        )
    )
"""
"""How many pairs there are of what the flow sent with coordinates and who handles there, and has not this one.

Of ``services`` alone, or of ``every`` one."""


def groups(
    connection: duckdb.DuckDBPyConnection,
    scope: str,
    owed: tuple[Owed, ...],
    senders: Mapping[str, tuple[str, ...]],
) -> tuple[GroupPosition, ...]:
    """How far each group came in the partitions to which the flow sent, by destination, partition, group.

    Reads the temporary table ``mine``, the flow's records. The pace is that of the last minutes.
    () where nobody is waited for who handles there and has not handled all that the flow sent,
    as in most flows: only otherwise the records of others are looked at. Waited for is who
    sends an owed step, and where a handling is owed, everybody.
    """
    every, services = awaited(owed, senders)
    asked = {"every": every, "services": sorted(services)}
    if not (every or services) or not connection.execute(_UNHANDLED, asked).fetchall()[0][0]:
        return ()
    return positions(connection, scope)


def awaited(owed: Iterable[Owed], senders: Mapping[str, tuple[str, ...]]) -> tuple[bool, set[str]]:
    """Whether everybody who handles is waited for, and which services are."""
    steps = [one for one in owed if one.kind == "step"]
    services = {
        name
        for one in steps
        for name in (
            [one.service] if one.service else [*chain(*(senders.get(event, ()) for event in one.events))]
        )
    }
    return any(one.kind == "handling" for one in owed), services


def positions(connection: duckdb.DuckDBPyConnection, scope: str) -> tuple[GroupPosition, ...]:
    """How far each group came in the partitions to which anything in the temporary table ``mine`` was sent."""
    rows = connection.execute(
        f"""
        WITH
            place AS (
                SELECT DISTINCT destination, partition FROM mine
                WHERE "offset" IS NOT NULL AND partition IS NOT NULL AND destination IS NOT NULL
                  AND (operation IN {SENDS} OR operation IS NULL AND kind = 'message')
            ),
            handling AS (
                SELECT series, destination, service, coalesce(consumer_group, service) AS handler
                FROM store.series
                WHERE operation IN {HANDLES} AND kind <> 'dead_letter'
                  AND destination IN (SELECT destination FROM place)
                  AND coalesce(consumer_group, service) IS NOT NULL
            ),
            handled AS MATERIALIZED (
                SELECT h.destination, r.partition, h.handler, h.service, r."offset", r.time, r.place_h
                FROM store.records AS r JOIN handling AS h USING (series)
                JOIN place AS p ON p.destination = h.destination AND p.partition = r.partition
                JOIN store.scopes AS c ON c.scope_no = r.scope_no AND c.scope = $scope
                WHERE r."offset" IS NOT NULL AND r.time IS NOT NULL
            ),
            last AS (
                SELECT destination, partition, handler, list(DISTINCT service ORDER BY service) AS services,
                    max("offset") AS "offset", max(time) AS time, arg_max(place_h, "offset") AS place_h
                FROM handled GROUP BY ALL
            ),
            pace AS (
                SELECT h.destination, h.partition, h.handler,
                    (max(h."offset") - min(h."offset"))
                        / nullif(epoch_us(max(h.time)) - epoch_us(min(h.time)), 0) * 1e6 AS per_second
                FROM handled AS h JOIN last AS l USING (destination, partition, handler)
                WHERE h.time > l.time - INTERVAL {PACE_MINUTES} MINUTE
                GROUP BY ALL
            ),
            sent AS (
                SELECT place_h, min(time) AS sent FROM store.records
                WHERE place_h IN (SELECT place_h FROM last) GROUP BY place_h
            )
        SELECT destination, partition, handler, services, "offset", time, sent, coalesce(per_second, 0)
        FROM last JOIN pace USING (destination, partition, handler) LEFT JOIN sent USING (place_h)
        ORDER BY destination, partition, handler LIMIT {WAITS}
        """,
        {"scope": scope},
    ).fetchall()
    return tuple(
        GroupPosition(
            destination=destination,
            partition=partition,
            group=group,
            services=tuple(name for name in services if name),
            offset=offset,
            time=at,
            sent=utc(sent),
            per_second=per_second,
        )
        for destination, partition, group, services, offset, time, sent, per_second in rows
        if (at := utc(time)) is not None
    )
