"""From a message's value to the JSON object whose members formats read."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.collectors.kafka.registry import Registry, SchemaError
from clew.collectors.kafka.settings import Values
from clew.collectors.record import Reject

if TYPE_CHECKING:
    from clew.collectors.kafka.messages import Messages

MAGIC = 0
FRAME = 5
"""Bytes of Confluent's wire format before the payload: 0, then the schema's ID, big-endian."""

RAW_BYTES = 4096
"""How much of what was rejected is kept."""

TOMBSTONE = b'{"kafka.tombstone":true}'
"""A value that is null: its key is deleted once the topic is compacted."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Values as JSON objects, and what could not become one."""

    messages: Messages
    """Those that could."""
    values: list[bytes]
    rejects: list[Reject]


class _Undecodable(Exception):
    """Says why."""


class Opener:
    """Opens values as ``values`` says; what is framed for a registry by its schemas."""

    def __init__(self, values: Values, registry: Registry | None) -> None:
        self._values = values
        self._registry = registry

    def open(self, messages: Messages) -> Opened:
        """Values as they are where they begin like a JSON object; the others one by one.

        Raises:
            SourceUnavailable: the schema registry does not answer.
        """
        values = messages.values
        if self._values is not Values.RAW:
            others = [row for row, value in enumerate(values) if value is None or value[:1] != b"{"]
        else:
            others = list(range(len(values)))
        if not others:
            return Opened(messages, list(values), [])  # type: ignore[arg-type]
        made: list[bytes | None] = list(values)
        rejects = []
        for row in others:
            try:
                made[row] = self._object(values[row])
            except _Undecodable as error:
                made[row] = None
                rejects.append(reject(messages, row, str(error)))
        if not rejects:
            return Opened(messages, made, [])  # type: ignore[arg-type]
        kept = [row for row, value in enumerate(made) if value is not None]
        return Opened(messages.take(kept), [made[row] for row in kept], rejects)  # type: ignore[misc]

    def _object(self, value: bytes | None) -> bytes:
        if value is None:
            return TOMBSTONE
        if self._values is Values.RAW:
            return _text(value) or json.dumps({"kafka.base64": base64.b64encode(value).decode()}).encode()
        if value[:1] == b"\x00" and len(value) >= FRAME:
            return self._framed(value)
        stripped = value.strip()
        if stripped[:1] == b"{":
            return stripped
        try:
            return b'{"kafka.value":' + json.dumps(json.loads(value)).encode() + b"}"
        except (ValueError, RecursionError):
            text = _text(value) if self._values is Values.AUTO else None
        if text is None:
            what = "neither JSON nor text" if self._values is Values.AUTO else "not JSON"
            raise _Undecodable(what)
        return text

    def _framed(self, value: bytes) -> bytes:
        number = int.from_bytes(value[1:FRAME])
        if self._registry is None:
            raise _Undecodable(f"of schema {number}: no schema registry is given")
        try:
            return self._registry.decode(number, value[FRAME:])
        except SchemaError as error:
            raise _Undecodable(str(error)) from error


def _text(value: bytes) -> bytes | None:
    """An object that holds the text; None for what is none."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else json.dumps({"kafka.text": text}).encode()


def reject(messages: Messages, row: int, reason: str) -> Reject:
    """A message that is left out."""
    value = messages.values[row] or b""
    return Reject(messages.offsets[row], reason, value[:RAW_BYTES])
