"""Which values two flows share, and how much that says: the rarer a value, and the steadier its field, the more.

What is learned of a **field** (a key, an attribute, the partition, what stands in a text) is how
often a value of it that one service tells is told by another one of the same flow, about
another event. Of a value it is which share of the flows has it: among all, and among those that
begin alike, so that what all of them have in common says nothing. The weights are those of
Fellegi and Sunter (A Theory for Record Linkage, 1969): the logarithm of how much likelier the
agreement is within one flow than by chance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from clew.reconstruct.keys import class_of
from clew.reconstruct.model import KeyClass

if TYPE_CHECKING:
    import duckdb

    from clew.reconstruct.model import Settings

SAMPLE = 2_000
"""Flows, beside those of the pairs, of which it is learned which values stay the same through a flow."""
LEAST = 1.0
"""What a shared value must add to count: many that say little say the same little many times."""
MOST = 14.0
"""Most that shared values may add to the logarithm of the odds: values of one flow hang together."""
COMMON = 0.3
"""A value that more than this share of the flows have says nothing."""
PRIOR = 5
"""Flows by which a value's share among flows that begin alike leans towards its share among all."""
CONTRADICTION = math.log(1e-4)
"""What two values of a business key that a flow has one of add."""
TEXT = 500
"""Characters of a body that are looked at."""


def values(connection: duckdb.DuckDBPyConnection) -> None:
    """Copy what the flows of ``pair``, and some others, hold, and the IDs of events. Needs the turn."""
    connection.execute(f"""
        CREATE OR REPLACE TABLE report.valued AS
        SELECT flow FROM report.pair
        UNION SELECT g.flow FROM report.pair AS p JOIN report.gap AS g USING (gap)
        UNION (SELECT flow FROM report.chosen ORDER BY hash(flow) LIMIT {SAMPLE})
    """).fetchall()
    connection.execute("""
        CREATE OR REPLACE TABLE report.named AS
        SELECT r.event_h AS unit, any_value(r.event_id) AS event_id
        FROM store.records AS r
        SEMI JOIN (SELECT g.unit FROM report.pair AS p JOIN report.gap AS g USING (gap)) AS g ON g.unit = r.event_h
        GROUP BY r.event_h
    """).fetchall()
    connection.execute(f"""
        CREATE OR REPLACE TABLE report.text AS
        SELECT r.flow, t.service_no, r.event_h, r.keys, r.attributes, left(r.body, {TEXT}) AS body, r."partition",
            r."offset"::VARCHAR AS place
        FROM store.records AS r SEMI JOIN report.valued USING (flow) JOIN report.trait AS t USING (series)
    """).fetchall()


