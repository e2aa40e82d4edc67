"""What is counted of stored flows to learn from them: :class:`~clew.reconstruct.learning.evidence.Evidence`.

Everything stands in the schema ``report`` of the workbench, made from a sample of each flow
type: a bounded number of flows and of records, the same ones each time, so that memory and time
do not grow with the store.

``event(flow, m, start, unit, cause_h, span_h, parent_h, step, wait_us, work_us)``
    occurrences of milestones: what was published or told; what was handled, where it is never
    published under that name. A name that only spans have counts where a flow has no other.
``milestone(m, name_no, service_no)``
    the name and who emits it.
``mark(flow, g, m, first, last, times, wait_us, work_us)``
    the milestones of each flow that is learned from; ``g`` numbers the events that flows begin with.
``cause(flow, x, y)``, ``fed(flow, x, y, start)``
    Y names X as its cause, or lies in a span below X or below a handling of it; the service of Y
    had begun to handle X before, at ``start``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

from clew.reconstruct.duckdb.schema import OUTCOMES
from clew.reconstruct.duckdb.step_table import drop, gather
from clew.reconstruct.learning.evidence import Evidence, Milestone, Pair

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from clew.reconstruct.learned import Asked
    from clew.reconstruct.model import Settings

RECORDS = 4_000_000
"""Records that are looked at, of all types together, more or less."""
SEVERAL = 2
"""A milestone of fewer flows is none."""
RARE = 0.0002
"""Nor is one of a smaller share of the flows."""
MOST_MILESTONES = 100
MOST_STARTS = 200
MOST_SETS = 10_000
"""Distinct sets of milestones, of flows that begin alike: the most frequent ones."""
MOST_PAIRS = 20_000_000
"""Pairs of milestones within flows that are compared: more are sampled."""
CLIMB = 32
"""Spans that lie in each other between an event and what led to it, at most."""
FAILED = OUTCOMES.index("failed")


def choose(connection: duckdb.DuckDBPyConnection, asked: Asked, as_of: datetime | None) -> None:
    """Make ``chosen`` and ``kinds``: a sample of each type, and which of its flows are learned from.

    A flow is ``sound`` where no dead letter, unanswered error, open span or unhandled message
    of it is known, whatever a definition says; and ``settled`` where it said nothing for longer
    than 99 % of its type take in all. Needs the turn, and ``open_wait``.
    """
    drop(connection)
    _run(connection, "CREATE SCHEMA memory.report")
    where, bound = ["true"], {}
    if asked.types:
        where.append("list_contains($types, coalesce(type, ''))")
        bound["types"] = list(asked.types)
    for name, condition in (("since", "started >= $since"), ("until", "started < $until")):
        if (time := getattr(asked, name)) is not None:
            where.append(condition)
            bound[name] = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    now = f"TIMESTAMP '{as_of.isoformat(sep=' ')}'" if as_of else "NULL::TIMESTAMP"
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE report.chosen AS
        WITH
            asked AS (
                SELECT flow, coalesce(type, '') AS type, started, last, records,
                    dead_open = 0 AND (defined OR outcome <> {FAILED}) AS sound
                FROM store.flows WHERE {" AND ".join(where)}
            ),
            sized AS (SELECT type, count(*) AS flows, sum(records) AS records FROM asked GROUP BY type),
            rated AS (
                SELECT type, least({asked.sample} / flows, {RECORDS} / (SELECT count(*) FROM sized) / records) AS rate
                FROM sized
            ),
            sampled AS (
                SELECT a.* FROM asked AS a JOIN rated AS r USING (type)
                WHERE r.rate >= 1 OR hash(a.flow) < (r.rate * 18446744073709551615)::UBIGINT
            ),
            faulty AS (
                SELECT DISTINCT flow FROM open_wait WHERE kind IN ('handling', 'end', 'retry')
            ),
            lasting AS (
                SELECT type, coalesce(quantile_disc(epoch_us(last) - epoch_us(started), 0.99), 0) AS us
                FROM sampled GROUP BY type
            ),
            numbered AS (SELECT type, row_number() OVER (ORDER BY type)::INTEGER AS type_no FROM sized)
        SELECT s.flow, n.type_no, s.type, s.started, s.last, s.sound AND f.flow IS NULL AS sound,
            coalesce(s.last + to_microseconds(l.us) <= {now}, false) AS settled
        FROM sampled AS s JOIN lasting AS l USING (type) JOIN numbered AS n USING (type)
        LEFT JOIN faulty AS f ON f.flow = s.flow
        """,
        bound,
    ).fetchall()
    gather(connection)


