"""Where flows break off, where others begin that should not, and which of them fit together.

A **gap** is an event of a flow on which a service should have acted and did not, as far as
the flow's own records tell: it handled and answered nothing, or it handled and did not
publish what it publishes then; where events have no IDs, the last step of a flow that usually
goes on; a span below which another service's should lie; or what a definition owes. A **head** is
the first step of a flow that does not begin where flows begin: an event handled or published, or
a span, whose like follows from another one elsewhere. A head fits a gap where it is of the step
that follows there, within the time that it takes there. After
:func:`clew.reconstruct.duckdb.transitions.learn`, :func:`pair` leaves in the schema ``report``:

``gap(gap, slot, flow, scope, unit, by_service, kind, from_name, from_service, start, event_name)``
    ``slot`` numbers the breaks: of a step that several services may follow, each is a gap of one slot.
    ``kind`` is of the transitions that fit, :data:`OWED` for what a definition owes;
``head(head, flow, scope, kind, name_no, service_no, start)``
``pair(gap, head, flow, transition, lag_us, density)``
    ``flow`` is the head's, ``density`` of the lag per second; ``transition`` is NULL for what is owed;
``density``, ``limit``
    of each transition that was seen often enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.reconstruct.duckdb.schema import WAITS
from clew.reconstruct.duckdb.transitions import (
    ANSWERED,
    CALLED,
    CALLS,
    EVENTS,
    HANDLED,
    KINDS,
    NEXT,
    PUBLISHED,
    STEPS,
)
from clew.reconstruct.likelihood import PER_DOUBLING, at_quantile, density, within

if TYPE_CHECKING:
    import duckdb

OWED = len(KINDS)
STEP = WAITS.index("step")
SEEN = 5
"""Times that a step must have followed another before its like is looked for."""
SHARE = 0.05
"""Share of an event's like on which a service must have acted."""
TAILS = (0.005, 0.995)
"""Quantiles between which a lag must lie, stretched by :data:`STRETCH` either way."""
STRETCH = 3
RIVALS = 40
"""Gaps that are weighed for one head, the likeliest by time."""


def owe(connection: duckdb.DuckDBPyConnection, limit_us: int) -> None:
    """Copy what definitions owe, as ``owed(flow, since, limit_us, name)``. Needs the turn."""
    connection.execute(f"""
        CREATE OR REPLACE TABLE report.owed AS
        SELECT w.flow, w.since, greatest(coalesce(w.limit_us, {limit_us}), 1) AS limit_us,
            unnest(string_split_regex(regexp_replace(w.name, '^[0-9]+ of ', ''), ' or |, ')) AS name
        FROM store.waits AS w SEMI JOIN report.chosen USING (flow)
        WHERE w.kind = {STEP} AND w.since IS NOT NULL AND w.name IS NOT NULL
    """).fetchall()


def pair(connection: duckdb.DuckDBPyConnection) -> bool:
    """Make all of it; whether there is any pair."""
    _densities(connection)
    for statement in (DUE, GAP, HEAD, FITS, PAIR):
        connection.execute(statement).fetchall()
    return bool(connection.execute("SELECT EXISTS (FROM report.pair)").fetchall()[0][0])


def _densities(connection: duckdb.DuckDBPyConnection) -> None:
    """``density(transition, bucket, density)`` and ``limit(transition, least_us, most_us)``."""
    rows: list[tuple[Any, ...]] = []
    limits: list[tuple[Any, ...]] = []
    for transition, lags in connection.execute(
        f"SELECT transition, lags FROM report.transition WHERE seen >= {SEEN}"
    ).fetchall():
        least, most = (at_quantile(lags, share) for share in TAILS)
        first, last = int(least / STRETCH), int(most * STRETCH) + 1
        limits.append((transition, first, last))
        rows.extend(
            (transition, bucket, found) for bucket, found in within(density(lags), first, last).items()
        )
    fill(connection, "density", "transition INTEGER, bucket INTEGER, density DOUBLE", rows)
    fill(connection, "limit", "transition INTEGER, least_us BIGINT, most_us BIGINT", limits)


