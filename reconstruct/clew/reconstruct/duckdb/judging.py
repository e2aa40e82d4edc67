"""Statuses at an ``as_of``: limits meet what is owed when somebody asks.

So "stuck" is a predicate over what is stored, and neither time nor another limit
rewrites a flow.
"""

from __future__ import annotations

from datetime import datetime

from clew.reconstruct.duckdb.schema import OUTCOMES, WAITS
from clew.reconstruct.model import Status

_KIND = {name: number for number, name in enumerate(WAITS)}
_OUTCOME = {name: number for number, name in enumerate(OUTCOMES)}

CAUSES = {
    "handling": "never_consumed",
    "end": "slow_step",
    "retry": "processing_failed",
    "step": "never_published",
}
"""What is owed → the cause of a flow that is stuck (or, for a retry, failed) by it."""


def judged(as_of: datetime | None, limit_us: int, flow: int | None = None) -> str:
    """A SELECT over ``store`` that gives each flow with its status, cause and what it owes.

    ``as_of`` None (an empty store) means that no deadline has passed. A deadline is
    exclusive: what is due at ``as_of`` is not overdue. ``flow`` limits it to one.
    """
    only = f"flow = {flow}" if flow is not None else "true"
    now = f"TIMESTAMP '{as_of.isoformat(sep=' ')}'" if as_of else "TIMESTAMP '-infinity'"
    looked_for = f"({_KIND['parent']}, {_KIND['cause']})"
    names = " ".join(f"WHEN {number} THEN '{name}'" for name, number in _KIND.items())
    causes = " ".join(f"WHEN '{kind}' THEN '{cause}'" for kind, cause in CAUSES.items())
    return f"""
        WITH
            open_wait AS (
                SELECT w.flow, CASE w.kind {names} END AS kind, w.since, w.name, w.service, w.destination,
                    w.since + to_microseconds(coalesce(w.limit_us, {limit_us})) AS deadline
                FROM store.waits AS w
                WHERE {only} AND w.kind NOT IN {looked_for}
                  AND (w.channel IS NULL OR w.channel IN (SELECT channel FROM store.channels))
            ),
            due AS (
                SELECT flow,
                    min(ROW(deadline, since, kind, name, service, destination)) FILTER (kind <> 'retry') AS owed,
                    min(ROW(deadline, since, kind, name, service, destination)) FILTER (kind = 'retry') AS retry
                FROM open_wait GROUP BY flow
            ),
            stood AS (
                SELECT f.*, d.owed, d.retry,
                    coalesce(d.owed[1] < {now}, false) AS overdue,
                    coalesce(d.retry[1] < {now}, false) AS exhausted,
                    f.outcome = {_OUTCOME["completed"]}
                        OR (f.outcome = 0 AND f.roots > 0 AND NOT f.defined AND d.flow IS NULL) AS finished
                FROM (FROM store.flows WHERE {only}) AS f LEFT JOIN due AS d USING (flow)
            )
        SELECT s.*,
            CASE
                WHEN outcome = {_OUTCOME["cancelled"]} THEN '{Status.CANCELLED}'
                WHEN dead_open > 0 THEN '{Status.DEAD_LETTERED}'
                WHEN outcome = {_OUTCOME["failed"]} OR exhausted THEN '{Status.FAILED}'
                WHEN outcome = {_OUTCOME["compensated"]} THEN '{Status.COMPENSATED}'
                WHEN outcome = {_OUTCOME["compensating"]} THEN '{Status.COMPENSATING}'
                WHEN overdue THEN '{Status.STUCK}'
                WHEN owed IS NOT NULL OR retry IS NOT NULL THEN '{Status.IN_PROGRESS}'
                WHEN finished THEN '{Status.COMPLETED}'
                ELSE '{Status.IN_PROGRESS}'
            END AS status,
            list_filter([
                CASE WHEN outcome = {_OUTCOME["cancelled"]} THEN '{Status.CANCELLED}' END,
                CASE WHEN dead_open > 0 THEN '{Status.DEAD_LETTERED}' END,
                CASE WHEN outcome = {_OUTCOME["failed"]} OR exhausted THEN '{Status.FAILED}' END,
                CASE WHEN outcome = {_OUTCOME["compensated"]} THEN '{Status.COMPENSATED}' END,
                CASE WHEN overdue THEN '{Status.STUCK}' END,
                CASE WHEN finished THEN '{Status.COMPLETED}' END
            ], lambda name: name IS NOT NULL) AS holds,
            CASE
                WHEN outcome = {_OUTCOME["cancelled"]} THEN NULL
                WHEN dead_open > 0 THEN 'dead_lettered'
                WHEN outcome = {_OUTCOME["failed"]} OR exhausted THEN 'processing_failed'
                WHEN outcome IN ({_OUTCOME["compensated"]}, {_OUTCOME["compensating"]}) THEN NULL
                WHEN overdue THEN CASE owed[3] {causes} END
                WHEN retry IS NOT NULL THEN 'retrying'
                WHEN owed IS NOT NULL OR finished THEN NULL
                ELSE 'unknown_end'
            END AS cause,
            CASE WHEN outcome IN (0, {_OUTCOME["failed"]}) THEN coalesce(CASE WHEN exhausted THEN retry END, owed, retry)
                 END AS waits_for,
            coalesce(
                (finished OR outcome > 0) AND overall_limit_us IS NOT NULL
                AND coalesce(ended, last) > started + to_microseconds(overall_limit_us), false) AS late
        FROM stood AS s
    """
