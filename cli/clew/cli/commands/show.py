"""``clew show``: one flow, found by any ID a person may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clew.cli.errors import CommandError, NothingFound
from clew.cli.exits import Exit
from clew.cli.options import Context, as_json, as_of, moment, option, scoped, stored

if TYPE_CHECKING:
    from clew.reconstruct.model import Match
    from clew.reconstruct.store import Store

LIMIT = 20_000
"""Records of one flow that are read unless --all asks for more."""
EVERYTHING = 10_000_000
MATCHES = 20
_PREFIX = 8
"""What a prefix should have to be worth suggesting."""


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
    with context.store() as store:
        match = _resolve(store, id_, scope)
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


def _resolve(store: Store, text: str, scope: str | None) -> Match:
    """The one flow that ``text`` leads to.

    Raises:
        NothingFound: it leads to none.
        CommandError: it leads to several.
    """
    wanted = text.strip().removesuffix("…").removesuffix("...")
    if not wanted:
        raise CommandError("the ID is empty", status=Exit.USAGE)
    found = store.find(wanted, scope, MATCHES + 1)
    exact = [match for match in found if match.what == "flow"] or [
        match for match in found if match.what != "prefix"
    ]
    flows = {(match.flow_id, match.scope): match for match in reversed(exact or found)}
    if not flows:
        raise _nothing(text, scope)
    if len(flows) == 1:
        return next(iter(flows.values()))
    raise CommandError(_several(text, list(reversed(flows.values()))), status=Exit.USAGE, help=_choose(flows))


def _several(text: str, matches: list[Match]) -> str:
    shown = "; ".join(
        f"{match.flow_id}{f' in scope {match.scope}' if match.scope else ''} (as {match.what})"
        for match in matches[:MATCHES]
    )
    many = f"more than {MATCHES}" if len(matches) > MATCHES else str(len(matches))
    return f"{text!r} leads to {many} flows: {shown}"


def _choose(flows: dict[tuple[str, str], Match]) -> str:
    if len({scope for _, scope in flows}) > 1:
        return "name one with --scope"
    return "show one of them by its own ID, or give more of the ID"


def _nothing(text: str, scope: str | None) -> NothingFound:
    within = f" in scope {scope!r}" if scope else ""
    hints = ["looked for a flow, event, trace, span and key value of that text, whole or as a beginning"]
    if scope:
        hints.append("try without --scope")
    hints.append("clew flows lists what is there; clew sources what was read")
    return NothingFound(f"nothing is known under {text!r}{within}", help="; ".join(hints))