def agree(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make ``agreement(gap, flow, weight, agree)`` for each pair: what it adds to the logarithm of the odds."""
    entity = [name for name, kind in class_of(settings).items() if kind is KeyClass.ENTITY]
    for statement in (VALUE, FIELD, HELD):
        connection.execute(statement).fetchall()
    connection.execute("DROP TABLE report.text").fetchall()
    connection.execute(AGREEMENT, [entity]).fetchall()


VALUE = """
CREATE OR REPLACE TABLE report.value AS
WITH
    told AS (
        SELECT flow, service_no, event_h, e.key AS field, e.value AS value FROM (
            SELECT flow, service_no, event_h,
                unnest(map_entries(from_json(keys, '"MAP(VARCHAR, VARCHAR)"'))) AS e
            FROM report.text WHERE keys IS NOT NULL
        )
        UNION ALL
        SELECT flow, service_no, event_h, e.key, e.value FROM (
            SELECT flow, service_no, event_h,
                unnest(map_entries(from_json(attributes, '"MAP(VARCHAR, VARCHAR)"'))) AS e, place
            FROM report.text WHERE attributes IS NOT NULL
        )
        WHERE e.value IS DISTINCT FROM place
        UNION ALL
        SELECT flow, service_no, event_h, 'text',
            unnest(regexp_extract_all(body, '[[:alnum:]_.@-]*[0-9][[:alnum:]_.@-]*'))
        FROM report.text WHERE body IS NOT NULL
        UNION ALL
        SELECT flow, service_no, event_h, 'partition', 'partition ' || "partition"
        FROM report.text WHERE "partition" IS NOT NULL
    )
SELECT DISTINCT t.flow, t.service_no, t.event_h, t.field, t.value
FROM told AS t JOIN report.chosen AS c USING (flow)
WHERE length(t.value) BETWEEN 2 AND 200 AND t.value[1] NOT IN ('{', '[') AND t.value <> c.flow_id
"""

FIELD = """
CREATE OR REPLACE TABLE report.field AS
WITH spread AS (
    SELECT flow, value, count(DISTINCT service_no) > 1
        AND (count(DISTINCT event_h) > 1 OR count(event_h) = 0) AS carried
    FROM report.value GROUP BY flow, value
)
SELECT field, count(*) FILTER (s.carried) / (count(*) + 2) AS carried,
    count(DISTINCT v.flow) AS flows, count(DISTINCT ROW(v.flow, v.value)) AS held
FROM report.value AS v JOIN spread AS s USING (flow, value) GROUP BY field
"""

HELD = f"""
CREATE OR REPLACE TABLE report.held AS
WITH
    sized AS (SELECT count(DISTINCT flow) AS flows FROM report.value),
    rare AS (
        SELECT value, count(DISTINCT flow) AS flows FROM report.value GROUP BY value
        HAVING count(DISTINCT flow) <= {COMMON} * (SELECT flows FROM sized)
    )
SELECT v.flow, v.value, max(f.carried) AS carried, arg_max(v.field, f.carried) AS field,
    any_value(greatest(r.flows - 2, 0.5) / n.flows) AS share
FROM report.value AS v JOIN report.field AS f USING (field) JOIN rare AS r USING (value) CROSS JOIN sized AS n
GROUP BY v.flow, v.value
"""

AGREEMENT = f"""
CREATE OR REPLACE TABLE report.agreement AS
WITH
    met AS (
        SELECT DISTINCT p.gap, g.flow AS broken, p.flow, g.by_service, g.from_name
        FROM report.pair AS p JOIN report.gap AS g USING (gap)
    ),
    alike AS (SELECT DISTINCT by_service, from_name, flow FROM met),
    crowd AS (SELECT by_service, from_name, count(*) AS flows FROM alike GROUP BY ALL),
    usual AS (
        SELECT by_service, from_name, value, count(*) AS flows FROM alike JOIN report.held USING (flow) GROUP BY ALL
    ),
    shared AS (
        SELECT m.gap, m.flow, a.value, a.field,
            least((u.flows - 1 + {PRIOR} * a.share) / (c.flows - 1 + {PRIOR}), 1) AS chance,
            ln((least(a.carried, b.carried) * (1 - chance) + chance) / chance) AS weight
        FROM met AS m
        JOIN report.held AS a ON a.flow = m.broken
        JOIN report.held AS b ON b.flow = m.flow AND b.value = a.value
        JOIN crowd AS c ON c.by_service IS NOT DISTINCT FROM m.by_service AND c.from_name = m.from_name
        JOIN usual AS u
          ON u.by_service IS NOT DISTINCT FROM m.by_service AND u.from_name = m.from_name AND u.value = a.value
    ),
    agreeing AS (
        SELECT gap, flow, sum(weight) AS weight,
            list(CASE field WHEN 'partition' THEN value ELSE field || '=' || value END ORDER BY weight DESC, value)
                AS agree
        FROM shared WHERE weight > {LEAST} GROUP BY gap, flow
    ),
    single AS (
        SELECT field FROM report.field
        WHERE field IN (SELECT unnest(?)) AND carried > 0.5 AND held <= 1.1 * flows
    ),
    one AS (
        SELECT flow, field, min(value) AS value FROM report.value SEMI JOIN single USING (field)
        GROUP BY flow, field HAVING min(value) = max(value)
    ),
    against AS (
        SELECT m.gap, m.flow, bool_or(a.value <> b.value) AS differs
        FROM met AS m JOIN one AS a ON a.flow = m.broken JOIN one AS b ON b.flow = m.flow AND b.field = a.field
        GROUP BY m.gap, m.flow
    )
SELECT gap, flow, coalesce(a.agree, []) AS agree,
    least(coalesce(a.weight, 0), {MOST}) + CASE WHEN o.differs THEN {CONTRADICTION} ELSE 0 END AS weight
FROM met LEFT JOIN agreeing AS a USING (gap, flow) LEFT JOIN against AS o USING (gap, flow)
"""
