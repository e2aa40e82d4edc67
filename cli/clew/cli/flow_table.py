"""Flows as a table, and the line that says how the whole store stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli.table import Column, table
from clew.cli.units import count, duration, microseconds, moment, moments
from clew.reconstruct.model import OWED_CAUSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.cli.look import Line, Look
    from clew.reconstruct.answers import Continuation
    from clew.reconstruct.model import Flow, Summary

COLUMNS = (
    Column("STATUS", 1, 15),
    Column("FLOW", 2, 18, good=36, most=64),
    Column("TYPE", 4, 10, good=16, most=32),
    Column("WHY", 3, 20, good=44, most=72),
    Column("STARTED", 6, 8),
    Column("LAST", 5, 8),
    Column("TOOK", 7, 6, right=True),
    Column("EVENTS", 9, 6, right=True),
    Column("RECORDS", 12, 7, right=True),
    Column("ERRORS", 8, 6, right=True),
    Column("SERVICES", 11, 16, good=24, most=60),
    Column("KEYS", 10, 16, good=24, most=48),
    Column("SCOPE", 13, 6, most=20),
)


SOURCES = 3
"""Sources that are behind, of which the line below a table tells."""


def flow_table(flows: Sequence[Flow], look: Look) -> Iterator[Line]:
    """A line per flow under a heading; nothing for no flows."""
    if not flows:
        return
    started = moments([flow.started for flow in flows])
    last = moments([flow.last for flow in flows])
    rows = [_row(flow, begin, end, look) for flow, begin, end in zip(flows, started, last, strict=True)]
    yield from table(COLUMNS, rows, look)


def _row(flow: Flow, started: str, last: str, look: Look) -> list[Line]:
    style = str(flow.status)
    errors = count(flow.errors) if flow.errors else ""
    keys = " ".join(f"{name}={values[0]}" for name, values in flow.keys.items() if values)
    return [
        look.line(look.status(flow.status), style),
        look.line(flow.flow_id, "name"),
        look.line(flow.type),
        look.line(why(flow)),
        look.line(started),
        look.line(last),
        look.line(duration(microseconds(flow.started, flow.last))),
        look.line(count(flow.events)),
        look.line(count(flow.records)),
        look.line(errors, "error"),
        look.line(",".join(flow.services), "service"),
        look.line(keys),
        look.line(flow.scope),
    ]


def why(flow: Flow) -> str:
    """The cause, and the named thing that is owed."""
    owed = ""
    if flow.owed is not None:
        by = f" by {flow.owed.service}" if flow.owed.service else ""
        owed = f"{'end of ' if flow.owed.kind == 'end' else ''}{flow.owed.name}{by}"
        if flow.status == "stuck" and OWED_CAUSES.get(flow.owed.kind) != flow.cause:
            # What is owed longest is not what the cause is about: they must not read as one.
            owed = f"lacks {owed}"
    said = ": ".join(part for part in (flow.cause, owed) if part)
    return ", ".join(part for part in (said, "late" if flow.late else "", _joined(flow)) if part)


def _joined(flow: Flow) -> str:
    if flow.inferred is None:
        return ""
    from clew.reconstruct.causes.wording import likely

    return f"inferred {likely(flow.inferred)}"


def inference(joined: Sequence[Continuation], least: float, look: Look) -> Iterator[Line]:
    """How many flows are not observed as one but likely are."""
    if not joined:
        yield from look.wrap(
            f"no flow likely goes on under another ID (likelihood {least:g} or more)", first=look.line()
        )
        return
    flows = {(one.scope, one.continued) for one in joined}
    said = f"{count(len(flows), 'flow')} joined with what likely came before, inferred {least:g} or more"
    yield from look.wrap(said, "warning", first=look.line())


def matched(summary: Summary, listed: int, look: Look, *, more: bool) -> Iterator[Line]:
    """How many flows are listed, and how to see more."""
    if listed:
        yield look.line()
    if not summary.flows:
        yield look.line("no flows yet; clew ingest reads files into the store")
    elif not listed:
        yield look.line("no flow matches")
    elif more:
        yield look.line(f"{count(listed, 'flow')} shown; --limit 0 lists all that match")
    elif listed != summary.flows:
        yield look.line(f"{count(listed, 'flow')} {'match' if listed != 1 else 'matches'}")


def standing(summary: Summary, look: Look) -> Iterator[Line]:
    """How the store stands: flows by status, up to when, and what could not be placed."""
    if summary.flows:
        parts = [
            (f"{count(number)} {status}", status) for status, number in summary.by_status.items() if number
        ]
        yield from look.join(parts, first=look.line(count(summary.flows, "flow") + " in all: "))
    if summary.as_of is not None:
        said = f"as of {moment(summary.as_of)}, set by {summary.as_of_from}"
        yield from look.wrap(said, "faint", first=look.line())
    yield from _held_back(summary, look)
    doubts = [
        count(number, *words)
        for number, words in (
            (summary.unattributed, ("record of no flow", "records of no flow")),
            (summary.missing_parents, ("missing parent",)),
            (summary.undated, ("record without a plausible time", "records without a plausible time")),
            (summary.rejects, ("reject",)),
        )
        if number
    ]
    if doubts:
        more_about = "; clew sources --rejects shows them" if summary.rejects else ""
        yield from look.wrap(", ".join(doubts) + more_about, "warning", first=look.line())


def _held_back(summary: Summary, look: Look) -> Iterator[Line]:
    """What was not read up to as-of, and how many flows that leaves undecided."""
    holding = any(one.flows for one in summary.behind)
    parts = []
    for one in summary.behind[:SOURCES]:
        silent = " (silent)" if one.silent and holding else ""
        flows = f", holds back {count(one.flows, 'flow')}" if one.flows else ""
        parts.append(f"{one.source} read up to {moment(one.watermark)}{silent}{flows}")
    more = len(summary.behind) - len(parts)
    if parts:
        said = "held back by " if holding else "silent: "
        said += "; ".join(parts) + (f"; and {count(more, 'other')}" if more > 0 else "")
        yield from look.wrap(said, "warning", first=look.line())
