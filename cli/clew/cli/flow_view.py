"""One flow as a person reads it: what it is, what caused what, and where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from clew.cli.flow_head import head, tail
from clew.cli.flow_notes import Label, Notes, fold_lines, label
from clew.cli.flow_tree import GUESSED, RAILS, Row, roots, rows
from clew.cli.timebar import Scale, axis, bar
from clew.cli.units import count, duration, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.cli.look import Line, Look
    from clew.reconstruct.causes.why import Why
    from clew.reconstruct.detail import FlowDetail, Step

OFFSETS_FROM = 100
"""Terminals at least so wide also show when each step began."""
PLACES_FROM = 140
"""Terminals at least so wide also show destination, partition and offset."""
NUMBER = 7
MOST_BAR = 100
LEAST_BAR = 18
_TREE_SHARE = 0.7


class Details(NamedTuple):
    """What is asked for beyond the tree."""

    logs: bool = False
    evidence: bool = False
    everything: bool = False


class Columns(NamedTuple):
    """Widths; 0 for a column that is left out."""

    tree: int
    place: int
    at: int
    wait: int
    took: int
    bar: int


def view(detail: FlowDetail, look: Look, details: Details, told: Why | None = None) -> Iterator[Line]:
    """The whole answer of ``clew show``."""
    notes = Notes(detail.flow, look, details, detail.joined)
    yield from head(detail, look, told)
    if detail.steps:
        yield look.line()
        yield from tree(detail, notes)
    yield from tail(detail, notes)


def tree(detail: FlowDetail, notes: Notes) -> Iterator[Line]:
    """A heading, then a line per step with its notes below it."""
    look, details = notes.look, notes.details
    drawn = list(rows(roots(detail.steps), everything=details.everything))
    labels = [_label(row, look) for row in drawn]
    columns = _columns(detail, labels, look)
    scale = Scale(detail.steps, columns.bar)
    yield _heading(columns, scale, look)
    for row, (rails, text) in zip(drawn, labels, strict=True):
        if row.left:
            said = f"{look.glyphs.cut} {count(row.left, 'more step')} not drawn; --all draws them"
            yield look.line(said, "faint")
        elif row.fold is not None:
            yield from fold_lines(row.fold, rails, look)
        elif row.node is not None and row.node.step is None:
            yield _ghost(row.node.ghost, rails, look)
        elif row.node is not None and row.node.step is not None and text is not None:
            cell = rails.extend(text.fit(columns.tree - rails.cells, look)).fit(columns.tree, look.glyphs.cut)
            yield _line(row.node.step, cell, columns, scale, look)
            start = _rails(row, look, below=bool(row.node.children))
            yield from notes.under(row.node.step, row.parent, start)


def _columns(detail: FlowDetail, labels: list[tuple[Line, Label | None]], look: Look) -> Columns:
    steps = detail.steps
    wait = NUMBER if any(step.queue_wait_us for step in steps) else 0
    took = NUMBER
    at = NUMBER if look.width >= OFFSETS_FROM else 0
    where = min(max((len(place(step)) for step in steps), default=0), 32) if look.width >= PLACES_FROM else 0
    numbers = sum(width + 1 for width in (where, at, wait, took) if width)
    room = look.width - numbers - 1
    natural = max((rails.cells + text.cells for rails, text in labels if text is not None), default=0)
    bars = max(LEAST_BAR, min(room - natural, MOST_BAR), int(room * (1 - _TREE_SHARE)))
    bars = min(bars, MOST_BAR, max(room - 12, 1))
    return Columns(max(min(max(natural, 8), room - bars), 8), where, at, wait, took, bars)


def _heading(columns: Columns, scale: Scale, look: Look) -> Line:
    line = look.line("STEP", "heading").pad(columns.tree)
    if columns.place:
        line.add(" ").add("WHERE".ljust(columns.place), "heading")
    for width, name in ((columns.at, "AT"), (columns.wait, "WAITED"), (columns.took, "TOOK")):
        if width:
            line.add(" ").add(name.rjust(width), "heading")
    return line.add(" ").extend(axis(scale, look))


def _line(step: Step, cell: Line, columns: Columns, scale: Scale, look: Look) -> Line:
    line = cell.pad(columns.tree)
    if columns.place:
        line.add(" ").extend(
            look.line(place(step), "faint").fit(columns.place, look.glyphs.cut).pad(columns.place)
        )
    offset = scale.offset(step.start)
    if columns.at:
        line.add(" ").add(("" if offset is None else "+" + duration(offset)).rjust(columns.at), "faint")
    if columns.wait:
        wait = duration(step.queue_wait_us) if step.queue_wait_us else ""
        line.add(" ").add(wait.rjust(columns.wait), "wait")
    took = "open" if step.open else duration(microseconds(step.start, step.end) or None)
    line.add(" ").add(took.rjust(columns.took), "warning" if step.open else "")
    return line.add(" ").extend(bar(step, scale, look))


def _label(row: Row, look: Look) -> tuple[Line, Label | None]:
    step = None if row.node is None else row.node.step
    return _rails(row, look), None if step is None else label(step, row.parent, look)


def _ghost(missing: str, rails: Line, look: Look) -> Line:
    line = rails.add("? parent ", "warning").add(missing, "name").add(" is not stored", "warning")
    return line.fit(look.width, look.glyphs.cut)


def _rails(row: Row, look: Look, *, below: bool | None = None) -> Line:
    """What stands before a row's text; with ``below`` given, before the notes under it."""
    glyphs = look.glyphs
    room = min(max(look.width // 8, 2), RAILS)
    deep = row.depth - 1 > room
    line = look.line(f"{row.depth}{glyphs.cut} " if deep else "", "faint")
    for goes_on in row.rails[-room:] if deep else row.rails:
        line.add(glyphs.rail if goes_on else "  ", "faint")
    if below is None:
        if not row.root:
            line.add(_branch(row, look), "faint")
        return line
    if not row.root:
        line.add("  " if row.last else glyphs.rail, "faint")
    return line.add(glyphs.rail if below else "  ", "faint")


def _branch(row: Row, look: Look) -> str:
    glyphs = look.glyphs
    step = None if row.node is None else row.node.step
    if step is not None and step.via in GUESSED:
        return glyphs.guess_last if row.last else glyphs.guess
    return glyphs.last if row.last else glyphs.branch


def place(step: Step) -> str:
    """Where its message lies: ``orders[3]@812``; "" for a step without one."""
    if not step.destination:
        return ""
    partition = "" if step.partition is None else f"[{step.partition}]"
    offset = "" if step.offset is None else f"@{step.offset}"
    return step.destination + partition + offset
