"""Flows in which one event was handled twice by one consumer, each time with effects.

:mod:`clew.reconstruct.causes.duplicate_processing` says what counts. It looks at a flow's steps;
a statement over all records finds the few flows that it may hold for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.causes.duplicate_processing import is_duplicate
from clew.reconstruct.causes.scene import Scene
from clew.reconstruct.detail import FlowDetail
from clew.reconstruct.duckdb.several import bare, read
from clew.reconstruct.passes.fold import HANDLES, SENDS
from clew.reconstruct.passes.order import order

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from clew.reconstruct.duckdb.several import Row

AT_A_TIME = 500
"""Flows whose records are looked at together."""


def find_duplicates(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the temporary table ``duplicated(flow)``."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE tried AS
        SELECT DISTINCT r.flow FROM store.records AS r JOIN store.series AS s USING (series)
        WHERE s.operation IN {HANDLES} AND s.kind IN ('log', 'span') AND r.flow IS NOT NULL
          AND coalesce(r.event_h, r.place_h) IS NOT NULL
        GROUP BY r.flow, hash(coalesce(r.event_h, r.place_h), coalesce(s.service, s.consumer_group))
        -- One attempt has one span, and lines without a span are one unless they count attempts.
        HAVING min(r.span_h) < max(r.span_h) OR max(r.attempt) > 1
    """).fetchall()
    connection.execute("CREATE OR REPLACE TEMP TABLE duplicated (flow UBIGINT)").fetchall()
    flows = [flow for (flow,) in connection.execute(_WITH_EFFECTS).fetchall()]
    for start in range(0, len(flows), AT_A_TIME):
        some = flows[start : start + AT_A_TIME]
        rows = read(connection, dict.fromkeys(some))
        found = [flow for flow in some if _holds(rows.get(flow, ()))]
        connection.execute("INSERT INTO duplicated SELECT unnest(?::UBIGINT[])", [found]).fetchall()


def _holds(rows: Sequence[Row]) -> bool:
    steps, loose = order(rows)
    return is_duplicate(Scene(FlowDetail(bare(), steps, loose, (), 0), None))


_WITH_EFFECTS = f"""
    WITH
        told AS MATERIALIZED (
            SELECT r.flow, r.span_h, r.parent_h, r.cause_h, r.event_h, s.kind, s.service,
                coalesce(s.operation IN {HANDLES}, false) AS handles, coalesce(s.operation IN {SENDS}, false) AS sends
            FROM store.records AS r JOIN store.series AS s USING (series)
            WHERE r.flow IN (SELECT flow FROM tried) AND s.kind <> 'dead_letter'
        ),
        try AS (SELECT DISTINCT flow, span_h FROM told WHERE handles AND span_h IS NOT NULL),
        effect AS (
            SELECT t.flow, t.parent_h AS of FROM told AS t JOIN try ON try.flow = t.flow AND try.span_h = t.parent_h
            WHERE t.kind = 'span' OR t.sends
            UNION ALL
            SELECT t.flow, t.span_h FROM told AS t JOIN try USING (flow, span_h) WHERE t.sends
            UNION ALL
            SELECT flow, event_h FROM told WHERE sends AND cause_h IS NOT NULL
        )
    SELECT flow FROM effect GROUP BY flow HAVING count(DISTINCT of) > 1 ORDER BY flow
"""
"""Of the flows that were tried several times, those in which two tries or more may have had an effect."""
