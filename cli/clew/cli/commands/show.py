"""``clew show``: one flow, found by any ID a person may hold."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from clew.cli.errors import NothingFound, UsageMistake
from clew.cli.exits import Exit
from clew.cli.options import Context, as_json, as_of, moment, option, scoped, stored

if TYPE_CHECKING:
    from clew.cli.terminal import Terminal
    from clew.reconstruct.model import Match
    from clew.reconstruct.store import Store

LIMIT = 20_000
"""Records of one flow that are read unless --all asks for more."""
EVERYTHING = 10_000_000
MATCHES = 20


@click.command()
@click.argument("id_", metavar="ID")
@option("--logs", env="SHOW_LOGS", is_flag=True, help="Log lines under the step that wrote them.")
@option("--evidence", env="SHOW_EVIDENCE", is_flag=True, help="For each record, why it is in this flow.")
@option(
    "--all",
    "everything",
    env="SHOW_ALL",
    is_flag=True,
    help="Every step and every record; nothing is folded.",
)
@scoped
@as_of
@as_json
@stored
@click.pass_obj
def show(
    context: Context,
    *,
    id_: str,
    logs: bool,
    evidence: bool,
    everything: bool,
    scope: str | None,
    as_of: str | None,
    as_json: bool,
) -> int:
    """Draw one flow: what caused what across services, and where the time went.

    ID is any ID you hold: of the flow, an event, a trace, a span, a business key,
    or the beginning of one.
    """
    terminal = context.terminal
    with context.store() as store, store.held() if as_of is None else nullcontext():
        matches = _matches(store, id_, scope)
        if len(matches) > 1:
            _choose(matches, id_, terminal)
            return Exit.USAGE
        match = matches[0]
        at = moment(as_of, lambda: store.summary().as_of)
        limit = EVERYTHING if everything or as_json else LIMIT
        detail = store.flow(match.flow_id, match.scope, at, limit)
        if detail is None:
            raise _nothing(id_, scope)
    if as_json:
        from clew.cli import flow_json

        terminal.json(flow_json.detail(detail, at))
        return Exit.FINE
    from clew.cli.flow_view import Details, view

    terminal.out(view(detail, terminal.look, Details(logs, evidence, everything), at))
    return Exit.FINE


def _matches(store: Store, text: str, scope: str | None) -> list[Match]:
    """The flows that ``text`` leads to, by the best thing that it is there.

    Raises:
        NothingFound: it leads to none.
        UsageMistake: it is empty.
    """
    wanted = text.strip().removesuffix("…").removesuffix("...")
    if not wanted:
        raise UsageMistake("the ID is empty", help="clew flows lists the flows and their IDs")
    found = store.find(wanted, scope, MATCHES + 1)
    best = [match for match in found if match.what == "flow"] or [
        match for match in found if match.what != "prefix"
    ]
    flows: dict[tuple[str, str], Match] = {}
    for match in best or found:
        flows.setdefault((match.flow_id, match.scope), match)
    if not flows:
        raise _nothing(text, scope)
    return list(flows.values())


def _choose(matches: list[Match], text: str, terminal: Terminal) -> None:
    look = terminal.look
    many = f"more than {MATCHES}" if len(matches) > MATCHES else str(len(matches))
    terminal.say(look.line("error: ", "error").add(f"{text!r} leads to {many} flows:"))
    for match in matches[:MATCHES]:
        scope = f" --scope {shlex.quote(match.scope)}" if match.scope else ""
        line = look.line(f"  clew show {shlex.quote(match.flow_id)}{scope}", "name")
        terminal.say(line.add(f"   as {match.what}", "faint"))
    names = {match.what for match in matches} - {"flow", "event", "trace", "span", "prefix"}
    hint = "show one of them, or give more of the ID"
    if names:
        hint += f"; clew flows --key {shlex.quote(f'{min(names)}={text}')} compares them"
    terminal.say(look.wrap(hint, first=look.line("help: ", "help")))


def _nothing(text: str, scope: str | None) -> NothingFound:
    within = f" in scope {scope!r}" if scope else ""
    hints = ["looked for a flow, event, trace, span and key value of that text, whole or as a beginning"]
    if scope:
        hints.append("try without --scope")
    hints.append("clew flows lists what is there; clew sources what was read")
    return NothingFound(f"nothing is known under {text!r}{within}", help="; ".join(hints))
