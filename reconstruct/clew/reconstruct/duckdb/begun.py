"""Whether a handling came to its end, as the lines of others of its kind tell.

A service that logs says by no record of its own that a handler hangs: it says nothing more. What
the last line means is known from others: a line after which they all went on is no end.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from clew.reconstruct.detail import Begun
from clew.reconstruct.duckdb.schema import WAITS
from clew.reconstruct.passes.fold import HANDLES, SENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    import duckdb

ASKED = 10
"""Handlings of one flow that are compared with others."""
LINES = 1_000
"""Lines that name other handlings of a kind, the latest ones."""
LEAST = 5
"""Others that say something, at least."""
ODD = 0.02
"""The share of the others up to which something is an exception."""
UNFINISHED = tuple(WAITS.index(kind) for kind in ("end", "retry", "step"))
"""What flows owe that may hang themselves; these are no example."""
BLANK = "\u2026"
"""Stands for each word of a line that differs from one handling to the next."""
LONGEST = 200
"""Characters of a line that are compared."""

TEMPLATE = f"""
    array_to_string(list_transform(
        string_split_regex(trim(left(coalesce(body, ''), {LONGEST})), '\\s+'),
        lambda word: CASE WHEN regexp_matches(word, '[0-9@=]') THEN '{BLANK}' ELSE word END
    ), ' ')
"""
"""What a line says whatever the handling; reads ``body``."""

_KIND = tuple[str, str]
_HANDLING = tuple[int, str, int]
"""Flow, service and hash of the event."""


class _Line(NamedTuple):
    time: datetime
    text: str


class _Lines:
    """What the handlings of one kind logged, each in order, and whether a span tells of it."""

    def __init__(self) -> None:
        self.of: dict[_HANDLING, list[_Line]] = {}
        self.spanned: set[_HANDLING] = set()


def begun(connection: duckdb.DuckDBPyConnection) -> dict[int, tuple[Begun, ...]]:
    """Flow → its handlings that no span tells of, by time, with what others of their kind say of them.

    Reads the temporary table ``mine``, the flows' records. Others are handlings of the same
    event's name by the same service, in flows that do not lack anything.
    """
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE begun AS
        SELECT * FROM (
            SELECT of_flow AS flow, service, event_h, any_value(event_id) AS event_id, min(name) AS name,
                min(time) AS time
            FROM mine
            WHERE NOT shared AND kind = 'log' AND operation IN {HANDLES}
              AND service IS NOT NULL AND event_h IS NOT NULL AND name IS NOT NULL
            GROUP BY of_flow, service, event_h
            HAVING NOT bool_or(coalesce(severity IN ('ERROR', 'FATAL') OR status = 'error', false))
        ) AS h
        -- What sent something was not the last that its service told of.
        WHERE NOT EXISTS (
            FROM mine AS s
            WHERE s.of_flow = h.flow AND s.service = h.service AND s.operation IN {SENDS} AND s.time >= h.time
              AND coalesce(s.causation_id = h.event_id, true)
        )
        QUALIFY row_number() OVER (PARTITION BY flow ORDER BY time, service, event_id) <= {ASKED}
    """).fetchall()
    asked = connection.execute(
        "SELECT flow, service, event_h, event_id, name FROM begun ORDER BY flow, time, service, event_id"
    ).fetchall()
    if not asked:
        return {}
    _find_others(connection)
    kinds = _lines(connection)
    flows = {flow for flow, *_ in asked}
    found: dict[int, tuple[Begun, ...]] = {}
    for flow, service, event, event_id, name in asked:
        lines = kinds.get((service, name), _Lines())
        mine = lines.of.get((flow, service, event))
        if mine and (flow, service, event) not in lines.spanned:
            others = {one: told for one, told in lines.of.items() if one[0] not in flows}
            said = _compared(service, event_id, mine, others, lines.spanned)
            found[flow] = (*found.get(flow, ()), said)
    return found


