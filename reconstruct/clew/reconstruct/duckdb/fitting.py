"""How well definitions fit flows: each deviation of each flow, set-wise, and how many flows have it.

The rules are those that judge (:mod:`clew.reconstruct.passes.rules`), asked more: what a flow that
was completed lacks, and of what was seen whether it came in its order, in time, and not too often.
What an effect's clock dates before its cause counts right after it. :func:`collect` reads the store
within a turn; :func:`fitness` needs it no more. Both need ``chosen`` and ``told`` of
:mod:`clew.reconstruct.duckdb.step_table`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.holding import SOURCES
from clew.reconstruct.duckdb.sequences import ROUNDS
from clew.reconstruct.duckdb.step_table import KINDS
from clew.reconstruct.keys import KeyNames
from clew.reconstruct.model import Settings
from clew.reconstruct.passes.context import Context
from clew.reconstruct.passes.rule_tables import put_rules
from clew.reconstruct.passes.rules import (
    BACK,
    DUE,
    END,
    FACTS,
    FORWARD,
    NOTHING,
    OCCURRENCES,
    OUTCOME,
    STARTS,
    TELLING,
    name_emitters,
)
from clew.reconstruct.reports import Deviation, Fitness, Misfit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import duckdb

    from clew.reconstruct.definitions import Definition

MOST = 1_000
"""Deviations of one type that are told."""
HANDLING, SPAN = KINDS.index("handling"), KINDS.index("span")
COMPLETED = OUTCOME["completed"]

MEMBERS = f"""
    CREATE OR REPLACE TEMP TABLE member AS
    SELECT flow, record, series, unit, span_h, moment, cause_h,
        CASE WHEN by_span THEN 'span' ELSE 'log' END AS kind, role = {HANDLING} AS handles
    FROM report.told
    WHERE series IN (SELECT series FROM telling) OR (unit IS NOT NULL AND role <> {HANDLING});
"""

CAUSED = """
    CREATE OR REPLACE TEMP TABLE caused AS
    SELECT flow, coalesce(unit, CASE WHEN kind = 'span' THEN span_h END, record) AS event, min(cause_h) AS cause
    FROM member WHERE cause_h IS NOT NULL GROUP BY ALL HAVING cause <> event;
"""

AFTER_CAUSES = """
    UPDATE occurrence SET time = before.time + 1
    FROM (
        SELECT c.flow, c.event, min(o.time) AS time
        FROM caused AS c JOIN occurrence AS o ON o.flow = c.flow AND o.event = c.cause
        WHERE o.time > 0 GROUP BY c.flow, c.event
    ) AS before
    WHERE before.flow = occurrence.flow AND before.event = occurrence.event
      AND occurrence.time > 0 AND occurrence.time <= before.time
"""

ENDS = """
    CREATE OR REPLACE TEMP TABLE said_end AS
    SELECT flow, last[1] AS time, last[2] AS outcome, last[3] AS name
    FROM (
        SELECT d.flow, max(ROW(o.time, n.outcome, n.event)) AS last
        FROM defined_flow AS d JOIN occurrence AS o USING (flow) JOIN rule_name AS n USING (number, definition)
        WHERE n.role = 'end' GROUP BY d.flow
    );
"""

CLAUSES = """
    -- Rules that are ends: what comes after one is told of what comes, not of the end.
    CREATE OR REPLACE TEMP TABLE end_rule AS
    SELECT DISTINCT n.number FROM rule_name AS n JOIN rule_name AS e USING (definition, event)
    WHERE n.role = 'rule' AND e.role = 'end';

    -- Of each rule that was seen what it waits for, and since when it had that.
    CREATE OR REPLACE TEMP TABLE began AS
    SELECT flow, rule, min(time) AS first, count(*) AS times FROM hit WHERE time > 0 GROUP BY flow, rule;

    CREATE OR REPLACE TEMP TABLE awaited AS
    SELECT flow, rule, clause, had[1] AS holds, had[2] AS other
    FROM (
        SELECT c.flow, c.rule, x.clause, bool_or(x.kind = 'when' AND b.branch IS NULL) AS void,
            list_sort(list(ROW(s.done, x.other)) FILTER (s.done IS NOT NULL))[any_value(x.needs)] AS had
        FROM began AS c
        JOIN rule_edge AS x ON x.rule = c.rule AND x.kind IN ('of', 'when')
        LEFT JOIN seen AS s ON x.kind = 'of' AND s.flow = c.flow AND s.rule = x.other
        LEFT JOIN begun AS b ON x.kind = 'when' AND b.flow = c.flow AND b.branch = x.other
        GROUP BY c.flow, c.rule, x.clause
    )
    WHERE NOT void;
