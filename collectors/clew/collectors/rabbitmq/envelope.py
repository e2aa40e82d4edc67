"""From a message to the line that formats decode.

A message becomes one JSON object: what RabbitMQ says of it, then the members of its body. So
every format finds both, under the names OpenTelemetry gives them, and a body is copied and
never made into Python objects. See ``formats/builtin/rabbitmq.yaml``.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from clew.collectors.rabbitmq.values import encoded, text_or_base64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pika import BasicProperties

LONGEST = 128 << 20
"""Bytes of an unpacked body."""
_MS = 1000
_IN_MS = 100_000_000_000
"""AMQP's timestamps are seconds (0-9-1, 4.2.5.4); some clients write milliseconds: from here on it is those."""
_BODY_IS_JSON = "json"
_SHOWN = (
    "content_type",
    "content_encoding",
    "delivery_mode",
    "priority",
    "reply_to",
    "expiration",
    "user_id",
)
_SPACE = b" \t\r\n"


class Unreadable(Exception):
    """A message that cannot be decoded; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message and where it was met."""

    exchange: str
    """"" for the default exchange, whose routing key is a queue's name."""
    routing_key: str
    properties: BasicProperties
    body: bytes
    received_ms: int

    @property
    def time_ms(self) -> int:
        """When it was published, or died, as far as that is told."""
        return _told_ms(self.properties, self.received_ms)

    def digest(self) -> str:
        """A fingerprint of what stays the same whenever this very message is delivered again."""
        properties = self.properties
        headers = properties.headers or {}
        kept = {name: value for name, value in headers.items() if name not in _COUNTING}
        told = [
            self.exchange, self.routing_key, properties.message_id, properties.correlation_id, properties.type,
            properties.timestamp, properties.app_id, kept,
        ]  # fmt: skip
        made = blake2b(encoded(told).encode(errors="replace"), digest_size=12)
        made.update(self.body)
        return made.hexdigest()

    def destination(self) -> str:
        """The exchange, or the queue that was published to through the default one."""
        return self.exchange or self.routing_key


_COUNTING = frozenset({"x-delivery-count", "x-acquired-count", "x-stream-offset"})
"""Headers by which the broker counts deliveries."""


def line(message: Message, more: Mapping[str, Any], *, lenient: bool = False) -> str:
    """One JSON object; ``more`` says what is known of the place where it was met.

    Where the body is no JSON, although it looks like it or is said to be, the line is no JSON
    either, or, with ``lenient``, the body is text.

    Raises:
        Unreadable: the body is not what its properties say; never with ``lenient``.
    """
    properties = message.properties
    headers = properties.headers
    around: dict[str, Any] = {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": message.destination(),
        "messaging.rabbitmq.destination.routing_key": message.routing_key,
        **more,
        "rabbitmq.time_ms": message.time_ms,
    }
    if properties.message_id is not None:
        around["messaging.message.id"] = properties.message_id
    if properties.correlation_id is not None:
        around["messaging.message.conversation_id"] = properties.correlation_id
    if properties.type is not None:
        around["rabbitmq.type"] = properties.type
    if properties.app_id is not None:
        around["rabbitmq.app_id"] = properties.app_id
    shown = {name: value for name in _SHOWN if (value := getattr(properties, name)) is not None}
    if shown:
        around["rabbitmq.properties"] = shown
    if headers:
        around["message_headers"] = headers
    try:
        members = _members(message, around, check=lenient)
    except Unreadable:
        if not lenient:
            raise
        members = ""
        around["rabbitmq.text"] = text_or_base64(message.body)
    start = encoded(around)
    return f"{start[:-1]},{members}" if members else start


def _members(message: Message, around: dict[str, Any], *, check: bool) -> str:
    """The members of the body and ``}``, or "" where it is no object and stands in ``around``.

    Only with ``check`` they are known to be members: otherwise whoever decodes the line sees.
    """
    properties = message.properties
    body = _unpacked(message.body, (properties.content_encoding or "").strip().lower())
    kind = (properties.content_type or "").lower()
    start = body.lstrip(_SPACE)
    if not start:
        return ""
    if start[:1] == b"{" and not kind.startswith("text/"):
        try:
            rest = start[1:].decode()
        except UnicodeDecodeError:
            raise Unreadable("the body is not UTF-8") from None
        if check:
            _check_json(start, kind)
        return "" if rest.strip() == "}" else rest
    if _BODY_IS_JSON in kind:
        _check_json(body, kind)
    around["rabbitmq.text"] = text_or_base64(body)
    return ""


def _check_json(body: bytes, kind: str) -> None:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable(f"not valid JSON, although its content type is {kind or 'none'}") from None


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding not in {"gzip", "deflate"}:
        return body
    unpacking = zlib.decompressobj(wbits=47 if encoding == "gzip" else 15)
    try:
        made = unpacking.decompress(body, LONGEST)
    except zlib.error as error:
        raise Unreadable(f"the body is not {encoding}, although its content encoding is: {error}") from None
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise Unreadable(f"the body is cut off, or unpacks to more than {LONGEST >> 20} MiB")
    return made


def _told_ms(properties: BasicProperties, received_ms: int) -> int:
    """When it was published, or died; as exactly as it is told.

    Sources: the interceptor's ``timestamp_in_ms`` (rabbitmq.com/docs/timestamp), ``time`` of the newest
    entry of ``x-death`` (rabbitmq.com/docs/dlx), the property ``timestamp``, and when it came here.
    """
    headers = properties.headers or {}
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        died = deaths[0].get("time")
        if isinstance(died, datetime):
            return int((died if died.tzinfo else died.replace(tzinfo=UTC)).timestamp()) * _MS
        if isinstance(died, int):
            return died * _MS
    exact = headers.get("timestamp_in_ms")
    if isinstance(exact, int):
        return int(exact)
    stamp = properties.timestamp
    if not isinstance(stamp, int):
        return received_ms
    told = int(stamp) if stamp >= _IN_MS else int(stamp) * _MS
    # A whole second tells less than when it came, if it came within that second.
    return received_ms if 0 <= received_ms - told < _MS else told
