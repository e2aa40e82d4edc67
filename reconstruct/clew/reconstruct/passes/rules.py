"""What written definitions say of flows: part of judge, over all touched flows at once.

:mod:`clew.reconstruct.owed` is the same for one flow, in Python, and says by which rules; a
property test compares the two. Rules, branches, choices and quorums of all definitions are
numbered together. Times are microseconds since 1970; 0 is a time that nobody told.

An event is one however many records tell of it. It is as old as the first of those that do not
handle it, whose clock is its sender's; else as the first handling. Who emits it is the service of
those that do not handle it, where one of them tells its service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import OUTCOMES
from clew.reconstruct.passes.rule_tables import put_rules

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

OUTCOME = {name: number for number, name in enumerate(OUTCOMES)}

NOTHING = """
    CREATE OR REPLACE TEMP TABLE defined_flow (flow UBIGINT, definition INTEGER, type VARCHAR, since BIGINT);
    CREATE OR REPLACE TEMP TABLE due (
        flow UBIGINT, rules INTEGER[], needs INTEGER, since TIMESTAMP, limit_us BIGINT,
        name VARCHAR, service VARCHAR
    );
    CREATE OR REPLACE TEMP TABLE defined_end (
        flow UBIGINT, outcome UTINYINT, moment TIMESTAMP, reached BOOLEAN, owes BOOLEAN
    );
    CREATE OR REPLACE TEMP TABLE turned (flow UBIGINT, since BIGINT, last BIGINT);
"""

TELLING = """
    -- by_service is NULL where a record does not say its service.
    CREATE OR REPLACE TEMP TABLE telling AS
    SELECT t.series, n.number, n.service IS NULL OR n.service = t.service AS by_service,
        n.service IS NOT NULL AS asks_service,
        len(n.versions) = 0 OR coalesce(list_contains(n.versions, t.schema_version), false) AS of_version
    FROM store.series AS t JOIN rule_name AS n ON n.event = t.name
    WHERE t.kind <> 'dead_letter';
"""

OCCURRENCES = """
    CREATE OR REPLACE TEMP TABLE occurrence AS
    SELECT m.flow, e.number,
        coalesce(m.unit, CASE WHEN m.kind = 'span' THEN m.span_h END, m.record) AS event,
        coalesce(epoch_us(min(m.moment) FILTER (NOT m.handles)), epoch_us(min(m.moment)), 0) AS time,
        bool_and(m.handles AND m.unit IS NULL) AS heard,
        coalesce(bool_or(e.by_service) FILTER (NOT m.handles), bool_or(e.by_service), false) AS by_service,
        bool_and(m.handles AND m.unit IS NOT NULL AND e.asks_service) AS hearsay
    FROM member AS m JOIN telling AS e USING (series)
    GROUP BY ALL
    HAVING bool_or(e.of_version) AND (by_service OR hearsay);
"""

STARTS = """
    DELETE FROM occurrence WHERE NOT by_service;

    -- A handling that does not say of which event is no other event, where the event itself is told.
    DELETE FROM occurrence
    WHERE heard AND (flow, number) IN (SELECT (flow, number) FROM occurrence WHERE NOT heard);

    CREATE OR REPLACE TEMP TABLE defined_flow AS
    SELECT flow, first[4] AS definition, first[3] AS type, first[2] AS since
    FROM (
        SELECT o.flow, min(ROW(o.time = 0, o.time, f.type, f.definition)) AS first
        FROM occurrence AS o
        JOIN rule_name AS n USING (number)
        JOIN rule_flow AS f USING (definition)
        WHERE n.role = 'start'
        GROUP BY o.flow
    );
