"""What clew declares: queues of its own, bound beside those of others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pika.exceptions import ChannelClosedByBroker

from clew.collectors.errors import CollectError, SourceUnavailable
from clew.collectors.rabbitmq.settings import TapKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pika
    from pika.adapters.blocking_connection import BlockingChannel

    from clew.collectors.rabbitmq.settings import Exchange, Tap

TRACE = "amq.rabbitmq.trace"
"""The exchange of the firehose tracer (rabbitmq.com/docs/firehose)."""
TRACED = ("publish.#", "deliver.#")
LOST_MESSAGES, LOST_BYTES = 100_000, 64 << 20
"""What a queue drops is kept to be counted, up to so much."""
SEGMENTS = 8
"""A stream drops whole segments: so many make its bound."""
REFUSED, NOT_FOUND, INEQUIVALENT, NOT_IMPLEMENTED = 403, 404, 406, 540

ALL = "#"
_KEYLESS = {"topic": ALL, "fanout": "", "headers": ""}
"""Binding keys with which an exchange of that type gives all messages. A binding to a headers
exchange without arguments matches every message: x-match is ``all`` of none."""


def overflow(queue: str) -> str:
    """The queue where what ``queue`` drops is counted."""
    return f"{queue}.lost"


def declare(connection: pika.BlockingConnection, tap: Tap, queue: str) -> None:
    """Declare a tap's queue, and what counts its losses.

    Raises:
        CollectError: it is there with other arguments.
        SourceUnavailable: the broker cannot have such a queue.
    """
    if tap.kind is TapKind.STREAM:
        _declare(connection, queue, _stream(tap))
        return
    bounds: dict[str, Any] = {"x-queue-type": str(tap.kind)}
    if tap.kind is TapKind.CLASSIC:
        # On disk: what waits for clew is not to fill the broker's memory. Newer brokers do so anyway.
        bounds["x-queue-mode"] = "lazy"
    if tap.messages is None and tap.bytes is None:
        _declare(connection, queue, bounds)
        return
    counter = {
        "x-queue-type": "classic",
        "x-queue-mode": "lazy",
        "x-max-length": LOST_MESSAGES,
        "x-max-length-bytes": LOST_BYTES,
    }
    _declare(connection, overflow(queue), counter)
    if tap.messages is not None:
        bounds["x-max-length"] = tap.messages
    if tap.bytes is not None:
        bounds["x-max-length-bytes"] = tap.bytes
    to_counter = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": overflow(queue)}
    _declare(connection, queue, {**bounds, "x-overflow": "drop-head", **to_counter})


def _stream(tap: Tap) -> dict[str, Any]:
    arguments: dict[str, Any] = {"x-queue-type": "stream"}
    if tap.bytes is not None:
        arguments["x-max-length-bytes"] = tap.bytes
        arguments["x-stream-max-segment-size-bytes"] = max(tap.bytes // SEGMENTS, 4096)
    return arguments


def _declare(connection: pika.BlockingConnection, queue: str, arguments: dict[str, Any]) -> None:
    try:
        with connection.channel() as channel:
            channel.queue_declare(queue, durable=True, arguments=arguments)
    except ChannelClosedByBroker as error:
        if error.reply_code != INEQUIVALENT:
            raise
        if "inequivalent" in error.reply_text:
            raise CollectError(
                f"the queue {queue} is there, declared otherwise: {error.reply_text}",
                help="give the bounds it was made with, or --remove-tap first, or another --tap-name",
            ) from None
        raise SourceUnavailable(
            f"the broker cannot have the queue {queue}: {error.reply_text}", help="--tap-type classic"
        ) from None


def bind(connection: pika.BlockingConnection, queue: str, exchanges: Sequence[Exchange]) -> None:
    """Bind a tap's queue to the exchanges.

    Raises:
        SourceUnavailable: one of them is not there.
        CollectError: one needs keys and has none.
    """
    for exchange in exchanges:
        if not exchange.name:
            raise CollectError(
                "nothing can be bound to the default exchange", help="--firehose sees what is published there"
            )
        keys = exchange.keys or (_key_for_all(connection, exchange.name),)
        for key in keys:
            with connection.channel() as channel:
                channel.queue_bind(queue, exchange.name, key)


def remove(channel: BlockingChannel, tap: Tap) -> None:
    """Delete everything that clew declared under that name."""
    for what in ("tap", "firehose"):
        channel.queue_delete(tap.queue(what))
        channel.queue_delete(overflow(tap.queue(what)))


def _key_for_all(connection: pika.BlockingConnection, name: str) -> str:
    type_ = exchange_type(connection, name)
    key = _KEYLESS.get(type_ or "")
    if key is None:
        what = f"a {type_} exchange" if type_ else "an exchange whose type the login may not learn"
        raise CollectError(
            f"{name} is {what}: it gives only what is asked for by key",
            help=f"name the routing keys: --exchange {name}=KEY,KEY",
        )
    return key


def exchange_type(connection: pika.BlockingConnection, name: str) -> str | None:
    """The type of an exchange; None where it cannot be learned.

    AMQP has no question for it. Declaring one that is there, otherwise than it is, changes
    nothing, and the broker's refusal says what it is (``rabbit_misc:assert_args_equivalence``).
    """
    with connection.channel() as channel:
        channel.exchange_declare(name, passive=True)
    try:
        with connection.channel() as channel:
            channel.exchange_declare(name, "headers", durable=True)
    except ChannelClosedByBroker as error:
        if error.reply_code != INEQUIVALENT:
            return None
        found = re.search(r"arg 'type' .* but current is '?([\w-]+)", error.reply_text)
        # Its type was right, and something else about it was not.
        return found[1] if found else "headers"
    return "headers"
