"""The records of several flows at once, as the rules over one flow's steps take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.collectors.record import RECORD_COLUMNS
from clew.reconstruct.duckdb.detail import observed
from clew.reconstruct.duckdb.lookups import FEW
from clew.reconstruct.duckdb.querying import utc
from clew.reconstruct.duckdb.schema import OBSERVATIONS
from clew.reconstruct.model import Flow, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Any

    import duckdb

    from clew.reconstruct.detail import Evidence

    Row = tuple[Evidence, bool, Mapping[str, Any]]
    Rows = Mapping[int, Sequence[Row]]

LEFT_OUT = frozenset({"body", "attributes", "keys"})
"""Columns that no rule needs to tell which cause holds."""


def bare(
    scope: str = "",
    flow_id: str = "",
    kind: str | None = None,
    status: str = Status.COMPLETED,
    cause: str | None = None,
    started: datetime | None = None,
    last: datetime | None = None,
    records: int = 0,
) -> Flow:
    """A flow as far as the rules look at it; times are naive and UTC."""
    return Flow(
        flow_id=flow_id,
        scope=scope,
        type=kind or "",
        status=Status(status),
        also=(),
        cause=cause,
        late=False,
        started=utc(started),
        last=utc(last),
        deadline=None,
        owed=None,
        records=records,
        events=0,
        errors=0,
        dead_letters=0,
        missing_parents=0,
        services=(),
        keys={},
        evidence={},
    )


def read(connection: duckdb.DuckDBPyConnection, flows: Mapping[int, Flow | None]) -> Rows:
    """Flow → its records for :func:`clew.reconstruct.passes.order.order`; and make ``mine``, which holds them all.

    What is known of a flow (its time, how many records) helps to find them.
    """
    names = [name for name in RECORD_COLUMNS if name not in LEFT_OUT]
    columns = ", ".join(
        f'r."{name}"' for name in [*RECORD_COLUMNS, "event_h", "span_h", "evidence", "content"]
    )
    own = f"SELECT {columns}, r.source_no, false AS shared, r.flow AS of_flow FROM {OBSERVATIONS} AS r WHERE"
    listed = ", ".join(map(str, flows)) or "NULL"
    ways = [[f"{own} r.flow IN ({listed})"]]
    known = [one for one in flows.values() if one is not None]
    if 0 < len(flows) <= FEW and len(known) == len(flows):
        # A flow's records lie within its time, which tells where to look; for many, one scan is cheaper.
        ways.insert(0, [f"{own} r.flow = {flow} AND {_within(one)}" for flow, one in flows.items() if one])
    for selects in ways:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE mine AS {' UNION ALL '.join(selects)}").fetchall()
        held = connection.execute("SELECT count(*) FROM mine").fetchall()[0][0]
        if held == sum(one.records for one in known):
            break
    shares = connection.execute(f"SELECT record FROM store.shared WHERE flow IN ({listed})").fetchall()
    if shares:
        connection.execute(f"""
            INSERT INTO mine
            SELECT {columns}, r.source_no, true, s.flow
            FROM (FROM store.shared WHERE flow IN ({listed})) AS s JOIN {OBSERVATIONS} AS r USING (record)
            WHERE r.record IN ({", ".join(str(record) for (record,) in shares)})
        """).fetchall()
    kept = ", ".join(f'"{name}"' for name in names)
    rows = connection.execute(
        f"SELECT of_flow, {kept}, source_no, evidence, shared FROM mine ORDER BY of_flow, shared, time, content"
    ).fetchall()
    found: dict[int, list[Row]] = {}
    for flow, *row in rows:
        found.setdefault(flow, []).append(observed([*names, "source"], row, {}))
    return found


def _within(told: Flow) -> str:
    if told.started is None or told.last is None:
        return "true"
    first, last = (when.replace(tzinfo=None).isoformat(sep=" ") for when in (told.started, told.last))
    return f"r.time BETWEEN TIMESTAMP '{first}' AND TIMESTAMP '{last}'"
