"""Producer and consumer spans by OpenTelemetry's messaging conventions.

Source: semantic conventions for messaging spans as published with
opentelemetry-semantic-conventions 0.66b2: a span is named ``{operation} {destination}``,
a send span's context travels with the message, and a process span takes it as parent or,
where one span may handle several messages, as a link. The attribute names are constants
here because importing the conventions would cost more than this whole package.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    get_tracer,
    set_span_in_context,
)

from clew.tracer.context import enter, leave, of_event
from clew.tracer.event import Event, Headers
from clew.tracer.headers import remote_context

SYSTEM: Final = "messaging.system"
DESTINATION: Final = "messaging.destination.name"
PARTITION: Final = "messaging.destination.partition.id"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION_ID: Final = "messaging.message.conversation_id"
CONSUMER_GROUP: Final = "messaging.consumer.group.name"
CLIENT_ID: Final = "messaging.client.id"
KAFKA_OFFSET: Final = "messaging.kafka.offset"
KAFKA_KEY: Final = "messaging.kafka.message.key"
EVENT_TYPE: Final = "cloudevents.event_type"
EVENT_ID: Final = "cloudevents.event_id"
EVENT_SOURCE: Final = "cloudevents.event_source"
ERROR_TYPE: Final = "error.type"

Attributes = Mapping[str, str | bool | int | float]


class Messaging:
    """Makes the spans of one broker client.

    ``system`` is a value of ``messaging.system`` (kafka, rabbitmq, …). Without a
    ``tracer`` the globally configured one is used. ``clock`` gives the epoch time in
    nanoseconds.
    """

    def __init__(
        self,
        system: str,
        *,
        consumer_group: str | None = None,
        client_id: str | None = None,
        tracer: Tracer | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer = tracer if tracer is not None else get_tracer("clew.tracer")
        self._clock = clock
        base = {SYSTEM: system}
        if client_id is not None:
            base[CLIENT_ID] = client_id
        self._send: dict[str, str] = {**base, OPERATION_NAME: "send", OPERATION_TYPE: "send"}
        self._process: dict[str, str] = {**base, OPERATION_NAME: "process", OPERATION_TYPE: "process"}
        if consumer_group is not None:
            self._process[CONSUMER_GROUP] = consumer_group

    def sending(
        self,
        event: Event,
        destination: str,
        *,
        partition: int | None = None,
        attributes: Attributes | None = None,
    ) -> AbstractContextManager[Span]:
        """Span around sending an event; inject the headers within it.

        An exception is recorded, makes the span an error and goes on. What is
        learned on delivery goes to :func:`delivered`.
        """
        described = _attributes(
            self._send, event, destination, partition=partition, offset=None, more=attributes
        )
        return self._within(SpanKind.PRODUCER, "send", event, destination, described)

    def processing(
        self,
        event: Event,
        destination: str,
        *,
        headers: Headers = (),
        link: bool = False,
        partition: int | None = None,
        offset: int | None = None,
        attributes: Attributes | None = None,
    ) -> AbstractContextManager[Span]:
        """Span around handling an event, and its correlation context.

        The sender's context in ``headers`` becomes the parent; with ``link`` it
        becomes a link, and the parent is what is current here. An exception is
        recorded, makes the span an error and goes on.
        """
        incoming = remote_context(headers)
        described = _attributes(
            self._process, event, destination, partition=partition, offset=offset, more=attributes
        )
        if not link:
            return self._within(SpanKind.CONSUMER, "process", event, destination, described, context=incoming)
        sender = get_current_span(incoming).get_span_context()
        links = (Link(sender),) if sender.is_valid else ()
        return self._within(SpanKind.CONSUMER, "process", event, destination, described, links=links)

    @contextmanager
    def _within(
        self,
        kind: SpanKind,
        operation: str,
        event: Event,
        destination: str,
        attributes: Attributes,
        *,
        context: Context | None = None,
        links: tuple[Link, ...] = (),
    ) -> Iterator[Span]:
        span = self._tracer.start_span(
            f"{operation} {destination}",
            context=context,
            kind=kind,
            attributes=attributes,
            links=links,
            start_time=self._clock(),
        )
        # The sender's baggage travels on with what is done for its message.
        outer = otel_context.attach(set_span_in_context(span, context))
        before = enter(of_event(event, operation, destination))
        try:
            yield span
        except Exception as error:
            span.set_attribute(ERROR_TYPE, _name(type(error)))
            span.record_exception(error, timestamp=self._clock())
            span.set_status(Status(StatusCode.ERROR, str(error)))
            raise
        finally:
            leave(before)
            otel_context.detach(outer)
            span.end(self._clock())


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def delivered(span: Span, *, partition: int, offset: int) -> None:
    """Note on a send span where the broker put the message."""
    span.set_attribute(PARTITION, str(partition))
    span.set_attribute(KAFKA_OFFSET, offset)


def _attributes(
    base: Mapping[str, str],
    event: Event,
    destination: str,
    *,
    partition: int | None,
    offset: int | None,
    more: Attributes | None,
) -> dict[str, str | bool | int | float]:
    out: dict[str, str | bool | int | float] = {
        **base,
        DESTINATION: destination,
        MESSAGE_ID: event.id,
        EVENT_ID: event.id,
        EVENT_TYPE: event.type,
        EVENT_SOURCE: event.source,
    }
    if event.correlation_id is not None:
        out[CONVERSATION_ID] = event.correlation_id
    if partition is not None:
        out[PARTITION] = str(partition)
    if offset is not None:
        out[KAFKA_OFFSET] = offset
    if more:
        out.update(more)
    return out