"""

SOUGHT = f"""
    -- What a flow tells of, by the identity that its records give it: whether its definition has
    -- the name, and whether it is one of the definition's events.
    CREATE OR REPLACE TEMP TABLE stranger AS
    WITH
        known AS (SELECT DISTINCT n.definition, t.series FROM telling AS t JOIN rule_name AS n USING (number)),
        mine AS (
            SELECT DISTINCT o.flow, o.event
            FROM occurrence AS o JOIN defined_flow AS d USING (flow) JOIN rule_name AS n USING (number, definition)
        ),
        sighted AS (
            SELECT t.flow, coalesce(t.unit, CASE WHEN t.by_span THEN t.span_h END, t.record) AS event,
                bool_or(k.series IS NOT NULL) AS named, bool_and(t.role = {HANDLING}) AS heard,
                min(ROW(r.name_rank, r.name_no)) AS name, min(r.service_no) FILTER (t.role <> {HANDLING}) AS service_no
            FROM report.told AS t JOIN report.trait AS r USING (series) JOIN defined_flow AS d ON d.flow = t.flow
            LEFT JOIN known AS k ON k.definition = d.definition AND k.series = t.series
            WHERE t.role <> {SPAN} AND (t.unit IS NOT NULL OR NOT t.by_span)
            GROUP BY ALL
        )
    SELECT s.flow, w.text AS step, CASE WHEN s.named THEN v.text END AS other
    FROM sighted AS s
    ANTI JOIN mine AS m ON m.flow = s.flow AND m.event = s.event
    JOIN report.word AS w ON w.no = s.name[2]
    LEFT JOIN report.word AS v ON v.no = s.service_no
    WHERE s.name[1] < 2 AND NOT (s.named AND s.heard);
"""

HORIZON = f"""
    -- Up to when each scope was read, where a source that still tells lags behind: what is due later is not missing.
    CREATE OR REPLACE TEMP TABLE horizon AS
    SELECT c.scope, min(r.mark) AS until FROM ({SOURCES}) AS r JOIN store.scopes AS c USING (scope_no)
    WHERE r.mark < $as_of AND r.mark >= $silent GROUP BY c.scope
