"""``clew variants``: the ways that flows of a type go."""

from __future__ import annotations

from typing import Any

import click

from clew.cli.exits import Exit
from clew.cli.narrowing import Asked, of_type
from clew.cli.options import Context, at_most

SHOWN = 10
"""Variants that a person sees unless --limit says otherwise."""


@click.command()
@of_type("VARIANTS", "variants", SHOWN)
@click.pass_obj
def variants(context: Context, /, *, type_: str, limit: int | None, as_json: bool, **given: Any) -> int:
    """List the distinct sequences of steps of a TYPE, the most frequent first.

    A sequence is of the events that services published and handled, in
    happens-before order and by time where that leaves it open; the same step
    several times in a row is one with its number. Flows without events go by
    their spans.

    \b
      clew variants order-fulfilment
      clew variants order-fulfilment --limit 0 --since 2h
    """  # noqa: D301  click's mark for lines that it must not join
    terminal = context.terminal
    with context.store() as store:
        asked = Asked(store, given)
        with asked.joining():
            found = store.variants(asked.which((type_,)), asked.at, at_most(limit, SHOWN, as_json=as_json))
        standing = asked.standing(terminal.look)
    if as_json:
        from clew.cli.report_json import report

        for one in found.listed:
            terminal.json(report(one))
    else:
        from clew.cli.report_tables import variant_list

        terminal.out(variant_list(found, terminal.look))
        terminal.out(standing)
    return Exit.FINE