def mark(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make the tables that are counted, of ``step``; ``settings`` has the written definitions, which win."""
    _events(connection)
    _starts(connection, settings)
    _marks(connection)
    _causes(connection)


def _run(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    connection.execute(statement).fetchall()


def _events(connection: duckdb.DuckDBPyConnection) -> None:
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.named AS
        SELECT flow, name_no, service_no, start, unit, cause_h, span_h, parent_h, step,
            CASE WHEN kind = 1 THEN wait_us END AS wait_us,
            CASE WHEN kind = 1 THEN work_us END AS work_us, name_no IN (
            SELECT name_no FROM report.trait WHERE name_rank = 0
        ) AS told
        FROM report.step
        WHERE kind IN (0, 2)
           OR kind = 1 AND NOT bad AND name_no NOT IN (SELECT name_no FROM report.step WHERE kind IN (0, 2))
        """,
    )
    _run(
        connection,
        """
        DELETE FROM report.named
        WHERE NOT told AND flow IN (SELECT flow FROM report.named WHERE told)
        """,
    )
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.milestone AS
        SELECT row_number() OVER (ORDER BY name_no, service_no)::INTEGER AS m, name_no, service_no FROM (
            SELECT DISTINCT name_no, service_no FROM report.named WHERE service_no IS NOT NULL
            UNION ALL
            SELECT name_no, NULL FROM report.named GROUP BY name_no HAVING count(service_no) = 0
        )
        """,
    )
    # What does not say who emitted it is of the service that emits such events.
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.event AS
        WITH
            usual AS (SELECT name_no, mode(service_no) AS service_no FROM report.named GROUP BY name_no)
        SELECT n.flow, m.m, n.start, n.unit, n.cause_h, n.span_h, n.parent_h, n.step, n.wait_us, n.work_us
        FROM report.named AS n JOIN usual AS u USING (name_no)
        JOIN report.milestone AS m ON m.name_no = n.name_no
            AND m.service_no IS NOT DISTINCT FROM coalesce(n.service_no, u.service_no)
        """,
    )
    _run(connection, "DROP TABLE report.named")


def _starts(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """``begun(flow, g, m)`` and ``start(g, m, type)``: which event a flow begins with, and its type's name.

    A type is called as before where most of it begin with that event and most that do are of it;
    else by the event.
    """
    written = [event for definition in settings.definitions for event in definition.start]
    names = [definition.name for definition in settings.definitions]
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.begun AS
        SELECT e.flow, m.name_no AS g, e.first[3] AS m FROM (
            SELECT flow, min(ROW(start, cause_h IS NOT NULL, m)) AS first FROM report.event
            WHERE start IS NOT NULL GROUP BY flow
        ) AS e JOIN report.milestone AS m ON m.m = e.first[3]
        """,
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE report.start AS
        WITH
            sized AS (SELECT g, count(*) AS flows, mode(m) AS m FROM report.begun GROUP BY g),
            kinds AS (SELECT type, count(*) AS flows FROM report.chosen GROUP BY type),
            shared AS (
                SELECT b.g, c.type, count(*) AS flows FROM report.begun AS b JOIN report.chosen AS c USING (flow)
                GROUP BY ALL
            ),
            main AS (
                SELECT b.g, min(b.type) AS type FROM shared AS b JOIN sized AS s USING (g) JOIN kinds AS k ON k.type = b.type
                WHERE 2 * b.flows > s.flows AND 2 * b.flows > k.flows AND b.type <> '' GROUP BY b.g
            )
        SELECT s.g, s.m, coalesce(n.type, w.text) AS type, w.text AS event
        FROM sized AS s JOIN report.word AS w ON w.no = s.g LEFT JOIN main AS n USING (g)
        WHERE s.flows >= {SEVERAL} AND NOT list_contains($starts::VARCHAR[], w.text)
          AND NOT list_contains($names::VARCHAR[], coalesce(n.type, w.text))
        QUALIFY row_number() OVER (PARTITION BY coalesce(n.type, w.text) ORDER BY s.flows DESC, s.g) = 1
        ORDER BY s.flows DESC, s.g LIMIT {MOST_STARTS}
        """,
        {"starts": written, "names": names},
    ).fetchall()


