"""``clew types``: one row for each flow type."""

from __future__ import annotations

from typing import Any

import click

from clew.cli.exits import Exit
from clew.cli.narrowing import Asked, narrowing
from clew.cli.options import Context, as_json, stored


@click.command()
@narrowing("TYPES", types=True)
@as_json
@stored
@click.pass_obj
def types(context: Context, /, *, types: tuple[str, ...], as_json: bool, **given: Any) -> int:
    """List the flow types: how many flows, how they stand, how long they take.

    SUCCESS is the share of completed flows among those that ended. TOOK is of
    completed flows; SETTLED is from a flow's first event to the last reaction
    to one: what a user of an eventually consistent system waits.

    \b
      clew types --since 1h
      clew types --type order-fulfilment --json
    """  # noqa: D301  click's mark for lines that it must not join
    terminal = context.terminal
    with context.store() as store:
        asked = Asked(store, given)
        with asked.joining():
            found = store.types(asked.which(types), asked.at)
        standing = asked.standing(terminal.look)
    if as_json:
        from clew.cli.report_json import report

        for one in found:
            terminal.json(report(one))
    else:
        from clew.cli.report_tables import type_table

        terminal.out(type_table(found, terminal.look))
        terminal.out([terminal.look.line(), *standing])
    return Exit.FINE
