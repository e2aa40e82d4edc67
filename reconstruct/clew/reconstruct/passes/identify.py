"""identify: hash every ID, name the anchor, and drop what is stored already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.collectors.record import RECORD_COLUMNS
from clew.reconstruct.keys import KeyNames, json_path, quoted
from clew.reconstruct.salt import salt, salted

if TYPE_CHECKING:
    from clew.reconstruct.passes.context import Context

CONTENT = ", ".join(f'd."{name}"' for name in RECORD_COLUMNS if name not in {"position", "identity"})


def staging(select: str, scope: str, names: KeyNames) -> str:
    """A SELECT that decodes a batch, every ID hashed beside it.

    ``content`` is the identity for de-duplication: the source's own where it has one
    (broker coordinates), else the whole content. ``flow`` is the anchor's, so far.
    """
    event, span = salt("event", scope), salt("span", scope)
    anchor = anchor_of(names)
    return f"""
        SELECT d.*,
            CASE WHEN identity IS NULL THEN xor(hash({CONTENT}), {salt("content", scope)}::UBIGINT)
                 ELSE xor(hash(identity), {salt("identity", scope)}::UBIGINT) END AS content,
            {salted(anchor, "flow", scope)} AS flow,
            CASE WHEN {anchor} IS NULL THEN 0 ELSE 1 END::UTINYINT AS evidence,
            CASE WHEN event_id IS NOT NULL THEN xor(hash(event_id), {event}::UBIGINT) END AS event_h,
            CASE WHEN causation_id IS NOT NULL THEN xor(hash(causation_id), {event}::UBIGINT) END AS cause_h,
            CASE WHEN "offset" IS NOT NULL AND destination IS NOT NULL
                 THEN xor(hash(system, destination, "partition", "offset"), {salt("place", scope)}::UBIGINT)
                 END AS place_h,
            {salted("trace_id", "trace", scope)} AS trace_h,
            CASE WHEN span_id IS NOT NULL
                 THEN xor(hash(coalesce(trace_id, ''), span_id), {span}::UBIGINT) END AS span_h,
            CASE WHEN parent_span_id IS NOT NULL
                 THEN xor(hash(coalesce(trace_id, ''), parent_span_id), {span}::UBIGINT) END AS parent_h,
            {_hop(names, scope)} AS hop_h
        FROM ({select}) AS d
    """


def anchor_of(names: KeyNames) -> str:
    """SQL over a Record for the value that anchors it; NULL where none does."""
    if not names.demoted and not names.promoted:
        return "correlation_id"
    others = [f"json_extract_string(keys, {quoted(json_path(name))})" for name in names.instance]
    own = "correlation_id"
    if names.demoted:
        listed = ", ".join(quoted(name) for name in names.demoted)
        own = f"CASE WHEN coalesce(correlation_key NOT IN ({listed}), true) THEN correlation_id END"
    return f"coalesce({own}, {', '.join(others)})" if others else own


def _hop(names: KeyNames, scope: str) -> str:
    if not names.hop:
        return "NULL::UBIGINT"
    there = " OR ".join(f"contains(keys, {quoted(chr(34) + name + chr(34))})" for name in names.hop)
    values = ", ".join(f"json_extract_string(keys, {quoted(json_path(name))})" for name in names.hop)
    value = f"coalesce({values}, NULL)"
    demoted = ", ".join(quoted(name) for name in names.demoted if name in names.hop)
    if demoted:
        there = f"({there} OR correlation_key IN ({demoted}))"
        value = f"CASE WHEN correlation_key IN ({demoted}) THEN correlation_id ELSE {value} END"
    return f"CASE WHEN {there} THEN xor(hash({value}), {salt('hop', scope)}::UBIGINT) END"


def identify(context: Context) -> None:
    """Drop from ``stage`` what the store has; leave the dropped in ``dropped(record, batch_no)``.

    Spans, histories and records with an identity of their own are a set. Of any other
    record the n-th copy in one reading is the n-th copy in every reading: so copies and
    overlapping windows collapse while lines that a service legitimately wrote twice stay.
    Leaves ``seen_now(source_no, content, copies)``: how many copies of each repeated line
    a reading has shown so far.
    """
    context.run("""
        CREATE OR REPLACE TEMP TABLE stored AS
        SELECT r.content, r.source_no
        FROM store.records AS r
        SEMI JOIN stage AS s ON s.content = r.content AND s.time IS NOT DISTINCT FROM r.time
        WHERE r.time BETWEEN (SELECT min(time) FROM stage) AND (SELECT max(time) FROM stage)
           OR r.time IS NULL
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT content FROM stage GROUP BY content HAVING count(*) > 1
        UNION
        SELECT content FROM stored
    """)
    context.run("CREATE OR REPLACE TEMP TABLE seen_now (source_no INTEGER, content UBIGINT, copies BIGINT)")
    context.run("CREATE OR REPLACE TEMP TABLE dropped (record BIGINT, batch_no INTEGER)")
    if not context.count("SELECT count(*) FROM repeated"):
        return
    context.run("""
        CREATE OR REPLACE TEMP TABLE copies AS
        WITH
            had AS (SELECT content, count(*) AS copies FROM stored GROUP BY content),
            own AS (SELECT content, source_no, count(*) AS copies FROM stored GROUP BY content, source_no),
            numbered AS (
                SELECT s.record, s.batch_no, s.source_no, s.content,
                    s.kind IN ('span', 'history') OR s.identity IS NOT NULL AS is_set,
                    coalesce(had.copies, 0) AS stored_copies,
                    coalesce(before.copies, own.copies, 0) + row_number() OVER (
                        PARTITION BY s.content, s.source_no ORDER BY s.record
                    ) AS copy
                FROM stage AS s
                SEMI JOIN repeated USING (content)
                LEFT JOIN had USING (content)
                LEFT JOIN own USING (content, source_no)
                LEFT JOIN store.seen AS before USING (content, source_no)
            )
        SELECT *,
            row_number() OVER (PARTITION BY content ORDER BY record) AS nth,
            row_number() OVER (PARTITION BY content, copy ORDER BY record) AS nth_of_copy
        FROM numbered
    """)
    context.run("""
        INSERT INTO seen_now
        SELECT source_no, content, max(copy) FROM copies WHERE NOT is_set GROUP BY source_no, content
    """)
    context.run("""
        INSERT INTO dropped
        SELECT record, batch_no FROM copies
        WHERE CASE WHEN is_set THEN stored_copies > 0 OR nth > 1
                   ELSE copy <= stored_copies OR nth_of_copy > 1 END
    """)
    context.own_stage()
    context.run("DELETE FROM stage_copy WHERE record IN (SELECT record FROM dropped)")
