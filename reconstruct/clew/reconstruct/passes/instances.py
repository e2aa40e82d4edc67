"""Runs of one reused ID: part of fold, for definitions that say ``reuse``.

A start whose last start or end before it is an end opens the next run. Each start stands
in the run that is open at its time. A record that follows from a start, by however many
causes, messages and parents, stands in the run of the nearest one: causal edges outrank
time. What follows from none stands in the run that was open at its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.keys import quoted

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context


def split_runs(context: Context) -> None:
    """Change ``member.flow`` to the run's; leave ``run_now(base, flow, number, since)``.

    ``rerun(base)`` are the IDs whose runs are told anew. Stored records that change their
    run are in ``moved`` or, shared ones, in ``shared_now`` and ``component``; ``stage`` is
    updated. The first run keeps the ID's own flow.
    """
    context.run(
        "CREATE OR REPLACE TEMP TABLE run_now (base UBIGINT, flow UBIGINT, number INTEGER, since TIMESTAMP)"
    )
    context.run("CREATE OR REPLACE TEMP TABLE rerun (base UBIGINT)")
    borders = [
        f"({quoted(event)}, {quoted(role)})"
        for definition in context.definitions
        if definition.reuse
        for role, events in (
            ("start", definition.start),
            ("end", tuple(event for event, _ in definition.ends)),
        )
        for event in events
    ]
    if not borders:
        return
    _join_runs(context)
    _open_runs(context, borders)
    context.run("INSERT INTO rerun SELECT DISTINCT base FROM run_now WHERE base NOT IN (FROM rerun)")
    if not context.count("SELECT count(*) FROM rerun"):
        return
    if context.count("SELECT count(*) FROM run_now"):
        _follow_starts(context)
        _separate(context)
    _place(context)


def _join_runs(context: Context) -> None:
    """Take stored runs for one flow again, since more records may tell them apart otherwise."""
    context.run("""
        INSERT INTO rerun
        SELECT DISTINCT i.base FROM store.instances AS i SEMI JOIN touched USING (flow)
    """)
    context.run("""
        UPDATE member SET flow = i.base FROM store.instances AS i WHERE i.flow = member.flow AND i.number > 1
    """)


def _open_runs(context: Context, borders: list[str]) -> None:
    """``border``: each start and end, one row for an event however many records tell of it.

    A handling of an event that has no ID tells nothing of when the event was.
    """
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE border AS
        SELECT m.flow AS base, b.role, m.event_h, CASE WHEN m.event_h IS NULL THEN m.record END AS record,
            min(m.moment) AS moment
        FROM told AS m JOIN (VALUES {", ".join(borders)}) AS b(event, role) ON b.event = m.name
        WHERE m.kind <> 'dead_letter' AND NOT (m.handles AND m.event_h IS NULL)
        GROUP BY ALL HAVING moment IS NOT NULL
    """)
    context.run("""
        INSERT INTO run_now
        WITH
            ordered AS (
                SELECT base, moment, role,
                    lag(role) OVER (PARTITION BY base ORDER BY moment, role) AS before
                FROM border
            ),
            opening AS (
                SELECT base, moment, 1 + row_number() OVER (PARTITION BY base ORDER BY moment) AS number
                FROM ordered WHERE role = 'start' AND before = 'end'
            )
        SELECT base, hash(base, number), number::INTEGER, moment FROM opening
        UNION ALL
        SELECT DISTINCT base, base, 1, NULL::TIMESTAMP FROM opening
    """)