def _marks(connection: duckdb.DuckDBPyConnection) -> None:
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.mark AS
        SELECT e.flow, b.g, e.m, min(e.start) AS first, max(e.start) AS last,
            count(DISTINCT coalesce(e.unit, e.step)) AS times, min(e.wait_us) AS wait_us, min(e.work_us) AS work_us
        FROM report.event AS e JOIN report.begun AS b USING (flow) SEMI JOIN report.start USING (g)
        WHERE e.flow IN (SELECT flow FROM report.chosen WHERE sound AND settled)
        GROUP BY e.flow, b.g, e.m
        """,
    )
    _run(
        connection,
        f"""
        CREATE OR REPLACE TABLE report.kept AS
        WITH
            size AS (SELECT g, count(DISTINCT flow) AS flows FROM report.mark GROUP BY g),
            usual AS (SELECT g, m, mode(times) AS times FROM report.mark GROUP BY g, m)
        SELECT k.g, k.m, count(*) AS flows, any_value(u.times) AS usual, count(*) FILTER (k.times = u.times) AS same
        FROM report.mark AS k JOIN size AS s USING (g) JOIN usual AS u ON u.g = k.g AND u.m = k.m
        GROUP BY k.g, k.m
        HAVING count(*) >= greatest({SEVERAL}, {RARE} * any_value(s.flows))
            OR k.m IN (SELECT b.m FROM report.start AS b WHERE b.g = k.g)
        QUALIFY row_number() OVER (PARTITION BY k.g ORDER BY count(*) DESC, k.m) <= {MOST_MILESTONES}
        """,
    )
    _run(
        connection,
        "DELETE FROM report.mark WHERE (g, m) NOT IN (SELECT (g, m) FROM report.kept)",
    )


def _climb(connection: duckdb.DuckDBPyConnection) -> None:
    """Add to ``cause`` what spans tell: of an event that names no cause, what led to the span around it."""
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.climb AS
        SELECT e.flow, e.m AS y, coalesce(e.parent_h, l.token) AS above
        FROM report.event AS e LEFT JOIN report.link AS l ON l.flow = e.flow AND l.step = e.step
        SEMI JOIN report.mark AS k ON k.flow = e.flow AND k.m = e.m
        WHERE e.cause_h IS NULL AND above IS NOT NULL
        """,
    )
    for _ in range(CLIMB):
        ((left,),) = connection.execute("SELECT count(*) FROM report.climb").fetchall()
        if not left:
            break
        _run(
            connection,
            """
            INSERT INTO report.cause
            SELECT DISTINCT c.flow, x.m, c.y FROM report.climb AS c
            JOIN report.event AS x ON x.flow = c.flow AND x.span_h = c.above WHERE x.m <> c.y
            UNION
            SELECT DISTINCT c.flow, x.m, c.y FROM report.climb AS c
            JOIN report.step AS h ON h.flow = c.flow AND h.span_h = c.above AND h.kind = 1
            JOIN report.event AS x ON x.flow = c.flow AND x.unit = h.unit WHERE x.m <> c.y
            """,
        )
        _run(
            connection,
            """
            CREATE OR REPLACE TABLE report.climb AS
            SELECT DISTINCT c.flow, c.y, coalesce(s.parent_h, l.token) AS above
            FROM report.climb AS c JOIN report.step AS s ON s.flow = c.flow AND s.span_h = c.above
            LEFT JOIN report.link AS l ON l.flow = s.flow AND l.step = s.step
            ANTI JOIN report.cause AS k ON k.flow = c.flow AND k.y = c.y
            WHERE coalesce(s.parent_h, l.token) IS NOT NULL
            """,
        )