def _compared(
    service: str,
    event_id: str,
    mine: list[_Line],
    told: Mapping[_HANDLING, list[_Line]],
    spanned_too: AbstractSet[_HANDLING],
) -> Begun:
    last = mine[-1].text
    others = list(told.values())
    like = [other for other in others if any(line.text == last for line in other)]
    ended = sum(any(line.text == last and line.time == other[-1].time for line in other) for other in like)
    spanned = len(spanned_too & told.keys())
    said: bool | None = None
    follows = ""
    if len(like) >= LEAST and ended <= ODD * len(like):
        said, follows = False, _follower(like, last)
    elif not ended and len(others) >= LEAST and spanned >= (1 - ODD) * len(others):
        said = False
    elif len(like) >= LEAST and 2 * ended >= len(like) and 2 * spanned < len(others):
        said = True
    several = spanned > 0 or any(len({line.text for line in other}) > 1 for other in others)
    return Begun(service, event_id, said, last, follows, len(like) if follows else len(others), several)


def _follower(like: Iterable[list[_Line]], last: str) -> str:
    """What comes most often right after such a line."""
    after = Counter(
        later.text
        for other in like
        for line, later in pairwise(other)
        if line.text == last and later.text != last
    )
    return min(after, key=lambda text: (-after[text], text), default="")


def _find_others(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``other(service, name, flow, event_h, time)``: the latest handlings of these kinds."""
    series = connection.execute(f"""
        SELECT s.service, s.name, list(s.series ORDER BY s.series) FROM store.series AS s
        SEMI JOIN begun AS b ON b.service = s.service AND b.name = s.name
        WHERE s.kind = 'log' AND s.operation IN {HANDLES}
        GROUP BY s.service, s.name
    """).fetchall()
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE other AS
        SELECT service, name, flow, event_h, time FROM begun
    """).fetchall()
    for service, name, told in series:
        # The newest few of one column are found without reading the rest of the table.
        connection.execute(
            f"""
            INSERT INTO other
            SELECT $service, $name, flow, event_h, min(time) FROM (
                SELECT flow, event_h, time FROM store.records
                WHERE series IN ({", ".join(map(str, told))}) AND event_h IS NOT NULL
                ORDER BY time DESC NULLS LAST, event_h LIMIT {LINES}
            )
            WHERE time IS NOT NULL AND flow NOT IN (SELECT flow FROM begun)
              AND flow NOT IN (SELECT flow FROM store.waits WHERE kind IN {UNFINISHED})
            GROUP BY flow, event_h
            """,
            {"service": service, "name": name},
        ).fetchall()


def _lines(connection: duckdb.DuckDBPyConnection) -> dict[_KIND, _Lines]:
    """The lines of these handlings: those of the event, and those within the span that it was handled in."""
    columns = "time, event_h, span_h, kind, service, operation, body"
    rows = connection.execute(f"""
        WITH
            near AS MATERIALIZED (
                SELECT r.flow, {columns} FROM store.records AS r JOIN store.series AS s USING (series)
                WHERE r.flow IN (SELECT flow FROM other) AND r.flow NOT IN (SELECT flow FROM begun)
                  AND r.time >= (SELECT min(time) FROM other WHERE flow NOT IN (SELECT flow FROM begun))
                  AND s.kind IN ('log', 'span') AND s.service IN (SELECT service FROM begun)
                  AND NOT coalesce(s.operation IN {SENDS}, false)
                UNION ALL
                SELECT of_flow, {columns} FROM mine
                WHERE kind IN ('log', 'span') AND time IS NOT NULL AND NOT coalesce(operation IN {SENDS}, false)
            ),
            within AS (
                SELECT DISTINCT o.*, n.span_h FROM other AS o JOIN near AS n USING (flow, service, event_h)
                WHERE n.kind = 'log' AND n.operation IN {HANDLES} AND n.span_h IS NOT NULL
            ),
            told AS (
                SELECT o.service, o.name, o.flow, o.event_h, n.time, n.kind, n.operation, n.body
                FROM other AS o JOIN near AS n USING (flow, service, event_h)
                UNION ALL
                SELECT w.service, w.name, w.flow, w.event_h, n.time, n.kind, n.operation, n.body
                FROM within AS w JOIN near AS n USING (flow, service, span_h)
                WHERE n.event_h IS DISTINCT FROM w.event_h
            )
        SELECT service, name, flow, event_h, time, kind = 'span', {TEMPLATE} AS text
        FROM told WHERE kind = 'log' OR operation IN {HANDLES}
        ORDER BY time, text
    """).fetchall()
    found: dict[_KIND, _Lines] = {}
    for service, name, number, event, time, is_span, text in rows:
        lines = found.setdefault((service, name), _Lines())
        handling = (number, service, event)
        if is_span:
            lines.spanned.add(handling)
        else:
            lines.of.setdefault(handling, []).append(_Line(time, text))
    return found
