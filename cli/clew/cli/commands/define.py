"""``clew define``: a first flow definition from what was seen, and how well one fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clew.cli.errors import NothingFound, UsageMistake
from clew.cli.exits import Exit
from clew.cli.finding import looking, matches, nothing, only
from clew.cli.narrowing import Asked, narrowing
from clew.cli.options import Context, as_json, as_of, at_most, common, limited, moment, option, scoped, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.reconstruct.definitions import Definition

RECORDS = 100_000
"""Of one flow at most so many records are looked at."""
SHOWN = 20
"""Deviations of a type that a person sees unless --limit says otherwise."""
KINDS = ("missing", "unexpected", "order", "after_end", "repeats", "choice", "late", "ended")


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
@option(
    "--learned",
    env="DEFINE_LEARNED",
    metavar="TYPE",
    help="The definition of a flow type as clew learn found it in many flows.",
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
    learned: str | None,
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
      clew define --learned order-fulfilment -o flows.yaml
      clew define check flows.yaml
      clew rebuild --definitions flows.yaml
    """  # noqa: D301  click's mark for lines that it must not join
    if ctx.invoked_subcommand is not None:
        return Exit.FINE
    context: Context = ctx.obj
    if bool(from_flow) == bool(learned):
        raise UsageMistake(
            "--from-flow and --learned are asked for one at a time"
            if from_flow
            else "nothing says what to write a definition from",
            help="clew define --from-flow ID, with an ID of a flow that went well: clew flows --status completed; "
            "or clew define --learned TYPE, of what clew learn found",
        )
    text = _learned(context, learned) if learned else _of_flow(context, from_flow or "", scope, as_of)
    if text is None:
        return Exit.USAGE
    _write(context, text, output, force=force)
    return Exit.FINE


def _of_flow(context: Context, id_: str, scope: str | None, as_of: str | None) -> str | None:
    """The text of a first definition; None where the ID leads to several flows, which are told then.

    Raises:
        NothingFound: it leads to none.
        NothingToDefine: the flow shows nothing that a definition could say.
    """
    from clew.reconstruct.definition_from_flow import from_flow

    with looking(context, as_of) as store:
        match = only(matches(store, id_, scope), id_, "define --from-flow", context.terminal)
        if match is None:
            return None
        at = moment(as_of, lambda: store.summary().as_of)
        detail = store.flow(match.flow_id, match.scope, at, RECORDS)
        settings = store.settings()
    if detail is None:
        raise nothing(id_, scope)
    return from_flow(detail, settings)


def _learned(context: Context, type_: str) -> str:
    """The text of a learned definition.

    Raises:
        NothingFound: nothing was learned of that type.
    """
    from clew.reconstruct.learned import as_file

    with context.store() as store:
        model = store.model()
        written = [one.name for one in store.settings().definitions]
    if model is None:
        raise NothingFound("nothing was learned yet", help="clew learn learns from what is stored")
    found = next((one for one in model.types if one.type == type_), None)
    if found is not None and found.definition is not None:
        return as_file(found)
    if type_ in written:
        raise NothingFound(
            f"{type_!r} has a definition that the team wrote, and nothing is learned of such a type",
            help="clew define check says how well its flows fit that definition",
        )
    silent = f": {found.silent}" if found is not None and found.silent else ""
    names = ", ".join(one.name for one in model.definitions)
    raise NothingFound(
        f"model {model.number} has no definition of {type_!r}{silent}",
        help=f"it has {names}" if names else "clew learn --show tells of each type what it found",
    )


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


@define.command()
@click.argument("file", required=False)
@option(
    "--ignore",
    "ignoring",
    env="DEFINE_CHECK_IGNORE",
    multiple=True,
    type=click.Choice(KINDS),
    metavar="KIND",
    help=f"Deviations that do not count against a flow, of {', '.join(KINDS)}; may be given several times.",
)
@limited("DEFINE_CHECK", "deviations of a type", SHOWN)
@narrowing("DEFINE_CHECK", types=True, joins=False)
@option(
    "--exit-code",
    env="DEFINE_CHECK_EXIT_CODE",
    is_flag=True,
    help="Exit with status 1 when a flow does not fit.",
)
@as_json
@stored
@click.pass_obj
def check(
    context: Context,
    /,
    *,
    file: str | None,
    ignoring: tuple[str, ...],
    limit: int | None,
    types: tuple[str, ...],
    exit_code: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Say how well definitions fit the stored flows: how many fit, and what the others do otherwise.

    FILE is a definitions file, which is checked for mistakes first; without it the
    store's own definitions are asked. A flow belongs to the definition with whose
    start it begins. Nothing in the store changes.

    \b
      clew define check flows.yaml
      clew define check --type order-fulfilment --ignore unexpected --exit-code
    """  # noqa: D301  likewise
    from clew.reconstruct.errors import StoreMissing
    from clew.reconstruct.reports import Misfit

    terminal = context.terminal
    written = None if file is None else _definitions(file, types)
    try:
        with context.store() as store:
            definitions = written or _kept(store.definitions(), types)
            asked = Asked(store, given)
            found = store.fitness(definitions, asked.which(()), asked.at, [Misfit(kind) for kind in ignoring])
            standing = asked.standing(terminal.look)
    except StoreMissing:
        if written:
            terminal.say(f"{file} is without a mistake, and there is nothing to compare it with")
        raise
    most = at_most(limit, SHOWN, as_json=as_json)
    if as_json:
        from clew.cli.report_json import report

        for one in found:
            terminal.json(report(replace(one, deviations=one.deviations[:most])))
    else:
        from clew.cli.fitness_view import fitness_view

        terminal.out(fitness_view(found, most, terminal.look))
        terminal.out(standing)
    return Exit.FOUND if exit_code and any(one.fits < one.flows for one in found) else Exit.FINE


def _definitions(file: str, types: tuple[str, ...]) -> tuple[Definition, ...]:
    from clew.reconstruct.definitions import load

    return _of_types(load(Path(file)), types, file)


def _kept(kept: tuple[Definition, ...], types: tuple[str, ...]) -> tuple[Definition, ...]:
    if not kept:
        raise NothingFound(
            "the store has no flow definitions",
            help="clew define check FILE checks those of a file; clew rebuild --definitions FILE gives them to the store",
        )
    return _of_types(kept, types, "the store")


def _of_types(
    definitions: tuple[Definition, ...], types: tuple[str, ...], where: str
) -> tuple[Definition, ...]:
    """The definitions of ``types``, or all of them.

    Raises:
        NothingFound: there is none of one of the types.
    """
    names = [definition.name for definition in definitions]
    for wanted in types:
        if wanted not in names:
            raise NothingFound(
                f"{where} defines no flow type {wanted!r}", help=f"it defines {', '.join(names)}"
            )
    return tuple(one for one in definitions if not types or one.name in types)


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