def _causes(connection: duckdb.DuckDBPyConnection) -> None:
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.cause AS
        SELECT DISTINCT y.flow, x.m AS x, y.m AS y
        FROM report.event AS y JOIN report.event AS x ON x.flow = y.flow AND x.unit = y.cause_h
        SEMI JOIN report.mark AS k ON k.flow = y.flow AND k.m = y.m
        WHERE x.m <> y.m
        """,
    )
    _climb(connection)
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.handled AS
        SELECT h.flow, e.m AS x, h.service_no, min(h.start) AS start
        FROM report.step AS h JOIN report.event AS e ON e.flow = h.flow AND e.unit = h.unit
        WHERE h.kind = 1 AND h.service_no IS NOT NULL
          AND h.flow IN (SELECT flow FROM report.mark)
        GROUP BY h.flow, e.m, h.service_no
        """,
    )
    _run(
        connection,
        """
        CREATE OR REPLACE TABLE report.fed AS
        SELECT k.flow, h.x, k.m AS y, h.start
        FROM report.handled AS h JOIN report.milestone AS n ON n.service_no = h.service_no
        JOIN report.mark AS k ON k.flow = h.flow AND k.m = n.m
        WHERE h.x <> k.m AND k.first >= h.start
        """,
    )


def evidence(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, Evidence]]:
    """(start, what is known of the flows that begin so), the most flows first."""
    looked_at = _by_start(
        connection.execute("""
            SELECT b.g, count(*), count(*) FILTER (c.sound AND c.settled)
            FROM report.begun AS b JOIN report.chosen AS c USING (flow) GROUP BY b.g
        """).fetchall()
    )
    milestones = _by_start(
        connection.execute("""
            SELECT k.g, k.m, w.text, v.text, k.flows, k.usual, k.same / k.flows
            FROM report.kept AS k JOIN report.milestone AS m USING (m) JOIN report.word AS w ON w.no = m.name_no
            LEFT JOIN report.word AS v ON v.no = m.service_no ORDER BY ALL
        """).fetchall()
    )
    sets = _by_start(
        connection.execute(f"""
            SELECT g, has, count(*) AS flows FROM (
                SELECT flow, g, list(m ORDER BY m) AS has FROM report.mark GROUP BY flow, g
            )
            GROUP BY g, has
            QUALIFY row_number() OVER (PARTITION BY g ORDER BY count(*) DESC, has) <= {MOST_SETS}
            ORDER BY g, flows DESC, has
        """).fetchall()
    )
    pairs = _by_start(_pairs(connection))
    causes = _by_start(
        connection.execute("""
            SELECT k.g, k.m, count(*) FROM report.mark AS k
            WHERE EXISTS (SELECT 1 FROM report.cause AS c WHERE c.flow = k.flow AND c.y = k.m)
               OR EXISTS (SELECT 1 FROM report.fed AS f WHERE f.flow = k.flow AND f.y = k.m)
            GROUP BY k.g, k.m
        """).fetchall()
    )
    found = []
    for g, m, name in connection.execute("SELECT g, m, type FROM report.start").fetchall():
        ((flows, settled),) = looked_at[g]
        found.append(
            (
                g,
                Evidence(
                    name=name,
                    start=m,
                    flows=flows,
                    settled=settled,
                    milestones={row[0]: Milestone(*row) for row in milestones.get(g, [])},
                    sets=tuple((frozenset(has), count) for has, count in sets.get(g, [])),
                    pairs={(x, y): Pair(*counts) for x, y, *counts in pairs.get(g, [])},
                    causes=dict(causes.get(g, [])),
                ),
            )
        )
    return sorted(found, key=lambda one: (-one[1].flows, one[1].name))


def _by_start(rows: Iterable[Sequence[Any]]) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for g, *rest in rows:
        found.setdefault(g, []).append(tuple(rest))
    return found


def _pairs(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, ...]]:
    ((size,),) = connection.execute(
        "SELECT coalesce(sum(n * n), 0) FROM (SELECT count(*) AS n FROM report.mark GROUP BY flow)"
    ).fetchall()
    some = "true"
    if size > MOST_PAIRS:
        some = f"hash(a.flow) < {int(MOST_PAIRS / int(size) * ((1 << 64) - 1))}"
    return connection.execute(f"""
        SELECT a.g, a.m, b.m, count(*), count(*) FILTER (a.first <= b.first OR c.flow IS NOT NULL),
            count(c.flow), count(f.flow)
        FROM report.mark AS a JOIN report.mark AS b ON b.flow = a.flow AND b.m <> a.m
        LEFT JOIN report.cause AS c ON c.flow = a.flow AND c.x = a.m AND c.y = b.m
        LEFT JOIN report.fed AS f ON f.flow = a.flow AND f.x = a.m AND f.y = b.m
        WHERE {some}
        GROUP BY a.g, a.m, b.m
    """).fetchall()
