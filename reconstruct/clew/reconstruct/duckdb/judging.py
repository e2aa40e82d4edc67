"""Statuses at an ``as_of``: limits meet what is owed when somebody asks.

So "stuck" is a predicate over what is stored, and neither time nor another limit
rewrites a flow.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from clew.reconstruct.duckdb.holding import hold_back
from clew.reconstruct.duckdb.schema import OUTCOMES, WAITS
from clew.reconstruct.model import OWED_CAUSES, Status

if TYPE_CHECKING:
    import duckdb

    from clew.reconstruct.model import Settings

_KIND = {name: number for number, name in enumerate(WAITS)}
_OUTCOME = {name: number for number, name in enumerate(OUTCOMES)}


CONDITIONS: Final = {
    Status.CANCELLED: f"outcome = {_OUTCOME['cancelled']}",
    Status.DEAD_LETTERED: "dead_open > 0",
    Status.FAILED: f"(outcome = {_OUTCOME['failed']} OR exhausted)",
    Status.COMPENSATED: f"outcome = {_OUTCOME['compensated']}",
    Status.STUCK: "overdue",
    Status.COMPENSATING: f"outcome = {_OUTCOME['compensating']}",
    Status.IN_PROGRESS: "(owes OR retries OR held_back)",
    Status.COMPLETED: f"(outcome = {_OUTCOME['completed']} OR outcome = 0 AND roots > 0 AND NOT defined AND owing IS NULL)",
}
"""When a flow, and what :func:`_due` says of it, has a status; the first that holds is the flow's."""

STATUS: Final = (
    "CASE "
    + " ".join(f"WHEN {condition} THEN '{status}'" for status, condition in CONDITIONS.items())
    + f" ELSE '{Status.IN_PROGRESS}' END"
)
EVERY: Final = ", ".join(
    f"CASE WHEN {condition} THEN '{status}' END"
    for status, condition in CONDITIONS.items()
    if status is not Status.IN_PROGRESS
)
FLAGS: Final = ("owing", "owes", "retries", "held_back", "overdue", "exhausted")


def prepare(
    connection: duckdb.DuckDBPyConnection, as_of: datetime | None, settings: Settings, flow: int | None = None
) -> None:
    """Make the temporary view ``open_wait`` of what is owed, into which :func:`judged` and :func:`counted` look.

    Its columns: flow, kind, since, name, service, destination, deadline, held, overdue. ``held``
    says that a source that would tell of it was not read up to its deadline, as
    :func:`clew.reconstruct.duckdb.holding.hold_back` finds, for all flows or one. A deadline is
    exclusive: what is due at ``as_of`` (naive UTC) is not overdue; where ``as_of`` is None (an
    empty store) none has passed.
    """
    holding = hold_back(connection, as_of, settings, flow)
    looked_for = f"({_KIND['parent']}, {_KIND['cause']})"
    held = "w.rowid IN (SELECT wait FROM held_wait)" if holding else "false"
    names = " ".join(f"WHEN {number} THEN '{name}'" for name, number in _KIND.items())
    now = f"TIMESTAMP '{as_of.isoformat(sep=' ')}'" if as_of else "TIMESTAMP '-infinity'"
    connection.execute(f"""
        CREATE OR REPLACE TEMP VIEW open_wait AS
        SELECT *, deadline < {now} AND NOT held AS overdue FROM (
            SELECT w.flow, CASE w.kind {names} END AS kind, w.since, w.name, w.service, w.destination,
                w.since + to_microseconds(coalesce(w.limit_us, {settings.limit_us})) AS deadline, {held} AS held
            FROM store.waits AS w
            WHERE w.kind NOT IN {looked_for}
              AND (w.channel IS NULL OR w.channel IN (SELECT channel FROM store.channels))
        )
    """).fetchall()


