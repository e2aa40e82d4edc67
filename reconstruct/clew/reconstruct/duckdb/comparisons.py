"""Two windows of flows compared: types, steps, errors, schema versions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clew.reconstruct import significance
from clew.reconstruct.detail import StepKind
from clew.reconstruct.duckdb.step_table import KINDS
from clew.reconstruct.duckdb.type_reports import GOING_ON, TOOK
from clew.reconstruct.model import FlowFilter, Status
from clew.reconstruct.reports import Change, Comparison, Measure, Side, Window

if TYPE_CHECKING:
    import duckdb

BUCKETS = 8
"""Of a histogram of durations, for each doubling."""
SEEN = 3
"""Flows in which an error type or schema version is seen that is no accident."""

_ENDED = f"status NOT IN ({', '.join(repr(str(status)) for status in GOING_ON)})"
_STEP = "type_no, kind, name_no, service_no"


def span_of(which: FlowFilter, before: Window, after: Window) -> FlowFilter:
    """``which``, narrowed to what either window may hold: flows are chosen by their start afterwards."""
    sinces, untils = [before.since, after.since], [before.until, after.until]
    since = None if None in sinces else min(one for one in sinces if one is not None)
    until = None if None in untils else max(one for one in untils if one is not None)
    if which.since is not None:
        since = which.since if since is None else max(since, which.since)
    if which.until is not None:
        until = which.until if until is None else min(until, which.until)
    return replace(which, since=since, until=until)


def collect(connection: duckdb.DuckDBPyConnection, before: Window, after: Window) -> None:
    """Make ``side(flow, type_no, after, …)`` and ``mark``: error types and schema versions. Needs the turn."""
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE report.side AS
        SELECT flow, type_no, {_within("$3", "$4")} AS after, status, {TOOK} AS took
        FROM report.chosen AS c WHERE {_within("$1", "$2")} OR {_within("$3", "$4")}
        """,
        [_naive(before.since), _naive(before.until), _naive(after.since), _naive(after.until)],
    ).fetchall()
    connection.execute(f"""
        CREATE OR REPLACE TABLE report.mark AS
        WITH marked AS (
            SELECT series, '{Measure.ERROR_TYPE}' AS measure, NULL AS about, error_type AS mark FROM store.series
            WHERE error_type IS NOT NULL
            UNION ALL
            SELECT series, '{Measure.SCHEMA_VERSION}', coalesce(name, destination, '(unnamed)'), schema_version
            FROM store.series WHERE schema_version IS NOT NULL
        )
        SELECT s.type_no, s.after, m.measure, m.about, m.mark, grouping(m.mark) = 1 AS whole,
            count(DISTINCT s.flow) AS flows
        FROM store.records AS r JOIN report.side AS s USING (flow) JOIN marked AS m USING (series)
        GROUP BY GROUPING SETS (
            (s.type_no, s.after, m.measure, m.about, m.mark), (s.type_no, s.after, m.measure, m.about)
        )
    """).fetchall()


def compare(connection: duckdb.DuckDBPyConnection) -> Comparison:
    """Read ``side``, ``mark`` and ``step``."""
    ((before, after),) = connection.execute(
        "SELECT count(*) FILTER (NOT after), count(*) FILTER (after) FROM report.side"
    ).fetchall()
    changes = [*_shares(connection), *_marks(connection), *_durations(connection)]
    changes.sort(key=_weight)
    return Comparison(before, after, tuple(changes))


def _within(since: str, until: str) -> str:
    return (
        f"coalesce((started >= {since}::TIMESTAMP OR {since} IS NULL) "
        f"AND (started < {until}::TIMESTAMP OR {until} IS NULL), false)"
    )


def _naive(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC).replace(tzinfo=None) if value is not None and value.tzinfo else value


