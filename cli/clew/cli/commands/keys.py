"""``clew keys``: ID-like names as they were seen, their classes, and suspects with numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clew.cli.exits import Exit
from clew.cli.options import Context, as_json, option, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.cli.look import Line, Look
    from clew.reconstruct.answers import KeyReport


@click.command()
@option("--suspects", env="KEYS_SUSPECTS", is_flag=True, help="Only names whose class looks wrong.")
@option(
    "--exit-code", env="KEYS_EXIT_CODE", is_flag=True, help="Exit with status 1 when a class looks wrong."
)
@as_json
@stored
@click.pass_obj
def keys(context: Context, *, suspects: bool, exit_code: bool, as_json: bool) -> int:
    """List names that look like IDs, the class of each, and which classes look wrong.

    A class says what a name means: instance (one workflow instance), entity (an
    order, a customer), group (a tenant, a session), hop (made anew at each hop).
    clew rebuild --key NAME=CLASS changes one.
    """
    terminal = context.terminal
    with context.store() as store:
        found = store.keys()
    wrong = [one for one in found if one.suspect]
    shown = wrong if suspects else found
    if as_json:
        for one in shown:
            terminal.json(_json(one))
    else:
        terminal.out(_table(shown, terminal.look, suspects=suspects))
    return Exit.FOUND if exit_code and wrong else Exit.FINE


def _table(found: list[KeyReport], look: Look, *, suspects: bool) -> Iterator[Line]:
    from clew.cli.table import Column, table
    from clew.cli.units import count

    if not found:
        yield look.line("no class looks wrong" if suspects else "no name that looks like an ID was seen yet")
        return
    columns = (
        Column("NAME", 1, 16, most=48),
        Column("CLASS", 2, 8),
        Column("SET BY", 7, 7),
        Column("RECORDS", 3, 7, right=True),
        Column("VALUES", 4, 7, right=True),
        Column("FLOWS", 5, 7, right=True),
        Column("MOST FLOWS OF ONE VALUE", 6, 23, right=True),
        Column("MOST RECORDS OF ONE VALUE", 8, 25, right=True),
    )
    rows = [
        [
            look.line(
                f"{look.glyphs.warn} {one.name}" if one.suspect else f"  {one.name}",
                "warning" if one.suspect else "name",
            ),
            look.line(one.key_class),
            look.line("you" if one.configured else "default"),
            look.line(count(one.records)),
            look.line(count(one.values)),
            look.line(count(one.flows)),
            look.line(count(one.max_flows_per_value)),
            look.line(count(one.max_records_per_value)),
        ]
        for one in found
    ]
    yield from table(columns, rows, look)
    for one in found:
        if one.suspect:
            yield look.line()
            first = look.line(f"{look.glyphs.warn} {one.name}: ", "warning")
            yield from look.wrap(one.suspect, first=first, again=look.line("  "))


def _json(one: KeyReport) -> dict[str, Any]:
    from clew.cli.flow_json import SCHEMA

    return {
        "schema": SCHEMA,
        "name": one.name,
        "class": one.key_class,
        "configured": one.configured,
        "records": one.records,
        "values": one.values,
        "flows": one.flows,
        "max_flows_per_value": one.max_flows_per_value,
        "max_records_per_value": one.max_records_per_value,
        "suspect": one.suspect,
    }
