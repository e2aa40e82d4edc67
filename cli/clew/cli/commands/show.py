"""``clew show``: one flow, found by any ID a person may hold."""

from __future__ import annotations

import click

from clew.cli.exits import Exit
from clew.cli.finding import looked_up, looking, nothing, of_one_flow, only
from clew.cli.options import Context, inferring, moment, option

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
) -> int:
    """Draw one flow: what caused what across services, and where the time went.

    ID is any ID you hold: of the flow, an event, a trace, a span, a business key,
    or the beginning of one.
    """
    from clew.reconstruct.causes.why import why_of

    terminal = context.terminal
    with looking(context, as_of, held=not inferred) as store:
        at = moment(as_of, lambda: store.summary().as_of)
        limit = EVERYTHING if everything or as_json else LIMIT
        with looked_up(store, id_, scope, at, likelihood if inferred else None) as found:
            match = only(found, id_, "show", terminal)
            if match is None:
                return Exit.USAGE
            detail = store.flow(match.flow_id, match.scope, at, limit)
            if detail is None:
                raise nothing(id_, scope)
            told = why_of(store, detail, at)
    if as_json:
        from clew.cli import flow_json

        terminal.json(flow_json.detail(detail, told.cause))
        return Exit.FINE
    from clew.cli.flow_view import Details, view

    terminal.out(view(detail, terminal.look, Details(logs, evidence, everything), told))
    return Exit.FINE
