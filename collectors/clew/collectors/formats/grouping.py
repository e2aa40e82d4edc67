"""Lines that make one record together: continued lines and an envelope's parts."""

from __future__ import annotations

from dataclasses import replace

from clew.collectors.formats.language import Multiline
from clew.collectors.formats.output import Source
from clew.collectors.formats.paths import quoted

PARTIAL, STREAM = "o_partial", "o_stream"


def begins(multiline: Multiline, line: str) -> str:
    """SQL that holds where ``line`` begins a record."""
    if multiline.starts is not None:
        return f"coalesce(regexp_matches({line}, {quoted(multiline.starts)}), true)"
    return f"NOT coalesce(regexp_matches({line}, {quoted(multiline.continues or '')}), false)"


def joined_lines(source: Source, multiline: Multiline) -> Source:
    """Units are the lines from one beginning to the next, of the same stream."""
    return _joined(source, f"sum(CASE WHEN {begins(multiline, 'line')} THEN 1 ELSE 0 END)", "", "chr(10)")


def joined_parts(source: Source) -> Source:
    """Units are an envelope's texts with their parts put together."""
    ended = f"sum(CASE WHEN {PARTIAL} THEN 0 ELSE 1 END)"
    return _joined(source, ended, " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING", "''")


def _joined(source: Source, counted: str, frame: str, between: str) -> Source:
    stream = STREAM if source.lenient else "''"
    relation = (
        f"SELECT *, coalesce({counted} OVER (PARTITION BY {stream} ORDER BY position{frame}), 0) AS belongs"
        f" FROM ({source.relation})"
    )
    # A line's own end would stand in the middle of what is joined.
    text = "CASE WHEN count(*) = 1 THEN any_value(line) ELSE"
    text += f" string_agg(rtrim(line, E'\\r\\n'), {between} ORDER BY position) END"
    carried = [
        *source.outer.values(),
        source.outer_attributes,
        source.original,
        PARTIAL if source.lenient else None,
    ]
    columns = [f"arg_min({name}, position) AS {name}" for name in dict.fromkeys(carried) if name]
    items = [f"{text} AS line", "min(position) AS position", f"{stream} AS {STREAM}", *columns]
    return replace(source, relation=f"SELECT {', '.join(items)} FROM ({relation}) GROUP BY {stream}, belongs")


def complete_count(source: Source, multiline: Multiline | None) -> str | None:
    """SQL over ``raw`` with positions from 0: how many lines no later line can continue."""
    if multiline is None and not source.lenient:
        return None
    stream = STREAM if source.lenient else "''"
    opens = []
    if multiline is not None:
        # Each stream's last record stays open until the next one begins.
        opens.append(
            f"SELECT coalesce(max(position) FILTER (WHERE {begins(multiline, 'line')}), min(position)) AS open"
            f" FROM ({source.relation}) GROUP BY {stream}"
        )
    if source.lenient:
        opens.append(
            f"SELECT min(position) FILTER (WHERE position > ended) AS open FROM (SELECT position,"
            f" coalesce(max(position) FILTER (WHERE NOT coalesce({PARTIAL}, false)) OVER (PARTITION BY {stream}), -1)"
            f" AS ended, {stream} AS of FROM ({source.relation})) GROUP BY of"
        )
    union = " UNION ALL ".join(opens)
    return f"SELECT coalesce((SELECT min(open) FROM ({union})), (SELECT count(*) FROM raw))"
