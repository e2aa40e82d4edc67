"""attribute: give every record to the flow it has the best evidence for.

Records with an instance key are anchors. Any other record takes the flow to which it
has the path whose weakest edge is strongest, then the fewest edges of that strength;
two equal flows left mean that they share it. The result is a function of the set of
records: each batch re-attributes the whole evidence components that it touches.

A component is the unanchored records that tokens join, and the anchors around them;
a path never leads through an anchor, since the anchor would have won it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.salt import salt

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

MESSAGE, SPAN, HOP, TRACE, ALONE = 3, 4, 6, 7, 8
"""Strengths between 2 (causation) and 8; a parent (5) is weaker than a producer's link (4)."""

PAIRS = (
    ("event", "cause", 2),
    ("cause", "event", 2),
    ("event", "event", MESSAGE),
    ("place", "place", MESSAGE),
    ("span", "span", SPAN),
    ("span", "link", SPAN),
    ("link", "span", SPAN),
    ("span", "parent", 5),
    ("parent", "span", 5),
    ("hop", "hop", HOP),
)
"""(role here, role there, strength): which two mentions of one token are an edge.

Two effects of one cause, or two children of one parent, are no edge by themselves.
"""

STORED_EVIDENCE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 5, 7: 6, 8: 7}
"""Strength → ``records.evidence``: link and parent are both told as ``span``."""

NODE_COLUMNS = "record, flow, time, event_h, cause_h, place_h, trace_h, span_h, parent_h, hop_h"


def attribute(context: Context) -> None:
    """Set ``stage.flow`` and ``stage.evidence``; leave what else changes in three tables.

    ``moved(record, flow, evidence)``: stored records that now belong elsewhere;
    ``shared_now(record, flow, evidence)``: shares of every record of a touched component;
    ``component(record)``: its records, whose old shares are void.
    """
    context.run("CREATE OR REPLACE TEMP TABLE moved (record BIGINT, flow UBIGINT, evidence UTINYINT)")
    context.run("CREATE OR REPLACE TEMP TABLE shared_now (record BIGINT, flow UBIGINT, evidence UTINYINT)")
    context.run("CREATE OR REPLACE TEMP TABLE component (record BIGINT)")
    _link_tokens(context)
    fresh = context.count("SELECT count(*) FROM stage WHERE evidence <> 1")
    stored = context.count("SELECT count(*) FROM store.records WHERE evidence <> 1")
    if not fresh and not stored:
        return
    _collect_unanchored(context, stored=bool(stored))
    if not context.count("SELECT count(*) FROM node"):
        return
    _label_quiet_traces(context)
    _collect_anchors(context)
    _mention(context)
    _spread_from_anchors(context)
    _spread_from_sources(context)
    _write_back(context)


def _link_tokens(context: Context) -> None:
    span = salt("span", context.scope)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE link_ref AS
        SELECT record, xor(hash(coalesce(link ->> '$.trace_id', ''), link ->> '$.span_id'), {span}::UBIGINT) AS token
        FROM (
            SELECT record, unnest(links::JSON[]) AS link
            FROM stage WHERE links IS NOT NULL
        )
    """)


def _collect_unanchored(context: Context, *, stored: bool) -> None:
    """``node``: every unanchored record of each component that the batch touches."""
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE node AS
        SELECT record, NULL::UBIGINT AS flow, time,
            event_h, cause_h, place_h, trace_h, span_h, parent_h, hop_h
        FROM stage WHERE evidence <> 1
    """)
    context.run(
        "CREATE OR REPLACE TEMP TABLE node_link AS SELECT l.* FROM link_ref AS l SEMI JOIN node USING (record)"
    )
    if not stored:
        return
    frontier = """
        SELECT event_h, cause_h, place_h, trace_h, span_h, parent_h, hop_h, NULL::BIGINT AS record FROM stage
        UNION ALL
        SELECT token, token, NULL, NULL, token, NULL, NULL, NULL FROM link_ref
    """
    while True:
        context.run(f"CREATE OR REPLACE TEMP TABLE reach AS {_tokens(frontier)}")
        context.run(f"""
            CREATE OR REPLACE TEMP TABLE pulled AS
            SELECT record, NULL::UBIGINT AS flow, time, event_h, cause_h, place_h, trace_h, span_h, parent_h, hop_h
            FROM store.records AS r
            WHERE evidence <> 1 AND {_touches("r")}
              AND record NOT IN (SELECT record FROM node)
        """)
        if not context.count("SELECT count(*) FROM pulled"):
            return
        context.run("INSERT INTO node SELECT * FROM pulled")
        context.run(
            "INSERT INTO node_link SELECT l.* FROM store.link_refs AS l SEMI JOIN pulled USING (record)"
        )
        frontier = """
            SELECT event_h, cause_h, place_h, trace_h, span_h, parent_h, hop_h, record FROM pulled
            UNION ALL
            SELECT NULL, NULL, NULL, NULL, token, NULL, NULL, NULL
            FROM node_link SEMI JOIN pulled USING (record)
        """


