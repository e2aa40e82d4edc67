"""From the ID that a person gives to one flow, for the commands that take one."""

from __future__ import annotations

import shlex
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from clew.cli.errors import NothingFound, UsageMistake
from clew.cli.options import as_json, as_of, joined, scoped, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from clew.cli.options import Context
    from clew.cli.terminal import Terminal
    from clew.reconstruct.answers import Match
    from clew.reconstruct.store import Store

MATCHES = 20


def of_one_flow(command: Callable[..., Any]) -> Callable[..., Any]:
    """``ID``, and the options that say of it in which scope, judged when, told how, from which store."""
    for decorate in (stored, as_json, as_of, scoped, click.argument("id_", metavar="ID")):
        command = decorate(command)
    return command


@contextmanager
def looking(context: Context, as_of: str | None, *, held: bool = True) -> Iterator[Store]:
    """The store for the few questions about one flow. Of now they see one state; of earlier each lives through it.

    Without ``held`` others have their turn between them.
    """
    with context.store() as store, store.held() if held and as_of is None else nullcontext():
        yield store


def only(found: list[Match], text: str, command: str, terminal: Terminal) -> Match | None:
    """The flow that ``text`` leads to; None where it leads to several, which are told then."""
    if len(found) == 1:
        return found[0]
    choose(found, text, command, terminal)
    return None


def matches(store: Store, text: str, scope: str | None) -> list[Match]:
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
        raise nothing(text, scope)
    return list(flows.values())


@contextmanager
def looked_up(
    store: Store, text: str, scope: str | None, as_of: datetime | None, least: float | None
) -> Iterator[list[Match]]:
    """:func:`matches`; unless ``least`` is None, in a store that joins what likely belongs together around them."""
    found = matches(store, text, scope)
    if least is None:
        yield found
        return
    told = store.flow(found[0].flow_id, found[0].scope, as_of, 1)
    with joined(store, least, as_of, told.flow.last if told is not None else None):
        yield matches(store, text, scope)


def choose(found: list[Match], text: str, command: str, terminal: Terminal) -> None:
    """Say that an ID leads to several flows, and how ``command`` gets each."""
    look = terminal.look
    many = f"more than {MATCHES}" if len(found) > MATCHES else str(len(found))
    terminal.say(look.line("error: ", "error").add(f"{text!r} leads to {many} flows:"))
    for match in found[:MATCHES]:
        scope = f" --scope {shlex.quote(match.scope)}" if match.scope else ""
        line = look.line(f"  clew {command} {shlex.quote(match.flow_id)}{scope}", "name")
        terminal.say(line.add(f"   as {match.what}", "faint"))
    names = {match.what for match in found} - {"flow", "event", "trace", "span", "prefix"}
    hint = f"{command} one of them, or give more of the ID"
    if command != "show":
        hint = "ask for one of them, or give more of the ID"
    if names:
        hint += f"; clew flows --key {shlex.quote(f'{min(names)}={text}')} compares them"
    terminal.say(look.wrap(hint, first=look.line("help: ", "help")))


def nothing(text: str, scope: str | None) -> NothingFound:
    """The error for an ID that leads nowhere."""
    within = f" in scope {scope!r}" if scope else ""
    hints = ["looked for a flow, event, trace, span and key value of that text, whole or as a beginning"]
    if scope:
        hints.append("try without --scope")
    hints.append("clew flows lists what is there; clew sources what was read")
    return NothingFound(f"nothing is known under {text!r}{within}", help="; ".join(hints))
