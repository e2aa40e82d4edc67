"""What of a broker is read, and how it is reached. Needs no client library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

URL = "amqp://guest:guest@127.0.0.1:5672/%2F"


class TapKind(StrEnum):
    """What sort of queue a tap is."""

    CLASSIC = "classic"
    QUORUM = "quorum"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange whose messages are wanted."""

    name: str
    keys: tuple[str, ...] = ()
    """Binding keys; none for all messages, which a direct exchange cannot give."""


@dataclass(frozen=True, slots=True)
class Tap:
    """The queues that clew binds beside those of others. They outlive it, and so they are bounded."""

    name: str = "clew"
    """Part of their names: each store that reads the same broker needs one of its own."""
    kind: TapKind = TapKind.CLASSIC
    messages: int | None = 1_000_000
    """Most that wait in one. None for no bound: the broker's disk and memory are the bound."""
    bytes: int | None = 1 << 30

    def queue(self, what: str) -> str:
        """The name of the queue for ``what`` (``tap`` or ``firehose``)."""
        return f"clew.{what}.{self.name}"


@dataclass(frozen=True, slots=True)
class Tls:
    """Files (PEM) for ``amqps``."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class RabbitSettings:
    """What to read of which broker."""

    url: str = URL
    """``amqp[s]://USER:PASSWORD@HOST[:PORT]/VHOST``. It may hold a password: never shown."""
    exchanges: tuple[Exchange, ...] = ()
    firehose: bool = False
    """What the firehose tracer tells, where ``rabbitmqctl trace_on`` has turned it on."""
    streams: tuple[str, ...] = ()
    dead_letters: tuple[str, ...] = ()
    """Queues of dead letters that are looked through and left as they are."""
    delivery_limit: int | None = None
    """Of the quorum queues among them; None takes what the queue was declared with, else 20."""
    tap: Tap = Tap()
    tls: Tls = Tls()
    lateness_us: int = 30_000_000
    """What was published has come after so long at the latest."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.exchanges or self.firehose or self.streams or self.dead_letters)