def _tokens(rows: str) -> str:
    columns = ("event_h", "cause_h", "place_h", "trace_h", "span_h", "parent_h", "hop_h")
    return " UNION ".join(
        f"SELECT {column} AS token FROM ({rows}) WHERE {column} IS NOT NULL" for column in columns
    )


def _touches(alias: str) -> str:
    columns = ("event_h", "cause_h", "place_h", "trace_h", "span_h", "parent_h", "hop_h")
    mentions = " OR ".join(f"{alias}.{column} IN (SELECT token FROM reach)" for column in columns)
    return f"({mentions} OR {alias}.record IN (SELECT record FROM store.link_refs SEMI JOIN reach USING (token)))"


def _label_quiet_traces(context: Context) -> None:
    """Traces without an anchor and without any tie beyond themselves are their own flow.

    Most traces of a span-only system are such; they need no search.
    """
    context.run("CREATE OR REPLACE TEMP TABLE label (record BIGINT, flow UBIGINT, strength UTINYINT)")
    context.run("""
        CREATE OR REPLACE TEMP TABLE quiet AS
        SELECT trace_h FROM node WHERE trace_h IS NOT NULL
        GROUP BY trace_h
        HAVING count(event_h) + count(cause_h) + count(place_h) + count(hop_h) = 0
        EXCEPT SELECT trace_h FROM stage WHERE evidence = 1
        EXCEPT SELECT trace_h FROM store.records AS r SEMI JOIN node USING (trace_h) WHERE r.evidence = 1
        EXCEPT SELECT n.trace_h FROM node AS n JOIN node_link USING (record)
        EXCEPT SELECT n.trace_h FROM node AS n WHERE n.span_h IN (
            SELECT token FROM store.link_refs UNION ALL SELECT token FROM link_ref
        )
    """)
    context.run(
        f"INSERT INTO label SELECT record, trace_h, {ALONE} FROM node SEMI JOIN quiet USING (trace_h)"
    )
    context.run("INSERT INTO component SELECT record FROM node SEMI JOIN quiet USING (trace_h)")
    context.run("DELETE FROM node WHERE trace_h IN (SELECT trace_h FROM quiet)")


def _collect_anchors(context: Context) -> None:
    """``anchor``: the anchored records that share a token with an unanchored one."""
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE reach AS
        {
        _tokens('''SELECT * EXCLUDE (record, flow, time) FROM node UNION ALL
                    SELECT NULL, NULL, NULL, NULL, token, NULL, NULL FROM node_link''')
    }
    """)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE anchor AS
        SELECT * FROM (
            SELECT record, flow, time,
                event_h, cause_h, place_h, trace_h, span_h, parent_h, hop_h
            FROM stage WHERE evidence = 1
            UNION ALL
            SELECT {NODE_COLUMNS} FROM store.records WHERE evidence = 1
        ) AS r
        WHERE {_touches("r")} OR r.record IN (SELECT record FROM link_ref SEMI JOIN reach USING (token))
    """)


def _mention(context: Context) -> None:
    """``mention(record, token, role)``: who names which token as what."""
    columns = {
        "event_h": "event",
        "cause_h": "cause",
        "place_h": "place",
        "span_h": "span",
        "parent_h": "parent",
        "hop_h": "hop",
    }
    rows = " UNION ALL ".join(
        f"SELECT record, {column} AS token, '{role}' AS role FROM every WHERE {column} IS NOT NULL"
        for column, role in columns.items()
    )
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE mention AS
        WITH every AS (SELECT * FROM node UNION ALL SELECT * FROM anchor)
        {rows}
        UNION ALL SELECT record, token, 'link' FROM node_link
        UNION ALL SELECT l.record, l.token, 'link' FROM link_ref AS l SEMI JOIN anchor USING (record)
        UNION ALL SELECT l.record, l.token, 'link' FROM store.link_refs AS l SEMI JOIN anchor USING (record)
    """)
    pairs = ", ".join(f"('{here}', '{there}', {strength})" for here, there, strength in PAIRS)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE pair AS
        SELECT * FROM (VALUES {pairs}) AS p(here, there, strength)
    """)


def _spread_from_anchors(context: Context) -> None:
    context.run("CREATE OR REPLACE TEMP TABLE open AS SELECT * FROM node")
    context.run("INSERT INTO component SELECT record FROM node")
    context.run("CREATE OR REPLACE TEMP TABLE known AS SELECT record, flow, trace_h FROM anchor")
    _spread(context)


def _spread(context: Context) -> None:
    """Label ``open`` records from ``known`` ones, strongest edges first."""
    for strength in (2, MESSAGE, SPAN, 5, HOP):
        _breadth_first(context, strength)
    while context.count("SELECT count(*) FROM open"):
        context.run(f"""
            CREATE OR REPLACE TEMP TABLE step AS
            SELECT o.record, one.flow, {TRACE} AS strength, o.trace_h
            FROM open AS o JOIN (
                SELECT trace_h, any_value(flow) AS flow FROM known WHERE trace_h IS NOT NULL
                GROUP BY trace_h HAVING min(flow) = max(flow)
            ) AS one USING (trace_h)
        """)
        if not _take(context):
            return
        _breadth_first(context, TRACE, frontier="step")


