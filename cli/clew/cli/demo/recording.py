"""The files that the services write, and, beside them, which line is whose.

A handler runs ahead of the clock, so lines are held back until virtual time has passed
them: a file has its lines in the order of their times, as a real one would.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from clew.cli.demo.clock import NS, START_NS, Clock
from clew.cli.demo.facts import Anchor
from clew.cli.demo.otlp import request_line, span_json
from clew.tracer.logs import JsonFormatter

SCOPE: Final = "clew.tracer"
# What BatchSpanProcessor waits by default, and the largest batch it exports.
_EXPORT_NS: Final = 5 * NS
_EXPORT_SPANS: Final = 512
_by_time = itemgetter(0, 1)


class Line(NamedTuple):
    """A line or span that waits for its time."""

    time_ns: int
    turn: int
    text: str
    span_id: str
    anchor: Anchor | None


class Recording:
    """All files of a run. ``anchor`` is whose records are being written: the world sets it."""

    def __init__(self, folder: Path, clock: Clock, hidden: Mapping[str, str]) -> None:
        """``hidden`` maps paths of this machine, as stack traces have them, to what is written."""
        self.folder = folder
        self.clock = clock
        self.anchor: Anchor | None = None
        self.files: list[str] = []
        self.background_logs: list[tuple[int, int]] = []
        self.log_lines = 0
        self.spans = 0
        self.last_ns = START_NS
        self._hidden = hidden
        self._turn = 0
        self._logs: list[LogFile] = []
        self._spans: list[SpanFile] = []

    def add_service(self, service: str, resource: Mapping[str, Any]) -> tuple[LogFile, SpanFile]:
        """Open the two files of a service."""
        logs = LogFile(self, service, self._register(f"logs/{service}.jsonl"))
        spans = SpanFile(self, resource, self._register(f"spans/{service}.jsonl"))
        self._logs.append(logs)
        self._spans.append(spans)
        return logs, spans

    def turn(self) -> int:
        """Count up, to keep the order of what happens at one instant."""
        self._turn += 1
        return self._turn

    def shown(self, text: str) -> str:
        """Take this machine's paths out of a text."""
        for path, name in self._hidden.items():
            text = text.replace(path, name)
        return text

    def pass_time(self, until_ns: int) -> None:
        """Write what is dated up to ``until_ns``."""
        for logs in self._logs:
            logs.write(_take(logs.waiting, until_ns))
        for spans in self._spans:
            whole = until_ns - (until_ns - START_NS) % _EXPORT_NS
            spans.write(_take(spans.waiting, whole))

    def finish(self, end_ns: int) -> None:
        """Write what is left and close: after ``end_ns`` only the flows that had ended by then."""
        for file in (*self._logs, *self._spans):
            kept = [line for line in file.waiting if _is_recorded(line, end_ns)]
            kept.sort(key=_by_time)
            file.waiting.clear()
            file.write(kept)
            file.close()

    def _register(self, name: str) -> int:
        self.files.append(name)
        return len(self.files) - 1


def _is_recorded(line: Line, end_ns: int) -> bool:
    if line.time_ns <= end_ns:
        return True
    ended_ns = line.anchor.flow.ended_ns if line.anchor is not None else None
    return ended_ns is not None and ended_ns <= end_ns


def _take(waiting: list[Line], until_ns: int) -> list[Line]:
    waiting.sort(key=_by_time)
    count = next((at for at, line in enumerate(waiting) if line.time_ns > until_ns), len(waiting))
    taken = waiting[:count]
    del waiting[:count]
    return taken


class _File:
    def __init__(self, recording: Recording, number: int) -> None:
        self.waiting: list[Line] = []
        self._recording = recording
        self._number = number
        path = recording.folder / recording.files[number]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream: IO[str] = path.open("w", encoding="utf-8", newline="\n")

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines, which come in the order of their times, and note whose they are."""
        raise NotImplementedError

    def close(self) -> None:
        self._stream.close()


class LogFile(_File):
    """A service's JSON log."""

    def __init__(self, recording: Recording, service: str, number: int) -> None:
        super().__init__(recording, number)
        self.handler = _LogHandler(self, JsonFormatter(service))
        self._count = 0

    def add(self, text: str) -> None:
        """Take a line, dated now."""
        recording = self._recording
        line = Line(recording.clock.now_ns, recording.turn(), text, "", recording.anchor)
        self.waiting.append(line)

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines and note whose they are."""
        recording = self._recording
        for line in lines:
            self._count += 1
            self._stream.write(line.text)
            self._stream.write("\n")
            owned = recording.background_logs if line.anchor is None else line.anchor.logs
            owned.append((self._number, self._count))
            recording.log_lines += 1
            recording.last_ns = max(recording.last_ns, line.time_ns)


class _LogHandler(logging.Handler):
    def __init__(self, file: LogFile, formatter: JsonFormatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        recording = self._file._recording  # noqa: SLF001 - the handler is the file's own
        record.created = recording.clock.now_ns / NS
        text = self.format(record)
        if record.exc_info:
            text = recording.shown(text)
        if record.levelno >= logging.ERROR and recording.anchor is not None:
            recording.anchor.errors += 1
        self._file.add(text)


class SpanFile(_File, SpanProcessor):
    """A service's exported spans. A span that has not ended is not exported: nobody sees it."""

    def __init__(self, recording: Recording, resource: Mapping[str, Any], number: int) -> None:
        super().__init__(recording, number)
        self._resource = resource

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span of the SDK."""
        recording = self._recording
        text = span_json(span)
        if not span.status.is_ok:
            text = recording.shown(text)
        end_ns = span.end_time or 0
        span_id = f"{span.context.span_id:016x}"
        self.waiting.append(Line(end_ns, recording.turn(), text, span_id, recording.anchor))

    def write(self, lines: Iterable[Line]) -> None:
        """Append spans, one request per export interval, and note whose they are."""
        recording = self._recording
        batch: list[str] = []
        window = -1
        for line in lines:
            if line.anchor is None:
                raise AssertionError("a span belongs to a flow")
            at = (line.time_ns - START_NS) // _EXPORT_NS
            if batch and (at != window or len(batch) == _EXPORT_SPANS):
                self._export(batch)
                batch = []
            window = at
            batch.append(line.text)
            line.anchor.spans.append(line.span_id)
            recording.spans += 1
            recording.last_ns = max(recording.last_ns, line.time_ns)
        if batch:
            self._export(batch)

    def _export(self, batch: list[str]) -> None:
        self._stream.write(request_line(self._resource, SCOPE, "0.1.0", batch))