def _due(waits: str) -> str:
    """A SELECT of the flows that owe anything: what is due first of each kind, and flags.

    All that a status needs are the flags, so that what is owed goes through no join for it.
    """
    return f"""
        SELECT flow, min(one) FILTER (kind <> 'retry' AND NOT held) AS owed,
            min(one) FILTER (kind = 'retry' AND NOT held) AS retry, min(one) FILTER (held) AS held,
            true AS owing,
            bool_or(kind <> 'retry' AND NOT held) AS owes, bool_or(kind = 'retry' AND NOT held) AS retries,
            bool_or(held) AS held_back,
            bool_or(kind <> 'retry' AND overdue) AS overdue, bool_or(kind = 'retry' AND overdue) AS exhausted,
            bool_or(kind = 'end' AND overdue) AS unended, bool_or(kind = 'handling' AND overdue) AS unhandled,
            bool_or(kind = 'step') AS lacks_step
        FROM (
            SELECT flow, kind, held, overdue, ROW(deadline, since, kind, name, service, destination, held) AS one
            FROM ({waits})
        )
        GROUP BY flow
    """


def judged(flows: str = "FROM store.flows", waits: str = "FROM open_wait", *, owing: bool = False) -> str:
    """A SELECT over ``store`` that gives each of ``flows`` with its status, cause and what it owes.

    ``waits`` are the open waits of these. Flows that owe nothing are left out where it asks
    for ``owing``. Needs what :func:`prepare` makes.
    """
    causes = " ".join(f"WHEN '{kind}' THEN '{cause}'" for kind, cause in OWED_CAUSES.items())
    return f"""
        WITH stood AS (
            SELECT f.*, d.* EXCLUDE (flow), {STATUS} AS status
            FROM ({flows}) AS f {"" if owing else "LEFT"} JOIN ({_due(waits)}) AS d USING (flow)
        )
        SELECT s.*,
            list_filter([{EVERY}], lambda name: name IS NOT NULL) AS holds,
            CASE status
                WHEN '{Status.DEAD_LETTERED}' THEN 'dead_lettered'
                WHEN '{Status.FAILED}' THEN CASE
                    WHEN NOT exhausted AND lacks_step THEN 'compensation_incomplete'
                    ELSE 'processing_failed' END
                WHEN '{Status.STUCK}' THEN CASE
                    WHEN retries THEN 'retrying'
                    WHEN unended THEN '{OWED_CAUSES["end"]}'
                    WHEN unhandled THEN '{OWED_CAUSES["handling"]}'
                    ELSE CASE owed[3] {causes} END END
                WHEN '{Status.COMPENSATING}' THEN CASE WHEN held_back THEN 'source_behind' END
                WHEN '{Status.IN_PROGRESS}' THEN CASE
                    WHEN retries THEN 'retrying'
                    WHEN held_back THEN 'source_behind'
                    WHEN owes THEN NULL
                    ELSE 'unknown_end' END
            END AS cause,
            CASE WHEN status NOT IN ('{Status.COMPLETED}', '{Status.CANCELLED}', '{Status.COMPENSATED}')
                 THEN coalesce(CASE WHEN exhausted THEN retry END, CASE WHEN overdue THEN owed END, held, owed, retry)
            END AS waits_for,
            coalesce(
                status = '{Status.COMPLETED}'
                AND coalesce(ended, last) > started + to_microseconds(overall_limit_us), false) AS late
        FROM stood AS s
    """


def counted() -> str:
    """A SELECT of the statuses of :func:`judged` and of how many flows there are of each.

    Flows are counted by the little that a status needs of them. Those that owe something are
    few: they are taken from the rest and counted for themselves, so that no join goes over all.
    Needs what :func:`prepare` makes.
    """
    alike = "outcome, least(dead_open, 1) AS dead_open, least(roots, 1) AS roots, defined"
    none = ", ".join(f"NULL::BOOLEAN AS {flag}" for flag in FLAGS)
    return f"""
        WITH
            owing_alike AS MATERIALIZED (
                SELECT {alike}, {", ".join(FLAGS)}, count(*) AS flows
                FROM store.flows JOIN ({_due("FROM open_wait")}) USING (flow) GROUP BY ALL
            ),
            alike AS (
                SELECT {alike}, {none}, count(*) AS flows FROM store.flows GROUP BY ALL
                UNION ALL BY NAME SELECT * REPLACE (-flows AS flows, {none}) FROM owing_alike
                UNION ALL BY NAME FROM owing_alike
            )
        SELECT {STATUS} AS status, sum(flows)::BIGINT AS flows FROM alike GROUP BY ALL HAVING sum(flows) > 0
    """
