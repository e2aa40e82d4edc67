"""identify: hash every ID, name the anchor, and drop what is stored already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import ENGINE_COLUMNS, OWN_COLUMNS, REJECTED, SERIES_COLUMNS
from clew.reconstruct.keys import KeyNames, json_path, quoted
from clew.reconstruct.salt import salt, salted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clew.reconstruct.passes.context import Context

REJECT_BYTES = 4096
SERIES = f"hash({', '.join(SERIES_COLUMNS)})"
CONTENT = ", ".join(
    [SERIES, *(f'd."{name}"' for name in OWN_COLUMNS if name not in {"position", "identity"})]
)


def staging(select: str, scope: str, names: KeyNames) -> str:
    """A SELECT that decodes a batch, every ID hashed beside it.

    ``content`` is the identity for de-duplication: the source's own where it has one
    (broker coordinates), else the whole content. ``flow`` is the anchor's, so far.
    ``series`` stands for all that the record has in common with others.
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
            {_hop(names, scope)} AS hop_h,
            {SERIES} AS series
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
    shared = _in_all(names.hop)
    if shared:
        # Few records hold any of these names, and one look tells.
        there = f"contains(keys, {quoted(shared)}) AND ({there})"
    values = ", ".join(f"json_extract_string(keys, {quoted(json_path(name))})" for name in names.hop)
    value = f"coalesce({values}, NULL)"
    demoted = ", ".join(quoted(name) for name in names.demoted if name in names.hop)
    if demoted:
        there = f"({there} OR correlation_key IN ({demoted}))"
        value = f"CASE WHEN correlation_key IN ({demoted}) THEN correlation_id ELSE {value} END"
    return f"CASE WHEN {there} THEN xor(hash({value}), {salt('hop', scope)}::UBIGINT) END"


def _in_all(names: Sequence[str]) -> str:
    """The longest text that stands in every name, "" for none."""
    shortest = min(names, key=len)
    parts = (
        shortest[start:end]
        for length in range(len(shortest), 0, -1)
        for start in range(len(shortest) - length + 1)
        for end in (start + length,)
    )
    return next((part for part in parts if all(part in name for name in names)), "")


def insertion(
    select: str, scope: str, names: KeyNames, numbers: Mapping[str, str], *, rejects: bool = True
) -> str:
    """The statement that decodes by ``select`` and puts its records into ``store.records``.

    ``numbers`` gives SQL for ``batch``, ``source_no`` and ``scope_no``, and may for
    ``position`` and ``record``. What ``select`` rejects goes in too, marked as such; with
    ``rejects`` the reason stands in ``error_message`` and the text's beginning in ``body``.
    """
    given = {"record": "content", "evidence": f"CASE WHEN reject IS NULL THEN evidence ELSE {REJECTED} END"}
    if rejects:
        given |= {
            "error_message": "coalesce(reject, error_message)",
            "body": f"CASE WHEN reject IS NULL THEN body ELSE left(body, {REJECT_BYTES}) END",
        }
    given |= numbers
    columns = [*OWN_COLUMNS, *(name for name, _ in ENGINE_COLUMNS)]
    values = ", ".join(given.get(name, f'"{name}"') for name in columns)
    listed = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO store.records ({listed}) SELECT {values} FROM ({staging(select, scope, names)})"


