"""What the services export: by OpenTelemetry's SDK and its OTLP exporters, as any service does.

A handler runs ahead of the clock, so what it writes is held back until its time has come.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from clew.cli.demo.recording import Held, Line, LogHandler, Recording, take

if TYPE_CHECKING:
    from clew.cli.demo.clock import Clock

DELAY_MS: Final = 500
"""How often each service exports, so that one who watches sees soon what happened."""
_TIMEOUT_S: Final = 60
_OUT: Final = {"timestamp", "severity", "service", "logger", "message", "trace_id", "span_id"}
"""Of a line's fields, those that a log record of OpenTelemetry has as its own."""
_NAMES: Final = {
    "operation": "messaging.operation.type",
    "destination": "messaging.destination.name",
    "error.type": "exception.type",
    "error.message": "exception.message",
    "error.stack": "exception.stacktrace",
}
"""What OpenTelemetry's conventions call some of the others."""


class Exports(Recording):
    """Sends all that the services write to an OTLP endpoint over HTTP."""

    def __init__(self, clock: Clock, endpoint: str) -> None:
        super().__init__(Path(), clock, {})
        self._endpoint = endpoint

    def add_service(self, service: str, resource: Mapping[str, Any]) -> tuple[logging.Handler, SpanProcessor]:
        """Open the two pipelines of a service."""
        logs = _Logs(self, service, resource, self.register(f"logs of {service}"), self._endpoint)
        spans = _Spans(self, self.register(f"spans of {service}"), self._endpoint)
        self.logs.append(logs)
        self.exported.append(spans)
        return logs.handler, spans

    def pass_time(self, until_ns: int) -> None:
        """Export what is dated up to ``until_ns``."""
        for held in (*self.logs, *self.exported):
            held.write(take(held.waiting, until_ns))

    def next_ns(self) -> int | None:
        """When the next line or span is due; None for never."""
        held = (*self.logs, *self.exported)
        return min((line.time_ns for one in held for line in one.waiting), default=None)

    def finish(self, end_ns: int) -> None:
        """Export what is left, and return when it is answered."""
        super().finish(end_ns)
        closing = [
            threading.Thread(target=one.flush, name="clew-demo-export")
            for one in (*self.logs, *self.exported)
            if isinstance(one, _Logs | _Spans)
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()


class _Logs(Held, LogRecordProcessor):
    """A service's log: each line as a log record, with its fields as attributes."""

    def __init__(
        self, recording: Recording, service: str, resource: Mapping[str, Any], number: int, endpoint: str
    ) -> None:
        super().__init__(recording, number)
        self.handler = LogHandler(self, service)
        exporter = OTLPLogExporter(f"{endpoint}/v1/logs", timeout=_TIMEOUT_S)
        self._batch = BatchLogRecordProcessor(exporter, schedule_delay_millis=DELAY_MS)
        self._provider = LoggerProvider(Resource(resource), shutdown_on_exit=False)
        self._provider.add_log_record_processor(self)

    def add(self, text: str) -> None:
        """Take a line, dated now."""
        fields = json.loads(text)
        self._provider.get_logger(fields["logger"]).emit(
            LogRecord(
                timestamp=self.recording.clock.now_ns,
                context=get_current(),
                severity_text=fields["severity"],
                severity_number=SeverityNumber[fields["severity"]],
                body=fields["message"],
                attributes={
                    _NAMES.get(name, name): value for name, value in fields.items() if name not in _OUT
                },
            )
        )

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Hold a record of the SDK."""
        self.hold(log_record.log_record.timestamp or 0, log_record)

    def write(self, lines: Iterable[Line]) -> None:
        """Hand them to the exporter; their place is (number, epoch microseconds)."""
        for line in lines:
            self._batch.on_emit(line.what)
            self.recording.note_log(line, (self.number, line.time_ns // 1000))

    def close(self) -> None:
        """Nothing is to be done before :meth:`flush`."""

    def flush(self) -> None:
        """Export what is left."""
        self._batch.shutdown()  # type: ignore[no-untyped-call]

    def shutdown(self) -> None:
        """The provider's end: see :meth:`flush`."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what was handed over."""
        return self._batch.force_flush(timeout_millis)


class _Spans(Held, SpanProcessor):
    """A service's spans. One that has not ended is not exported: nobody sees it."""

    def __init__(self, recording: Recording, number: int, endpoint: str) -> None:
        super().__init__(recording, number)
        exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=_TIMEOUT_S)
        self._batch = BatchSpanProcessor(exporter, schedule_delay_millis=DELAY_MS)

    def on_end(self, span: ReadableSpan) -> None:
        """Hold a span of the SDK."""
        self.hold(span.end_time or 0, span, f"{span.context.span_id:016x}")

    def write(self, lines: Iterable[Line]) -> None:
        """Hand them to the exporter."""
        for line in lines:
            self._batch.on_end(line.what)
            self.recording.note_span(line)

    def close(self) -> None:
        """Nothing is to be done before :meth:`flush`."""

    def flush(self) -> None:
        """Export what is left."""
        self._batch.shutdown()  # type: ignore[no-untyped-call]
