"""Which step follows which, and after how long: told by all flows whose steps are known.

:func:`learn` reads ``report.step`` and leaves in the schema ``report``:

``sent(flow, unit, name_no, service_no, start, cause_h)``
    each event that was published or told of, once, with its cause;
``took(flow, unit, name_no, service_no, start)``
    the first handling of each event by each service;
``plain(flow, nth, kind, name_no, service_no, start)``
    the steps, by time, of flows whose events have no IDs;
``call(flow, name_no, service_no, start, span_h, inside)``
    each span that is no event's; ``inside`` where it has another service's span below it;
``transition(transition, kind, from_name, from_service, by_service, to_name, seen, lags)``
    how a step leads on. ``lags`` maps a bucket of :mod:`clew.reconstruct.likelihood` to the number
    of times. It is of one of these kinds (:data:`KINDS`): an event and its handling
    ``by_service``; a handling by a service and the event that it publishes then; an event and
    the one that ``by_service`` publishes because of it, whether or not the handling is told;
    where events have no IDs, a step and the next one by time; and a span and one below it by
    another service;
``reacts(source, from_name, from_service, by_service, reacted, answered, of)``
    of so many events of a name and sender (``source`` 0), how many a service handled or answered; of
    so many steps (1), how many one by that service came next; of so many spans (2), below how many it
    has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.likelihood import PER_DOUBLING

if TYPE_CHECKING:
    import duckdb

KINDS = ("handled", "published", "answered", "next", "called")
"""``transition.kind`` as a number."""

HANDLED, PUBLISHED, ANSWERED, NEXT, CALLED = range(len(KINDS))
EVENTS, STEPS, CALLS = range(3)
"""``reacts.source`` as a number."""


def learn(connection: duckdb.DuckDBPyConnection) -> None:
    """Make all of it."""
    for statement in (SENT, TOOK, PLAIN, BELOW, CALL, FOLLOWED, TRANSITION, REACTS):
        connection.execute(statement).fetchall()


SENT = """
CREATE OR REPLACE TABLE report.sent AS
SELECT flow, unit, first.name_no AS name_no, first.service_no AS service_no, first.start AS start, cause_h
FROM (
    -- Who publishes it says so first, also where others merely tell of it.
    SELECT flow, unit, min({'kind': kind, 'start': start, 'name_no': name_no, 'service_no': service_no}) AS first,
        min(cause_h) AS cause_h
    FROM report.step WHERE kind IN (0, 2) AND unit IS NOT NULL AND start IS NOT NULL GROUP BY flow, unit
)
"""

TOOK = """
CREATE OR REPLACE TABLE report.took AS
SELECT flow, unit, min(name_no) AS name_no, service_no, min(start) AS start
FROM report.step WHERE kind = 1 AND unit IS NOT NULL AND start IS NOT NULL GROUP BY flow, unit, service_no
"""

PLAIN = """
CREATE OR REPLACE TABLE report.plain AS
SELECT flow, row_number() OVER (PARTITION BY flow ORDER BY start, kind, name_no, service_no, step) AS nth,
    kind, name_no, service_no, start
FROM report.step
WHERE kind < 3 AND start IS NOT NULL
  AND flow NOT IN (SELECT flow FROM report.step WHERE kind < 3 AND unit IS NOT NULL)
"""

BELOW = """
CREATE OR REPLACE TABLE report.below AS
SELECT p.flow, p.span_h, p.name_no AS from_name, p.service_no AS from_service, c.service_no AS by_service,
    c.name_no AS to_name, p.start AS start, c.start AS moment
FROM report.step AS c JOIN report.step AS p ON p.flow = c.flow AND p.span_h = c.parent_h
WHERE c.kind = 3 AND p.kind = 3 AND c.service_no <> p.service_no
"""

CALL = """
CREATE OR REPLACE TABLE report.call AS
SELECT s.flow, s.name_no, s.service_no, s.start, s.span_h, b.span_h IS NOT NULL AS inside
FROM report.step AS s LEFT JOIN (SELECT DISTINCT flow, span_h FROM report.below) AS b USING (flow, span_h)
WHERE s.kind = 3 AND s.start IS NOT NULL AND EXISTS (FROM report.below)
"""

FOLLOWED = f"""
CREATE OR REPLACE TABLE report.followed AS
SELECT {HANDLED} AS kind, s.flow, s.unit, s.name_no AS from_name, s.service_no AS from_service,
    t.service_no AS by_service, t.name_no AS to_name, s.start AS start, t.start AS moment
FROM report.sent AS s JOIN report.took AS t USING (flow, unit)
UNION ALL
SELECT {PUBLISHED}, m.flow, m.cause_h, t.name_no, t.service_no, m.service_no, m.name_no, t.start, m.start
FROM report.sent AS m JOIN report.took AS t ON t.flow = m.flow AND t.unit = m.cause_h AND t.service_no = m.service_no
UNION ALL
SELECT {ANSWERED}, m.flow, m.cause_h, s.name_no, s.service_no, m.service_no, m.name_no, s.start, m.start
FROM report.sent AS m JOIN report.sent AS s ON s.flow = m.flow AND s.unit = m.cause_h
UNION ALL
SELECT {NEXT}, p.flow, p.nth, p.name_no, p.service_no, n.service_no, n.name_no, p.start, n.start
FROM report.plain AS p JOIN report.plain AS n ON n.flow = p.flow AND n.nth = p.nth + 1
UNION ALL
SELECT {CALLED}, flow, span_h, from_name, from_service, by_service, to_name, start, moment FROM report.below
"""

TRANSITION = f"""
CREATE OR REPLACE TABLE report.transition AS
SELECT row_number() OVER (ORDER BY kind, from_name, from_service, by_service, to_name)::INTEGER AS transition,
    kind, from_name, from_service, by_service, to_name, count(*) AS seen,
    histogram(floor({PER_DOUBLING} * log2(greatest(epoch_us(moment) - epoch_us(start), 1)))::INTEGER) AS lags
FROM report.followed WHERE moment >= start
GROUP BY kind, from_name, from_service, by_service, to_name
"""

REACTS = f"""
CREATE OR REPLACE TABLE report.reacts AS
WITH
    of AS (
        SELECT {EVENTS} AS source, name_no, service_no, count(*) AS of FROM report.sent GROUP BY name_no, service_no
        UNION ALL
        SELECT {STEPS}, name_no, service_no, count(*) FROM report.plain GROUP BY name_no, service_no
        UNION ALL
        SELECT {CALLS}, name_no, service_no, count(*) FROM report.call GROUP BY name_no, service_no
    ),
    reacted AS (
        SELECT flow, unit, from_name, from_service, by_service,
            CASE kind WHEN {NEXT} THEN {STEPS} WHEN {CALLED} THEN {CALLS} ELSE {EVENTS} END AS source,
            bool_or(kind = {ANSWERED}) AS answered
        FROM report.followed WHERE kind <> {PUBLISHED}
        GROUP BY flow, unit, source, from_name, from_service, by_service
    )
SELECT r.source, r.from_name, r.from_service, r.by_service, count(*) AS reacted,
    count(*) FILTER (r.answered) AS answered, any_value(o.of) AS of
FROM reacted AS r
JOIN of AS o ON o.source = r.source AND o.name_no = r.from_name AND o.service_no IS NOT DISTINCT FROM r.from_service
GROUP BY r.source, r.from_name, r.from_service, r.by_service
"""
