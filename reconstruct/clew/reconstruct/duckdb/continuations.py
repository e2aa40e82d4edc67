"""Where flows go on that a service broke off by dropping their IDs, and how likely.

Of the newest flows, or of those around a time: at most :data:`FLOWS`, so that the store's size
does not matter. What is made stands in the schema ``report`` of the workbench, by turns:
:func:`collect` and :func:`values` read the store, :func:`pair` and :func:`weigh` need it no more.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from clew.reconstruct.answers import Continuation
from clew.reconstruct.assignment import Assigned, assign
from clew.reconstruct.duckdb import agreements, breaks, step_table, transitions
from clew.reconstruct.duckdb.agreements import values
from clew.reconstruct.duckdb.querying import utc
from clew.reconstruct.likelihood import at_quantile
from clew.reconstruct.model import FlowFilter

if TYPE_CHECKING:
    import duckdb

    from clew.reconstruct.model import Settings

FLOWS = 100_000
"""The newest flows that are looked at."""
NEAR = (1_000, 4_000)
"""Flows before and after a time that are looked at, where one is given."""
STRAY = 0.02
"""Share of heads taken to come from nowhere that is known, where no more of them fit no gap."""
LOST = (0.01, 0.95)
"""Between which the share of gaps is taken to lie that go on somewhere."""
SURE = 1e9
"""Odds beyond which nothing gets surer."""
VALUES = 3
"""Shared values that are told."""

__all__ = ["collect", "pair", "values", "weigh"]


class Weighed(NamedTuple):
    """A pair with its odds."""

    odds: float
    gap: int
    head: int
    transition: int | None
    lag_us: int
    agree: list[str]


def collect(connection: duckdb.DuckDBPyConnection, settings: Settings, around: datetime | None) -> None:
    """Copy what the steps of the flows looked at are made of. Needs the turn, and ``open_wait``."""
    step_table.collect(connection, _window(connection, around), settings)
    breaks.owe(connection, settings.limit_us)


def _window(connection: duckdb.DuckDBPyConnection, around: datetime | None) -> FlowFilter:
    def nth(column: str, condition: str, order: str, offset: int) -> datetime | None:
        rows = connection.execute(
            f"SELECT {column} FROM store.flows WHERE {condition} ORDER BY {column} {order} LIMIT 1 OFFSET {offset}",
            [around.astimezone(UTC).replace(tzinfo=None)] if around is not None else [],
        ).fetchall()
        return utc(rows[0][0]) if rows else None

    if around is None:
        return FlowFilter(since=nth("last", "last IS NOT NULL", "DESC", FLOWS))
    before, after = NEAR
    return FlowFilter(
        since=nth("started", "started <= ?", "DESC", before),
        until=nth("started", "started > ?", "ASC", after),
    )


def pair(connection: duckdb.DuckDBPyConnection) -> bool:
    """Find what may belong together; whether anything does."""
    step_table.build(connection)
    transitions.learn(connection)
    return breaks.pair(connection)


def weigh(connection: duckdb.DuckDBPyConnection, settings: Settings, least: float) -> list[Continuation]:
    """The continuations of a likelihood of ``least`` or more, the likeliest first."""
    agreements.agree(connection, settings)
    best: dict[tuple[int, int], Weighed] = {}
    flows: dict[int, int] = {}
    for slot, flow, one in _odds(connection):
        key = (slot, flows.setdefault(flow, len(flows)))
        if key not in best or best[key].odds < one.odds:
            best[key] = one
    likely = [
        (one, best[one.left, one.right])
        for one in assign((slot, flow, weighed.odds) for (slot, flow), weighed in best.items())
        if one.likelihood >= least
    ]
    return _tell(connection, likely) if likely else []


def _odds(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int, Weighed]]:
    """(slot, flow of the head, pair) by the time of the head.

    The odds of a pair against neither having a partner: how likely such a gap goes on
    somewhere, times the density of the lag, over the rate of such heads from nowhere; and
    how much likelier their values agree within one flow than by chance.
    """
    rows = connection.execute("""
        WITH
            spanned AS (
                SELECT greatest(epoch_us(max(start)) - epoch_us(min(start)), 1000000) / 1e6 AS seconds FROM report.head
            ),
            heads AS (
                SELECT kind, service_no, name_no, count(*) AS heads,
                    count(*) FILTER (head NOT IN (SELECT head FROM report.pair)) / count(*) AS unfit
                FROM report.head GROUP BY ALL
            ),
            gaps AS (SELECT kind, by_service, from_name, count(*) AS gaps FROM report.gap GROUP BY ALL)
        SELECT g.slot, p.flow, p.density, coalesce(a.weight, 0), n.heads / m.gaps, n.heads / s.seconds, n.unfit,
            p.gap, p.head, p.transition, p.lag_us, coalesce(a.agree, [])
        FROM report.pair AS p JOIN report.head AS h USING (head) JOIN report.gap AS g USING (gap)
        JOIN heads AS n ON n.kind = h.kind AND n.service_no IS NOT DISTINCT FROM h.service_no AND n.name_no = h.name_no
        JOIN gaps AS m
          ON m.kind = g.kind AND m.by_service IS NOT DISTINCT FROM g.by_service AND m.from_name = g.from_name
        CROSS JOIN spanned AS s
        LEFT JOIN report.agreement AS a ON a.gap = p.gap AND a.flow = p.flow
        ORDER BY h.start, p.flow, p.gap, p.head
    """).fetchall()
    found = []
    for slot, flow, density, weight, share, rate, unfit, *fitting in rows:
        stray = max(STRAY, unfit)
        lost = min(max(share * (1 - stray), LOST[0]), LOST[1])
        odds = lost / (1 - lost) * density / (stray * rate) * math.exp(weight)
        found.append((slot, flow, Weighed(min(odds, SURE), *fitting)))
    return found


def _tell(
    connection: duckdb.DuckDBPyConnection, likely: list[tuple[Assigned, Weighed]]
) -> list[Continuation]:
    breaks.fill(
        connection,
        "found",
        "nth INTEGER, gap BIGINT, head BIGINT, transition INTEGER",
        [(nth, one.gap, one.head, one.transition) for nth, (_, one) in enumerate(likely)],  # type: ignore[misc]
    )
    rows: list[tuple[Any, ...]] = connection.execute("""
        SELECT b.flow_id, b.scope, c.flow_id, e.text, i.event_id, v.text, w.text, h.start, t.lags
        FROM report.found AS f
        JOIN report.gap AS g USING (gap) JOIN report.head AS h USING (head)
        LEFT JOIN report.transition AS t USING (transition)
        JOIN report.chosen AS b ON b.flow = g.flow JOIN report.chosen AS c ON c.flow = h.flow
        JOIN report.word AS e ON e.no = g.event_name
        LEFT JOIN report.word AS v ON v.no = h.service_no
        JOIN report.word AS w ON w.no = h.name_no
        LEFT JOIN report.named AS i ON i.unit = g.unit
        ORDER BY f.nth
    """).fetchall()
    found = []
    for row, (one, weighed) in zip(rows, likely, strict=True):
        flow_id, scope, continued, after, after_id, service, step, start, lags = row
        found.append(
            Continuation(
                flow_id=flow_id,
                scope=scope,
                continued=continued,
                likelihood=one.likelihood,
                second=one.second,
                after=after,
                after_id=after_id,
                service=service,
                step=step,
                time=utc(start) or datetime.fromtimestamp(0, UTC),
                lag_us=weighed.lag_us,
                usual_us=(at_quantile(lags, 0.05), at_quantile(lags, 0.95)) if lags else None,
                agree=tuple(weighed.agree[:VALUES]),
            )
        )
    return sorted(found, key=lambda one: (-one.likelihood, one.scope, one.flow_id, one.continued))