"""

FACTS = f"""
    CREATE OR REPLACE TEMP TABLE told_end AS
    SELECT flow, last[1] AS time, last[2] AS outcome
    FROM (
        SELECT d.flow, max(ROW(o.time, n.outcome)) AS last
        FROM defined_flow AS d
        JOIN occurrence AS o USING (flow)
        JOIN rule_name AS n USING (number, definition)
        WHERE n.role = 'end'
        GROUP BY d.flow
    );

    CREATE OR REPLACE TEMP TABLE hit AS
    SELECT d.flow, r.number AS rule, o.time
    FROM defined_flow AS d
    JOIN occurrence AS o USING (flow)
    JOIN rule AS r USING (number, definition);

    CREATE OR REPLACE TEMP TABLE seen AS
    SELECT h.flow, h.rule, max(h.time) AS last,
        CASE WHEN any_value(r.at_least) = 1 THEN min(h.time)
            ELSE list_sort(list(h.time) FILTER (r.at_least > 1))[any_value(r.at_least)] END AS done
    FROM hit AS h JOIN rule AS r ON r.number = h.rule
    GROUP BY h.flow, h.rule;

    CREATE OR REPLACE TEMP TABLE begun AS
    SELECT DISTINCT s.flow, b.number AS branch, b.choice
    FROM seen AS s JOIN rule_branch AS b ON b.begun_by = s.rule;

    -- Undoings at or after the last event of what they undo: in force.
    CREATE OR REPLACE TEMP TABLE undoing AS
    SELECT h.flow, x.other AS undone, count(*) >= any_value(r.at_least) AS complete,
        min(h.time) AS first, max(h.time) AS last
    FROM hit AS h
    JOIN rule AS r ON r.number = h.rule
    JOIN rule_edge AS x ON x.rule = h.rule AND x.kind = 'undoes'
    LEFT JOIN seen AS s ON s.flow = h.flow AND s.rule = x.other
    WHERE s.last IS NULL OR h.time = 0 OR h.time >= s.last
    GROUP BY h.flow, x.other, h.rule;

    CREATE OR REPLACE TEMP TABLE turned AS
    SELECT flow, min(first) AS since, max(last) AS last
    FROM (
        SELECT flow, first, last FROM undoing
        UNION ALL
        SELECT e.flow, e.time, e.time
        FROM told_end AS e
        JOIN defined_flow USING (flow)
        JOIN rule_flow AS f USING (definition)
        WHERE f.undoes AND e.outcome = {OUTCOME["compensated"]}
    )
    GROUP BY flow;

    CREATE OR REPLACE TEMP TABLE left_over AS
    SELECT s.flow, s.rule
    FROM seen AS s
    SEMI JOIN turned USING (flow)
    SEMI JOIN rule_edge AS x ON x.kind = 'undoes' AND x.other = s.rule
    ANTI JOIN undoing AS u ON u.complete AND u.flow = s.flow AND u.undone = s.rule;