"""

DEVIATIONS = f"""
    CREATE OR REPLACE TEMP TABLE deviation AS
    SELECT DISTINCT flow, kind, step, other FROM (
        SELECT d.flow, '{Misfit.MISSING}' AS kind, d.name AS step, NULL::VARCHAR AS other
        FROM due AS d JOIN report.chosen AS c USING (flow) LEFT JOIN said_end AS e USING (flow)
        LEFT JOIN horizon AS h ON h.scope = c.scope
        WHERE e.flow IS NOT NULL
           OR d.since + to_microseconds(coalesce(d.limit_us, $limit_us)) < $as_of
          AND d.since + to_microseconds(coalesce(d.limit_us, $limit_us)) <= coalesce(h.until, $as_of)
        UNION ALL
        SELECT flow, '{Misfit.UNEXPECTED}', step, other FROM stranger
        UNION ALL
        SELECT b.flow, '{Misfit.ORDER}', r.name, o.name
        FROM began AS b JOIN awaited AS a ON a.flow = b.flow AND a.rule = b.rule AND b.first < a.holds
        JOIN rule AS r ON r.number = b.rule JOIN rule AS o ON o.number = a.other
        WHERE b.rule NOT IN (FROM end_rule)
        UNION ALL
        SELECT b.flow, '{Misfit.ORDER}', r.name, s.name
        FROM began AS b JOIN defined_flow AS d ON d.flow = b.flow AND b.first < d.since
        JOIN rule AS r ON r.number = b.rule
        JOIN (
            SELECT definition, string_agg(event, ' or ' ORDER BY number) AS name FROM rule_name
            WHERE role = 'start' GROUP BY definition
        ) AS s ON s.definition = d.definition
        UNION ALL
        SELECT h.flow, '{Misfit.AFTER_END}', r.name, e.name
        FROM hit AS h JOIN said_end AS e ON e.flow = h.flow AND e.time > 0 AND h.time > e.time
        JOIN rule AS r ON r.number = h.rule AND r.role = 'step'
        WHERE h.rule NOT IN (SELECT rule FROM rule_edge WHERE kind = 'undoes')
        UNION ALL
        SELECT b.flow, '{Misfit.REPEATS}', r.name, NULL
        FROM (SELECT flow, rule, count(*) AS times FROM hit GROUP BY flow, rule) AS b
        JOIN rule AS r ON r.number = b.rule AND b.times > r.at_most
        UNION ALL
        SELECT flow, '{Misfit.CHOICE}', names[1], array_to_string(names[2:], ' and ')
        FROM (
            SELECT flow, choice, list(name ORDER BY branch) AS names
            FROM (
                SELECT s.flow, b.choice, b.number AS branch, arg_min(r.name, r.number) AS name
                FROM seen AS s JOIN rule_branch AS b ON b.begun_by = s.rule AND b.choice IS NOT NULL
                JOIN rule AS r ON r.number = s.rule
                GROUP BY s.flow, b.choice, b.number
            )
            GROUP BY flow, choice HAVING count(*) > 1
        )
        UNION ALL
        SELECT s.flow, '{Misfit.LATE}', r.name, NULL
        FROM seen AS s JOIN rule AS r ON r.number = s.rule AND r.role = 'step' AND s.done > 0
        JOIN defined_flow AS d ON d.flow = s.flow AND d.since > 0
        LEFT JOIN (
            SELECT flow, rule, max(holds) AS holds, bool_and(holds IS NOT NULL) AS ready FROM awaited
            GROUP BY flow, rule
        ) AS a ON a.flow = s.flow AND a.rule = s.rule
        WHERE coalesce(a.ready, true) AND s.done > greatest(d.since, a.holds) + r.limit_us
          AND s.rule NOT IN (SELECT rule FROM rule_edge WHERE kind = 'undoes')
        UNION ALL
        SELECT e.flow, '{Misfit.LATE}', NULL, NULL
        FROM defined_end AS e JOIN defined_flow AS d USING (flow) JOIN rule_flow AS f USING (definition)
        WHERE e.outcome = {COMPLETED} AND d.since > 0 AND epoch_us(e.moment) > d.since + f.limit_us
        UNION ALL
        SELECT c.flow, '{Misfit.ENDED}', c.status, NULL
        FROM report.chosen AS c SEMI JOIN defined_flow AS d USING (flow)
        ANTI JOIN defined_end AS e USING (flow)
        WHERE c.status IN ('dead_lettered', 'failed', 'cancelled', 'compensated')
    )
"""

NUMBERS = """
    SELECT d.definition, count(*), count(*) FILTER (e.flow IS NULL),
        count(*) FILTER (d.flow NOT IN (SELECT flow FROM deviation WHERE NOT list_contains($ignoring, kind)))
    FROM defined_flow AS d
    LEFT JOIN (FROM defined_end WHERE outcome <> $compensating) AS e USING (flow)
    GROUP BY d.definition
