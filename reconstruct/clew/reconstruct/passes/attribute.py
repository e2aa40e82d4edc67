"""attribute: give every record to the flow it has the best evidence for.

Records with an instance key are anchors. Any other record takes the flow to which it
has the path whose weakest edge is strongest, then the fewest edges; two equal flows
left mean that they share it. The result is a function of the set of records: each batch
re-attributes the whole evidence components that it touches.

A component is the unanchored records that tokens join, and the anchors around them. A
path never leads through an anchor, and never through a record to a flow that is not
its own. What no anchor reaches belongs to the trace from which it all came
(:mod:`~clew.reconstruct.passes.origins`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import EVIDENCE, TOKENS
from clew.reconstruct.passes.origins import find_origins
from clew.reconstruct.salt import salt

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

CAUSATION, MESSAGE, SPAN, PARENT, HOP, TRACE, ALONE = 2, 3, 4, 5, 6, 7, 8
"""Strengths, strongest first; a parent is weaker than a producer's link or the own span."""

PAIRS = (
    ("event", "cause", CAUSATION),
    ("cause", "event", CAUSATION),
    ("event", "event", MESSAGE),
    ("place", "place", MESSAGE),
    ("span", "span", SPAN),
    ("span", "link", SPAN),
    ("link", "span", SPAN),
    ("span", "parent", PARENT),
    ("parent", "span", PARENT),
    ("hop", "hop", HOP),
)
"""(role here, role there, strength): which two mentions of one token are an edge.

Two effects of one cause, or two children of one parent, are no edge by themselves.
"""

STORED_EVIDENCE = {
    CAUSATION: "causation",
    MESSAGE: "message",
    SPAN: "span",
    PARENT: "span",
    HOP: "hop",
    TRACE: "trace",
    ALONE: "alone",
}

ROLES = {
    "event_h": "event",
    "cause_h": "cause",
    "place_h": "place",
    "span_h": "span",
    "parent_h": "parent",
    "hop_h": "hop",
}
NAMESPACES = {
    "event": ("event_h", "cause_h"),
    "place": ("place_h",),
    "trace": ("trace_h",),
    "span": ("span_h", "parent_h"),
    "hop": ("hop_h",),
}
"""Columns whose tokens can meet."""


def attribute(context: Context) -> None:
    """Set ``stage.flow`` and ``stage.evidence``; leave what else changes in three tables.

    ``moved(record, flow, evidence)``: stored records that now belong elsewhere;
    ``shared_now(record, flow, evidence)``: shares of every record of a touched component;
    ``component(record)``: its records, whose old shares are void.
    Runs of a reused ID are one flow here; telling them apart is
    :mod:`~clew.reconstruct.passes.instances`' work.
    """
    context.run("CREATE OR REPLACE TEMP TABLE moved (record UBIGINT, flow UBIGINT, evidence UTINYINT)")
    context.run("CREATE OR REPLACE TEMP TABLE shared_now (record UBIGINT, flow UBIGINT, evidence UTINYINT)")
    context.run("CREATE OR REPLACE TEMP TABLE component (record UBIGINT)")
    _link_tokens(context)
    fresh = context.count("SELECT count(*) FROM stage WHERE evidence <> 1")
    stored = context.count("SELECT count(*) FROM older WHERE evidence <> 1")
    if not fresh and not stored:
        return
    _collect_unanchored(context, stored=bool(stored))
    if not context.count("SELECT count(*) FROM node"):
        return
    _label_quiet_traces(context)
    if context.count("SELECT count(*) FROM node"):
        _collect_anchors(context)
        _mention(context)
        _spread_from_anchors(context)
        _spread_from_origins(context)
    _write_back(context)


