"""What stands in and under a step's line: its label, and what is odd about it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from clew.cli.units import count, duration
from clew.reconstruct.causes.wording import likely

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.cli.flow_tree import Fold
    from clew.cli.flow_view import Details
    from clew.cli.look import Line, Look
    from clew.reconstruct.answers import Continuation
    from clew.reconstruct.detail import Observation, Step
    from clew.reconstruct.model import Flow

_MOST_LINES = 3
"""Lines of one note unless everything is asked for."""


class Label(NamedTuple):
    """A step's text in the tree; where there is no room for all, the marks stay."""

    head: Line
    """Service and direction."""
    name: Line
    marks: Line
    told_above: bool
    """The parent has the same name: it need not stand again."""

    @property
    def cells(self) -> int:
        """Columns of the whole."""
        return self.head.cells + self.name.cells + self.marks.cells

    def fit(self, room: int, look: Look) -> Line:
        """The label in ``room`` columns."""
        whole = look.line().extend(self.head)
        if self.cells <= room:
            return whole.extend(self.name).extend(self.marks)
        if self.told_above and self.head.cells - 1 + self.marks.cells <= room:
            return whole.fit(self.head.cells - 1, "").extend(self.marks)
        return (
            whole.extend(self.name).fit(max(room - self.marks.cells, 1), look.glyphs.cut).extend(self.marks)
        )


def label(step: Step, parent: Step | None, look: Look) -> Label:
    """Service, direction and name; the service is left out where it is the parent's."""
    glyphs = look.glyphs
    head, marks = look.line(), look.line()
    if step.service and (parent is None or parent.service != step.service):
        head.add(step.service + " ", "service")
    elif parent is not None and parent.service and not step.service:
        head.add("? ", "faint")
    sign = {"publish": glyphs.sends, "handling": glyphs.handles, "event": glyphs.event}.get(step.kind)
    if sign:
        head.add(sign + " ", "strong")
    failed = step.status == "error"
    if failed:
        marks.add(f" {glyphs.cross}", "error")
    if step.dead_letter:
        marks.add(f" {glyphs.dead}", "dead_lettered")
    if step.attempt > 1:
        marks.add(f" (attempt {step.attempt})", "warning")
    if step.shared:
        marks.add(" (shared)", "faint")
    told_above = step.kind == "handling" and parent is not None and parent.name == step.name
    return Label(head, look.line(step.name, "error" if failed else ""), marks, told_above)


class Notes(NamedTuple):
    """Writes what stands under the steps of ``flow``."""

    flow: Flow
    look: Look
    details: Details
    joined: Sequence[Continuation] = ()
    """Where the flow was joined with what it likely goes on as."""

    def under(self, step: Step, parent: Step | None, start: Line) -> Iterator[Line]:
        """What is odd about a step; then its logs and evidence, where they are asked for."""
        yield from self._odd(step, parent, start)
        if self.details.logs:
            for log in step.logs:
                yield from self.log(log, start)
        if self.details.evidence:
            for seen in (*step.observations, *(() if self.details.logs else step.logs)):
                yield from self.evidence(seen, start)
            if step.via and parent is not None:
                said = f"{self.look.glyphs.note} caused by the step above, known by {step.via}"
                yield from self._note(start, said, "faint")

    def _odd(self, step: Step, parent: Step | None, start: Line) -> Iterator[Line]:
        glyphs = self.look.glyphs
        if step.status == "error" or step.error_type or step.error_message:
            said = error_text(step) or "ended with an error"
            if parent is None or said not in error_text(parent):
                yield from self._note(start, f"{glyphs.cross} {said}", "error")
        if step.dead_letter:
            yield from self._note(start, f"{glyphs.dead} dead letter: {step.dead_letter}", "dead_lettered")
        if step.skew_us > 0:
            said = f"{glyphs.warn} dated {duration(step.skew_us)} before its cause: clocks differ"
            yield from self._note(start, said, "warning")
        if step.missing_parent and parent is not None:
            said = f"{glyphs.warn} its parent {step.missing_parent} is not stored"
            yield from self._note(start, said, "warning")
        for one in self.joined:
            if (step.start, step.service) == (one.time, one.service):
                usual = " to ".join(duration(us) for us in one.usual_us or ())
                said = (
                    f"{glyphs.note} inferred {likely(one.likelihood)}: {one.continued} likely goes on here, "
                    f"{duration(one.lag_us)} after {one.after}" + (f" (usually {usual})" if usual else "")
                )
                yield from self._note(start, said, "warning")
        if is_owed(step, self.flow):
            yield from self._note(start, f"{glyphs.clock} {_still_owed(self.flow)}", "stuck")

    def log(self, log: Observation, start: Line) -> Iterator[Line]:
        """A log record: when, how bad, what it says."""
        fields = log.fields
        severity = str(fields.get("severity") or "")
        style = "error" if severity in {"ERROR", "FATAL"} else "warning" if severity == "WARN" else "faint"
        text = str(fields.get("body") or fields.get("name") or "")
        said = f"{self.look.glyphs.note} {_clock(fields.get('time'))} {severity:<5} {text}"
        yield from self._note(start, said, style)

    def evidence(self, seen: Observation, start: Line) -> Iterator[Line]:
        """Why a record is in this flow, and where it was read."""
        fields = seen.fields
        source = fields.get("source")
        where = f", {source}:{fields['position']}" if source and fields.get("position") is not None else ""
        shared = "shared by " if seen.shared else ""
        said = f"{self.look.glyphs.note} {fields.get('kind', 'record')} {shared}{because(seen)}{where}"
        yield from self._note(start, said, "faint")

    def _note(self, start: Line, text: str, style: str) -> Iterator[Line]:
        """``text`` begins with a sign and a blank, below which its further lines are set in."""
        look = self.look
        first = look.line().extend(start).add(text[:2], style)
        again = look.line().extend(start).add("  ")
        lines = look.wrap(text[2:], style, first=first, again=again)
        most = len(lines) if self.details.everything else _MOST_LINES
        if len(lines) > most:
            cut = f" {look.glyphs.cut}"
            lines[most - 1] = lines[most - 1].fit(look.width - len(cut), "").add(cut, "faint")
        yield from lines[:most]


