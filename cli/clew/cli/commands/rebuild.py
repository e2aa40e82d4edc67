"""``clew rebuild``: run the engine anew over what is stored."""

from __future__ import annotations

from typing import Any

import click

from clew.cli.exits import Exit
from clew.cli.judging import changed, judging
from clew.cli.options import Context, as_json, stored


@click.command()
@judging
@as_json
@stored
@click.pass_obj
def rebuild(context: Context, /, *, as_json: bool, **given: Any) -> int:
    """Run the engine anew over all stored records, under other settings where given.

    Nothing is read again. Use it after clew keys showed a wrong class:

      clew rebuild --key tenant=group
    """
    terminal = context.terminal
    with context.store() as store:
        now = store.settings()
        summary = store.rebuild(changed(now, given))
    if as_json:
        from clew.cli import flow_json

        terminal.json(flow_json.summary(summary))
        return Exit.FINE
    from clew.cli.flow_table import standing

    terminal.out(standing(summary, terminal.look))
    return Exit.FINE
