"""One flow whole, from the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clew.collectors.record import RECORD_COLUMNS
from clew.reconstruct.detail import Evidence, FlowDetail
from clew.reconstruct.duckdb.begun import begun
from clew.reconstruct.duckdb.judging import judged, prepare
from clew.reconstruct.duckdb.lags import lags
from clew.reconstruct.duckdb.linking import linked
from clew.reconstruct.duckdb.lookups import having, of_flow
from clew.reconstruct.duckdb.querying import FLOW_COLUMNS, scopes, to_flows, utc
from clew.reconstruct.duckdb.schema import EVIDENCE, OBSERVATIONS
from clew.reconstruct.duckdb.surroundings import groups, p99_us, senders, tellers, waits
from clew.reconstruct.model import Flow, Settings, Status
from clew.reconstruct.passes.order import order
from clew.reconstruct.salt import salt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb


def detail(
    connection: duckdb.DuckDBPyConnection,
    flow_id: str,
    scope: str,
    as_of: datetime | None,
    settings: Settings,
    limit: int,
    *,
    usual: bool,
) -> FlowDetail | None:
    """Read a flow, its records and what it is linked with; None where there is none."""
    flow = _number(connection, flow_id, scope)
    if flow is None:
        return None
    prepare(connection, as_of, settings, flow)
    one = judged(of_flow("store.flows", flow), f"FROM open_wait WHERE flow = {flow}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE one AS SELECT {FLOW_COLUMNS}, 1 AS nth FROM ({one})"
    ).fetchall()
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE one_keys AS
        SELECT flow, name, value, value_h FROM store.flow_keys WHERE flow = {flow}
    """).fetchall()
    flows = to_flows(connection, "one", 0, 1, scopes(connection))
    if not flows:
        return None
    rows = _records(connection, flow, flows[0], limit)
    truncated = max(0, flows[0].records - len(rows))
    steps, loose = order(rows)
    owed = waits(connection, flow)
    sent_by = senders(connection, owed)
    lacking = flows[0].status is Status.STUCK and any(one.kind == "step" for one in owed)
    return FlowDetail(
        flow=flows[0],
        steps=steps,
        loose=loose,
        links=linked(connection, flow, scope, settings),
        truncated=truncated,
        as_of=utc(as_of),
        waits=owed,
        senders=sent_by,
        tellers=tellers(connection, flow),
        groups=groups(connection, scope, owed, sent_by),
        begun=begun(connection).get(flow, ()) if lacking else (),
        lags=lags(connection, scope, as_of) if owed else (),
        p99_us=p99_us(connection, flow, flows[0].owed) if usual and flows[0].owed is not None else None,
    )


def _number(connection: duckdb.DuckDBPyConnection, flow_id: str, scope: str) -> int | None:
    """The flow's number, by its hash where the ID is a plain one."""
    numbers = [f"xor(hash($id), {salt(kind, scope)}::UBIGINT)" for kind in ("flow", "trace", "event")]
    rows = connection.execute(
        f"""
        WITH numbered AS MATERIALIZED ({having("flow, flow_id", "store.flows", "flow", numbers)})
        SELECT flow FROM numbered WHERE flow_id = $id ORDER BY flow = {numbers[0]} DESC
        """,
        {"id": flow_id},
    ).fetchall()
    if not rows:
        rows = connection.execute(
            """SELECT flow FROM store.flows JOIN store.scopes USING (scope_no)
               WHERE flow_id = ? AND scope = ?""",
            [flow_id, scope],
        ).fetchall()
    return int(rows[0][0]) if rows else None


def _records(
    connection: duckdb.DuckDBPyConnection, flow: int, told: Flow, limit: int
) -> list[tuple[Evidence, bool, dict[str, Any]]]:
    names = [*RECORD_COLUMNS, "record", "source"]
    columns = ", ".join(f'r."{name}"' for name in RECORD_COLUMNS)
    readings = dict(connection.execute("SELECT source_no, source FROM store.sources").fetchall())
    # Its records lie within its time, which tells where to look; some may have none.
    within = "r.time BETWEEN $started AND $last"
    own = f"""
        SELECT {columns}, r.record, r.source_no, r.content, r.event_h, r.span_h, r.evidence, false AS shared,
            {flow}::UBIGINT AS of_flow
        FROM {OBSERVATIONS} AS r WHERE r.flow = {flow} AND {{}} ORDER BY r.time, r.content LIMIT {int(limit)}
    """
    bounds = {
        name: moment.replace(tzinfo=None) if moment else None
        for name, moment in (("started", told.started), ("last", told.last))
    }
    connection.execute(f"CREATE OR REPLACE TEMP TABLE mine AS {own.format(within)}", bounds).fetchall()
    held = connection.execute("SELECT count(*) FROM mine").fetchall()[0][0]
    if held < min(told.records, limit):
        rest = own.format(f"NOT coalesce({within}, false)")
        connection.execute(f"INSERT INTO mine {rest}", bounds).fetchall()
    shares = connection.execute(f"SELECT record FROM store.shared WHERE flow = {flow}").fetchall()
    if shares:
        listed = ", ".join(str(record) for (record,) in shares)
        connection.execute(f"""
            INSERT INTO mine
            SELECT {columns}, r.record, r.source_no, r.content, r.event_h, r.span_h, r.evidence, true, {flow}
            FROM {OBSERVATIONS} AS r WHERE r.record IN ({listed}) ORDER BY r.time, r.content
        """).fetchall()
    rows = connection.execute(f"""
        SELECT * EXCLUDE (content, event_h, span_h, of_flow) FROM mine
        ORDER BY shared, time, content LIMIT {int(limit)}
    """).fetchall()
    return [observed(names, row, readings) for row in rows]


def observed(
    names: Sequence[str], row: Sequence[Any], readings: Mapping[int, str]
) -> tuple[Evidence, bool, dict[str, Any]]:
    """A row of a record: the columns of these names, then its evidence and whether it is shared."""
    fields = {name: value for name, value in zip(names, row[:-2], strict=True) if value is not None}
    for name in ("time", "end_time"):
        if isinstance(fields.get(name), datetime):
            fields[name] = fields[name].replace(tzinfo=UTC)
    fields["source"] = readings.get(fields["source"], "")
    return Evidence(EVIDENCE[max(row[-2], 1) - 1]), bool(row[-1]), fields
