"""What every service of the demo has: a log, spans, a consumer group, and its share of faults.

The handlers know nothing of faults. Those that strike from outside (a dependency that is
down, a process that hangs, a context that gets lost) are done here, around the handler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from clew.cli.demo.bus import MAX_ATTEMPTS, HandlingFailed, Message, Subscription
from clew.cli.demo.clock import FOREVER_S
from clew.cli.demo.facts import Anchor, Published
from clew.cli.demo.recording import SCOPE
from clew.tracer import (
    Event,
    Messaging,
    continuing,
    correlated,
    current,
    detached,
    inject,
    next_event,
    working_on,
)
from clew.tracer.spans import CONSUMER_GROUP, DESTINATION, KAFKA_KEY, OPERATION_NAME, OPERATION_TYPE, SYSTEM

if TYPE_CHECKING:
    from clew.cli.demo.world import World

Handler = Callable[[Event], None]

# Virtual seconds; median latencies as one sees them within one data centre.
_SEND_S: Final = 0.0015
_LOST_SPAN: Final = {OPERATION_NAME: "poll", OPERATION_TYPE: "receive"}


class Service:
    """One service: a name, a log file, a span file and a consumer group of the same name."""

    name: ClassVar[str]
    depends_on: ClassVar[str] = "database"
    """What its handlers call; what is down when they fail."""
    failure: ClassVar[type[HandlingFailed]] = HandlingFailed
    failure_text: ClassVar[str] = "no answer"
    dead_letters: ClassVar[bool] = False
    """Whether its consumer writes to a dead-letter topic or gives up."""
    parks: ClassVar[str] = "held for manual review"
    """What it says when it handles an event and does nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        resource = {
            "service.name": self.name,
            "service.version": "1.4.2",
            "service.instance.id": f"{self.name}-0",
            "deployment.environment.name": "demo",
        }
        logs, spans = world.recording.add_service(self.name, resource)
        # Not registered with the logging module (LOG001): the process's own loggers are left alone.
        component = self.name.removesuffix("-service").replace("-", ".")
        self.logger = logging.Logger(f"{component}.app", logging.INFO)  # noqa: LOG001
        self.logger.addHandler(logs)
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource(resource),
            id_generator=world.id_generator(),
            span_limits=SpanLimits(),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(spans)
        self.tracer = provider.get_tracer(SCOPE, "0.1.0")
        self._messaging = Messaging(
            world.bus.system, consumer_group=self.name, tracer=self.tracer, clock=world.clock.read
        )
        self._silent = False
        """Whether log lines lose the correlation ID just now."""
        self._text_only = False
        """Whether log lines lose every field just now."""

    # What handlers use

    def consume(self, topic: str, event_type: str, handler: Handler) -> None:
        """Have ``handler`` called for each event of a type on a topic."""

        def handle(message: Message, attempt: int) -> None:
            self._handle(message, attempt, handler)

        bus = self.world.bus
        subscription = Subscription(self.name, handle, self._give_up, self.dead_letters)
        bus.subscribe(bus.topic(topic), event_type, subscription)

    def work(self, median_s: float, spread: float = 0.3) -> None:
        """Let virtual time pass."""
        self.world.clock.now_ns += self.world.wait_ns(median_s, spread)

    def info(self, text: str, *values: object, **fields: object) -> None:
        """Log a line."""
        self._log(logging.INFO, text, values, fields)

    def warn(self, text: str, *values: object, **fields: object) -> None:
        """Log a warning."""
        self._log(logging.WARNING, text, values, fields)

    def publish(self, topic: str, event_type: str, key: str, data: Mapping[str, Any]) -> None:
        """Send an event of the flow at work."""
        world = self.world
        topic = world.bus.topic(topic)
        lost = current().correlation_id is None
        make = Event if lost else next_event
        event = make(
            type=event_type,
            source=f"/{self.name}",
            data=dict(data),
            id=world.new_id(),
            time=world.clock.moment(),
            schema_version="2",
        )
        keyed = {KAFKA_KEY: key} if world.bus.system == "kafka" else {}
        with self._messaging.sending(event, topic, attributes=keyed):
            headers, body = event.to_binary(world.bus.binding)
            pairs = [(name, value.encode()) for name, value in headers.items()]
            inject(pairs)
            self.info("published %s for %s", event_type, key)
            self.work(_SEND_S)
        world.anchor.published.append(Published(world.clock.now_ns, event_type))
        world.bus.send(topic, event, key, pairs, body)

    def end_flow(self) -> None:
        """Note that the event to be published now ends the flow: for the truth alone."""
        flow = self.world.anchor.flow
        if flow.ended_ns is None:
            flow.ended_ns = self.world.clock.now_ns

    @contextmanager
    def span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, str | int], *, root: bool = False
    ) -> Iterator[Span]:
        """Span that is no message's."""
        clock = self.world.clock
        span = self.tracer.start_span(
            name,
            context=Context() if root else None,
            kind=kind,
            attributes=attributes,
            start_time=clock.read(),
        )
        outer = otel_context.attach(set_span_in_context(span))
        try:
            yield span
        finally:
            otel_context.detach(outer)
            span.end(clock.read())

    def query(self, statement: str, table: str, median_s: float = 0.004) -> None:
        """Ask the database."""
        attributes = {
            "db.system.name": "postgresql",
            "db.namespace": self.name.removesuffix("-service"),
            "db.operation.name": statement,
            "db.collection.name": table,
        }
        with self.span(f"{statement} {table}", SpanKind.CLIENT, attributes):
            self.work(median_s, 0.5)

    def call(self, method: str, host: str, route: str, median_s: float = 0.15) -> None:
        """Call a service outside of the system by HTTP."""
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "server.address": host,
            "url.full": f"https://{host}{route}",
            "http.response.status_code": 200,
        }
        with self.span(method, SpanKind.CLIENT, attributes):
            self.work(median_s, 0.35)

    @contextmanager
    def serving(self, method: str, route: str, *, status: int = 202) -> Iterator[None]:
        """Serve an HTTP request that comes from outside: a new trace."""
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        }
        with self.span(f"{method} {route}", SpanKind.SERVER, attributes, root=True):
            self.work(0.002)
            yield
            self.work(0.001)

    def resume(self, correlation_id: str | None, causation_id: str | None) -> AbstractContextManager[Any]:
        """Work on for a flow whose IDs were kept with its data."""
        return correlated(correlation_id, causation_id=causation_id)

    def housekeeping(self, text: str, **fields: object) -> None:
        """Log a line that belongs to no flow."""
        self.world.turn_to(None)
        self.logger.info(text, extra=fields)

    # Around each handler

    def _handle(self, message: Message, attempt: int, handler: Handler) -> None:
        event = Event.from_binary(message.headers, message.value)
        kind = self.world.anchor.flow.struck(self.name, message.type)
        if kind == "lost_context":
            self._handle_without_context(event, message, handler)
            return
        if event.correlation_id is None:
            event = self._with_new_correlation(event)
        headers = [] if kind == "new_trace" else message.headers
        with self._messaging.processing(
            event,
            message.topic,
            headers=headers,
            link=kind == "span_link",
            partition=message.partition,
            offset=message.offset,
        ):
            self._silent = kind == "logs_without_correlation"
            try:
                self._attempt(event, message, attempt, kind, handler)
            finally:
                self._silent = False

    def _attempt(
        self, event: Event, message: Message, attempt: int, kind: str | None, handler: Handler
    ) -> None:
        place: dict[str, object] = {"consumer_group": self.name}
        if message.partition is not None:
            place |= {"partition": message.partition, "offset": message.offset}
        again = {"attempt": attempt} if attempt > 1 else {}
        started_ns = self.world.clock.now_ns
        self.info("handling %s", event.type, **place, **again)
        try:
            self._suffer(kind, attempt)
            if kind in {"consumed_no_reaction", "join_lacks_input"}:
                self.warn("%s", self.parks)
            else:
                self.work(0.001)
                handler(event)
        except HandlingFailed:
            text = "handling %s failed (attempt %d of %d)"
            fields = {"attempt": attempt, "max_attempts": MAX_ATTEMPTS}
            self._log(logging.ERROR, text, (event.type, attempt, MAX_ATTEMPTS), fields, failed=True)
            raise
        took_ms = (self.world.clock.now_ns - started_ns) // 1_000_000
        self.info("handled %s", event.type, duration_ms=took_ms, **again)

    def _suffer(self, kind: str | None, attempt: int) -> None:
        """Do what a fault from outside does to a handler."""
        if kind == "hung":
            self._dependency(FOREVER_S)
        elif kind == "slow":
            self._dependency(self.world.anchor.flow.limit_s + self.world.chance.uniform(40, 150))
        elif kind in {"dead_lettered", "retries_exhausted"} or (
            kind == "retry_then_success" and attempt <= 1 + self.world.anchor.flow.started_ns // 1000 % 2
        ):
            self._dependency(2.0, fails=True)

    def _dependency(self, seconds: float, *, fails: bool = False) -> None:
        attributes = {"server.address": self.depends_on}
        with self.span(f"call {self.depends_on}", SpanKind.CLIENT, attributes) as span:
            self.world.clock.advance(seconds)
            if fails:
                span.set_status(Status(StatusCode.ERROR, self.failure_text))
                raise self.failure(self.failure_text)

    def _give_up(self, message: Message, error: HandlingFailed) -> bool:
        event = Event.from_binary(message.headers, message.value)
        with continuing(message.headers), working_on(event):
            if not self.dead_letters:
                self.logger.error(
                    "giving up on %s after %d attempts: %s",
                    event.type,
                    MAX_ATTEMPTS,
                    error,
                    extra={
                        "attempt": MAX_ATTEMPTS,
                        "max_attempts": MAX_ATTEMPTS,
                        "consumer_group": self.name,
                        "retries_exhausted": True,
                        **_error_fields(error),
                    },
                )
                return False
            self._publish_dead_letter(event, message, error)
        return True

    def _publish_dead_letter(self, event: Event, message: Message, error: HandlingFailed) -> None:
        topic = f"{message.topic}-dlt"
        notes = self.world.bus.notes(message, self.name, _error_fields(error))
        with self._messaging.sending(event, topic):
            headers = inject(
                [*message.headers, *((name, str(value).encode()) for name, value in notes.items())]
            )
            self.logger.error("dead-lettered %s to %s", event.type, topic, extra=notes)
            self.work(_SEND_S)
        self.world.bus.send(topic, event, event.id, headers, message.value)

    def _handle_without_context(self, event: Event, message: Message, handler: Handler) -> None:
        """Handle as a service would that knows neither correlation nor trace."""
        world = self.world
        unknown = Anchor(world.anchor.flow, None)
        unknown.flow.anchors.append(unknown)
        world.turn_to(unknown)
        attributes = {
            SYSTEM: world.bus.system,
            **_LOST_SPAN,
            DESTINATION: message.topic,
            CONSUMER_GROUP: self.name,
        }
        self._text_only = True
        try:
            with detached(), self.span("poll", SpanKind.CONSUMER, attributes, root=True):
                self.info("processing a message")
                handler(event)
        finally:
            self._text_only = False

    def _with_new_correlation(self, event: Event) -> Event:
        anchor = self.world.anchor
        if anchor.correlation_id is None:
            anchor.correlation_id = self.world.new_id()
        return replace(event, correlation_id=anchor.correlation_id)

    def _log(
        self,
        level: int,
        text: str,
        values: tuple[object, ...],
        fields: Mapping[str, object],
        *,
        failed: bool = False,
    ) -> None:
        if self._text_only:
            fields = {}
        if self._silent:
            with detached():
                self.logger.log(level, text, *values, extra=fields, exc_info=failed)
        else:
            self.logger.log(level, text, *values, extra=fields, exc_info=failed)


def _error_fields(error: HandlingFailed) -> dict[str, str]:
    kind = type(error)
    return {"error.type": f"{kind.__module__}.{kind.__qualname__}", "error.message": str(error)}
