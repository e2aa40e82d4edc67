"""RabbitMQ as a source: its options, and the collector that they ask for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clew.cli.errors import UsageMistake
from clew.cli.extras import extra
from clew.cli.judging import lateness
from clew.cli.kafka_source import filled
from clew.cli.options import option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clew.collectors.formats.settings import Settings
    from clew.collectors.rabbitmq.collector import RabbitCollector
    from clew.collectors.rabbitmq.settings import Exchange, RabbitSettings, Tap

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

_URL = "amqp://guest:guest@127.0.0.1:5672/%2F"
_UNBOUNDED = "none"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Bound(click.ParamType[int | None]):
    """A number of messages, or of bytes, or ``none``; None for the last."""

    def __init__(self, name: str, units: Mapping[str, int]) -> None:
        self.name = name
        self._units = units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Read it."""
        text = str(value).strip().lower()
        if text == _UNBOUNDED:
            return None
        found = re.fullmatch(r"([0-9]+) ?([kmgt]?)(?:i?b)?", text)
        if found is None or found[2] not in self._units or not int(found[1]):
            example = "1GiB" if len(self._units) > 1 else "1000000"
            self.fail(f"{str(value)!r} is no bound; write {example}, or none", param, ctx)
        return int(found[1]) * self._units[found[2]]


def rabbitmq_options(command: Decorated) -> Decorated:
    """What ``clew collect rabbitmq`` and a source of ``clew.toml`` can be told."""
    for decorate in reversed(_OPTIONS):
        command = decorate(command)
    return command


_FILE = click.Path(dir_okay=False)
_OPTIONS = (
    option(
        "--url",
        env="RABBITMQ_URL",
        default=_URL,
        metavar="URL",
        help="amqp[s]://USER:PASSWORD@HOST:PORT/VHOST; ${NAME} stands for an environment variable."
        " Default: guest on this machine.",
    ),
    option(
        "--exchange",
        "exchanges",
        env="RABBITMQ_EXCHANGE",
        multiple=True,
        metavar="NAME[=KEY,...]",
        help="Read what is published to this exchange, by a queue beside the others;"
        " may be given several times. A direct exchange needs the routing keys.",
    ),
    option(
        "--firehose",
        env="RABBITMQ_FIREHOSE",
        is_flag=True,
        help="Read every message published and delivered, where rabbitmqctl trace_on tells it.",
    ),
    option(
        "--stream",
        "streams",
        env="RABBITMQ_STREAM",
        multiple=True,
        metavar="NAME",
        help="Read this stream from its beginning on; may be given several times.",
    ),
    option(
        "--dead-letters",
        "dead_letters",
        env="RABBITMQ_DEAD_LETTERS",
        multiple=True,
        metavar="QUEUE",
        help="Look at what lies in this queue, and leave it there; may be given several times.",
    ),
    option(
        "--delivery-limit",
        env="RABBITMQ_DELIVERY_LIMIT",
        type=click.IntRange(min=1),
        metavar="N",
        help="Of the quorum queues among them: looking counts as a delivery, and clew stops before it."
        " Default: what the queue was declared with, else 20.",
    ),
    option(
        "--tap-name",
        env="RABBITMQ_TAP_NAME",
        default="clew",
        show_default=True,
        metavar="NAME",
        help="Part of the names of clew's queues: each store needs one of its own.",
    ),
    option(
        "--tap-kind",
        env="RABBITMQ_TAP_KIND",
        type=click.Choice(["classic", "quorum", "stream"]),
        default="classic",
        show_default=True,
        help="What sort of queue it is. A stream gives messages without IDs once, too, but no nested headers.",
    ),
    option(
        "--tap-messages",
        env="RABBITMQ_TAP_MESSAGES",
        type=Bound("messages", {"": 1}),
        default="1000000",
        show_default=True,
        metavar="N|none",
        help="Most messages that wait for clew; the oldest are dropped, and counted. Not for a stream.",
    ),
    option(
        "--tap-bytes",
        env="RABBITMQ_TAP_BYTES",
        type=Bound("size", _UNITS),
        default="1GiB",
        show_default=True,
        metavar="SIZE|none",
        help="Most bytes of them.",
    ),
    lateness("RABBITMQ_LATENESS", "published"),
    option(
        "--format",
        "format_",
        env="RABBITMQ_FORMAT",
        default="rabbitmq",
        show_default=True,
        metavar="NAME|FILE",
        help="The format of messages: a name from clew formats, or a format file.",
    ),
    option(
        "--tls-ca",
        env="RABBITMQ_TLS_CA",
        type=_FILE,
        metavar="FILE",
        help="Who signed the broker's certificate (PEM).",
    ),
    option(
        "--tls-cert",
        env="RABBITMQ_TLS_CERT",
        type=_FILE,
        metavar="FILE",
        help="clew's own certificate (PEM).",
    ),
    option(
        "--tls-key", env="RABBITMQ_TLS_KEY", type=_FILE, metavar="FILE", help="That certificate's key (PEM)."
    ),
)


def rabbitmq_collector(
    given: Mapping[str, Any], *, settings: Settings, follow: bool, tell: Callable[[str], None]
) -> RabbitCollector:
    """The collector of a broker, by the values of :func:`rabbitmq_options` and ``scope``.

    Raises:
        CommandError: the extra is not installed, or nothing is asked for.
        CollectError: the URL or the files for TLS cannot be used.
    """
    with extra("rabbitmq", "clew collect rabbitmq"):
        from clew.collectors.rabbitmq.collector import RabbitCollector
    rabbit = _settings(given)
    if rabbit.is_empty:
        raise UsageMistake("collect what?", help="--exchange, --firehose, --stream or --dead-letters")
    return RabbitCollector(
        rabbit, format=given["format_"], settings=settings, follow=follow, scope=given["scope"], tell=tell
    )


def tap_removed(given: Mapping[str, Any]) -> None:
    """Delete what clew declared at the broker; raises as :func:`rabbitmq_collector`, and SourceUnavailable."""
    with extra("rabbitmq", "clew collect rabbitmq"):
        from clew.collectors.rabbitmq.collector import RabbitCollector
    RabbitCollector(_settings(given)).remove_tap()


def _settings(given: Mapping[str, Any]) -> RabbitSettings:
    from clew.collectors.rabbitmq.settings import RabbitSettings, Tls

    def path(name: str) -> Path | None:
        return Path(given[name]) if given[name] else None

    return RabbitSettings(
        url=filled(given["url"]),
        exchanges=tuple(_exchange(text) for text in given["exchanges"]),
        firehose=given["firehose"],
        streams=tuple(given["streams"]),
        dead_letters=tuple(given["dead_letters"]),
        delivery_limit=given["delivery_limit"],
        tap=_tap(given),
        tls=Tls(path("tls_ca"), path("tls_cert"), path("tls_key")),
        lateness_us=given["lateness"],
    )


def _exchange(text: str) -> Exchange:
    from clew.collectors.rabbitmq.settings import Exchange

    name, _, keys = text.partition("=")
    return Exchange(name, tuple(key for key in keys.split(",") if key))


def _tap(given: Mapping[str, Any]) -> Tap:
    from clew.collectors.rabbitmq.settings import Tap, TapKind

    if _NAME.fullmatch(given["tap_name"]) is None:
        raise UsageMistake(
            "a tap's name has letters, digits, - and _ only", text=given["tap_name"], help="--tap-name shop"
        )
    return Tap(given["tap_name"], TapKind(given["tap_kind"]), given["tap_messages"], given["tap_bytes"])