def fill(
    connection: duckdb.DuckDBPyConnection, name: str, columns: str, rows: list[tuple[float, ...]]
) -> None:
    """Make the table ``name`` of rows of numbers."""
    connection.execute(f'CREATE OR REPLACE TABLE report."{name}" ({columns})').fetchall()
    for start in range(0, len(rows), 1000):
        values = ", ".join(
            "(" + ", ".join("NULL" if value is None else repr(value) for value in row) + ")"
            for row in rows[start : start + 1000]
        )
        connection.execute(f'INSERT INTO report."{name}" VALUES {values}').fetchall()


DUE = f"""
CREATE OR REPLACE TABLE report.due AS
WITH
    expected AS (
        SELECT s.flow, s.unit, s.name_no, s.service_no, r.by_service, s.start, r.answered > {SHARE} * r.of AS answers
        FROM report.sent AS s
        JOIN report.reacts AS r
          ON r.source = {EVENTS} AND r.from_name = s.name_no AND r.from_service IS NOT DISTINCT FROM s.service_no
        WHERE r.reacted >= {SEEN} AND r.reacted > {SHARE} * r.of
    ),
    silent AS (
        SELECT e.*, t.start AS took, t.name_no AS took_name
        FROM expected AS e
        LEFT JOIN report.took AS t ON t.flow = e.flow AND t.unit = e.unit AND t.service_no = e.by_service
        ANTI JOIN report.sent AS m ON m.flow = e.flow AND m.cause_h = e.unit AND m.service_no = e.by_service
    ),
    final AS (FROM report.plain QUALIFY row_number() OVER (PARTITION BY flow ORDER BY nth DESC) = 1),
    before AS (
        SELECT o.flow, o.since, o.limit_us, w.no AS name_no, arg_max(s.name_no, s.start) AS event_name,
            arg_max(s.unit, s.start) AS unit
        FROM report.owed AS o JOIN report.word AS w ON w.text = o.name
        JOIN report.sent AS s ON s.flow = o.flow AND s.start <= o.since
        GROUP BY o.flow, o.since, o.limit_us, w.no
    )
SELECT {HANDLED} AS kind, flow, unit, by_service, name_no AS from_name, service_no AS from_service, start,
    name_no AS event_name, NULL::BIGINT AS limit_us
FROM silent WHERE took IS NULL
UNION ALL
SELECT {PUBLISHED}, flow, unit, by_service, took_name, by_service, took, name_no, NULL FROM silent
WHERE took IS NOT NULL AND answers
UNION ALL
SELECT {NEXT}, f.flow, NULL, r.by_service, f.name_no, f.service_no, f.start, f.name_no, NULL
FROM final AS f
JOIN report.reacts AS r
  ON r.source = {STEPS} AND r.from_name = f.name_no AND r.from_service IS NOT DISTINCT FROM f.service_no
WHERE r.reacted >= {SEEN} AND r.reacted > {SHARE} * r.of
UNION ALL
SELECT {CALLED}, c.flow, c.span_h, r.by_service, c.name_no, c.service_no, c.start, c.name_no, NULL
FROM report.call AS c
JOIN report.reacts AS r
  ON r.source = {CALLS} AND r.from_name = c.name_no AND r.from_service IS NOT DISTINCT FROM c.service_no
WHERE NOT c.inside AND r.reacted >= {SEEN} AND r.reacted > {SHARE} * r.of
UNION ALL
SELECT {OWED}, flow, unit, NULL, name_no, NULL, since, event_name, limit_us FROM before
"""

GAP = f"""
CREATE OR REPLACE TABLE report.gap AS
SELECT row_number() OVER (ORDER BY d.start, d.flow, d.unit, d.kind, d.by_service, d.from_name) AS gap,
    dense_rank() OVER (
        ORDER BY d.start, d.flow, d.unit, d.kind = {OWED}, CASE WHEN d.kind NOT IN ({NEXT}, {CALLED}) THEN d.by_service END
    ) AS slot,
    d.*, c.scope
FROM report.due AS d JOIN report.chosen AS c USING (flow)
"""

