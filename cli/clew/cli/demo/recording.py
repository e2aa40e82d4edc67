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
    what: Any
    """Its text; what the SDK made of it where it is exported."""
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
        self.last_ns = clock.start_ns
        self._hidden = hidden
        self._turn = 0
        self.logs: list[Held] = []
        self.exported: list[Held] = []

    def add_service(self, service: str, resource: Mapping[str, Any]) -> tuple[logging.Handler, SpanProcessor]:
        """Open the two files of a service; gives what takes its log lines and its spans."""
        logs = LogFile(self, service, self.register(f"logs/{service}.jsonl"))
        spans = SpanFile(self, resource, self.register(f"spans/{service}.jsonl"))
        self.logs.append(logs)
        self.exported.append(spans)
        return logs.handler, spans

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
        for logs in self.logs:
            logs.write(take(logs.waiting, until_ns))
        for spans in self.exported:
            whole = until_ns - (until_ns - START_NS) % _EXPORT_NS
            spans.write(take(spans.waiting, whole))

    def finish(self, end_ns: int) -> None:
        """Write what is left and close: after ``end_ns`` only the flows that had ended by then."""
        for file in (*self.logs, *self.exported):
            kept = [line for line in file.waiting if _is_recorded(line, end_ns)]
            kept.sort(key=_by_time)
            file.waiting.clear()
            file.write(kept)
            file.close()

    def note_log(self, line: Line, place: tuple[int, int]) -> None:
        """Note whose a log line is that was written at ``place``."""
        owned = self.background_logs if line.anchor is None else line.anchor.logs
        owned.append(place)
        self.log_lines += 1
        self.last_ns = max(self.last_ns, line.time_ns)

    def note_span(self, line: Line) -> None:
        """Note whose a span is that was written."""
        if line.anchor is None:
            raise AssertionError("a span belongs to a flow")
        line.anchor.spans.append(line.span_id)
        self.spans += 1
        self.last_ns = max(self.last_ns, line.time_ns)

    def register(self, name: str) -> int:
        """Give a file its number."""
        self.files.append(name)
        return len(self.files) - 1


def _is_recorded(line: Line, end_ns: int) -> bool:
    if line.time_ns <= end_ns:
        return True
    ended_ns = line.anchor.flow.ended_ns if line.anchor is not None else None
    return ended_ns is not None and ended_ns <= end_ns


def take(waiting: list[Line], until_ns: int) -> list[Line]:
    """Take out those up to a time, in the order of their times."""
    waiting.sort(key=_by_time)
    count = next((at for at, line in enumerate(waiting) if line.time_ns > until_ns), len(waiting))
    taken = waiting[:count]
    del waiting[:count]
    return taken


class Held:
    """What a service wrote and whose time has not come; ``number`` is that of its file in the recording."""

    def __init__(self, recording: Recording, number: int) -> None:
        self.waiting: list[Line] = []
        self.recording = recording
        self.number = number

    def add(self, text: str) -> None:
        """Take a line, dated now."""
        self.hold(self.recording.clock.now_ns, text)

    def hold(self, time_ns: int, what: Any, span_id: str = "") -> None:
        """Keep it until its time has come."""
        recording = self.recording
        self.waiting.append(Line(time_ns, recording.turn(), what, span_id, recording.anchor))

    def write(self, lines: Iterable[Line]) -> None:
        """Let go lines, which come in the order of their times, and note whose they are."""
        raise NotImplementedError

    def close(self) -> None:
        """No more will come."""
        raise NotImplementedError


class _File(Held):
    def __init__(self, recording: Recording, number: int) -> None:
        super().__init__(recording, number)
        path = recording.folder / recording.files[number]
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream: IO[str] = path.open("w", encoding="utf-8", newline="\n")

    def close(self) -> None:
        self._stream.close()


class LogFile(_File):
    """A service's JSON log."""

    def __init__(self, recording: Recording, service: str, number: int) -> None:
        super().__init__(recording, number)
        self.handler = LogHandler(self, service)
        self._count = 0

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines and note whose they are."""
        for line in lines:
            self._count += 1
            self._stream.write(line.what)
            self._stream.write("\n")
            self.recording.note_log(line, (self.number, self._count))


class LogHandler(logging.Handler):
    """Gives a service's log lines, in JSON, to what holds them."""

    def __init__(self, held: Held, service: str) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(service))
        self._held = held

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, dated now."""
        recording = self._held.recording
        record.created = recording.clock.now_ns / NS
        text = self.format(record)
        if record.exc_info:
            text = recording.shown(text)
        if record.levelno >= logging.ERROR and recording.anchor is not None:
            recording.anchor.errors += 1
        self._held.add(text)


class SpanFile(_File, SpanProcessor):
    """A service's exported spans. A span that has not ended is not exported: nobody sees it."""

    def __init__(self, recording: Recording, resource: Mapping[str, Any], number: int) -> None:
        super().__init__(recording, number)
        self._resource = resource

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span of the SDK."""
        recording = self.recording
        text = span_json(span)
        if not span.status.is_ok:
            text = recording.shown(text)
        self.hold(span.end_time or 0, text, f"{span.context.span_id:016x}")

    def write(self, lines: Iterable[Line]) -> None:
        """Append spans, one request per export interval, and note whose they are."""
        batch: list[str] = []
        window = -1
        for line in lines:
            at = (line.time_ns - START_NS) // _EXPORT_NS
            if batch and (at != window or len(batch) == _EXPORT_SPANS):
                self._export(batch)
                batch = []
            window = at
            batch.append(line.what)
            self.recording.note_span(line)
        if batch:
            self._export(batch)

    def _export(self, batch: list[str]) -> None:
        self._stream.write(request_line(self._resource, SCOPE, "0.1.0", batch))