def _link_tokens(context: Context) -> None:
    """``link_ref(record, token)``: the spans that the batch's records link to."""
    span = salt("span", context.scope)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE link_ref AS
        SELECT record, xor(hash(coalesce(link ->> '$.trace_id', ''), span_id), {span}::UBIGINT) AS token
        FROM (
            SELECT record, unnest(TRY(links::JSON[])) AS link, link ->> '$.span_id' AS span_id
            FROM store.records WHERE batch >= {context.first} AND links IS NOT NULL
        )
        WHERE span_id IS NOT NULL
    """)


def _collect_unanchored(context: Context, *, stored: bool) -> None:
    """``node``: every unanchored record of each component that the batch touches."""
    tokens = ", ".join(TOKENS)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE node AS
        SELECT record, NULL::UBIGINT AS flow, time, {tokens} FROM stage WHERE evidence <> 1
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE node_link AS SELECT l.* FROM link_ref AS l SEMI JOIN node USING (record)
    """)
    if not stored:
        return
    rows, links = "stage", "link_ref"
    while True:
        _reach(context, rows, links)
        context.run(f"""
            CREATE OR REPLACE TEMP TABLE pulled AS
            SELECT record, NULL::UBIGINT AS flow, time, {tokens}
            FROM older AS r
            WHERE evidence <> 1 AND {_touches("r")} AND record NOT IN (SELECT record FROM node)
        """)
        if not context.count("SELECT count(*) FROM pulled"):
            return
        context.run("INSERT INTO node SELECT * FROM pulled")
        context.run("""
            CREATE OR REPLACE TEMP TABLE pulled_link AS
            SELECT l.* FROM store.link_refs AS l SEMI JOIN pulled USING (record)
        """)
        context.run("INSERT INTO node_link SELECT * FROM pulled_link")
        rows, links = "pulled", "pulled_link"


def _reach(context: Context, rows: str, links: str) -> None:
    """``reach_*(token)``: every token that ``rows`` and ``links`` mention, by namespace."""
    for name, columns in NAMESPACES.items():
        mentioned = [f"SELECT {column} AS token FROM {rows} WHERE {column} IS NOT NULL" for column in columns]
        if name == "span":
            mentioned.append(f"SELECT token FROM {links}")
        context.run(f"CREATE OR REPLACE TEMP TABLE reach_{name} AS {' UNION '.join(mentioned)}")


def _touches(alias: str) -> str:
    mentions = " OR ".join(
        f"{alias}.{column} IN (SELECT token FROM reach_{name})"
        for name, columns in NAMESPACES.items()
        for column in columns
    )
    linked = "SELECT record FROM store.link_refs SEMI JOIN reach_span USING (token)"
    return f"({mentions} OR {alias}.record IN ({linked}))"