def _shares(connection: duckdb.DuckDBPyConnection) -> list[Change]:
    """Success of types; how many flows have a step, and how often it errs."""
    rows = connection.execute(f"""
        WITH
            sized AS (
                SELECT type_no, count(*) FILTER (NOT after) AS before, count(*) FILTER (after) AS after
                FROM report.side GROUP BY type_no
            ),
            seen AS (
                SELECT s.{_STEP.replace(", ", ", s.")},
                    count(DISTINCT s.flow) FILTER (NOT f.after) AS before,
                    count(DISTINCT s.flow) FILTER (f.after) AS after,
                    count(*) FILTER (NOT f.after) AS steps_before, count(*) FILTER (f.after) AS steps_after,
                    count(*) FILTER (bad AND NOT f.after) AS bad_before,
                    count(*) FILTER (bad AND f.after) AS bad_after
                FROM report.step AS s JOIN report.side AS f USING (flow) GROUP BY ALL
            ),
            compared AS (
                SELECT type_no, NULL AS kind, NULL AS name_no, NULL AS service_no, '{Measure.SUCCESS}' AS measure,
                    count(*) FILTER (NOT after AND status = '{Status.COMPLETED}'),
                    count(*) FILTER (NOT after AND {_ENDED}),
                    count(*) FILTER (after AND status = '{Status.COMPLETED}'),
                    count(*) FILTER (after AND {_ENDED})
                FROM report.side GROUP BY type_no
                UNION ALL
                SELECT {_STEP}, '{Measure.SHARE}', s.before, z.before, s.after, z.after
                FROM seen AS s JOIN sized AS z USING (type_no)
                UNION ALL
                SELECT {_STEP}, '{Measure.ERRORS}', bad_before, steps_before, bad_after, steps_after FROM seen
            )
        SELECT k.type, c.kind, w.text, v.text, c.* EXCLUDE ({_STEP})
        FROM compared AS c JOIN report.kinds AS k USING (type_no)
        LEFT JOIN report.word AS w ON w.no = c.name_no LEFT JOIN report.word AS v ON v.no = c.service_no
    """).fetchall()
    return [
        _of_shares(type_, kind, name, service, Measure(measure), *counts)
        for type_, kind, name, service, measure, *counts in rows
    ]


def _marks(connection: duckdb.DuckDBPyConnection) -> list[Change]:
    """Flows with an error of each type; and, of the flows with an event, those with each version of it."""
    rows = connection.execute(f"""
        WITH
            sized AS (
                SELECT type_no, '{Measure.ERROR_TYPE}' AS measure, NULL AS about, after, count(*) AS flows
                FROM report.side GROUP BY type_no, after
                UNION ALL
                SELECT type_no, measure, about, after, flows FROM report.mark
                WHERE whole AND measure = '{Measure.SCHEMA_VERSION}'
            ),
            of AS (
                SELECT type_no, measure, about,
                    coalesce(sum(flows) FILTER (NOT after), 0)::BIGINT AS before,
                    coalesce(sum(flows) FILTER (after), 0)::BIGINT AS after
                FROM sized GROUP BY ALL
            ),
            counted AS (
                SELECT type_no, measure, about, mark,
                    coalesce(sum(flows) FILTER (NOT after), 0)::BIGINT AS before,
                    coalesce(sum(flows) FILTER (after), 0)::BIGINT AS after
                FROM report.mark WHERE NOT whole GROUP BY ALL
            )
        SELECT k.type, concat_ws(' ', m.about, m.mark), m.measure, m.before, o.before, m.after, o.after
        FROM counted AS m JOIN report.kinds AS k USING (type_no)
        JOIN of AS o ON o.type_no = m.type_no AND o.measure = m.measure AND o.about IS NOT DISTINCT FROM m.about
    """).fetchall()
    found = []
    for type_, mark, measure, *counts in rows:
        change = _of_shares(type_, None, mark, None, Measure(measure), *counts)
        # One that was never there before is news however rare it is.
        new = (
            change.appeared and change.before.of >= significance.SUPPORT and (change.after.count or 0) >= SEEN
        )
        found.append(replace(change, significant=change.significant or new))
    return found


def _of_shares(
    type_: str,
    kind: int | None,
    name: str | None,
    service: str | None,
    measure: Measure,
    *counts: int,
) -> Change:
    count_before, before, count_after, after = counts
    verdict = significance.of_shares(count_before, before, count_after, after)
    sides = [
        Side(of=of, count=count, share=count / of if of else None, p50_us=None, p95_us=None)
        for count, of in ((count_before, before), (count_after, after))
    ]
    presence = measure in {Measure.SHARE, Measure.ERROR_TYPE, Measure.SCHEMA_VERSION}
    return Change(
        type=type_,
        kind=None if kind is None else StepKind(KINDS[kind]),
        name=name,
        service=service,
        measure=measure,
        before=sides[0],
        after=sides[1],
        difference=None if not before or not after else count_after / after - count_before / before,
        z=verdict.z if verdict else None,
        effect=verdict.effect if verdict else None,
        significant=bool(verdict and verdict.significant),
        appeared=presence and bool(before) and not count_before and bool(count_after),
        vanished=presence and bool(after) and bool(count_before) and not count_after,
    )


