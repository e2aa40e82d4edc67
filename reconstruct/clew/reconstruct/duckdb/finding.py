"""From any ID that a person may hold to the flows it leads to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from clew.reconstruct.answers import Match
from clew.reconstruct.duckdb.lookups import FEW, having
from clew.reconstruct.salt import salt

if TYPE_CHECKING:
    import duckdb

PREFIX = 3
"""Characters that a prefix must have."""


class Look(NamedTuple):
    """One way to look: SQL for ``flow`` and ``what``, and whether a prefix will do."""

    sql: str
    prefix: bool = False


def find(connection: duckdb.DuckDBPyConnection, text: str, scope: str | None, limit: int) -> list[Match]:
    """Flows that an ID leads to, by scope and flow ID; a prefix only where nothing has the whole.

    The ways are tried one after the other, the cheapest first, until one finds something:
    most IDs asked for are a flow's own, and the others need a scan.
    """
    wanted = dict(
        connection.execute(
            "SELECT scope_no, scope FROM store.scopes WHERE $scope IS NULL OR scope = $scope",
            {"scope": scope},
        ).fetchall()
    )
    if not wanted:
        return []
    for look in _looks(connection, text, list(wanted.values())):
        if look.prefix and len(text) < PREFIX:
            break
        found = _flows(connection, look.sql, text)
        matches = [
            Match(flow_id, wanted[number], what) for flow_id, number, what in found if number in wanted
        ]
        if matches:
            return sorted(matches, key=lambda match: (match.scope, match.flow_id))[:limit]
    return []


def _flows(connection: duckdb.DuckDBPyConnection, look: str, text: str) -> list[tuple[str, int, str]]:
    """Flow ID, scope number and what of each flow that ``look`` leads to.

    Of a few flows each is read by its number; a join would read all flows for them.
    """
    hits = f"SELECT flow, min(what) AS what FROM ({look}) AS hit(flow, what) GROUP BY flow"
    few = dict(connection.execute(f"{hits} LIMIT {FEW + 1}", {"text": text}).fetchall())
    if len(few) > FEW:
        return connection.execute(
            f"SELECT flow_id, scope_no, what FROM ({hits}) JOIN store.flows USING (flow)", {"text": text}
        ).fetchall()
    named = having("flow_id, scope_no, flow", "store.flows", "flow", [str(flow) for flow in few])
    rows = connection.execute(named).fetchall()
    return [(flow_id, scope_no, few[flow]) for flow_id, scope_no, flow in rows]


def _looks(connection: duckdb.DuckDBPyConnection, text: str, scopes: list[str]) -> Iterator[Look]:
    def hashed(kind: str, value: str = "$text") -> list[str]:
        return [f"xor(hash({value}), {salt(kind, scope)}::UBIGINT)" for scope in scopes]

    flows = hashed("flow")
    own = [*flows, *hashed("trace"), *hashed("event")]
    yield Look(f"""
        WITH numbered AS MATERIALIZED ({having("flow, flow_id", "store.flows", "flow", own)})
        SELECT flow, 'flow' FROM numbered WHERE flow_id = $text
        UNION ({having("flow, 'flow'", "store.instances", "base", flows)})
    """)
    if "#" in text:
        yield Look("SELECT flow, 'flow' FROM store.flows WHERE flow_id = $text")
    yield Look("SELECT flow, name FROM store.flow_keys WHERE value_h = hash($text) AND value = $text")
    ids = [*hashed("event"), *hashed("trace"), *hashed("trace", "lower($text)")]
    batches = connection.execute(
        f"SELECT DISTINCT batch FROM ({having('batch', 'store.ids', 'id', ids)})", {"text": text}
    ).fetchall()
    if batches:
        events, traces = ", ".join(ids[: len(scopes)]), ", ".join(ids[len(scopes) :])
        yield Look(f"""
            WITH seen AS (
                SELECT record, flow, CASE WHEN event_h IN ({events}) THEN 'event' ELSE 'trace' END AS what
                FROM store.records
                WHERE batch IN ({", ".join(str(batch) for (batch,) in batches)})
                  AND (event_h IN ({events}) OR trace_h IN ({traces}))
            )
            SELECT flow, what FROM seen WHERE flow IS NOT NULL
            UNION SELECT s.flow, what FROM store.shared AS s JOIN seen USING (record)
        """)
    yield Look("""
        WITH seen AS (
            SELECT record, flow FROM store.records WHERE span_id = $text
            UNION SELECT record, flow FROM store.records WHERE span_id = lower($text)
        )
        SELECT flow, 'span' FROM seen WHERE flow IS NOT NULL
        UNION SELECT s.flow, 'span' FROM store.shared AS s JOIN seen USING (record)
    """)
    yield Look("SELECT flow, 'prefix' FROM store.flows WHERE starts_with(flow_id, $text)", prefix=True)
    yield Look(
        """
        WITH seen AS (
            SELECT record, flow FROM store.records
            WHERE starts_with(event_id, $text)
               OR starts_with(trace_id, $text)
               OR starts_with(span_id, $text)
        )
        SELECT flow, 'prefix' FROM seen WHERE flow IS NOT NULL
        UNION SELECT s.flow, 'prefix' FROM store.shared AS s JOIN seen USING (record)
        UNION SELECT flow, 'prefix' FROM store.flow_keys WHERE starts_with(value, $text)
        """,
        prefix=True,
    )