def _label_quiet_traces(context: Context) -> None:
    """Label traces without any tie beyond themselves: most are such, and need no search.

    One without an anchor is its own flow. In a whole one, whose spans hang together by their
    parents, every record has a path of spans to an anchor; where all its anchors are of one
    flow, that is the flow of all.
    """
    context.run("""
        CREATE OR REPLACE TEMP TABLE label (record UBIGINT, flow UBIGINT, strength UTINYINT, hops INTEGER)
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE untied AS
        SELECT trace_h FROM node WHERE trace_h IS NOT NULL
        GROUP BY trace_h
        HAVING count(event_h) + count(cause_h) + count(place_h) + count(hop_h) = 0
        EXCEPT SELECT n.trace_h FROM node AS n JOIN node_link USING (record)
        EXCEPT SELECT n.trace_h FROM node AS n WHERE n.span_h IN (
            SELECT token FROM store.link_refs UNION ALL SELECT token FROM link_ref
        )
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE anchored AS
        SELECT r.trace_h, coalesce(run.base, r.flow) AS flow, r.span_h, r.parent_h
        FROM (
            SELECT trace_h, flow, span_h, parent_h FROM stage WHERE evidence = 1
            UNION ALL
            SELECT trace_h, flow, span_h, parent_h FROM older WHERE evidence = 1
        ) AS r
        SEMI JOIN untied USING (trace_h)
        LEFT JOIN store.instances AS run USING (flow)
    """)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE quiet AS
        SELECT trace_h, trace_h AS flow, {ALONE} AS strength
        FROM untied ANTI JOIN anchored USING (trace_h)
        UNION ALL
        SELECT trace_h, min(flow), {PARENT} FROM anchored SEMI JOIN ({_whole()}) USING (trace_h)
        GROUP BY trace_h HAVING min(flow) = max(flow)
    """)
    context.run("""
        INSERT INTO label
        SELECT n.record, q.flow, q.strength, 0 FROM node AS n JOIN quiet AS q USING (trace_h)
    """)
    context.run("INSERT INTO component SELECT record FROM node SEMI JOIN quiet USING (trace_h)")
    context.run("DELETE FROM node WHERE trace_h IN (SELECT trace_h FROM quiet)")


def _whole() -> str:
    """SELECT of the anchored traces of which every record stands in a span below one root."""
    return """
        WITH
            placed AS (
                SELECT trace_h, span_h, parent_h FROM anchored
                UNION ALL
                SELECT trace_h, span_h, parent_h FROM node SEMI JOIN (FROM anchored) USING (trace_h)
            ),
            span AS (SELECT trace_h, span_h, max(parent_h) AS parent_h FROM placed GROUP BY trace_h, span_h)
        SELECT s.trace_h
        FROM span AS s LEFT JOIN span AS p ON p.trace_h = s.trace_h AND p.span_h = s.parent_h
        GROUP BY s.trace_h
        HAVING count(*) = count(s.span_h) AND count(p.span_h) = count(*) - 1
    """


def _collect_anchors(context: Context) -> None:
    """``anchor``: the anchored records that share a token with an unanchored one."""
    _reach(context, "node", "node_link")
    tokens = ", ".join(TOKENS)
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE anchor AS
        SELECT record, coalesce(run.base, r.flow) AS flow, time, {tokens}
        FROM (
            SELECT record, flow, time, {tokens} FROM stage WHERE evidence = 1
            UNION ALL
            SELECT record, flow, time, {tokens} FROM older WHERE evidence = 1
        ) AS r
        LEFT JOIN store.instances AS run USING (flow)
        WHERE {_touches("r")} OR r.record IN (SELECT record FROM link_ref SEMI JOIN reach_span USING (token))
    """)


