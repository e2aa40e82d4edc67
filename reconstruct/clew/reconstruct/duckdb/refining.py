"""Stored causes of many flows, refined as :mod:`clew.reconstruct.causes` refines that of one.

The rules look at a flow's steps, a millisecond each. Of a thousand flows that wait for the
same most did the same: those whose records are of the same series (``flows.shape``), and which
owe the same, have one **shape**, and the rules look at one flow of each: the one that stopped
first, which is the one that a group gives as its example.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from clew.reconstruct.causes import REFINES, Scene, explain
from clew.reconstruct.causes.consumer_behind import is_moving
from clew.reconstruct.causes.why import ENDED
from clew.reconstruct.detail import Begun, FlowDetail, GroupPosition
from clew.reconstruct.duckdb.begun import TEMPLATE, begun
from clew.reconstruct.duckdb.judging import judged
from clew.reconstruct.duckdb.querying import scopes, utc
from clew.reconstruct.duckdb.schema import WAITS
from clew.reconstruct.duckdb.several import bare, read
from clew.reconstruct.duckdb.surroundings import awaited, positions, senders, waits_of
from clew.reconstruct.model import Flow, Owed, Settings, Status
from clew.reconstruct.passes.fold import HANDLES, SENDS
from clew.reconstruct.passes.order import order

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import duckdb

    from clew.reconstruct.duckdb.several import Rows

SHAPES = 500
"""Shapes that are looked at, those of the most flows; a flow of another keeps what most like it have."""
RECORDS = 200_000
"""Records that are looked at for that, in all."""
PARENT, CAUSE = WAITS.index("parent"), WAITS.index("cause")
LOOKED_AT = ("never_published", "never_consumed")
"""Stored causes that depend on a flow's own steps; the others only on the flows beside it."""
BESIDE = tuple(stored for stored, causes in REFINES.items() if "waiting_for_flow" in causes)
LOST = tuple(stored for stored, causes in REFINES.items() if "lost_context" in causes)


class _Example(NamedTuple):
    """The flow that is looked at for a shape."""

    shape: int
    flow: int
    told: Flow


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the store says of the examples, by flow."""

    rows: Rows
    owed: Mapping[int, tuple[Owed, ...]]
    senders: Mapping[str, tuple[str, ...]]
    begun: Mapping[int, tuple[Begun, ...]]
    positions: Mapping[str, tuple[GroupPosition, ...]] = field(default_factory=dict)
    """By scope."""


def refine(
    connection: duckdb.DuckDBPyConnection,
    as_of: datetime | None,
    settings: Settings,
    joined: Collection[tuple[str, str]] = (),
) -> None:
    """Make ``refined(flow, cause)`` for the flows of ``grouped`` whose cause turns out to be another one.

    Needs ``open_wait`` of ``as_of``. ``joined`` are scope and ID of the flows that are joined with a likely continuation.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE refined (flow UBIGINT, cause VARCHAR)").fetchall()
    _wait_for_children(connection)
    _lose_context(connection, joined)
    _shape(connection)
    examples = _examples(connection)
    if not examples:
        return
    seen = _look(connection, examples)
    lagging, logging = _lagging(connection, examples, seen), _logging(examples, seen)
    if lagging or logging:
        positions = _split_by_offsets(connection, lagging, as_of) if lagging else {}
        _split_by_lines(connection, logging)
        examples = _examples(connection)
        seen = replace(_look(connection, examples), positions=positions)
    _apply(connection, _explained(examples, seen, as_of, settings))