def _durations(connection: duckdb.DuckDBPyConnection) -> list[Change]:
    """Durations of completed flows, waits and work of steps: medians, and a rank test on histograms."""
    rows = connection.execute(f"""
        WITH
            taken AS (
                SELECT type_no, NULL AS kind, NULL AS name_no, NULL AS service_no, '{Measure.DURATION}' AS measure,
                    after, took AS us
                FROM report.side WHERE status = '{Status.COMPLETED}' AND took IS NOT NULL
                UNION ALL
                SELECT s.{_STEP.replace(", ", ", s.")}, '{Measure.WAIT}', f.after, s.wait_us
                FROM report.step AS s JOIN report.side AS f USING (flow) WHERE s.wait_us IS NOT NULL
                UNION ALL
                SELECT s.{_STEP.replace(", ", ", s.")}, '{Measure.WORK}', f.after, s.work_us
                FROM report.step AS s JOIN report.side AS f USING (flow) WHERE s.work_us IS NOT NULL
            ),
            bucketed AS (
                SELECT {_STEP}, measure, floor({BUCKETS} * log2(greatest(us, 0) + 1)) AS bucket,
                    count(*) FILTER (NOT after) AS before, count(*) FILTER (after) AS after
                FROM taken GROUP BY ALL
            ),
            ranked AS (
                SELECT *, coalesce(sum(before) OVER (
                    PARTITION BY {_STEP}, measure ORDER BY bucket
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ), 0) AS shorter
                FROM bucketed
            ),
            tested AS (
                SELECT {_STEP}, measure,
                    (sum(after::DOUBLE * (shorter + before / 2))
                        / nullif(sum(before)::DOUBLE * sum(after), 0)) AS longer,
                    sum((before + after)::DOUBLE ** 3 - (before + after)) AS ties
                FROM ranked GROUP BY {_STEP}, measure
            ),
            spreads AS (
                SELECT {_STEP}, measure,
                    count(*) FILTER (NOT after) AS before, count(*) FILTER (after) AS after,
                    quantile_disc(us, [0.5, 0.95]) FILTER (NOT after) AS was,
                    quantile_disc(us, [0.5, 0.95]) FILTER (after) AS became
                FROM taken GROUP BY {_STEP}, measure
            )
        SELECT k.type, s.kind, w.text, v.text, s.measure, s.before, s.after, s.was, s.became, t.longer, t.ties
        FROM spreads AS s JOIN tested AS t
          ON t.type_no = s.type_no AND t.measure = s.measure AND t.kind IS NOT DISTINCT FROM s.kind
         AND t.name_no IS NOT DISTINCT FROM s.name_no AND t.service_no IS NOT DISTINCT FROM s.service_no
        JOIN report.kinds AS k ON k.type_no = s.type_no
        LEFT JOIN report.word AS w ON w.no = s.name_no LEFT JOIN report.word AS v ON v.no = s.service_no
    """).fetchall()
    return [_of_durations(row) for row in rows]


def _of_durations(row: tuple[Any, ...]) -> Change:
    type_, kind, name, service, measure, before, after, was, became, longer, ties = row
    verdict = significance.of_durations(before, after, longer or 0.0, ties)
    sides = [
        Side(
            of=of,
            count=None,
            share=None,
            p50_us=None if not taken else int(taken[0]),
            p95_us=None if not taken else int(taken[1]),
        )
        for of, taken in ((before, was), (after, became))
    ]
    return Change(
        type=type_,
        kind=None if kind is None else StepKind(KINDS[kind]),
        name=name,
        service=service,
        measure=Measure(measure),
        before=sides[0],
        after=sides[1],
        difference=float(became[0] - was[0]) if was and became else None,
        z=verdict.z if verdict else None,
        effect=verdict.effect if verdict else None,
        significant=bool(verdict and verdict.significant),
        appeared=False,
        vanished=False,
    )


def _weight(change: Change) -> tuple[Any, ...]:
    """The significant first, then by how sure and by what is compared."""
    return (
        not change.significant,
        -abs(change.z or 0.0),
        change.type,
        change.measure,
        change.name or "",
        change.service or "",
        str(change.kind or ""),
    )
