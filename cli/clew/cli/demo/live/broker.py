"""What the demo needs of a real broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from clew.cli.demo.bus import Message
    from clew.tracer import Event
    from clew.tracer.event import Binding

Headers = list[tuple[str, bytes]]


class BrokerError(Exception):
    """The broker cannot be used; the message says why, ``help`` how to go on."""

    def __init__(self, message: str, *, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class Received(NamedTuple):
    """A message as a consumer group got it."""

    group: str
    topic: str
    partition: int | None
    offset: int | None
    headers: Headers
    value: bytes


class Plan(NamedTuple):
    """What there must be before the first message."""

    topics: Sequence[str]
    dead_letters: Sequence[str]
    """Where dead letters go, and lie."""
    groups: Mapping[str, Sequence[str]]
    """Consumer group → the topics it reads."""


class Broker(Protocol):
    """Topics that are the demo's own, under its prefix; nothing else of the broker is touched.

    Used by one thread. Every method but :meth:`received` raises BrokerError.
    """

    system: str
    binding: Binding
    prefix: str

    def prepare(self, plan: Plan) -> None:
        """Make the topics and begin to consume; returns when every group does."""
        ...

    def collecting(self, plan: Plan) -> list[str]:
        """How clew is told to read the topics: the words after ``clew collect``."""
        ...

    def await_collector(self) -> None:
        """Return when clew, told so, gets all that is sent from now on."""
        ...

    def publish(
        self, topic: str, key: str, event: Event, headers: Headers, value: bytes, sent_ns: int
    ) -> None:
        """Send a message; it may be acknowledged later."""
        ...

    def received(self) -> Iterable[Received]:
        """What came since the last call, without waiting for more."""
        ...

    def notes(self, message: Message, group: str, error: Mapping[str, str]) -> dict[str, object]:
        """Headers that a dead letter gets."""
        ...

    def flush(self) -> None:
        """Return when everything sent is acknowledged."""
        ...

    def close(self, *, keep: bool) -> None:
        """Stop consuming, and delete what :meth:`prepare` made unless it is to be kept. Safe to call twice.

        clew does not read any more.
        """
        ...