def _mention(context: Context) -> None:
    """``mention(record, token, role)``: who names which token as what."""
    rows = " UNION ALL ".join(
        f"SELECT record, {column} AS token, '{role}' AS role FROM every WHERE {column} IS NOT NULL"
        for column, role in ROLES.items()
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
    context.run("CREATE OR REPLACE TEMP TABLE open AS SELECT record, time, trace_h, event_h FROM node")
    context.run("INSERT INTO component SELECT record FROM node")
    context.run("CREATE OR REPLACE TEMP TABLE known AS SELECT record, flow, 0 AS hops, trace_h FROM anchor")
    _spread(context)


def _spread_from_origins(context: Context) -> None:
    """What no anchor reaches: the traces from which others follow spread like anchors.

    A record's home is its trace, or its own event where it has none. A record without a
    trace that nothing else follows from is no flow.
    """
    if not context.count("SELECT count(*) FROM open"):
        return
    find_origins(context)
    context.run("""
        CREATE OR REPLACE TEMP TABLE settled AS
        SELECT o.record, home AS flow, 0 AS hops, o.trace_h
        FROM open AS o JOIN origin ON origin.home = coalesce(o.trace_h, o.event_h)
    """)
    _take(context, ALONE)
    _spread(context)
    context.run(f"""
        DELETE FROM label WHERE strength = {ALONE} AND record IN (
            SELECT record FROM node WHERE trace_h IS NULL
        ) AND flow IN (SELECT flow FROM label GROUP BY flow HAVING count(*) = 1)
    """)


def _spread(context: Context) -> None:
    """Label ``open`` records from ``known`` ones, strongest edges first."""
    if not context.count("SELECT count(*) FROM known"):
        return
    for strength in (CAUSATION, MESSAGE, SPAN, PARENT, HOP):
        if not context.count("SELECT count(*) FROM open"):
            return
        context.run("CREATE OR REPLACE TEMP TABLE settled AS FROM known")
        context.run("CREATE OR REPLACE TEMP TABLE candidate (record UBIGINT, flow UBIGINT, hops INTEGER)")
        _follow(context, strength)
    while context.count("SELECT count(*) FROM open"):
        context.run("""
            CREATE OR REPLACE TEMP TABLE candidate AS
            SELECT o.record, one.flow, one.hops + 1 AS hops
            FROM open AS o JOIN (
                SELECT trace_h, min(flow) AS flow, min(hops) AS hops FROM known WHERE trace_h IS NOT NULL
                GROUP BY trace_h HAVING min(flow) = max(flow)
            ) AS one USING (trace_h)
        """)
        if not context.count("SELECT count(*) FROM candidate"):
            return
        context.run("CREATE OR REPLACE TEMP TABLE settled AS FROM known WHERE false")
        _follow(context, TRACE)


def _follow(context: Context, strength: int) -> None:
    """Settle ``open`` records by edges of at least this strength, the nearest first.

    From ``settled`` outward, one edge a round; ``candidate`` holds what was reached and
    is not the nearest yet.
    """
    while True:
        context.run(f"""
            INSERT INTO candidate
            WITH hub AS (
                SELECT m.token, p.there, s.flow, min(s.hops) + 1 AS hops
                FROM settled AS s
                JOIN mention AS m USING (record)
                JOIN pair AS p ON p.here = m.role AND p.strength <= {strength}
                GROUP BY m.token, p.there, s.flow
            )
            SELECT o.record, hub.flow, min(hub.hops)
            FROM hub
            JOIN mention AS m ON m.token = hub.token AND m.role = hub.there
            JOIN open AS o ON o.record = m.record
            GROUP BY o.record, hub.flow
        """)
        context.run("""
            CREATE OR REPLACE TEMP TABLE settled AS
            SELECT DISTINCT c.record, c.flow, c.hops, o.trace_h
            FROM candidate AS c JOIN open AS o USING (record)
            WHERE c.hops = (SELECT min(hops) FROM candidate)
        """)
        if not _take(context, strength):
            return
        context.run("DELETE FROM candidate WHERE record IN (SELECT record FROM settled)")


def _take(context: Context, strength: int) -> int:
    """Move what ``settled`` labels from ``open`` to ``known``; return how many labels."""
    labels = context.count("SELECT count(*) FROM settled")
    if labels:
        context.run(f"INSERT INTO label SELECT record, flow, {strength}, hops FROM settled")
        context.run("INSERT INTO known SELECT record, flow, hops, trace_h FROM settled")
        context.run("DELETE FROM open WHERE record IN (SELECT record FROM settled)")
    return labels


def _write_back(context: Context) -> None:
    told = " ".join(
        f"WHEN {strength} THEN {EVIDENCE.index(name) + 1}" for strength, name in STORED_EVIDENCE.items()
    )
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE verdict AS
        SELECT c.record,
            CASE WHEN min(l.flow) = max(l.flow) THEN min(l.flow) END AS flow,
            coalesce(CASE min(l.strength) {told} END, 0)::UTINYINT AS evidence
        FROM component AS c LEFT JOIN label AS l USING (record)
        GROUP BY c.record
    """)
    context.run("""
        INSERT INTO shared_now
        SELECT l.record, l.flow, v.evidence
        FROM label AS l JOIN verdict AS v USING (record)
        WHERE v.flow IS NULL
    """)
    context.run("""
        UPDATE stage SET flow = v.flow, evidence = v.evidence
        FROM verdict AS v WHERE v.record = stage.record AND v.evidence > 0
    """)
    context.run("""
        INSERT INTO moved
        SELECT v.record, v.flow, v.evidence
        FROM verdict AS v
        JOIN older AS r USING (record)
        LEFT JOIN store.instances AS run ON run.flow = r.flow
        WHERE r.evidence <> 1
          AND (v.flow IS DISTINCT FROM coalesce(run.base, r.flow) OR v.evidence <> r.evidence)
    """)
