"""Kafka as a source: its options, and the collector that they ask for."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clew.cli.errors import CommandError
from clew.cli.exits import Exit
from clew.cli.extras import extra
from clew.cli.options import KEY_VALUE, Moment, moment, option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clew.collectors.formats.settings import Settings
    from clew.collectors.kafka.collector import KafkaCollector


Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

BEGINNING, END = "beginning", "end"


class Begin(Moment):
    """``beginning``, ``end`` or a time."""

    name = "start"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        return value if value in {BEGINNING, END} else super().convert(value, param, ctx)


def kafka_options(command: Decorated) -> Decorated:
    """What ``clew collect kafka`` and a source of ``clew.toml`` can be told."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


_OPTIONS = (
    option(
        "--bootstrap",
        env="KAFKA_BOOTSTRAP",
        required=True,
        metavar="HOST:PORT,...",
        help="Where the cluster is.",
    ),
    option(
        "--topic",
        "topics",
        env="KAFKA_TOPIC",
        multiple=True,
        required=True,
        metavar="NAME|^REGEX",
        help="A topic, or all that match a pattern; may be given several times.",
    ),
    option(
        "--from",
        "start",
        env="KAFKA_FROM",
        type=Begin(),
        default=BEGINNING,
        show_default=True,
        metavar="beginning|end|TIME",
        help="Where to begin in a partition of which nothing was read; after that the store knows.",
    ),
    option(
        "--group",
        env="KAFKA_GROUP",
        metavar="NAME",
        help="Share the partitions with other collectors of this group, and show its lag in the cluster.",
    ),
    option(
        "--values",
        env="KAFKA_VALUES",
        type=click.Choice(["auto", "json", "raw"]),
        default="auto",
        show_default=True,
        help="What values are: auto takes JSON, what a schema registry frames, and text.",
    ),
    option(
        "--format",
        "format_",
        env="KAFKA_FORMAT",
        default="kafka",
        show_default=True,
        metavar="NAME|FILE",
        help="The format of messages: a name from clew formats, or a format file.",
    ),
    option(
        "--dead-letters",
        env="KAFKA_DEAD_LETTERS",
        multiple=True,
        metavar="REGEX",
        help="Topics of dead letters. Default: names such as orders-dlt, dlq.orders, orders.dead-letter.",
    ),
    option(
        "--registry",
        env="KAFKA_REGISTRY",
        metavar="URL",
        help="A schema registry of Confluent's API, for Avro, JSON Schema and Protobuf.",
    ),
    option(
        "--registry-auth",
        env="KAFKA_REGISTRY_AUTH",
        metavar="USER:PASSWORD",
        help="How to log in there; ${NAME} stands for an environment variable.",
    ),
    option(
        "--property",
        "-X",
        "properties",
        env="KAFKA_PROPERTY",
        type=KEY_VALUE,
        multiple=True,
        metavar="NAME=VALUE",
        help="A property as librdkafka names it: security.protocol=SASL_SSL; ${NAME} as above.",
    ),
)


def kafka_collector(
    given: Mapping[str, Any], *, settings: Settings, follow: bool, tell: Callable[[str], None]
) -> KafkaCollector:
    """The collector of a cluster's topics, by the values of :func:`kafka_options` and ``scope``.

    Raises:
        CommandError: the extra is not installed, or an environment variable is not set.
        CollectError: a pattern is no regular expression.
    """
    with extra("kafka", "clew collect kafka"):
        from clew.collectors.kafka.collector import KafkaCollector
    from clew.collectors.kafka.settings import DEAD_LETTERS, KafkaSettings, Values

    kafka = KafkaSettings(
        bootstrap=given["bootstrap"],
        topics=tuple(given["topics"]),
        start=_start(given["start"]),
        group=given["group"],
        values=Values(given["values"]),
        format=given["format_"],
        dead_letters=tuple(given["dead_letters"]) or (DEAD_LETTERS,),
        registry=given["registry"],
        registry_auth=filled(given["registry_auth"] or "") or None,
        client={name: filled(value) for name, value in given["properties"]},
    )
    return KafkaCollector(kafka, settings=settings, follow=follow, scope=given["scope"], tell=tell)


def _start(text: str) -> Any:
    from clew.collectors.kafka.settings import Start

    if text in {BEGINNING, END}:
        return Start(text)
    return moment(text, lambda: None)


def filled(text: str) -> str:
    """``text`` with environment variables in the place of ``${NAME}``, so that secrets stay out of files.

    Raises:
        CommandError: one is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if found is None:
            raise CommandError(f"the environment variable {match[1]} is not set", status=Exit.USAGE)
        return found

    return re.sub(r"\$\{(\w+)\}", value, text)