"""

FORWARD = """
    CREATE OR REPLACE TEMP TABLE owing AS
    WITH
        candidate AS (
            SELECT t.flow, t.since, r.number, r.limit_us, r.quorum, r.needs
            FROM defined_flow AS t
            ANTI JOIN told_end AS e ON e.flow = t.flow
            ANTI JOIN turned AS u ON u.flow = t.flow
            JOIN rule AS r ON r.definition = t.definition AND r.role IN ('step', 'completed')
            ANTI JOIN seen AS s ON s.flow = t.flow AND s.rule = r.number AND s.done IS NOT NULL
        ),
        clause AS (
            SELECT c.flow, c.number, x.clause,
                bool_or(x.kind = 'when' AND b.branch IS NULL) AS void,
                list_sort(list(s.done) FILTER (s.done IS NOT NULL))[any_value(x.needs)] AS holds
            FROM candidate AS c
            JOIN rule_edge AS x ON x.rule = c.number AND x.kind IN ('of', 'when')
            LEFT JOIN seen AS s ON x.kind = 'of' AND s.flow = c.flow AND s.rule = x.other
            LEFT JOIN begun AS b ON x.kind = 'when' AND b.flow = c.flow AND b.branch = x.other
            GROUP BY c.flow, c.number, x.clause
        ),
        ready AS (
            SELECT flow, number, bool_and(void OR holds IS NOT NULL) AS ready,
                max(holds) FILTER (NOT void) AS holds
            FROM clause GROUP BY flow, number
        ),
        choice_of AS (SELECT DISTINCT number AS branch, choice FROM rule_branch),
        decided AS (SELECT DISTINCT flow, choice FROM begun),
        within AS (
            SELECT c.flow, c.number, min(o.choice) FILTER (b.branch IS NULL) AS undecided,
                bool_and(b.branch IS NOT NULL OR o.choice IS NOT NULL AND d.flow IS NULL) AS open
            FROM candidate AS c
            JOIN rule_edge AS x ON x.rule = c.number AND x.kind = 'in'
            JOIN choice_of AS o ON o.branch = x.other
            LEFT JOIN begun AS b ON b.flow = c.flow AND b.branch = x.other
            LEFT JOIN decided AS d ON d.flow = c.flow AND d.choice = o.choice
            GROUP BY c.flow, c.number
        ),
        enough AS (
            SELECT s.flow, r.quorum, count(s.done) AS done
            FROM seen AS s JOIN rule AS r ON r.number = s.rule AND r.quorum IS NOT NULL
            GROUP BY s.flow, r.quorum
        )
    SELECT c.flow, c.number AS rule, greatest(c.since, y.holds) AS since,
        CASE WHEN w.undecided IS NOT NULL THEN 'choice ' || w.undecided
            WHEN c.quorum IS NOT NULL THEN 'quorum ' || c.quorum ELSE 'rule ' || c.number END AS due,
        CASE WHEN w.undecided IS NULL AND c.quorum IS NOT NULL
            THEN c.needs - coalesce(q.done, 0) ELSE 1 END AS needs
    FROM candidate AS c
    LEFT JOIN ready AS y ON y.flow = c.flow AND y.number = c.number
    LEFT JOIN within AS w ON w.flow = c.flow AND w.number = c.number
    LEFT JOIN enough AS q ON q.flow = c.flow AND q.quorum = c.quorum
    WHERE coalesce(w.open, true) AND coalesce(y.ready, true)
"""

BACK = """
    INSERT INTO owing
    WITH
        wanted AS (
            SELECT DISTINCT l.flow, list(x.rule ORDER BY x.rule) AS rules
            FROM left_over AS l JOIN rule_edge AS x ON x.kind = 'undoes' AND x.other = l.rule
            GROUP BY l.flow, l.rule
            UNION ALL
            SELECT u.flow, list(r.number ORDER BY r.number)
            FROM turned AS u
            ANTI JOIN left_over AS l ON l.flow = u.flow
            ANTI JOIN told_end AS e ON e.flow = u.flow
            JOIN defined_flow AS d ON d.flow = u.flow
            JOIN rule AS r ON r.definition = d.definition AND r.tells_undone
            GROUP BY u.flow
        )
    SELECT w.flow, unnest(w.rules), u.last, w.rules::VARCHAR, 1
    FROM wanted AS w JOIN turned AS u USING (flow)
"""

DUE = """
    INSERT INTO due
    WITH
        each AS (
            SELECT o.*, r.name, r.service,
                least(
                    o.since + r.limit_us, CASE WHEN d.since > 0 THEN d.since + f.limit_us END
                ) AS deadline
            FROM owing AS o
            JOIN rule AS r ON r.number = o.rule
            JOIN defined_flow AS d ON d.flow = o.flow
            JOIN rule_flow AS f ON f.definition = d.definition
        ),
        together AS (
            SELECT flow, list(rule ORDER BY rule) AS rules, any_value(needs) AS needs, min(since) AS since,
                -- The default limit is for the question to add, unless alternatives differ.
                CASE WHEN count(deadline) > 0 OR min(since) < max(since)
                    THEN list_sort(list(coalesce(deadline, since + $limit_us)), 'DESC')[any_value(needs)]
                    END AS deadline,
                list(name ORDER BY rule) AS names,
                CASE WHEN count(*) = count(service) AND min(service) = max(service)
                    THEN min(service) END AS service
            FROM each GROUP BY flow, due
        )
    SELECT flow, rules, needs, CASE WHEN since > 0 THEN make_timestamp(since) END, deadline - since,
        CASE WHEN needs > 1 THEN needs || ' of ' || array_to_string(names, ', ')
            ELSE array_to_string(names, ' or ') END,
        service
    FROM together WHERE needs > 0
