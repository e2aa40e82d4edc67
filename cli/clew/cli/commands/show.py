"""``clew show``: one flow, found by any ID a person may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clew.cli.errors import UsageMistake
from clew.cli.exits import Exit
from clew.cli.finding import looked_up, looking, matches, nothing, of_one_flow, only
from clew.cli.options import Context, inferring, moment, option

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from clew.cli.terminal import Terminal
    from clew.reconstruct.answers import Match
    from clew.reconstruct.causes.why import Why
    from clew.reconstruct.detail import FlowDetail
    from clew.reconstruct.store import Store

LIMIT = 20_000
"""Records of one flow that are read unless --all asks for more."""
EVERYTHING = 10_000_000


@click.command()
@option("--logs", env="SHOW_LOGS", is_flag=True, help="Log lines under the step that wrote them.")
@option("--evidence", env="SHOW_EVIDENCE", is_flag=True, help="For each record, why it is in this flow.")
@option(
    "--all",
    "everything",
    env="SHOW_ALL",
    is_flag=True,
    help="Every step and every record; nothing is folded.",
)
@option("--follow", env="SHOW_FOLLOW", is_flag=True, help="Draw it again whenever it changes, until Ctrl-C.")
@inferring
@of_one_flow
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
    inferred: bool,
    likelihood: float,
    follow: bool,
) -> int:
    """Draw one flow: what caused what across services, and where the time went.

    ID is any ID you hold: of the flow, an event, a trace, a span, a business key,
    or the beginning of one.
    """
    limit = EVERYTHING if everything or as_json else LIMIT

    def print_(told: Why) -> None:
        if as_json:
            from clew.cli import flow_json

            context.terminal.json(flow_json.detail(told.detail, told.cause))
            return
        from clew.cli.flow_view import Details, view

        context.terminal.out(
            view(told.detail, context.terminal.look, Details(logs, evidence, everything), told)
        )

    if follow:
        if as_of is not None or inferred:
            flag = "--inferred" if inferred else "--as-of"
            raise UsageMistake(
                f"--follow draws a flow as it changes now, and has no use for {flag}",
                help="leave one of the two out",
            )
        return _follow(context, id_, scope, limit, print_)
    with looking(context, as_of, held=not inferred) as store:
        at = moment(as_of, lambda: store.summary().as_of)
        with looked_up(store, id_, scope, at, likelihood if inferred else None) as found:
            told = _ask(store, found, id_, context.terminal, at, limit)
    if told is None:
        return Exit.USAGE
    print_(told)
    return Exit.FINE


def _ask(
    store: Store, found: list[Match], text: str, terminal: Terminal, at: datetime | None, limit: int
) -> Why | None:
    """The flow that was found and why it is so; None where there are several, which are told then."""
    from clew.reconstruct.causes.why import why_of

    match = only(found, text, "show", terminal)
    if match is None:
        return None
    detail = store.flow(match.flow_id, match.scope, at, limit)
    if detail is None:
        raise nothing(text, match.scope)
    return why_of(store, detail, at)


def _follow(context: Context, text: str, scope: str | None, limit: int, print_: Callable[[Why], None]) -> int:
    """Draw the flow whenever more than the time has changed: a terminal anew, a pipe one after the other."""
    import sys
    from dataclasses import replace

    from clew.cli.following import changes

    before: FlowDetail | None = None
    try:
        with context.store() as store:
            for _ in changes(store):
                with store.held():
                    told = _ask(store, matches(store, text, scope), text, context.terminal, None, limit)
                if told is None:
                    return Exit.USAGE
                now = replace(told.detail, as_of=None)
                if now == before:
                    continue
                if context.terminal.person:
                    click.clear()
                before = now
                print_(told)
                sys.stdout.flush()
    except KeyboardInterrupt:
        pass  # the way to end it
    return Exit.FINE
