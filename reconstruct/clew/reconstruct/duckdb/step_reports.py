"""Where the time of a type's flows goes, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.detail import StepKind
from clew.reconstruct.duckdb.spreads import spread, to_spread
from clew.reconstruct.duckdb.step_table import KINDS, WORK
from clew.reconstruct.reports import StepReport, WorkFrom

if TYPE_CHECKING:
    import duckdb


def steps(connection: duckdb.DuckDBPyConnection) -> list[StepReport]:
    """Read ``chosen`` and ``step``: what took the most time first, ties by type, name, service and kind."""
    rows = connection.execute(f"""
        WITH
            sized AS (SELECT type_no, count(*) AS flows FROM report.chosen GROUP BY type_no),
            measured AS (
                SELECT type_no, kind, name_no, service_no, count(*) AS number, count(DISTINCT flow) AS flows,
                    count(*) FILTER (bad) AS errors, count(*) FILTER (attempt > 1) AS retries,
                    {spread("wait", "wait_us")}, {spread("work", "work_us")},
                    list_sort(list(DISTINCT work_from) FILTER (work_from IS NOT NULL)) AS work_from,
                    (coalesce(sum(wait_us), 0) + coalesce(sum(self_us), 0))::BIGINT AS total
                FROM report.step GROUP BY type_no, kind, name_no, service_no
            )
        SELECT k.type, m.kind, w.text, v.text, m.number, m.flows, m.flows / s.flows, m.errors, m.retries,
            m.wait_count, m.wait, m.work_count, m.work, m.work_from, m.total,
            coalesce(m.total / nullif(sum(m.total) OVER (PARTITION BY m.type_no), 0), 0)
        FROM measured AS m JOIN report.kinds AS k USING (type_no) JOIN sized AS s USING (type_no)
        JOIN report.word AS w ON w.no = m.name_no LEFT JOIN report.word AS v ON v.no = m.service_no
        ORDER BY m.total DESC, k.type, w.text, v.text NULLS FIRST, m.kind
    """).fetchall()
    return [
        StepReport(
            type=row[0],
            kind=StepKind(KINDS[row[1]]),
            name=row[2],
            service=row[3],
            count=row[4],
            flows=row[5],
            share=row[6],
            errors=row[7],
            retries=row[8],
            wait=to_spread(row[9], row[10]),
            work=to_spread(row[11], row[12]),
            work_from=tuple(WorkFrom(WORK[number]) for number in row[13] or ()),
            total_us=row[14],
            time_share=float(row[15]),
        )
        for row in rows
    ]