HEAD = """
CREATE OR REPLACE TABLE report.head AS
WITH
    first AS (
        SELECT flow, kind, name_no, service_no, unit, cause_h, start, wait_us
        FROM report.step WHERE kind < 3 AND start IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY flow ORDER BY start, kind DESC, step) = 1
    ),
    open AS (
        SELECT f.* FROM first AS f
        ANTI JOIN report.sent AS s ON s.flow = f.flow AND s.unit = CASE f.kind WHEN 1 THEN f.unit ELSE f.cause_h END
        ANTI JOIN report.sent AS e ON e.unit = f.cause_h AND f.kind <> 1
        WHERE f.wait_us IS NULL
    ),
    -- What a service published first after a step that does not say what it is about.
    answer AS (
        SELECT s.flow, 0 AS kind, s.name_no, s.service_no, s.start
        FROM report.sent AS s JOIN open AS o ON o.flow = s.flow AND o.service_no = s.service_no AND o.unit IS NULL
        QUALIFY row_number() OVER (PARTITION BY s.flow ORDER BY s.start, s.unit) = 1
    ),
    -- The span in which a flow begins, where none above it is known.
    entry AS (
        SELECT flow, kind, name_no, service_no, start FROM (
            FROM report.step WHERE start IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY flow ORDER BY start, kind DESC, step) = 1
        )
        WHERE kind = 3 AND EXISTS (FROM report.below)
    ),
    every AS (
        SELECT flow, kind, name_no, service_no, start FROM open
        UNION ALL
        FROM answer
        UNION ALL
        FROM entry
    )
SELECT row_number() OVER (ORDER BY e.start, e.flow, e.kind) AS head, e.*, c.scope
FROM every AS e JOIN report.chosen AS c USING (flow)
"""

FITS = f"""
CREATE OR REPLACE TABLE report.fits AS
WITH
    expected AS (
        SELECT g.gap, g.flow, g.scope, g.by_service, g.start, t.transition, t.to_name, t.kind, l.least_us, l.most_us
        FROM report.gap AS g
        JOIN report.transition AS t
          ON t.by_service = g.by_service AND t.from_name = g.from_name
         AND t.from_service IS NOT DISTINCT FROM g.from_service
         AND (t.kind = g.kind OR g.kind = {HANDLED} AND t.kind = {ANSWERED})
        JOIN report.limit AS l USING (transition)
    ),
    -- Slices of time as long as the longest lag: what fits lies in one of two.
    aimed AS (
        SELECT *, unnest(range(
            (epoch_us(start) + least_us) // most_us, (epoch_us(start) + most_us) // most_us + 1
        )) AS slice
        FROM expected
    )
SELECT a.gap, h.head, h.flow, a.transition, a.kind, epoch_us(h.start) - epoch_us(a.start) AS lag_us
FROM report.head AS h
JOIN aimed AS a ON a.by_service = h.service_no AND a.to_name = h.name_no
 AND CASE a.kind WHEN {NEXT} THEN h.kind < 3 WHEN {CALLED} THEN h.kind = 3 WHEN {HANDLED} THEN h.kind = 1
     ELSE h.kind NOT IN (1, 3) END
 AND a.slice = epoch_us(h.start) // a.most_us
 AND a.scope = h.scope AND a.flow <> h.flow
 AND epoch_us(h.start) - epoch_us(a.start) BETWEEN a.least_us AND a.most_us
"""

PAIR = f"""
CREATE OR REPLACE TABLE report.pair AS
WITH
    -- What a handling tells is closer in time than what it published.
    learned AS (
        FROM report.fits
        QUALIFY kind = {HANDLED} OR NOT bool_or(kind = {HANDLED}) OVER (PARTITION BY flow)
    ),
    dense AS (
        SELECT l.gap, l.head, l.flow, l.transition, l.lag_us, d.density
        FROM learned AS l JOIN report.density AS d
          ON d.transition = l.transition AND d.bucket = floor({PER_DOUBLING} * log2(greatest(l.lag_us, 1)))
    ),
    -- What was seen too rarely to know how long it takes may still be what a definition waits for.
    written AS (
        SELECT g.gap, h.head, h.flow, NULL::INTEGER AS transition,
            epoch_us(h.start) - epoch_us(g.start) AS lag_us, 1e6 / g.limit_us AS density
        FROM report.head AS h
        ANTI JOIN report.fits AS f ON f.flow = h.flow
        JOIN report.gap AS g ON g.kind = {OWED} AND g.from_name = h.name_no AND h.kind NOT IN (1, 3)
         AND g.scope = h.scope AND g.flow <> h.flow
         AND epoch_us(h.start) - epoch_us(g.start) BETWEEN 0 AND g.limit_us
    )
FROM (FROM dense UNION ALL FROM written)
QUALIFY row_number() OVER (PARTITION BY head ORDER BY density DESC, gap) <= {RIVALS}
"""
