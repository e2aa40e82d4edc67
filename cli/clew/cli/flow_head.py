"""What stands above and below a flow's tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli.flow_notes import Notes, owed_phrase
from clew.cli.units import count, duration, microseconds, moment
from clew.reconstruct.causes.wording import likely

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from clew.cli.look import Line, Look
    from clew.reconstruct.causes.why import Why
    from clew.reconstruct.detail import FlowDetail
    from clew.reconstruct.model import Flow

LEAST_FIELD = 9
MOST_FIELD = 24
_VALUES = 4
"""Values of one key that are listed."""
_LINKS = 20


def head(detail: FlowDetail, look: Look, told: Why | None = None) -> Iterator[Line]:
    """ID, status, why, when, how much, where, keys, links."""
    flow = detail.flow
    status = look.line(look.status(flow.status), str(flow.status))
    title = look.line(flow.flow_id, "strong")
    if title.cells + 2 + status.cells <= look.width:
        yield title.pad(min(look.width - status.cells, max(title.cells + 2, 60))).extend(status)
    else:
        yield title
        yield status
    fields = [*_facts(flow, detail.as_of, told), *_joined(detail), *_keys(flow), *_links(detail)]
    names = [look.line(name).cells for name, value, _ in fields if value]
    width = min(max(LEAST_FIELD, *names), MOST_FIELD)
    for name, value, style in fields:
        if value:
            first = look.line(name, "faint").fit(width, look.glyphs.cut).pad(width + 1)
            yield from look.wrap(value, style, first=first)


def _joined(detail: FlowDetail) -> Iterator[tuple[str, str, str]]:
    if detail.flow.inferred is not None:
        told = f"inferred {likely(detail.flow.inferred)}: with {count(len(detail.joined), 'likely continuation')}"
        yield "joined", told, "warning"


def _keys(flow: Flow) -> Iterator[tuple[str, str, str]]:
    for name, values in flow.keys.items():
        more = f" and {count(len(values) - _VALUES)} more" if len(values) > _VALUES else ""
        yield name, ", ".join(values[:_VALUES]) + more, "name"


def _links(detail: FlowDetail) -> Iterator[tuple[str, str, str]]:
    for link in detail.links[:_LINKS]:
        yield "linked", f"{link.kind} {link.flow_id} (by {link.via})", ""
    if len(detail.links) > _LINKS:
        yield "linked", f"and {count(len(detail.links) - _LINKS)} more; --json gives all", ""


def _facts(flow: Flow, as_of: datetime | None, told: Why | None) -> Iterator[tuple[str, str, str]]:
    also = f"; also {', '.join(flow.also)}" if flow.also else ""
    yield "type", (flow.type or "unknown") + also + ("; late" if flow.late else ""), ""
    yield "scope", flow.scope, ""
    yield "why", why(flow, told), str(flow.status)
    yield "owed", owed(flow, as_of), str(flow.status)
    took = duration(microseconds(flow.started, flow.last))
    yield "time", f"{moment(flow.started)}, {took or '?'} until the last record", ""
    yield "as of", moment(as_of) if as_of else "", ""
    parts = [count(flow.records, "record"), count(flow.events, "event")]
    for number, word in (
        (flow.errors, "error"),
        (flow.dead_letters, "dead letter"),
        (flow.missing_parents, "missing parent"),
    ):
        if number:
            parts.append(count(number, word))
    yield "holds", ", ".join(parts), ""
    yield "services", ", ".join(flow.services), "service"


def why(flow: Flow, told: Why | None = None) -> str:
    """The cause, and what happened or else what the cause means; "" where there is none."""
    from clew.reconstruct.causes import MEANINGS

    if told is not None:
        return next((f"{cause.name}: {cause.said}" for cause in told.causes if cause.explains), "")
    if not flow.cause:
        return ""
    meaning = MEANINGS.get(flow.cause, "").rstrip(".")
    return f"{flow.cause}: {meaning[:1].lower()}{meaning[1:]}" if meaning else flow.cause


def owed(flow: Flow, as_of: datetime | None) -> str:
    """What it waits for, since when, and how its deadline stands; "" where nothing is owed."""
    if flow.owed is None:
        return ""
    said = f"{owed_phrase(flow)}, since {moment(flow.owed.since)}"
    deadline = flow.owed.deadline
    if deadline is None:
        return said
    if as_of is None:
        stuck = "stuck" in (flow.status, *flow.also)
        return f"{said}; {'overdue since' if stuck else 'due'} {moment(deadline)}"
    us = microseconds(deadline, as_of) or 0
    return said + (f"; overdue for {duration(us)}" if us > 0 else f"; due in {duration(-us)}")


def tail(detail: FlowDetail, notes: Notes) -> Iterator[Line]:
    """Records without a step, and what was left out."""
    look, details = notes.look, notes.details
    asked = details.logs or details.evidence
    if detail.loose:
        yield look.line()
        found = look.line(f"{count(len(detail.loose), 'record')} of no step", "heading")
        yield found.add("" if asked else "; --logs shows them", "faint")
        start = look.line("  ")
        for seen in detail.loose if asked else ():
            yield from notes.log(seen, start)
            if details.evidence:
                yield from notes.evidence(seen, start)
    if detail.truncated:
        yield look.line()
        said = f"{count(detail.truncated, 'record')} left out, for the flow is larger than the limit; "
        yield from look.wrap("--all reads them", "warning", first=look.line(said, "warning"))
