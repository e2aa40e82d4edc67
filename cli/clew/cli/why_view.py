"""Why a flow is as it is, as a person reads it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from clew.cli.units import count, moment
from clew.reconstruct.causes.wording import likely

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from clew.cli.look import Line, Look
    from clew.reconstruct.causes import Action, Cause, Clue
    from clew.reconstruct.causes.why import Why
    from clew.reconstruct.model import Flow

MOST_CLUES = 5
MOST_ACTIONS = 5


SILENT = frozenset({"never_consumed", "never_published", "consumed_no_reaction"})
"""Causes that a service which dropped the flow's IDs would leave behind, too."""


def why_view(
    told: Why, look: Look, commands: Collection[str], *, everything: bool, inferred: bool = False
) -> Iterator[Line]:
    """The sentence; each cause with its evidence; what to do next."""
    flow = told.detail.flow
    yield from look.wrap(told.sentence, "strong", first=look.line(), again=look.line())
    for number, cause in enumerate(told.causes):
        if number == 0 or told.causes[number - 1].explains is not cause.explains:
            yield look.line()
            heading = "because" if cause.explains else "besides" if told.cause else "noticed"
            yield look.line(f"{heading}:", "heading")
        yield from _cause(cause, flow, look, told_above=number == 0, everything=everything)
    if told.detail.truncated:
        left = (
            f"{count(told.detail.truncated, 'record')} were not looked at: the flow is larger than the limit"
        )
        yield from look.wrap(left, "warning", first=look.line())
    actions = list(_actions(told, commands))[:MOST_ACTIONS]
    if told.cause in SILENT and not inferred:
        actions.append(_elsewhere(told))
    if actions:
        yield look.line()
        yield look.line("next:", "heading")
        for action in actions:
            yield from _action(action, look)


def _elsewhere(told: Why) -> Action:
    from clew.reconstruct.causes import Action

    flow = told.detail.flow
    scope = ("--scope", flow.scope) if flow.scope else ()
    return Action(
        "see whether it likely goes on under another ID", ("why", flow.flow_id, "--inferred", *scope)
    )


def _cause(cause: Cause, flow: Flow, look: Look, *, told_above: bool, everything: bool) -> Iterator[Line]:
    name = look.line("  ").add(cause.name, str(flow.status) if cause.explains else "warning")
    if cause.likelihood is not None:
        name.add(f" (inferred {likely(cause.likelihood)})", "warning")
    if told_above and cause.explains:
        yield name
    else:
        yield from look.wrap(cause.said, first=name.add(": "), again=look.line("    "))
    clues = cause.clues if everything else cause.clues[-MOST_CLUES:]
    if len(clues) < len(cause.clues):
        yield look.line(f"    {count(len(cause.clues) - len(clues))} more before; --all shows them", "faint")
    for clue in clues:
        yield from _clue(clue, flow, look)


def _clue(clue: Clue, flow: Flow, look: Look) -> Iterator[Line]:
    when = ""
    if clue.time is not None:
        same_day = flow.started is not None and flow.started.date() == clue.time.date()
        when = moment(clue.time)[11 if same_day else 0 : -1] + " "
    where = ""
    if clue.source:
        where = clue.source + (f":{clue.position}" if clue.position is not None else "")
    first = look.line("    ").add(look.glyphs.note + " ", "faint").add(when, "faint")
    lines = look.wrap(clue.said, first=first, again=look.line("      "))
    service = f" [{clue.service}]" if clue.service and clue.service not in clue.said else ""
    for text, style in ((service, "service"), (f" {where}" if where else "", "faint")):
        if not text:
            continue
        piece = look.line(text, style)
        if lines[-1].cells + piece.cells <= look.width:
            lines[-1].extend(piece)
        else:
            lines.extend(look.wrap(text.strip(), style, first=look.line("      ")))
    yield from lines


def _actions(told: Why, commands: Collection[str]) -> Iterator[Action]:
    """What to do about each cause, once; a command that this clew lacks is left out."""
    seen: set[tuple[str, ...]] = set()
    scope = told.detail.flow.scope
    explaining = [cause for cause in told.causes if cause.explains]
    for cause in explaining or told.causes:
        for action in cause.next:
            key = action.command or (action.do,)
            if key in seen or (action.command and action.command[0] not in commands):
                continue
            seen.add(key)
            if scope and action.command[:1] == ("show",) and "--scope" not in action.command:
                yield type(action)(action.do, (*action.command, "--scope", scope))
            else:
                yield action


def _action(action: Action, look: Look) -> Iterator[Line]:
    start = look.line("  ")
    if not action.command:
        yield from look.wrap(action.do, first=start)
        return
    command = " ".join(["clew", *map(shlex.quote, action.command)])
    yield from look.wrap(command, "help", first=start)
    yield from look.wrap(action.do, "faint", first=look.line("      "))
