"""Statuses at an ``as_of``: limits meet what is owed when somebody asks.

So "stuck" is a predicate over what is stored, and neither time nor another limit
rewrites a flow.
"""

from __future__ import annotations

from datetime import datetime

from clew.reconstruct.duckdb.schema import OUTCOMES, WAITS
from clew.reconstruct.model import OWED_CAUSES, Status

_KIND = {name: number for number, name in enumerate(WAITS)}
_OUTCOME = {name: number for number, name in enumerate(OUTCOMES)}


def open_waits(limit_us: int, only: str = "true", *, holding: bool = True) -> str:
    """A SELECT of what is owed: flow, kind, since, name, service, destination, deadline, held.

    ``held`` says that a source that would tell of it was not read up to its deadline, as
    :func:`clew.reconstruct.duckdb.holding.hold_back` found.
    """
    looked_for = f"({_KIND['parent']}, {_KIND['cause']})"
    held = "w.rowid IN (SELECT wait FROM held_wait)" if holding else "false"
    names = " ".join(f"WHEN {number} THEN '{name}'" for name, number in _KIND.items())
    return f"""
        SELECT w.flow, CASE w.kind {names} END AS kind, w.since, w.name, w.service, w.destination,
            w.since + to_microseconds(coalesce(w.limit_us, {limit_us})) AS deadline,
            {held} AS held
        FROM store.waits AS w
        WHERE {only} AND w.kind NOT IN {looked_for}
          AND (w.channel IS NULL OR w.channel IN (SELECT channel FROM store.channels))
    """


def judged(as_of: datetime | None, limit_us: int, flow: int | None = None, *, holding: bool = True) -> str:
    """A SELECT over ``store`` that gives each flow with its status, cause and what it owes.

    ``as_of`` None (an empty store) means that no deadline has passed. A deadline is
    exclusive: what is due at ``as_of`` is not overdue. ``flow`` limits it to one. Needs the
    tables that :func:`clew.reconstruct.duckdb.holding.hold_back` makes for the same time;
    where they hold nothing, a question without ``holding`` is cheaper.
    """
    first_held, is_held, or_held = "", "false", ""
    if holding:
        first_held, is_held, or_held = "min(one) FILTER (held) AS held,", "held IS NOT NULL", "held,"
    only = f"flow = {flow}" if flow is not None else "true"
    now = f"TIMESTAMP '{as_of.isoformat(sep=' ')}'" if as_of else "TIMESTAMP '-infinity'"
    causes = " ".join(f"WHEN '{kind}' THEN '{cause}'" for kind, cause in OWED_CAUSES.items())
    conditions = {
        Status.CANCELLED: f"outcome = {_OUTCOME['cancelled']}",
        Status.DEAD_LETTERED: "dead_open > 0",
        Status.FAILED: f"(outcome = {_OUTCOME['failed']} OR exhausted)",
        Status.COMPENSATED: f"outcome = {_OUTCOME['compensated']}",
        Status.STUCK: "overdue",
        Status.COMPENSATING: f"outcome = {_OUTCOME['compensating']}",
        Status.IN_PROGRESS: f"(owed IS NOT NULL OR retry IS NOT NULL OR {is_held})",
        Status.COMPLETED: "finished",
    }
    first = " ".join(f"WHEN {condition} THEN '{status}'" for status, condition in conditions.items())
    every = ", ".join(
        f"CASE WHEN {condition} THEN '{status}' END"
        for status, condition in conditions.items()
        if status is not Status.IN_PROGRESS
    )
    return f"""
        WITH
            open_wait AS ({open_waits(limit_us, only, holding=holding)}),
            due AS (
                SELECT flow, min(one) FILTER (kind <> 'retry' AND NOT held) AS owed,
                    min(one) FILTER (kind = 'retry' AND NOT held) AS retry, {first_held}
                    coalesce(bool_or(kind = 'end' AND overdue), false) AS unended,
                    coalesce(bool_or(kind = 'handling' AND overdue), false) AS unhandled,
                    coalesce(bool_or(kind = 'step'), false) AS lacks_step
                FROM (
                    SELECT flow, kind, held, deadline < {now} AND NOT held AS overdue,
                        ROW(deadline, since, kind, name, service, destination, held) AS one
                    FROM open_wait
                )
                GROUP BY flow
            ),
            stood AS (
                SELECT f.*, d.* EXCLUDE (flow),
                    coalesce(d.owed[1] < {now}, false) AS overdue,
                    coalesce(d.retry[1] < {now}, false) AS exhausted,
                    f.outcome = {_OUTCOME["completed"]}
                        OR (f.outcome = 0 AND f.roots > 0 AND NOT f.defined AND d.flow IS NULL) AS finished
                FROM (FROM store.flows WHERE {only}) AS f LEFT JOIN due AS d USING (flow)
            )
        SELECT s.*,
            CASE {first} ELSE '{Status.IN_PROGRESS}' END AS status,
            list_filter([{every}], lambda name: name IS NOT NULL) AS holds,
            CASE status
                WHEN '{Status.DEAD_LETTERED}' THEN 'dead_lettered'
                WHEN '{Status.FAILED}' THEN CASE
                    WHEN NOT exhausted AND lacks_step THEN 'compensation_incomplete'
                    ELSE 'processing_failed' END
                WHEN '{Status.STUCK}' THEN CASE
                    WHEN retry IS NOT NULL THEN 'retrying'
                    WHEN unended THEN '{OWED_CAUSES["end"]}'
                    WHEN unhandled THEN '{OWED_CAUSES["handling"]}'
                    ELSE CASE owed[3] {causes} END END
                WHEN '{Status.COMPENSATING}' THEN CASE WHEN {is_held} THEN 'source_behind' END
                WHEN '{Status.IN_PROGRESS}' THEN CASE
                    WHEN retry IS NOT NULL THEN 'retrying'
                    WHEN {is_held} THEN 'source_behind'
                    WHEN owed IS NULL THEN 'unknown_end' END
            END AS cause,
            CASE WHEN status NOT IN ('{Status.COMPLETED}', '{Status.CANCELLED}', '{Status.COMPENSATED}')
                 THEN coalesce(CASE WHEN exhausted THEN retry END, CASE WHEN overdue THEN owed END, {or_held} owed, retry)
            END AS waits_for,
            coalesce(
                status = '{Status.COMPLETED}'
                AND coalesce(ended, last) > started + to_microseconds(overall_limit_us), false) AS late
        FROM stood AS s
    """