def error_text(step: Step) -> str:
    """Type and message of a step's error."""
    return ": ".join(part for part in (step.error_type, step.error_message) if part)


def _still_owed(flow: Flow) -> str:
    if flow.owed is not None and flow.owed.kind == "end":
        return "has not ended"
    who = None if flow.owed is None else flow.owed.service
    return f"{who} has not handled it yet" if who else "nobody has handled it yet"


def _clock(time: Any) -> str:
    return f"{time:%H:%M:%S}.{time.microsecond // 1000:03}" if isinstance(time, datetime) else "no time"


def is_owed(step: Step, flow: Flow) -> bool:
    """Whether this step is what the owed thing hangs on: the unhandled send, the span without an end."""
    owed = flow.owed
    if owed is None or owed.since != step.start or owed.name != step.name:
        return False
    return step.open if owed.kind == "end" else step.kind == "publish"


def owed_phrase(flow: Flow) -> str:
    """The named thing that a flow waits for."""
    owed = flow.owed
    if owed is None:
        return ""
    by = f" by {owed.service}" if owed.service else ""
    at = f" from {owed.destination}" if owed.destination else ""
    if owed.kind == "handling":
        return f"a handling of {owed.name}{at}{by}"
    if owed.kind == "end":
        return f"the end of {owed.name}{by}"
    return f"{owed.name}{by}"


def fold_lines(fold: Fold, start: Line, look: Look) -> list[Line]:
    """What the steps that are not drawn have in common."""
    alike = "more in a row, each caused by the one before" if fold.in_a_row else "more like this"
    below = f" ({count(fold.below, 'step')} below them)" if fold.below else ""
    parts = [(f"{look.glyphs.times} {count(fold.steps)} {alike}{below}", "strong")]
    if fold.took is not None:
        low, middle, high = (duration(us) for us in fold.took)
        parts.append((f"took {low} to {high}" if low != high else f"took {low}", ""))
        if low != high:
            parts.append((f"median {middle}", ""))
    if fold.within:
        parts.append((f"all within {duration(fold.within)}", ""))
    if fold.waited:
        parts.append((f"waited up to {duration(fold.waited)}", "wait"))
    if fold.errors:
        parts.append((count(fold.errors, "error"), "error"))
    if fold.dead_letters:
        parts.append((count(fold.dead_letters, "dead letter"), "dead_lettered"))
    if fold.open:
        parts.append((f"{count(fold.open)} open", "warning"))
    return look.join(parts, first=start, again=look.line(" " * (start.cells + 2)))


def because(seen: Observation) -> str:
    """The evidence in words, with the value it rests on."""
    fields = seen.fields
    key = fields.get("correlation_key") or "correlation_id"
    words = {
        "correlation": f"correlation: it carries {key}={fields.get('correlation_id')}",
        "causation": f"causation: caused by event {fields.get('causation_id')}",
        "message": f"message: same event ID {fields.get('event_id')}"
        if fields.get("event_id")
        else "message: same broker coordinates",
        "span": f"span: parent or link of span {fields.get('span_id') or fields.get('parent_span_id')}",
        "hop": "hop: same request ID",
        "trace": f"trace: same trace {fields.get('trace_id')}",
        "alone": f"alone: the trace {fields.get('trace_id')} is the flow",
    }
    return words.get(seen.evidence, str(seen.evidence))
