"""``clew define``: a first flow definition from what was seen, and how well one fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clew.cli.errors import UsageMistake
from clew.cli.exits import Exit
from clew.cli.finding import looking, nothing, only
from clew.cli.options import Context, as_of, common, moment, option, scoped, stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RECORDS = 100_000
"""Of one flow at most so many records are looked at."""


def _output(command: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        option("--force", env="DEFINE_FORCE", is_flag=True, help="Overwrite the file if it is there."),
        option(
            "--output", "-o", env="DEFINE_OUTPUT", metavar="FILE", help="Write to FILE instead of stdout."
        ),
    ):
        command = decorate(command)
    return command


@click.group(invoke_without_command=True)
@option(
    "--from-flow",
    env="DEFINE_FROM_FLOW",
    metavar="ID",
    help="A first definition from what one flow did: any ID you hold, as clew show takes it.",
)
@_output
@scoped
@as_of
@stored
@click.pass_context
def define(
    ctx: click.Context,
    *,
    from_flow: str | None,
    output: str | None,
    force: bool,
    scope: str | None,
    as_of: str | None,
) -> int:
    """Write a first flow definition (YAML) from what was seen.

    A definition says what a flow owes, in which order and until when. The text has
    comments where it guesses, and reads back without a mistake.

    \b
      clew define --from-flow ord-4711 -o flows.yaml
      clew define check flows.yaml
      clew rebuild --definitions flows.yaml
    """  # noqa: D301  click's mark for lines that it must not join
    if ctx.invoked_subcommand is not None:
        return Exit.FINE
    context: Context = ctx.obj
    if not from_flow:
        raise UsageMistake(
            "nothing says what to write a definition from",
            help="clew define --from-flow ID, with an ID of a flow that went well: clew flows --status completed",
        )
    from clew.reconstruct.definition_from_flow import from_flow as written

    with looking(context, as_of) as store:
        match = only(store, from_flow, scope, "define --from-flow", context.terminal)
        if match is None:
            return Exit.USAGE
        at = moment(as_of, lambda: store.summary().as_of)
        detail = store.flow(match.flow_id, match.scope, at, RECORDS)
        settings = store.settings()
    if detail is None:
        raise nothing(from_flow, scope)
    _write(context, written(detail, settings), output, force=force)
    return Exit.FINE


@define.command()
@_output
@common
@click.pass_obj
def schema(context: Context, /, *, output: str | None, force: bool) -> int:
    """Print the JSON Schema of definitions files, by which editors complete and explain entries.

    \b
      clew define schema -o flows.schema.json

    and as the first line of the definitions beside it:

    \b
      # yaml-language-server: $schema=flows.schema.json
    """  # noqa: D301  likewise
    from clew.reconstruct.definitions import SCHEMA

    _write(context, SCHEMA.read_text(encoding="utf-8"), output, force=force)
    return Exit.FINE


def _write(context: Context, text: str, output: str | None, *, force: bool) -> None:
    """To stdout, or to a file that is not there yet.

    Raises:
        UsageMistake: it is there.
    """
    if output is None or output == "-":
        context.terminal.document(text)
        return
    try:
        with Path(output).open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageMistake(f"{output} is there already", help="--force overwrites it") from error
