"""``clew collect``: read what brokers hold, and go on as more comes."""

from __future__ import annotations

from typing import Any

import click

from clew.cli.collecting import Joining, Live, joining_options
from clew.cli.commands.collect_kafka import kafka
from clew.cli.commands.collect_rabbitmq import rabbitmq
from clew.cli.exits import Exit
from clew.cli.options import Context


@click.group(invoke_without_command=True)
@joining_options
@click.pass_context
def collect(ctx: click.Context, /, **given: Any) -> int:
    """Read all sources of clew.toml in one process, and go on as more comes.

    Each source runs by itself: one that fails is tried again, and the others go on.
    Ctrl-C or SIGTERM stores what was read and ends; the same command goes on from
    there.

    \b
      [source.shop]
      collector = "kafka"
      bootstrap = "broker:9092"
      topic = ["orders", "^payments"]
    """  # noqa: D301  click's mark for lines that it must not join
    if ctx.invoked_subcommand is not None:
        return Exit.FINE
    from clew.cli.source_tables import makers

    context: Context = ctx.obj
    joining = Joining(context, given)
    made = makers(ctx, context.settings, joining, context.terminal.warn)
    return Live(made, context.terminal).run(joining, progress=not given["no_progress"])


collect.add_command(kafka)
collect.add_command(rabbitmq)
