"""How long flows take and what leads to what, of those that are learned from.

Reads the tables that :mod:`clew.reconstruct.duckdb.learning` makes in the schema ``report``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clew.reconstruct.duckdb.spreads import spread, to_spread
from clew.reconstruct.learned import Transition

if TYPE_CHECKING:
    import duckdb

    from clew.reconstruct.reports import Spread


@dataclass(frozen=True, slots=True)
class Awaited:
    """A step and what it waits for; ``times`` is how many of its events make it done."""

    start: int
    milestone: int
    times: int
    after: tuple[tuple[int, int], ...]
    """(milestone, times)"""


def waits(connection: duckdb.DuckDBPyConnection, steps: Sequence[Awaited]) -> dict[tuple[int, int], Spread]:
    """(start, milestone) → how long it took from when it became owed."""
    rows = [
        (one.start, one.milestone, one.times, other, times)
        for one in steps
        for other, times in one.after or ((-1, 1),)
    ]
    if not rows:
        return {}
    values = ", ".join(f"({', '.join(map(str, row))})" for row in rows)
    found = connection.execute(f"""
        WITH
            awaited AS (SELECT * FROM (VALUES {values}) AS v(g, y, y_times, x, x_times)),
            gap AS (
                SELECT k.g, k.m, greatest(0, max(epoch_us(CASE WHEN a.y_times > 1 THEN k.last ELSE k.first END))
                    - max(epoch_us(CASE WHEN a.x_times > 1 THEN o.last ELSE o.first END))) AS us
                FROM report.mark AS k JOIN awaited AS a ON a.g = k.g AND a.y = k.m
                JOIN report.start AS s ON s.g = k.g
                JOIN report.mark AS o ON o.flow = k.flow AND o.m = CASE WHEN a.x < 0 THEN s.m ELSE a.x END
                GROUP BY k.flow, k.g, k.m
            )
        SELECT g, m, {spread("took", "us")} FROM gap GROUP BY g, m
    """).fetchall()
    spreads = {(g, m): to_spread(count, quantiles) for g, m, count, quantiles in found}
    return {key: one for key, one in spreads.items() if one is not None}


def durations(connection: duckdb.DuckDBPyConnection) -> dict[int, Spread]:
    """Start → how long its settled flows take, from the first event to the last."""
    found = connection.execute(f"""
        SELECT g, {spread("took", "us")} FROM (
            SELECT g, epoch_us(max(last)) - epoch_us(min(first)) AS us FROM report.mark GROUP BY flow, g
        )
        GROUP BY g
    """).fetchall()
    spreads = {g: to_spread(count, quantiles) for g, count, quantiles in found}
    return {g: one for g, one in spreads.items() if one is not None}


def to_transition(row: Sequence[Any]) -> Transition | None:
    """Of a row with its fields in order, each spread as how many and quantiles; None where no time is known."""
    type, event, emitter, follower, service, flows, share, *spreads = row
    took, wait, work = (to_spread(spreads[nth], spreads[nth + 1]) for nth in (0, 2, 4))
    if took is None:
        return None
    return Transition(type, event, emitter, follower, service, flows, share, took, wait, work)


def transitions(connection: duckdb.DuckDBPyConnection) -> list[Transition]:
    """What leads to what, by type and event; of several causes the last before, and without one what came last."""
    rows = connection.execute(f"""
        WITH
            known AS (
                SELECT flow, x, y FROM report.cause
                UNION
                SELECT flow, x, y FROM report.fed
            ),
            led AS (
                SELECT y.flow, y.g, y.m AS y, arg_max(x.m, ROW(c.flow IS NOT NULL, x.first)) AS x
                FROM report.mark AS y JOIN known AS k ON k.flow = y.flow AND k.y = y.m
                JOIN report.mark AS x ON x.flow = y.flow AND x.m = k.x AND x.first <= y.first
                LEFT JOIN report.cause AS c ON c.flow = k.flow AND c.x = k.x AND c.y = k.y
                GROUP BY y.flow, y.g, y.m
            ),
            earlier AS (
                SELECT flow, g, m AS y, lag(m) OVER (PARTITION BY flow ORDER BY first, m) AS x FROM report.mark
            ),
            step AS (
                FROM led
                UNION ALL
                SELECT e.flow, e.g, e.y, e.x FROM earlier AS e
                ANTI JOIN led AS l ON l.flow = e.flow AND l.y = e.y WHERE e.x IS NOT NULL
            ),
            timed AS (
                SELECT s.g, s.x, s.y, n.service_no, epoch_us(y.first) - epoch_us(x.first) AS took,
                    coalesce(epoch_us(h.start) - epoch_us(x.first), y.wait_us) AS wait,
                    coalesce(epoch_us(y.first) - epoch_us(h.start), y.work_us) AS work
                FROM step AS s JOIN report.mark AS x ON x.flow = s.flow AND x.m = s.x
                JOIN report.mark AS y ON y.flow = s.flow AND y.m = s.y
                JOIN report.milestone AS n ON n.m = s.y
                LEFT JOIN report.handled AS h ON h.flow = s.flow AND h.x = s.x AND h.service_no = n.service_no
                    AND h.start <= y.first
                UNION ALL
                SELECT x.g, x.m, NULL, h.service_no, epoch_us(h.start) - epoch_us(x.first) AS took, took, NULL
                FROM report.handled AS h JOIN report.mark AS x ON x.flow = h.flow AND x.m = h.x
                WHERE NOT EXISTS (
                    SELECT 1 FROM step AS s JOIN report.milestone AS n ON n.m = s.y
                    WHERE s.flow = h.flow AND s.x = h.x AND n.service_no = h.service_no
                )
            ),
            counted AS (
                SELECT g, x, y, service_no, count(*) AS flows, {spread("took", "took", "took >= 0")},
                    {spread("wait", "wait", "wait >= 0")}, {spread("work", "work", "work >= 0")}
                FROM timed GROUP BY g, x, y, service_no
            )
        SELECT s.type, wx.text, vx.text, wy.text, v.text, c.flows, c.flows / k.flows,
            c.took_count, c.took, c.wait_count, c.wait, c.work_count, c.work
        FROM counted AS c JOIN report.start AS s USING (g) JOIN report.kept AS k ON k.g = c.g AND k.m = c.x
        JOIN report.milestone AS mx ON mx.m = c.x JOIN report.word AS wx ON wx.no = mx.name_no
        LEFT JOIN report.word AS vx ON vx.no = mx.service_no
        LEFT JOIN report.milestone AS my ON my.m = c.y LEFT JOIN report.word AS wy ON wy.no = my.name_no
        LEFT JOIN report.word AS v ON v.no = c.service_no
        ORDER BY s.type, wx.text, vx.text, c.flows DESC, wy.text, v.text
    """).fetchall()
    return [one for row in rows if (one := to_transition(row)) is not None]