def identify(context: Context, apart: Sequence[int] = (), again: Sequence[int] = ()) -> dict[int, int]:
    """Take out of ``store.records`` what was there before; return batch → how many were dropped.

    Spans, histories and records with an identity of their own are a set. Of any other
    record the n-th copy in one reading is the n-th copy in every reading: so copies and
    overlapping windows collapse while lines that a service legitimately wrote twice stay.
    ``store.seen`` keeps how many copies of each repeated line a reading has shown so far.
    In the batches ``apart`` each row of the input is a reading by itself; what has an
    identity in the batches ``again`` may have been stored under another time.
    """
    # Two numbers: a reading goes on in later batches of its source, or ends with its row.
    alone = f"s.batch IN ({', '.join(map(str, apart))})" if apart else "false"
    reading = (
        f"CASE WHEN {alone} THEN s.batch END, CASE WHEN {alone} THEN s.position END" if apart else "NULL"
    )
    new = f"FROM store.records WHERE batch >= {context.first}"
    timeless = f"batch IN ({', '.join(map(str, again))}) AND identity IS NOT NULL" if again else "false"
    context.run(f"CREATE OR REPLACE TEMP TABLE arrived AS SELECT content, time, {timeless} AS timeless {new}")
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE stored AS
        SELECT r.content, r.source_no FROM store.records AS r
        SEMI JOIN (FROM arrived WHERE NOT timeless) AS s ON s.content = r.content AND s.time = r.time
        WHERE r.batch < {context.first}
          AND r.time BETWEEN (SELECT min(time) FROM arrived) AND (SELECT max(time) FROM arrived)
        UNION ALL
        SELECT r.content, r.source_no FROM store.records AS r
        SEMI JOIN (FROM arrived WHERE time IS NULL AND NOT timeless) AS s ON s.content = r.content
        WHERE r.batch < {context.first} AND r.time IS NULL
    """)
    if again:
        context.run(f"""
            INSERT INTO stored
            SELECT r.content, r.source_no FROM store.records AS r
            SEMI JOIN (FROM arrived WHERE timeless) AS s ON s.content = r.content
            WHERE r.batch < {context.first}
        """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT content FROM arrived GROUP BY content HAVING count(*) > 1
        UNION
        SELECT content FROM stored
    """)
    if not context.count("SELECT count(*) FROM repeated"):
        return {}
    context.run(f"""
        CREATE OR REPLACE TEMP TABLE copies AS
        WITH
            had AS (SELECT content, count(*) AS copies FROM stored GROUP BY content),
            own AS (SELECT content, source_no, count(*) AS copies FROM stored GROUP BY content, source_no),
            numbered AS (
                SELECT s.rowid AS place, s.batch, s.source_no, s.content, {alone} AS alone,
                    t.kind IN ('span', 'history') OR s.identity IS NOT NULL AS is_set,
                    coalesce(had.copies, 0) AS stored_copies,
                    CASE WHEN {alone} THEN 0 ELSE coalesce(before.copies, own.copies, 0) END + row_number() OVER (
                        PARTITION BY s.content, s.source_no, {reading} ORDER BY s.batch, s.position, s.rowid
                    ) AS copy
                FROM store.records AS s
                SEMI JOIN repeated USING (content)
                JOIN store.series AS t USING (series)
                LEFT JOIN had USING (content)
                LEFT JOIN own USING (content, source_no)
                LEFT JOIN store.seen AS before USING (content, source_no)
                WHERE s.batch >= {context.first}
            ),
            ranked AS (
                SELECT *,
                    row_number() OVER (PARTITION BY content ORDER BY batch, place) AS nth,
                    row_number() OVER (PARTITION BY content, copy ORDER BY batch, place) AS nth_of_copy
                FROM numbered
            )
        SELECT *,
            CASE WHEN is_set THEN stored_copies > 0 OR nth > 1
                 ELSE copy <= stored_copies OR nth_of_copy > 1 END AS dropped
        FROM ranked
    """)
    context.run("""
        CREATE OR REPLACE TEMP TABLE seen_now AS
        SELECT source_no, content, max(copy) AS copies FROM copies WHERE NOT is_set AND NOT alone
        GROUP BY source_no, content
    """)
    context.run(
        "DELETE FROM store.seen WHERE (source_no, content) IN (SELECT (source_no, content) FROM seen_now)"
    )
    context.run("INSERT INTO store.seen FROM seen_now")
    context.run("DELETE FROM store.records WHERE rowid IN (SELECT place FROM copies WHERE dropped)")
    context.run("""
        UPDATE store.records SET record = xor(records.content, hash(c.copy))
        FROM copies AS c WHERE records.rowid = c.place AND NOT c.dropped AND c.copy > 1
    """)
    return {
        int(str(batch)): int(str(count))
        for batch, count in context.run("SELECT batch, count(*) FROM copies WHERE dropped GROUP BY batch")
    }