"""

TOLD = """
    SELECT d.definition, v.kind, v.step, v.other, count(*) AS flows, max(ROW(c.started, c.flow_id, c.scope)) AS example,
        count(*) OVER (PARTITION BY d.definition) AS kinds
    FROM deviation AS v JOIN defined_flow AS d USING (flow) JOIN report.chosen AS c USING (flow)
    GROUP BY d.definition, v.kind, v.step, v.other
    QUALIFY row_number() OVER (
        PARTITION BY d.definition ORDER BY count(*) DESC, v.kind, v.step NULLS FIRST, v.other NULLS FIRST
    ) <= $most
    ORDER BY d.definition, flows DESC, v.kind, v.step NULLS FIRST, v.other NULLS FIRST
"""

MADE = """
    telling teller horizon member caused occurrence defined_flow told_end hit seen begun undoing turned left_over
    well owing due defined_end said_end end_rule began awaited stranger deviation
"""
"""What is dropped once the answer is read."""


def collect(
    connection: duckdb.DuckDBPyConnection,
    definitions: Sequence[Definition],
    as_of: datetime | None,
    settings: Settings,
) -> Context:
    """Make tables of the definitions, of which series tell of their events, and of how far was read. Needs the turn."""
    context = Context(
        connection=connection,
        scope="",
        scope_no=0,
        first=0,
        names=KeyNames.of(Settings()),
        definitions=tuple(definitions),
        limit_us=settings.limit_us,
        arrival=datetime.now(UTC).replace(tzinfo=None),
    )
    put_rules(context)
    connection.execute(TELLING)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE teller AS SELECT series, service, kind FROM store.series"
    )
    context.run(HORIZON, {"as_of": as_of, "silent": as_of and as_of - settings.silent_after})
    return context


def fitness(context: Context, as_of: datetime | None, ignoring: Collection[Misfit] = ()) -> list[Fitness]:
    """One for each definition, in their order. ``as_of`` is naive UTC; None lets no deadline pass.

    Deviations of a kind in ``ignoring`` are told, and do not count against a flow.
    """
    connection = context.connection
    _follow(context)
    for made in (ENDS, CLAUSES, SOUGHT):
        connection.execute(made)
    context.run(DEVIATIONS, {"limit_us": context.limit_us, "as_of": as_of})
    numbers = {
        row[0]: row[1:]
        for row in connection.execute(
            NUMBERS, {"ignoring": [str(kind) for kind in ignoring], "compensating": OUTCOME["compensating"]}
        ).fetchall()
    }
    told: dict[int, list[tuple[Deviation, int]]] = {}
    for definition, kind, step, other, flows, example, kinds in connection.execute(
        TOLD, {"most": MOST}
    ).fetchall():
        share = flows / numbers[definition][0]
        deviation = Deviation(Misfit(kind), step, other, flows, share, example[1], example[2])
        told.setdefault(definition, []).append((deviation, kinds))
    for table in MADE.split():
        connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
    found = []
    for number, definition in enumerate(context.definitions, 1):
        flows, going_on, fits = numbers.get(number, (0, 0, 0))
        listed = told.get(number, [])
        found.append(
            Fitness(
                type=definition.name,
                flows=flows,
                fits=fits,
                fitness=fits / flows if flows else None,
                going_on=going_on,
                deviations=tuple(deviation for deviation, _ in listed),
                truncated=(listed[0][1] if listed else 0) - len(listed),
            )
        )
    return found


def _follow(context: Context) -> None:
    """The rules' own tables, where ``due`` tells also what flows lack that were completed."""
    connection = context.connection
    for made in (NOTHING, MEMBERS, OCCURRENCES, CAUSED):
        connection.execute(made)
    name_emitters(context, "teller")
    for _ in range(ROUNDS):
        if not context.count(AFTER_CAUSES):
            break
    connection.execute(STARTS)
    connection.execute(FACTS)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE well AS FROM told_end WHERE outcome = {COMPLETED}")
    connection.execute(f"DELETE FROM told_end WHERE outcome = {COMPLETED}")
    connection.execute(FORWARD)
    connection.execute("INSERT INTO told_end FROM well")
    connection.execute(BACK)
    context.run(DUE, {"limit_us": context.limit_us})
    context.run(END)
