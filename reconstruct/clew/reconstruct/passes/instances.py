"""Runs of one reused ID: part of fold, for definitions that say ``reuse``.

A start whose last start or end before it is an end opens the next run. A record belongs
to the run that was open at its time, unless its cause belongs to another: causal edges
outrank time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.keys import quoted

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context


def split_runs(context: Context) -> None:
    """Change ``member.flow`` to the run's; leave ``run_now(base, flow, number, since)``.

    Stored records that change their run are added to ``moved``, and ``stage`` is updated.
    """
    context.run(
        "CREATE OR REPLACE TEMP TABLE run_now (base UBIGINT, flow UBIGINT, number INTEGER, since TIMESTAMP)"
    )
    rows = [
        f"({quoted(event)}, {quoted(role)})"
        for definition in context.definitions
        if definition.reuse
        for role, events in (
            ("start", definition.start),
            ("end", tuple(event for event, _ in definition.ends)),
        )
        for event in events
    ]
    if not rows:
        return
    context.run(f"""
        INSERT INTO run_now
        WITH
            border AS (SELECT * FROM (VALUES {", ".join(rows)}) AS b(event, role)),
            based AS (
                SELECT coalesce(i.base, m.flow) AS base, m.moment, b.role
                FROM member AS m
                LEFT JOIN store.instances AS i USING (flow)
                JOIN border AS b ON b.event = m.name
                WHERE m.kind <> 'dead_letter' AND m.moment IS NOT NULL
            ),
            ordered AS (
                SELECT base, moment, role, lag(role) OVER (PARTITION BY base ORDER BY moment, role) AS before FROM based
            ),
            opening AS (
                SELECT base, moment, 1 + row_number() OVER (PARTITION BY base ORDER BY moment) AS number
                FROM ordered WHERE role = 'start' AND before = 'end'
            )
        SELECT base, hash(base, number), number::INTEGER, moment FROM opening
        UNION ALL
        SELECT DISTINCT base, base, 1, NULL FROM opening
    """)
    if not context.count("SELECT count(*) FROM run_now"):
        return
    context.run("""
        CREATE OR REPLACE TEMP TABLE assigned AS
        SELECT m.record, b.base, m.event_h, m.cause_h, m.flow AS before,
            1 + count(r.since) AS number
        FROM member AS m
        JOIN (SELECT flow, coalesce(any_value(i.base), flow) AS base
              FROM (SELECT DISTINCT flow FROM member) LEFT JOIN store.instances AS i USING (flow) GROUP BY flow) AS b
          ON b.flow = m.flow
        SEMI JOIN run_now AS known ON known.base = b.base
        LEFT JOIN run_now AS r ON r.base = b.base AND r.since <= m.moment
        GROUP BY ALL
    """)
    while context.count("""
        SELECT count(*) FROM assigned AS a
        JOIN (SELECT base, event_h, min(number) AS number FROM assigned WHERE event_h IS NOT NULL GROUP BY ALL) AS c
          ON c.base = a.base AND c.event_h = a.cause_h
        WHERE c.number < a.number AND a.event_h IS DISTINCT FROM a.cause_h AND NOT EXISTS (
            SELECT 1 FROM run_now AS r JOIN member AS m ON m.record = a.record AND m.moment = r.since WHERE r.base = a.base
        )
    """):
        context.run("""
            UPDATE assigned SET number = c.number
            FROM (SELECT base, event_h, min(number) AS number FROM assigned WHERE event_h IS NOT NULL GROUP BY ALL) AS c
            WHERE c.base = assigned.base AND c.event_h = assigned.cause_h AND c.number < assigned.number
              AND NOT EXISTS (
                SELECT 1 FROM run_now AS r JOIN member AS m ON m.record = assigned.record AND m.moment = r.since
                WHERE r.base = assigned.base
              )
        """)
    context.run("""
        UPDATE member SET flow = r.flow
        FROM assigned AS a JOIN run_now AS r ON r.base = a.base AND r.number = a.number
        WHERE member.record = a.record AND member.flow = a.before
    """)
    context.run(f"""
        INSERT INTO moved
        SELECT m.record, m.flow, m.evidence
        FROM member AS m JOIN assigned AS a ON a.record = m.record
        WHERE m.record <= {context.base} AND m.flow <> a.before
          AND m.record NOT IN (SELECT record FROM moved) AND m.record NOT IN (SELECT record FROM shared_now)
    """)
    context.own_stage()
    context.run("""
        UPDATE stage_copy SET flow = m.flow FROM member AS m
        WHERE m.record = stage_copy.record AND stage_copy.flow IS NOT NULL AND m.flow <> stage_copy.flow
    """)