def _follow_starts(context: Context) -> None:
    """``numbered(base, record, number)``: the run of every member of a reused ID."""
    context.run("""
        CREATE OR REPLACE TEMP TABLE candidate AS
        SELECT m.flow AS base, m.record, m.event_h, m.cause_h, m.span_h, m.parent_h,
            1 + count(r.since) AS by_time
        FROM member AS m
        LEFT JOIN run_now AS r ON r.base = m.flow AND r.since <= m.moment
        WHERE m.flow IN (SELECT base FROM run_now)
        GROUP BY ALL
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE numbered AS
        SELECT c.base, c.record, 1 + count(r.since) AS number
        FROM candidate AS c
        JOIN border AS b
          ON b.base = c.base AND b.role = 'start' AND (b.event_h = c.event_h OR b.record = c.record)
        LEFT JOIN run_now AS r ON r.base = c.base AND r.since <= b.moment
        GROUP BY ALL
    """)
    context.run("DELETE FROM candidate WHERE (base, record) IN (SELECT (base, record) FROM numbered)")
    context.run("""
        CREATE OR REPLACE TEMP TABLE fresh AS SELECT n.*, m.event_h, m.span_h
        FROM numbered AS n JOIN member AS m ON m.record = n.record AND m.flow = n.base
    """)
    while context.count("SELECT count(*) FROM fresh"):
        context.run("""
            CREATE OR REPLACE TEMP TABLE reached AS
            SELECT base, record, number FROM (
                SELECT c.base, c.record, f.number, 1 AS strength
                FROM candidate AS c JOIN fresh AS f ON f.base = c.base AND f.event_h = c.cause_h
                UNION ALL
                SELECT c.base, c.record, f.number, 2
                FROM candidate AS c JOIN fresh AS f ON f.base = c.base AND f.event_h = c.event_h
                UNION ALL
                SELECT c.base, c.record, f.number, 3
                FROM candidate AS c JOIN fresh AS f ON f.base = c.base AND f.span_h = c.span_h
                UNION ALL
                SELECT c.base, c.record, f.number, 4
                FROM candidate AS c JOIN fresh AS f ON f.base = c.base AND f.span_h = c.parent_h
            )
            QUALIFY row_number() OVER (PARTITION BY base, record ORDER BY strength, number) = 1
        """)
        context.run("""
            CREATE OR REPLACE TEMP TABLE fresh AS
            SELECT r.base, r.record, r.number, c.event_h, c.span_h
            FROM reached AS r JOIN candidate AS c USING (base, record)
        """)
        context.run("INSERT INTO numbered SELECT base, record, number FROM fresh")
        context.run("DELETE FROM candidate WHERE (base, record) IN (SELECT (base, record) FROM fresh)")
    context.run("INSERT INTO numbered SELECT base, record, by_time FROM candidate")


def _separate(context: Context) -> None:
    context.run("""
        UPDATE member SET flow = r.flow
        FROM numbered AS n JOIN run_now AS r ON r.base = n.base AND r.number = n.number
        WHERE n.number > 1 AND member.record = n.record AND member.flow = n.base
    """)


def _place(context: Context) -> None:
    """Tell the store and ``stage`` of every record of these IDs in which run it stands now."""
    context.run("""
        CREATE OR REPLACE TEMP TABLE placed AS
        SELECT m.record, m.flow, m.evidence, m.shared, coalesce(r.base, m.flow) AS base
        FROM member AS m LEFT JOIN run_now AS r USING (flow)
        WHERE coalesce(r.base, m.flow) IN (SELECT base FROM rerun)
    """)
    context.run("""
        UPDATE moved SET flow = p.flow FROM placed AS p WHERE p.record = moved.record AND NOT p.shared
    """)
    context.run("""
        INSERT INTO moved
        SELECT p.record, p.flow, p.evidence
        FROM placed AS p JOIN older AS r USING (record)
        WHERE NOT p.shared AND r.flow <> p.flow AND p.record NOT IN (SELECT record FROM moved)
    """)
    context.run("""
        UPDATE stage SET flow = p.flow FROM placed AS p
        WHERE p.record = stage.record AND NOT p.shared
    """)
    context.run("""
        INSERT INTO shared_now
        SELECT s.record, s.flow, s.evidence FROM store.shared AS s
        WHERE s.record IN (SELECT record FROM placed WHERE shared)
          AND s.record NOT IN (SELECT record FROM component)
    """)
    context.run("""
        INSERT INTO component
        SELECT DISTINCT record FROM placed WHERE shared AND record NOT IN (SELECT record FROM component)
    """)
    context.run("""
        UPDATE shared_now SET flow = p.flow
        FROM placed AS p LEFT JOIN store.instances AS was ON was.base = p.base
        WHERE p.shared AND shared_now.record = p.record AND shared_now.flow IN (p.base, was.flow)
    """)
