"""Flows that meet or descend, found when somebody looks: nothing that is stored depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.detail import FlowLink
from clew.reconstruct.duckdb.lookups import having
from clew.reconstruct.duckdb.schema import WAITS
from clew.reconstruct.keys import class_of
from clew.reconstruct.model import KeyClass, Settings

if TYPE_CHECKING:
    import duckdb

LINKS = 20
"""Flows listed, the closest first."""

CLOSEST = ("parent", "child", "continues", "joins", "batch")
PARENT, CAUSE = WAITS.index("parent"), WAITS.index("cause")


def linked(
    connection: duckdb.DuckDBPyConnection, flow: int, scope: str, settings: Settings
) -> tuple[FlowLink, ...]:
    """The flows that ``flow`` is linked with, by the closest link where there are several.

    Reads the temporary tables ``mine``, the flow's records with their hashes, and ``one_keys``, its keys.

    - ``parent``: a record of this flow names a parent span, a cause or a linked span there.
    - ``child``: a record there names a parent span or a cause in this flow.
    - ``continues``: a record there links to a span of this flow.
    - ``joins``: both know one value of an entity key.
    - ``batch``: both share a record.
    """
    classes = class_of(settings)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE met (other UBIGINT, kind VARCHAR, via VARCHAR)"
    ).fetchall()
    _parents(connection, flow)
    _children(connection, flow)
    values = [
        str(value)
        for name, value in connection.execute("SELECT name, value_h FROM one_keys").fetchall()
        if classes.get(name, KeyClass.ENTITY) is KeyClass.ENTITY
    ]
    if values:
        met = having("*", "store.flow_keys", "value_h", values)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE key_met AS {met}").fetchall()
        connection.execute(f"""
            INSERT INTO met
            SELECT o.flow, 'joins', k.name || '=' || k.value
            FROM key_met AS k JOIN key_met AS o ON o.name = k.name AND o.value = k.value AND o.flow <> k.flow
            WHERE k.flow = {flow}
        """).fetchall()
    connection.execute(f"""
        INSERT INTO met
        SELECT o.flow, 'batch', 'shared records'
        FROM store.shared AS s JOIN store.shared AS o ON o.record = s.record AND o.flow <> s.flow
        WHERE s.flow = {flow}
    """).fetchall()
    if not connection.execute("SELECT count(*) FROM met").fetchall()[0][0]:
        return ()
    closest = " ".join(f"WHEN '{kind}' THEN {rank}" for rank, kind in enumerate(CLOSEST))
    rows = connection.execute(
        f"""
        SELECT f.flow_id, m.kind, m.via
        FROM met AS m
        JOIN store.flows AS f ON f.flow = m.other
        JOIN store.scopes AS s ON s.scope_no = f.scope_no AND s.scope = ?
        WHERE m.other <> {flow}
        QUALIFY row_number() OVER (PARTITION BY m.other ORDER BY CASE m.kind {closest} END, m.via) = 1
        ORDER BY CASE m.kind {closest} END, f.flow_id LIMIT {LINKS}
        """,
        [scope],
    ).fetchall()
    return tuple(FlowLink(*row) for row in rows)


def _parents(connection: duckdb.DuckDBPyConnection, flow: int) -> None:
    wanted = connection.execute(f"""
        SELECT
            (SELECT count(*) FROM store.waits WHERE flow = {flow} AND kind = {PARENT}),
            (SELECT count(*) FROM store.waits WHERE flow = {flow} AND kind = {CAUSE}),
            (SELECT count(*) FROM store.link_refs SEMI JOIN mine USING (record))
    """).fetchall()[0]
    parents, causes, links = (int(number) for number in wanted)
    if parents:
        connection.execute(f"""
            INSERT INTO met
            SELECT r.flow, 'parent', 'span ' || min(r.span_id) FROM store.records AS r
            WHERE r.span_h IN (SELECT token FROM store.waits WHERE flow = {flow} AND kind = {PARENT})
            GROUP BY r.flow
        """).fetchall()
    if causes:
        connection.execute(f"""
            INSERT INTO met
            SELECT r.flow, 'parent', 'event ' || min(r.event_id) FROM store.records AS r
            WHERE r.event_h IN (SELECT token FROM store.waits WHERE flow = {flow} AND kind = {CAUSE})
            GROUP BY r.flow
        """).fetchall()
    if links:
        connection.execute("""
            INSERT INTO met
            SELECT r.flow, 'parent', 'link to span ' || min(r.span_id) FROM store.records AS r
            WHERE r.span_h IN (SELECT token FROM store.link_refs SEMI JOIN mine USING (record))
            GROUP BY r.flow
        """).fetchall()


def _children(connection: duckdb.DuckDBPyConnection, flow: int) -> None:
    connection.execute(f"""
        INSERT INTO met
        SELECT w.flow, 'child', CASE w.kind WHEN {PARENT} THEN 'span ' || min(m.span_id)
                                            ELSE 'event ' || min(m.event_id) END
        FROM store.waits AS w
        JOIN mine AS m ON w.token = CASE w.kind WHEN {PARENT} THEN m.span_h ELSE m.event_h END
        WHERE w.kind IN ({PARENT}, {CAUSE}) AND w.flow <> {flow}
        GROUP BY w.flow, w.kind
    """).fetchall()
    followers = connection.execute("""
        SELECT DISTINCT record FROM store.link_refs WHERE token IN (SELECT span_h FROM mine)
    """).fetchall()
    if followers:
        listed = ", ".join(str(record) for (record,) in followers)
        connection.execute(f"""
            INSERT INTO met
            SELECT r.flow, 'continues', 'link to span ' || min(m.span_id)
            FROM store.records AS r JOIN store.link_refs AS l USING (record)
            JOIN mine AS m ON m.span_h = l.token
            WHERE r.record IN ({listed}) AND r.flow IS NOT NULL
            GROUP BY r.flow
        """).fetchall()