"""

END = f"""
    INSERT INTO defined_end
    WITH
        stand AS (
            SELECT d.flow, f.by_steps, e.time AS told_at, e.outcome AS told, u.last AS turned_at,
                s.done AS done_at, d.flow IN (SELECT flow FROM left_over) AS half,
                d.flow IN (SELECT flow FROM due) AS owes
            FROM defined_flow AS d
            JOIN rule_flow AS f ON f.definition = d.definition
            LEFT JOIN told_end AS e ON e.flow = d.flow
            LEFT JOIN turned AS u ON u.flow = d.flow
            LEFT JOIN (SELECT flow, max(done) AS done FROM seen GROUP BY flow) AS s ON s.flow = d.flow
        ),
        ended AS (
            SELECT flow, owes, told IS NULL AND turned_at IS NULL AS reached,
                CASE WHEN told IS NOT NULL AND half THEN {OUTCOME["failed"]}
                    WHEN told IS NOT NULL THEN told
                    WHEN turned_at IS NULL THEN {OUTCOME["completed"]}
                    WHEN owes THEN {OUTCOME["compensating"]}
                    ELSE {OUTCOME["compensated"]} END AS outcome,
                CASE WHEN told IS NOT NULL THEN told_at
                    WHEN turned_at IS NULL THEN done_at
                    WHEN NOT owes THEN turned_at END AS time
            FROM stand
            WHERE told IS NOT NULL OR turned_at IS NOT NULL OR (by_steps AND NOT owes AND done_at IS NOT NULL)
        )
    SELECT flow, outcome, CASE WHEN time > 0 THEN make_timestamp(time) END, reached, owes FROM ended
"""


def name_emitters(context: Context, series: str) -> None:
    """Ask who emitted the events of which only handlings tell by name: other records of them may say so.

    ``series`` is a table with each series' ``service`` and ``kind``.
    """
    if not context.count("SELECT count(*) FROM occurrence WHERE hearsay"):
        return
    context.run(f"""
        UPDATE occurrence SET by_service = sent.by_service
        FROM (
            SELECT o.flow, o.number, o.event, bool_or(t.service = n.service) AS by_service
            FROM occurrence AS o
            JOIN rule_name AS n USING (number)
            JOIN member AS m ON m.flow = o.flow AND m.unit = o.event AND NOT m.handles
            JOIN {series} AS t ON t.series = m.series AND t.kind <> 'dead_letter' AND t.service IS NOT NULL
            WHERE o.hearsay
            GROUP BY o.flow, o.number, o.event
        ) AS sent
        WHERE sent.flow = occurrence.flow AND sent.number = occurrence.number AND sent.event = occurrence.event
    """)


def follow_rules(context: Context) -> None:
    """Leave ``defined_flow``, ``due`` and ``defined_end``, of flows whose definition's start was seen.

    ``due`` is what each owes: ``needs`` of ``rules``, ``since`` when and for how long (NULL:
    the store's limit). ``defined_end`` is how those stand that ended or undo themselves;
    ``reached`` says that no end was told, only all steps seen, and ``owes`` that the undoing
    owes something. ``turned`` are the flows that undo themselves, and since when.
    """
    context.connection.execute(NOTHING)
    if not context.definitions:
        return
    put_rules(context)
    context.connection.execute(TELLING)
    context.connection.execute(OCCURRENCES)
    name_emitters(context, "store.series")
    context.connection.execute(STARTS)
    if not context.count("SELECT count(*) FROM defined_flow"):
        return
    context.connection.execute(FACTS)
    context.connection.execute(FORWARD)
    if context.count("SELECT count(*) FROM turned"):
        context.connection.execute(BACK)
    context.run(DUE, {"limit_us": context.limit_us})
    context.run(END)
