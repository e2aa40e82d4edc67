"""``clew why``: what a flow waits for or broke on, by which records, and what to do next."""

from __future__ import annotations

import click

from clew.cli.exits import Exit
from clew.cli.finding import looked_up, looking, nothing, of_one_flow, only
from clew.cli.options import Context, inferring, moment, option


@click.command()
@option(
    "--all",
    "everything",
    env="WHY_ALL",
    is_flag=True,
    help="Every line of evidence; else the last of many are counted.",
)
@inferring
@of_one_flow
@click.pass_obj
def why(
    context: Context,
    *,
    id_: str,
    everything: bool,
    scope: str | None,
    as_of: str | None,
    as_json: bool,
    inferred: bool,
    likelihood: float,
) -> int:
    """Say why a flow is as it is: one sentence, every cause with its evidence, what to do next.

    ID is any ID you hold: of the flow, an event, a trace, a span, a business key,
    or the beginning of one.
    """
    from clew.reconstruct.causes.why import why as ask

    terminal = context.terminal
    with looking(context, as_of, held=not inferred) as store:
        at = moment(as_of, lambda: store.summary().as_of)
        with looked_up(store, id_, scope, at, likelihood if inferred else None) as found:
            match = only(found, id_, "why", terminal)
            if match is None:
                return Exit.USAGE
            told = ask(store, match.flow_id, match.scope, at)
    if told is None:
        raise nothing(id_, scope)
    if as_json:
        from clew.cli.why_json import why_json

        terminal.json(why_json(told))
        return Exit.FINE
    from clew.cli.why_view import why_view

    terminal.out(why_view(told, terminal.look, context.commands, everything=everything, inferred=inferred))
    return Exit.FINE