def _breadth_first(context: Context, strength: int, frontier: str = "known") -> None:
    """Follow edges of at least this strength outward, one edge a round."""
    if not context.count("SELECT count(*) FROM open"):
        return
    context.run(f"CREATE OR REPLACE TEMP TABLE frontier AS SELECT record, flow FROM {frontier}")
    while True:
        context.run(f"""
            CREATE OR REPLACE TEMP TABLE step AS
            WITH hub AS (
                SELECT DISTINCT m.token, p.there, f.flow
                FROM frontier AS f
                JOIN mention AS m USING (record)
                JOIN pair AS p ON p.here = m.role AND p.strength <= {strength}
            )
            SELECT DISTINCT o.record, hub.flow, {strength} AS strength, o.trace_h
            FROM hub
            JOIN mention AS m ON m.token = hub.token AND m.role = hub.there
            JOIN open AS o ON o.record = m.record
        """)
        if not _take(context):
            return
        context.run("CREATE OR REPLACE TEMP TABLE frontier AS SELECT record, flow FROM step")


def _take(context: Context) -> int:
    """Move what ``step`` labels from ``open`` to ``known``; return how many labels."""
    labels = context.count("SELECT count(*) FROM step")
    if labels:
        context.run("INSERT INTO label SELECT record, flow, strength FROM step")
        context.run("INSERT INTO known SELECT record, flow, trace_h FROM step")
        context.run("DELETE FROM open WHERE record IN (SELECT record FROM step)")
    return labels


def _spread_from_sources(context: Context) -> None:
    """What no anchor reaches: each trace that others continue is the flow of them all.

    A record's home is its trace, or its own event where it has none. A home that refers
    to another (by cause, link or parent) continues it, unless both refer to each other
    and it is the earlier. The others are sources and spread.
    """
    if not context.count("SELECT count(*) FROM open"):
        return
    context.run("""
        CREATE OR REPLACE TEMP TABLE home AS
        SELECT coalesce(trace_h, event_h) AS home, coalesce(min(time), TIMESTAMP 'infinity') AS since
        FROM open WHERE coalesce(trace_h, event_h) IS NOT NULL
        GROUP BY ALL
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE refers AS
        SELECT DISTINCT coalesce(a.trace_h, a.event_h, 0) AS effect, coalesce(b.trace_h, b.event_h, 0) AS origin
        FROM mention AS m
        JOIN pair AS p ON p.here = m.role AND m.role IN ('cause', 'link', 'parent')
        JOIN mention AS n ON n.token = m.token AND n.role = p.there
        JOIN open AS a ON a.record = m.record
        JOIN open AS b ON b.record = n.record
        WHERE effect <> origin
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE source AS
        SELECT home FROM home
        EXCEPT
        SELECT r.effect
        FROM refers AS r
        JOIN home AS e ON e.home = r.effect
        JOIN home AS o ON o.home = r.origin
        LEFT JOIN refers AS back ON back.effect = r.origin AND back.origin = r.effect
        WHERE back.effect IS NULL OR (o.since, o.home) < (e.since, e.home)
    """)
    for homes in ("source", "home"):
        context.run(f"""
            CREATE OR REPLACE TEMP TABLE step AS
            SELECT o.record, coalesce(o.trace_h, o.event_h) AS flow, {ALONE} AS strength, o.trace_h
            FROM open AS o
            WHERE coalesce(o.trace_h, o.event_h) IN (SELECT home FROM {homes})
        """)
        if _take(context):
            _spread(context)
    context.run(f"""
        DELETE FROM label WHERE strength = {ALONE} AND record IN (
            SELECT record FROM node WHERE trace_h IS NULL
        ) AND flow IN (SELECT flow FROM label GROUP BY flow HAVING count(*) = 1)
    """)


def _write_back(context: Context) -> None:
    cases = " ".join(f"WHEN {strength} THEN {told}" for strength, told in STORED_EVIDENCE.items())
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE verdict AS
        SELECT c.record,
            CASE WHEN min(l.flow) = max(l.flow) THEN min(l.flow) END AS flow,
            coalesce(CASE min(l.strength) {cases} END, 0)::UTINYINT AS evidence
        FROM component AS c LEFT JOIN label AS l USING (record)
        GROUP BY c.record
    """)
    context.run("""
        INSERT INTO shared_now
        SELECT l.record, l.flow, v.evidence
        FROM label AS l JOIN verdict AS v USING (record)
        WHERE v.flow IS NULL
    """)
    context.own_stage()
    context.run("""
        UPDATE stage_copy SET flow = v.flow, evidence = v.evidence
        FROM verdict AS v WHERE v.record = stage_copy.record AND v.evidence > 0
    """)
    context.run(f"""
        INSERT INTO moved
        SELECT v.record, v.flow, v.evidence
        FROM verdict AS v JOIN store.records AS r USING (record)
        WHERE v.record <= {context.base} AND r.evidence <> 1
          AND (v.flow IS DISTINCT FROM r.flow OR v.evidence <> r.evidence)
    """)
