"""Questions to a store: lists, counts and look-ups."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clew.reconstruct.duckdb.holding import behind
from clew.reconstruct.duckdb.judging import counted, judged
from clew.reconstruct.duckdb.lookups import of_flows
from clew.reconstruct.duckdb.schema import EVIDENCE
from clew.reconstruct.keys import class_of
from clew.reconstruct.model import (
    Flow,
    FlowFilter,
    KeyClass,
    Mark,
    Owed,
    Settings,
    SourceBehind,
    Status,
    Summary,
)
from clew.reconstruct.salt import salt

if TYPE_CHECKING:
    import duckdb

SORTS = {
    "started": "started",
    "last": "last",
    "records": "records",
    "errors": "errors",
    "duration": "last - started",
    "type": "type",
    "status": "status",
    "owed": "waits_for[2]",
}
KEY_VALUES = 20
"""Values listed for one key name of one flow."""

FLOW_COLUMNS = """flow, flow_id, scope_no, type, status, holds, cause, late, started, last, waits_for,
    records, events, errors, dead_letters, missing_parents, services, evidence"""


def utc(value: Any) -> datetime | None:
    """A stored (naive, UTC) timestamp as an aware one; None for none or for infinity."""
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC)


def newest(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """What ``as_of`` is unless given (naive UTC).

    The newest plausible record's time, or the time up to which a source that can know it has
    been read: where nothing happens any more, time goes on.
    """
    value = connection.execute("""
        SELECT greatest(max(last), max(watermark) FILTER (watermark_exact)) FROM store.sources
    """).fetchall()[0][0]
    return value if isinstance(value, datetime) else None


def _set_by(connection: duckdb.DuckDBPyConnection) -> str:
    """What sets ``as_of`` where nobody gives it."""
    source = connection.execute("""
        SELECT arg_max(source, watermark) FILTER (watermark_exact) FROM store.sources
        HAVING max(watermark) FILTER (watermark_exact) > max(last) OR max(last) IS NULL
    """).fetchall()
    return f"{source[0][0]}, read to its end" if source and source[0][0] else "newest record"


def scopes(connection: duckdb.DuckDBPyConnection) -> dict[int, str]:
    """Number → scope."""
    return {int(number): str(scope) for number, scope in connection.execute("FROM store.scopes").fetchall()}


def _marked(connection: duckdb.DuckDBPyConnection, which: FlowFilter) -> str:
    """Of a flow that has one of the marks asked for."""
    marked = ["late"] if Mark.LATE in which.marks else []
    if Mark.DUPLICATES in which.marks:
        from clew.reconstruct.duckdb.duplicating import find_duplicates

        find_duplicates(connection)
        marked.append("flow IN (SELECT flow FROM duplicated)")
    return f"({' OR '.join(marked)})"


def conditions(
    connection: duckdb.DuckDBPyConnection, which: FlowFilter, settings: Settings
) -> tuple[str, list[object]]:
    """What a judged flow must be to be one of ``which``: a condition, and the values that it binds."""
    where: list[str] = ["true"]
    bound: list[object] = []

    def among(column: str, values: tuple[str, ...]) -> None:
        if values:
            where.append(f"{column} IN ({', '.join('?' * len(values))})")
            bound.extend(values)

    among("status", tuple(str(status) for status in which.statuses))
    among("type", which.types)
    if which.services:
        where.append(f"list_has_any(services, [{', '.join('?' * len(which.services))}])")
        bound.extend(which.services)
    if which.since is not None:
        where.append("last >= ?")
        bound.append(_naive(which.since))
    if which.until is not None:
        where.append("started < ?")
        bound.append(_naive(which.until))
    if which.marks:
        where.append(_marked(connection, which))
    classes = class_of(settings)
    for name, value in which.keys:
        known = (
            "flow IN (SELECT flow FROM store.flow_keys WHERE name = ? AND value_h = hash(?) AND value = ?)"
        )
        bound.extend([name, value, value])
        if classes.get(name) is KeyClass.INSTANCE:
            # An anchor's value is the flow's own ID, whatever name it came under.
            anchors = ", ".join(
                f"xor(hash(?), {salt('flow', scope)}::UBIGINT)" for scope in scopes(connection).values()
            )
            known += f" OR flow IN ({anchors})" if anchors else ""
            known += (
                f" OR flow IN (SELECT flow FROM store.instances WHERE base IN ({anchors}))" if anchors else ""
            )
            bound.extend([value] * (2 * len(scopes(connection))))
        where.append(f"({known})")
    if which.scope is not None:
        where.append("scope_no IN (SELECT scope_no FROM store.scopes WHERE scope = ?)")
        bound.append(which.scope)
    return " AND ".join(where), bound


def select_flows(
    connection: duckdb.DuckDBPyConnection,
    which: FlowFilter,
    settings: Settings,
    answer: str,
    also: str = "true",
) -> None:
    """Make the temporary tables ``answer`` and ``answer``_keys. Needs ``open_wait``.

    They hold the flows asked for, ``nth`` in the order asked for, and the keys of these.
    ``also`` is a further condition on a judged flow.
    """
    if which.sort not in SORTS:
        raise ValueError(f"cannot sort by {which.sort!r}: known are {', '.join(SORTS)}")
    key, direction = SORTS[which.sort], "DESC NULLS LAST" if which.descending else "ASC NULLS LAST"
    these = chosen(connection, which, settings, key, also)
    if which.limit is not None:
        _keep_first(connection, direction, int(which.limit))
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE {answer} AS
        SELECT {FLOW_COLUMNS}, row_number() OVER (ORDER BY {key} {direction}, flow_id, scope) AS nth
        FROM ({these}) JOIN store.scopes USING (scope_no)
    """).fetchall()
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE {answer}_keys AS
        SELECT flow, name, value FROM ({of_flows("store.flow_keys", "chosen")})
    """).fetchall()


def chosen(
    connection: duckdb.DuckDBPyConnection,
    which: FlowFilter,
    settings: Settings,
    key: str = "NULL",
    also: str = "true",
) -> str:
    """Make the temporary table ``chosen(flow, key)``; give a SELECT of these flows, judged. Needs ``open_wait``.

    Which they are is told by few columns of all flows, and only of these the rest is read.
    ``also`` is a further condition on a judged flow, and ``key`` an expression of its columns.
    """
    where, bound = conditions(connection, which, settings)
    every = judged(owing=which.statuses == (Status.STUCK,))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT flow, {key} AS key FROM ({every}) WHERE {where} AND {also}",
        bound,
    ).fetchall()
    return judged(of_flows("store.flows", "chosen"), "FROM open_wait SEMI JOIN chosen USING (flow)")


def _keep_first(connection: duckdb.DuckDBPyConnection, direction: str, limit: int) -> None:
    """Of ``chosen`` the first by their key, ties by flow ID and scope: these are read of the ties alone."""
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE chosen AS
        SELECT c.* FROM chosen AS c SEMI JOIN (SELECT key FROM chosen ORDER BY key {direction} LIMIT {limit}) AS first
        ON c.key IS NOT DISTINCT FROM first.key
    """).fetchall()
    if connection.execute("SELECT count(*) FROM chosen").fetchall()[0][0] > limit:
        connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE chosen AS
            SELECT c.* FROM chosen AS c
            JOIN ({of_flows("store.flows", "chosen")}) AS f USING (flow) JOIN store.scopes USING (scope_no)
            ORDER BY c.key {direction}, f.flow_id, scope LIMIT {limit}
        """).fetchall()


def to_flows(
    connection: duckdb.DuckDBPyConnection, answer: str, start: int, count: int, scope_of: dict[int, str]
) -> list[Flow]:
    """The ``count`` flows of ``answer`` after the first ``start``."""
    rows = connection.execute(
        f"SELECT {FLOW_COLUMNS} FROM {answer} WHERE nth > ? AND nth <= ? ORDER BY nth",
        [start, start + count],
    ).fetchall()
    keys: dict[int, dict[str, list[str]]] = {}
    for flow, name, value in connection.execute(
        f"""SELECT k.flow, k.name, k.value FROM {answer}_keys AS k
           SEMI JOIN (SELECT flow FROM {answer} WHERE nth > ? AND nth <= ?) USING (flow)
           ORDER BY k.flow, k.name, k.value""",
        [start, start + count],
    ).fetchall():
        values = keys.setdefault(flow, {}).setdefault(name, [])
        if len(values) < KEY_VALUES:
            values.append(value)
    return [_flow(row, keys.get(row[0], {}), scope_of) for row in rows]


def _flow(row: tuple[Any, ...], keys: dict[str, list[str]], scope_of: dict[int, str]) -> Flow:
    (_, flow_id, scope_no, kind, status, holds, cause, late, started, last, waits_for, records, events) = row[
        :13
    ]
    errors, dead_letters, missing_parents, services, evidence = row[13:]
    owed = None
    if waits_for is not None:
        deadline, since, what, *rest = _fields(waits_for)
        owed = to_owed(what, since, deadline, *rest)
    return Flow(
        flow_id=flow_id or "",
        scope=scope_of.get(scope_no, ""),
        type=kind or "",
        status=Status(status),
        also=tuple(Status(other) for other in holds if other != status),
        cause=cause,
        late=bool(late),
        started=utc(started),
        last=utc(last),
        deadline=owed.deadline if owed else None,
        owed=owed,
        records=records,
        events=events,
        errors=errors,
        dead_letters=dead_letters,
        missing_parents=missing_parents,
        services=tuple(services),
        keys={name: tuple(values) for name, values in keys.items()},
        evidence={name: count for name, count in zip(EVIDENCE, evidence, strict=True) if count},
    )


def to_owed(
    kind: str,
    since: datetime | None,
    deadline: datetime | None,
    name: str | None,
    service: str | None,
    destination: str | None,
    held: bool,  # noqa: FBT001  a row's last column
) -> Owed:
    """What a row of ``open_wait`` says."""
    return Owed(
        kind=kind,
        name=name or "",
        since=utc(since) or datetime.fromtimestamp(0, UTC),
        deadline=utc(deadline),
        service=service,
        destination=destination,
        held=held,
    )


def _fields(row: Any) -> tuple[Any, ...]:
    return tuple(row.values()) if isinstance(row, dict) else tuple(row)


def _naive(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def summary(
    connection: duckdb.DuckDBPyConnection, as_of: datetime | None, settings: Settings, *, given: bool
) -> Summary:
    """Counts over the whole store."""
    by_status = dict(
        connection.execute(f"""
            FROM ({counted()}) ORDER BY status
        """).fetchall()
    )
    ((rejects, undated, records, unattributed, missing_parents),) = connection.execute("""
        SELECT coalesce(sum(rejects), 0), coalesce(sum(undated), 0),
            (SELECT count(*) FROM store.records), (SELECT count(*) FROM store.records WHERE evidence = 0),
            (SELECT coalesce(sum(missing_parents), 0) FROM store.flows)
        FROM store.sources
    """).fetchall()
    return Summary(
        as_of=utc(as_of),
        as_of_from="option" if given else _set_by(connection),
        flows=sum(by_status.values()),
        by_status=by_status,
        records=int(records),
        unattributed=int(unattributed),
        missing_parents=int(missing_parents),
        rejects=int(rejects),
        undated=int(undated),
        behind=tuple(
            SourceBehind(source, scope, mark.replace(tzinfo=UTC), flows, silent)
            for source, scope, mark, flows, silent in behind(connection, as_of, settings)
        ),
    )


def positions(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Source name → newest committed position."""
    return dict(
        connection.execute(
            "SELECT source, arg_max(position, source_no) FROM store.sources GROUP BY source"
        ).fetchall()
    )
