"""Producer and consumer spans, as the real SDK exports them."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import cloudevents_attributes as cloudevents
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.trace import SpanKind, StatusCode

from clew.tracer import Event, Messaging, current, delivered, inject, spans

EVENT = Event(type="OrderPlaced", source="/orders", id="e-1", correlation_id="c-1")


class Recorder:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._time = 1000
        self.client = Messaging(
            "kafka",
            consumer_group="payments",
            client_id="p-1",
            tracer=provider.get_tracer("test"),
            clock=self._tick,
        )

    def _tick(self) -> int:
        self._time += 1
        return self._time

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        (spans.SYSTEM, messaging.MESSAGING_SYSTEM),
        (spans.DESTINATION, messaging.MESSAGING_DESTINATION_NAME),
        (spans.PARTITION, messaging.MESSAGING_DESTINATION_PARTITION_ID),
        (spans.OPERATION_NAME, messaging.MESSAGING_OPERATION_NAME),
        (spans.OPERATION_TYPE, messaging.MESSAGING_OPERATION_TYPE),
        (spans.MESSAGE_ID, messaging.MESSAGING_MESSAGE_ID),
        (spans.CONVERSATION_ID, messaging.MESSAGING_MESSAGE_CONVERSATION_ID),
        (spans.CONSUMER_GROUP, messaging.MESSAGING_CONSUMER_GROUP_NAME),
        (spans.CLIENT_ID, messaging.MESSAGING_CLIENT_ID),
        (spans.KAFKA_OFFSET, messaging.MESSAGING_KAFKA_OFFSET),
        (spans.KAFKA_KEY, messaging.MESSAGING_KAFKA_MESSAGE_KEY),
        (spans.EVENT_TYPE, cloudevents.CLOUDEVENTS_EVENT_TYPE),
        (spans.EVENT_ID, cloudevents.CLOUDEVENTS_EVENT_ID),
        (spans.EVENT_SOURCE, cloudevents.CLOUDEVENTS_EVENT_SOURCE),
        (spans.ERROR_TYPE, error_attributes.ERROR_TYPE),
    ],
)
def test_names_are_those_of_the_published_conventions(ours: str, published: str) -> None:
    assert ours == published


def test_a_consumer_span_is_the_child_of_the_producers() -> None:
    recorder = Recorder()
    headers: dict[str, str] = {}
    with recorder.client.sending(EVENT, "orders", attributes={"messaging.kafka.message.key": "k"}) as span:
        assert (current().operation, current().destination) == ("send", "orders")
        inject(headers)
        delivered(span, partition=3, offset=812)
    with recorder.client.processing(EVENT, "orders", headers=headers, partition=3, offset=812):
        assert (current().correlation_id, current().event_id) == ("c-1", "e-1")
    send, process = recorder.spans()
    assert send.context is not None
    assert process.parent is not None
    assert process.parent.span_id == send.context.span_id
    assert process.parent.is_remote
    assert (send.name, send.kind) == ("send orders", SpanKind.PRODUCER)
    assert (process.name, process.kind) == ("process orders", SpanKind.CONSUMER)
    assert dict(send.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.client.id": "p-1",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "orders",
        "messaging.message.id": "e-1",
        "messaging.message.conversation_id": "c-1",
        "cloudevents.event_id": "e-1",
        "cloudevents.event_type": "OrderPlaced",
        "cloudevents.event_source": "/orders",
        "messaging.kafka.message.key": "k",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 812,
    }
    assert (process.attributes or {})["messaging.consumer.group.name"] == "payments"
    assert (process.attributes or {})["messaging.operation.type"] == "process"
    assert (send.start_time, send.end_time, process.start_time) == (1001, 1002, 1003)


def test_a_linked_consumer_span_starts_a_trace_of_its_own() -> None:
    recorder = Recorder()
    headers: list[tuple[str, bytes]] = []
    with recorder.client.sending(EVENT, "orders"):
        inject(headers)
    with recorder.client.processing(EVENT, "orders", headers=headers, link=True):
        pass
    send, process = recorder.spans()
    assert send.context is not None
    assert process.parent is None
    assert process.context is not None
    assert process.context.trace_id != send.context.trace_id
    assert [link.context.span_id for link in process.links] == [send.context.span_id]


def test_without_headers_there_is_neither_parent_nor_link() -> None:
    recorder = Recorder()
    with recorder.client.processing(EVENT, "orders", link=True):
        pass
    with recorder.client.processing(EVENT, "orders"):
        pass
    assert [(span.parent, len(span.links)) for span in recorder.spans()] == [(None, 0), (None, 0)]


def test_an_exception_is_recorded_and_goes_on() -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="no"), recorder.client.processing(EVENT, "orders"):
        raise ValueError("no")
    (span,) = recorder.spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no")
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert [event.name for event in span.events] == ["exception"]
    assert current().correlation_id is None
