"""``clew collect rabbitmq``: exchanges, the firehose, streams and dead letters of a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clew.cli.collecting import Joining, Live, joining_options, reading_options
from clew.cli.exits import Exit
from clew.cli.options import Context, option
from clew.cli.rabbitmq_source import rabbitmq_collector, rabbitmq_options, tap_removed

if TYPE_CHECKING:
    from clew.collectors.rabbitmq.collector import RabbitCollector


@click.command()
@rabbitmq_options
@option("--once", env="COLLECT_ONCE", is_flag=True, help="Read what there is now, and end.")
@option(
    "--remove-tap",
    env="RABBITMQ_REMOVE_TAP",
    is_flag=True,
    help="Delete the queues that clew declared, with what is in them, and end.",
)
@reading_options
@joining_options
@click.pass_obj
def rabbitmq(context: Context, /, **given: Any) -> int:
    """Read what goes through a RabbitMQ broker into the store, and put the flows together.

    Nobody loses a message to it: exchanges are read by a queue of clew's own beside the
    others, streams by offset, and dead letters are looked at where they lie.

    \b
      clew collect rabbitmq --url amqp://clew@broker/shop --exchange orders --stream audit
    """  # noqa: D301  click's mark for lines that it must not join
    terminal, progress = context.terminal, not given["no_progress"]
    if given["remove_tap"]:
        tap_removed(given)
        return Exit.FINE
    joining = Joining(context, given)
    settings = joining.reading(given)

    def make() -> RabbitCollector:
        return rabbitmq_collector(given, settings=settings, follow=not given["once"], tell=terminal.warn)

    # What is wrong is said before anything runs.
    make().close()
    if not given["once"]:
        return Live({"rabbitmq": make}, terminal).run(joining, progress=progress)
    from clew.cli.progress import shown

    return joining.run(make, lambda: shown(terminal, wanted=progress))
