"""Judging flows again by other definitions, their records and what belongs to them unchanged.

Cheaper than :mod:`.rebuilding`: nothing is decoded, identified or attributed anew, and flows
that no changed definition concerns are left alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.writing import put_flows
from clew.reconstruct.keys import KeyNames
from clew.reconstruct.passes.context import Context
from clew.reconstruct.passes.fold import gather, touch
from clew.reconstruct.passes.judge import judge

if TYPE_CHECKING:
    from collections.abc import Collection

    import duckdb

    from clew.reconstruct.model import Settings

CHUNK = 500_000
"""Records of flows judged at a time, more or less."""


def judge_again(connection: duckdb.DuckDBPyConnection, starts: Collection[str], settings: Settings) -> int:
    """Judge every flow with an event of one of these names; how many. Within the caller's transaction."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE again AS
        WITH
            named AS (SELECT series FROM store.series WHERE list_contains($starts::VARCHAR[], name)),
            told AS (
                SELECT flow FROM store.records SEMI JOIN named USING (series) WHERE flow IS NOT NULL
                UNION
                SELECT s.flow FROM store.shared AS s JOIN store.records AS r USING (record)
                SEMI JOIN named ON named.series = r.series
            )
        SELECT flow, scope_no,
            sum(records) OVER (PARTITION BY scope_no ORDER BY flow ROWS UNBOUNDED PRECEDING) // {CHUNK} AS chunk
        FROM store.flows SEMI JOIN told USING (flow)
        """,
        {"starts": list(starts)},
    ).fetchall()
    ((first,),) = connection.execute("SELECT coalesce(max(batch), 0) + 1 FROM store.records").fetchall()
    scopes = dict(connection.execute("SELECT scope_no, scope FROM store.scopes").fetchall())
    judged = 0
    for scope_no, chunk, flows in connection.execute(
        "SELECT scope_no, chunk, count(*) FROM again GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        context = Context(
            connection=connection,
            scope=scopes[scope_no],
            scope_no=scope_no,
            first=first,
            names=KeyNames.of(settings),
            definitions=settings.definitions,
            limit_us=settings.limit_us,
            arrival=datetime.now(UTC).replace(tzinfo=None),
        )
        context.present()
        _nothing_new(context)
        touch(context, f"SELECT flow FROM again WHERE scope_no = {scope_no} AND chunk = {chunk}")
        gather(context)
        judge(context)
        put_flows(context)
        judged += flows
    connection.execute("DROP TABLE again").fetchall()
    return judged


def _nothing_new(context: Context) -> None:
    """What ``attribute`` leaves where no record is new."""
    context.run("CREATE OR REPLACE TEMP TABLE moved (record UBIGINT, flow UBIGINT, evidence UTINYINT)")
    context.run("CREATE OR REPLACE TEMP TABLE shared_now (record UBIGINT, flow UBIGINT, evidence UTINYINT)")
    context.run("CREATE OR REPLACE TEMP TABLE component (record UBIGINT)")
    context.run("CREATE OR REPLACE TEMP TABLE link_ref (record UBIGINT, token UBIGINT)")