def _wait_for_children(connection: duckdb.DuckDBPyConnection) -> None:
    """Flows that are not at their end and have a child that is not either."""
    looking = f"(FROM store.waits WHERE kind IN ({PARENT}, {CAUSE}))"
    if not connection.execute(f"SELECT count(*) FROM {looking}").fetchall()[0][0]:
        return
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE child AS
        WITH
            wanted AS MATERIALIZED (FROM {looking} WHERE token IS NOT NULL),
            descends AS MATERIALIZED (
                SELECT r.flow, w.flow AS child FROM store.records AS r
                JOIN wanted AS w ON w.token = r.event_h AND w.kind = {CAUSE} AND w.flow <> r.flow
                UNION
                SELECT r.flow, w.flow FROM store.records AS r
                JOIN wanted AS w ON w.token = r.span_h AND w.kind = {PARENT} AND w.flow <> r.flow
            )
        -- Of two that descend from each other neither is the other's child.
        SELECT d.flow, d.child FROM descends AS d
        WHERE d.flow IN (
            SELECT flow FROM grouped
            WHERE cause IN {BESIDE} AND status IN ('{Status.STUCK}', '{Status.IN_PROGRESS}')
        ) AND NOT EXISTS (FROM descends AS o WHERE o.flow = d.child AND o.child = d.flow)
    """).fetchall()
    if not connection.execute("SELECT count(*) FROM child").fetchall()[0][0]:
        return
    children = "FROM store.flows WHERE flow IN (SELECT child FROM child)"
    waits = "FROM open_wait WHERE flow IN (SELECT child FROM child)"
    at_end = ", ".join(f"'{status}'" for status in sorted(ENDED))
    connection.execute(f"""
        INSERT INTO refined
        SELECT DISTINCT flow, 'waiting_for_flow' FROM child WHERE child IN (
            SELECT flow FROM ({judged(children, waits)}) WHERE status NOT IN ({at_end})
        )
    """).fetchall()


def _lose_context(connection: duckdb.DuckDBPyConnection, joined: Collection[tuple[str, str]]) -> None:
    """Flows that are joined with what they likely go on as."""
    if joined:
        scope, flow_id = zip(*joined, strict=True)
        connection.execute(
            f"""
            INSERT INTO refined
            SELECT flow, 'lost_context' FROM grouped JOIN store.scopes USING (scope_no)
            SEMI JOIN (SELECT unnest($scope) AS scope, unnest($flow_id) AS flow_id) USING (scope, flow_id)
            WHERE cause IN {LOST} AND flow NOT IN (SELECT flow FROM refined)
            """,
            {"scope": list(scope), "flow_id": list(flow_id)},
        ).fetchall()


def _shape(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``shaped(flow, shape, kin, records)``; flows are ``kin`` that wait for the same."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE asked AS
        SELECT flow, shape, records, hash(type, cause, kind, name, service) AS kin FROM grouped
        WHERE cause IN {LOOKED_AT} AND flow NOT IN (SELECT flow FROM refined)
    """).fetchall()
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE shaped AS
        WITH owing AS (
            SELECT flow, list_sort(list(hash(kind, name, service, overdue, held))) AS owed
            FROM open_wait WHERE flow IN (SELECT flow FROM asked) GROUP BY flow
        )
        SELECT a.flow, hash(a.kin, o.owed, a.shape, a.records) AS shape, a.kin, a.records
        FROM asked AS a LEFT JOIN owing AS o USING (flow)
    """).fetchall()


def _examples(connection: duckdb.DuckDBPyConnection) -> list[_Example]:
    """One flow of each shape, those of the most flows first."""
    rows = connection.execute(f"""
        WITH
            first AS (
                SELECT shaped.shape, count(*) AS flows, min(shaped.records) AS records,
                    min(ROW(coalesce(g.last, TIMESTAMP 'infinity'), g.flow_id, g.scope_no, g.flow))[4] AS flow
                FROM shaped JOIN grouped AS g USING (flow) GROUP BY shaped.shape
                ORDER BY flows DESC, flow LIMIT {SHAPES}
            ),
            bounded AS (FROM first QUALIFY sum(records) OVER (ORDER BY flows DESC, flow) <= {RECORDS})
        SELECT b.shape, g.flow, g.scope_no, g.flow_id, g.type, g.status, g.cause, g.started, g.last, b.records
        FROM bounded AS b JOIN grouped AS g USING (flow) ORDER BY b.flows DESC, b.flow
    """).fetchall()
    scope_of = scopes(connection)
    return [
        _Example(shape, flow, bare(scope_of.get(scope_no, ""), *told))
        for shape, flow, scope_no, *told in rows
    ]


def _look(connection: duckdb.DuckDBPyConnection, examples: list[_Example]) -> _Seen:
    rows = read(connection, {one.flow: one.told for one in examples})
    only = f"flow IN ({', '.join(str(one.flow) for one in examples)})"
    owed = waits_of(connection, only)
    sent_by = senders(connection, tuple(wait for waits in owed.values() for wait in waits))
    return _Seen(rows, owed, sent_by, begun(connection))


def _lagging(connection: duckdb.DuckDBPyConnection, examples: list[_Example], seen: _Seen) -> list[int]:
    """Shapes of which somebody who is waited for has not handled all that was sent where it handles."""
    due = [
        (one.flow, every, service)
        for one in examples
        for every, services in [awaited(seen.owed.get(one.flow, ()), seen.senders)]
        for service in ([""] if every else services)
    ]
    flows, every, services = zip(*due, strict=True) if due else ((), (), ())
    rows = connection.execute(
        f"""
        WITH
            due AS (
                SELECT unnest($flows::UBIGINT[]) AS flow, unnest($every::BOOLEAN[]) AS every,
                    unnest($services::VARCHAR[]) AS service
            ),
            handler AS (
                SELECT DISTINCT destination, service, coalesce(consumer_group, service) AS handler
                FROM store.series
                WHERE operation IN {HANDLES} AND kind <> 'dead_letter'
                  AND coalesce(consumer_group, service) IS NOT NULL
            ),
            handled AS (
                SELECT *, coalesce(consumer_group, service) AS handler FROM mine
                WHERE operation IN {HANDLES} AND kind <> 'dead_letter'
            )
        SELECT DISTINCT s.of_flow FROM mine AS s
        JOIN due AS d ON d.flow = s.of_flow
        JOIN handler AS h ON h.destination = s.destination AND (d.every OR h.service = d.service)
        WHERE s."offset" IS NOT NULL AND s.partition IS NOT NULL
          AND (s.operation IN {SENDS} OR s.operation IS NULL AND s.kind = 'message')
          AND NOT EXISTS (
              FROM handled AS o
              WHERE o.of_flow = s.of_flow AND o.handler = h.handler AND (
                  o.event_h = s.event_h
                  OR o.destination = s.destination AND o.partition = s.partition AND o."offset" = s."offset"
              )
          )
        """,
        {"flows": flows, "every": every, "services": services},
    ).fetchall()
    found = {flow for (flow,) in rows}
    return [one.shape for one in examples if one.flow in found]


def _split_by_offsets(
    connection: duckdb.DuckDBPyConnection, shapes: list[int], as_of: datetime | None
) -> dict[str, tuple[GroupPosition, ...]]:
    """Scope → how far consumers came; flows of these shapes get a shape of those that are as far behind as they.

    Which messages a consumer has not come to yet is a question of offsets: not all of one
    shape have the same cause.
    """
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE sent AS
        SELECT r.flow, c.scope, s.destination, r.partition, r."offset", min(r.time) AS time
        FROM store.records AS r JOIN store.series AS s USING (series) JOIN store.scopes AS c USING (scope_no)
        WHERE r.flow IN (SELECT flow FROM shaped WHERE shape IN ({", ".join(map(str, shapes))}))
          AND s.destination IS NOT NULL AND r.partition IS NOT NULL AND r."offset" IS NOT NULL
          AND (s.operation IN {SENDS} OR s.operation IS NULL AND s.kind = 'message')
        GROUP BY ALL
    """).fetchall()
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE moving (
            scope VARCHAR, destination VARCHAR, partition BIGINT, handler VARCHAR, "offset" BIGINT, time TIMESTAMP
        )
    """).fetchall()
    found: dict[str, tuple[GroupPosition, ...]] = {}
    for (scope,) in connection.execute("SELECT DISTINCT scope FROM sent").fetchall():
        connection.execute(
            """CREATE OR REPLACE TEMP TABLE mine AS
               SELECT DISTINCT destination, partition, 0 AS "offset", 'send' AS operation, 'log' AS kind
               FROM sent WHERE scope = ?""",
            [scope],
        ).fetchall()
        found[scope] = positions(connection, scope)
        works = [group for group in found[scope] if is_moving(group, utc(as_of))]
        if works:
            connection.executemany(
                "INSERT INTO moving VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        scope,
                        one.destination,
                        one.partition,
                        one.group,
                        one.offset,
                        one.time.replace(tzinfo=None),
                    )
                    for one in works
                ],
            )
    connection.execute("""
        UPDATE shaped SET shape = hash(shape, behind)
        FROM (
            SELECT s.flow, list_sort(list(DISTINCT hash(s.destination, m.handler))) AS behind
            FROM sent AS s
            JOIN moving AS m ON m.scope = s.scope AND m.destination = s.destination AND m.partition = s.partition
            WHERE m."offset" < s."offset" AND m.time >= s.time
            GROUP BY s.flow
        ) AS b
        WHERE b.flow = shaped.flow
    """).fetchall()
    return found


def _logging(examples: list[_Example], seen: _Seen) -> dict[int, list[str]]:
    """Shape → the services of which one line may tell more than another."""
    found = {
        one.shape: sorted({begun.service for begun in seen.begun.get(one.flow, ()) if begun.several})
        for one in examples
    }
    return {shape: services for shape, services in found.items() if services}


def _split_by_lines(connection: duckdb.DuckDBPyConnection, logging: Mapping[int, list[str]]) -> None:
    """Give flows of these shapes a shape of those where the services told the same last."""
    if not logging:
        return
    pairs = [(shape, service) for shape, services in logging.items() for service in services]
    shapes, services = zip(*pairs, strict=True)
    connection.execute(
        f"""
        UPDATE shaped SET shape = hash(shape, said)
        FROM (
            SELECT flow, list_sort(list(hash(service, text))) AS said
            FROM (
                SELECT flow, service, max(ROW(time, text))[2] AS text
                FROM (
                    SELECT r.flow, s.service, r.time, {TEMPLATE} AS text
                    FROM store.records AS r JOIN store.series AS s USING (series) JOIN shaped AS o USING (flow)
                    JOIN (SELECT unnest($shapes::UBIGINT[]) AS shape, unnest($services::VARCHAR[]) AS service) AS p
                        ON p.shape = o.shape AND p.service = s.service
                    WHERE s.kind = 'log' AND NOT coalesce(s.operation IN {SENDS}, false)
                )
                GROUP BY flow, service
            )
            GROUP BY flow
        ) AS told
        WHERE told.flow = shaped.flow
        """,
        {"shapes": shapes, "services": services},
    ).fetchall()


def _explained(
    examples: list[_Example], seen: _Seen, as_of: datetime | None, settings: Settings
) -> dict[int, str]:
    """Shape → the first cause of its example."""
    definitions = {definition.name: definition for definition in settings.definitions}
    found: dict[int, str] = {}
    for shape, flow, told in examples:
        steps, loose = order(seen.rows.get(flow, ()))
        waits = seen.owed.get(flow, ())
        detail = FlowDetail(
            flow=told,
            steps=steps,
            loose=loose,
            links=(),
            truncated=0,
            as_of=utc(as_of),
            waits=waits,
            senders={name: seen.senders[name] for name in _names(waits) if name in seen.senders},
            groups=seen.positions.get(told.scope, ()),
            begun=seen.begun.get(flow, ()),
        )
        causes = explain(Scene(detail, utc(as_of), definitions.get(told.type)))
        found[shape] = next(cause.name for cause in causes if cause.explains)
    return found


def _names(waits: tuple[Owed, ...]) -> list[str]:
    return [name for one in waits if one.kind == "step" for name in one.events]


def _apply(connection: duckdb.DuckDBPyConnection, found: Mapping[int, str]) -> None:
    """Add to ``refined`` what was found; of a shape that nobody looked at, what most flows like it have."""
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE looked AS
        SELECT unnest($shapes::UBIGINT[]) AS shape, unnest($causes::VARCHAR[]) AS cause
        """,
        {"shapes": list(found), "causes": list(found.values())},
    ).fetchall()
    connection.execute("""
        INSERT INTO refined
        WITH
            told AS (SELECT s.flow, s.kin, l.cause FROM shaped AS s LEFT JOIN looked AS l USING (shape)),
            most AS (
                SELECT kin, cause FROM told WHERE cause IS NOT NULL GROUP BY kin, cause
                QUALIFY row_number() OVER (PARTITION BY kin ORDER BY count(*) DESC, cause) = 1
            )
        SELECT t.flow, coalesce(t.cause, m.cause) FROM told AS t LEFT JOIN most AS m USING (kin)
        WHERE coalesce(t.cause, m.cause) IS NOT NULL
    """).fetchall()
