"""``[source.NAME]`` of ``clew.toml``: what ``clew collect`` runs.

[source.shop]
collector = "kafka"        # what reads it
bootstrap = "broker:9092"  # and the options that its command has, under their long names
topic = ["orders", "^payments"]
property = {"security.protocol" = "SASL_SSL", "sasl.password" = "${KAFKA_PASSWORD}"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from clew.cli.collecting import reading_options
from clew.cli.errors import UsageMistake
from clew.cli.kafka_source import kafka_collector, kafka_options
from clew.cli.options import Context, option
from clew.cli.rabbitmq_source import rabbitmq_collector, rabbitmq_options
from clew.cli.settings import unknown

if TYPE_CHECKING:
    from clew.cli.collecting import Joining
    from clew.collectors.collector import Collector
    from clew.collectors.formats.settings import Settings as Reading

TABLE = "source"
KIND = "collector"

Tell = Callable[[str], None]
Build = Callable[[Mapping[str, Any], "Reading", Tell], "Collector"]


class Kind(NamedTuple):
    """What reads a source."""

    command: click.Command
    """Holds its options."""
    build: Build


@click.command()
@kafka_options
@reading_options
def _kafka(**_given: Any) -> None: ...


@click.command()
@rabbitmq_options
@reading_options
def _rabbitmq(**_given: Any) -> None: ...


@click.command()
@option("--path", "paths", env="COLLECT_PATH", multiple=True, required=True, help="A file, folder or glob.")
@option("--format", "format_", env="COLLECT_FORMAT", help="Its format, instead of recognising it by content.")
@reading_options
def _files(**_given: Any) -> None: ...


def _kafka_collector(given: Mapping[str, Any], settings: Reading, tell: Tell) -> Collector:
    return kafka_collector(given, settings=settings, follow=True, tell=tell)


def _rabbitmq_collector(given: Mapping[str, Any], settings: Reading, tell: Tell) -> Collector:
    return rabbitmq_collector(given, settings=settings, follow=True, tell=tell)


def _files_collector(given: Mapping[str, Any], settings: Reading, tell: Tell) -> Collector:
    del tell
    from clew.collectors.files.collector import FilesCollector

    return FilesCollector(
        given["paths"], format=given["format_"], settings=settings, follow=True, scope=given["scope"]
    )


KINDS: dict[str, Kind] = {
    "files": Kind(_files, _files_collector),
    "kafka": Kind(_kafka, _kafka_collector),
    "rabbitmq": Kind(_rabbitmq, _rabbitmq_collector),
}


def makers(
    ctx: click.Context, settings: Mapping[str, Any], joining: Joining, tell: Tell
) -> dict[str, Callable[[], Collector]]:
    """What makes each source's collector, by the source's name.

    Raises:
        UsageMistake: there is no source, or a table is wrong.
    """
    context: Context = ctx.obj
    tables = settings.get(TABLE, {})
    if not tables:
        raise UsageMistake(
            f"no source stands in {context.settings_file}",
            help=f'add a table such as [{TABLE}.shop] with {KIND} = "kafka", or name one: clew collect kafka',
        )
    return {str(name): _maker(ctx, str(name), dict(table), joining, tell) for name, table in tables.items()}


def _maker(
    ctx: click.Context, name: str, table: dict[str, Any], joining: Joining, tell: Tell
) -> Callable[[], Collector]:
    file = ctx.obj.settings_file
    kind_name = table.pop(KIND, None)
    if kind_name not in KINDS:
        raise UsageMistake(
            f"[{TABLE}.{name}] names no collector that there is",
            file=file,
            text=str(kind_name or name),
            help=f"{KIND} = one of {', '.join(sorted(KINDS))}",
        )
    kind = KINDS[kind_name]
    options = {
        long.removeprefix("--"): parameter
        for parameter in kind.command.params
        for long in parameter.opts
        if long.startswith("--")
    }
    given: dict[str, Any] = {}
    for key, value in table.items():
        if key not in options:
            raise unknown(f"a source of {kind_name} has no option {key!r}", file, key, sorted(options))
        given[str(options[key].name)] = _listed(value) if getattr(options[key], "multiple", False) else value
    with kind.command.make_context(name, [], parent=ctx, default_map=given) as inner:
        params = inner.params
    # What is wrong with it is said before anything runs.
    settings = joining.reading(params)
    kind.build(params, settings, tell).close()
    return lambda: kind.build(params, settings, lambda text: tell(f"{name}: {text}"))


def _listed(value: Any) -> list[Any]:
    """The values of an option that may be given several times."""
    if isinstance(value, dict):
        return list(value.items())
    return value if isinstance(value, list) else [value]
