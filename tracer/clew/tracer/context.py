"""The correlation context: which flow, and which event of it, the running code works for.

It is a :mod:`contextvars` variable, so asyncio tasks inherit it by themselves; for
threads see :mod:`clew.tracer.threads`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from clew.tracer.errors import ContextError
from clew.tracer.event import Event, new_id

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Correlation:
    """What log lines and new events take over. Every field may be unknown (None)."""

    correlation_id: str | None = None
    event_id: str | None = None
    """The event being sent or handled; what is made meanwhile was caused by it."""
    event_type: str | None = None
    causation_id: str | None = None
    """ID of the event that caused ``event_id``, or, without one, of what is being done."""
    schema_version: str | None = None
    operation: str | None = None
    """send or process, as in ``messaging.operation.type``"""
    destination: str | None = None

    @property
    def cause(self) -> str | None:
        """Event ID that caused what is made now."""
        return self.event_id or self.causation_id


NOTHING: Final = Correlation()
_current: ContextVar[Correlation] = ContextVar("clew_correlation", default=NOTHING)


def current() -> Correlation:
    """Give the context of the running code; all fields None outside of any."""
    return _current.get()


def is_portable(identifier: str) -> bool:
    """Whether an ID can travel in headers and logs: not empty, no control character."""
    return bool(identifier) and not _CONTROL.search(identifier)


@contextmanager
def correlated(
    correlation_id: str | None = None, *, causation_id: str | None = None
) -> Iterator[Correlation]:
    """Work for a flow: the given one, else the current one, else a new one.

    ``causation_id`` is the event that led here, where the caller knows it.
    Raises :class:`ContextError` for an ID that cannot travel in headers.
    """
    chosen = correlation_id if correlation_id is not None else current().correlation_id or new_id()
    for identifier in (chosen, causation_id):
        if identifier is not None and not is_portable(identifier):
            raise ContextError(f"{ascii(identifier)[:80]} is empty or has control characters")
    correlation = Correlation(correlation_id=chosen, causation_id=causation_id)
    token = enter(correlation)
    try:
        yield correlation
    finally:
        leave(token)


@contextmanager
def working_on(
    event: Event, *, operation: str | None = None, destination: str | None = None
) -> Iterator[Correlation]:
    """Work on an event: what is logged names it, what is made meanwhile was caused by it."""
    correlation = of_event(event, operation, destination)
    token = enter(correlation)
    try:
        yield correlation
    finally:
        leave(token)


@contextmanager
def detached() -> Iterator[None]:
    """Work for no flow: for housekeeping that a handler happens to start."""
    token = enter(NOTHING)
    try:
        yield
    finally:
        leave(token)


def of_event(event: Event, operation: str | None, destination: str | None) -> Correlation:
    """Give the context of work on an event."""
    return Correlation(
        event.correlation_id,
        event.id,
        event.type,
        event.causation_id,
        event.schema_version,
        operation,
        destination,
    )


def enter(correlation: Correlation) -> Token[Correlation]:
    """Set the context, for middleware that cannot use ``with``; give the token to :func:`leave`."""
    return _current.set(correlation)


def leave(token: Token[Correlation]) -> None:
    """Set the context back to what it was before :func:`enter`."""
    _current.reset(token)


def next_event(
    type: str,
    *,
    source: str,
    data: Any = None,
    id: str | None = None,
    time: datetime | None = None,
    schema_version: str | None = None,
    dataschema: str | None = None,
    subject: str | None = None,
    extensions: Mapping[str, str | bool | int] | None = None,
) -> Event:
    """Make an event of the current flow, caused by the event being handled.

    Outside of any flow the event starts one: its own ID becomes the correlation ID.
    """
    correlation = current()
    identity = id if id is not None else new_id()
    given: dict[str, Any] = {} if time is None else {"time": time}
    if extensions:
        given["extensions"] = extensions
    return Event(
        type=type,
        source=source,
        data=data,
        id=identity,
        correlation_id=correlation.correlation_id or identity,
        causation_id=correlation.cause,
        schema_version=schema_version,
        dataschema=dataschema,
        subject=subject,
        **given,
    )
