"""``clew collect kafka``: topics of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clew.cli.collecting import Joining, Live, joining_options, reading_options
from clew.cli.kafka_source import kafka_collector, kafka_options
from clew.cli.options import Context, option

if TYPE_CHECKING:
    from clew.collectors.kafka.collector import KafkaCollector


@click.command()
@kafka_options
@option("--once", env="COLLECT_ONCE", is_flag=True, help="Read what there is now, and end.")
@reading_options
@joining_options
@click.pass_obj
def kafka(context: Context, /, **given: Any) -> int:
    """Read topics of a Kafka cluster into the store, and put the flows together.

    Without --group it joins no group and commits nothing to the cluster: what was
    read is told by the store, and the same command goes on from there.

    \b
      clew collect kafka --bootstrap broker:9092 --topic orders --topic '^payments\\.'
    """  # noqa: D301  click's mark for lines that it must not join
    terminal, progress = context.terminal, not given["no_progress"]
    joining = Joining(context, given)
    settings = joining.reading(given)

    def make() -> KafkaCollector:
        return kafka_collector(given, settings=settings, follow=not given["once"], tell=terminal.warn)

    # What is wrong is said before anything runs.
    make().close()
    if not given["once"]:
        return Live({"kafka": make}, terminal).run(joining, progress=progress)
    from clew.cli.progress import shown

    return joining.run(make, lambda: shown(terminal, wanted=progress))
