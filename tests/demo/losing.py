"""What services that lose the context would have written: a demo's files with IDs taken out of some hops.

A **hop** is one event on its way to one service. Where a hop loses its context, the service
that handles the event knows none of its IDs: no correlation, causation or event ID, no trace,
no partition and no offset. It makes up a correlation ID of its own, and all that follows from
the handling goes by that one, in traces of its own. No business key stands in any of it.

Flows are moved in time, each as a whole, so that many are on their way at once.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

Unit = tuple[str, str | None]
"""(service, ID of the event that it works on): what a service does for one event."""

MESSAGE_IDS = ("event_id", "causation_id", "partition", "offset")
SPAN_IDS = (
    "messaging.message.id",
    "cloudevents.event_id",
    "messaging.destination.partition.id",
    "messaging.kafka.offset",
)
OFFSET = "messaging.kafka.offset"
CONVERSATION = "messaging.message.conversation_id"
BUSINESS = re.compile(r"\b[a-z]{3}-[0-9a-f]{10}\b")
"""Every business key of the demo looks like ``ord-3f9a01c27b``."""
PRODUCER, CONSUMER = 4, 5
"""Kinds of spans."""
BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Losing:
    """What is done to a demo's files."""

    share: float
    """Of hops that lose their context."""
    in_flight: int = 200
    """Flows on their way at a time, of those in which nothing goes wrong."""
    keys: bool = False
    """Whether business keys stay where they are."""
    quiet: bool = False
    """Whether the handling itself leaves no record: what the service publishes then is the first that is seen."""
    seed: int = 1


@dataclass
class Lost:
    """What was done."""

    pairs: set[tuple[str, str]] = field(default_factory=set)
    """(ID of a flow, ID under which what it lost goes on)."""
    hops: int = 0


@dataclass
class _Flow:
    truth: Mapping[str, Any]
    logs: list[tuple[str, dict[str, Any]]]
    """(file, line)"""
    spans: list[tuple[str, dict[str, Any], dict[str, Any]]]
    """(file, resource, span)"""


def lose(source: Path, folder: Path, how: Losing) -> Lost:
    """Write to ``folder`` what the services of the run in ``source`` would have written then."""
    chance = Random(f"losing {how.seed}")
    lost = Lost()
    flows = _read(source)
    lengths = [_end(flow) - _start(flow) for flow in flows]
    whole = [length for flow, length in zip(flows, lengths, strict=True) if not flow.truth["faults"]]
    gap = sum(whole, timedelta()) / len(whole) / how.in_flight
    for flow in flows:
        _move(flow, BEGIN + gap * len(flows) * chance.random() - _start(flow))
    _renumber(flows)
    lines: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for flow in flows:
        _break(flow, how, chance, lost)
        for name, line in flow.logs:
            lines[name].append((_us(_time(line["timestamp"])), json.dumps(line)))
        for name, resource, span in flow.spans:
            scoped = {"resource": resource, "scopeSpans": [{"scope": {"name": "demo"}, "spans": [span]}]}
            lines[name].append(
                (int(span["endTimeUnixNano"]) // 1000, json.dumps({"resourceSpans": [scoped]}))
            )
    for name, texts in lines.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(text + "\n" for _, text in sorted(texts)), encoding="utf-8")
    return lost


def _read(source: Path) -> list[_Flow]:
    truth = json.loads((source / "truth.json").read_text(encoding="utf-8"))
    texts = [(source / name).read_text(encoding="utf-8").splitlines() for name in truth["files"]]
    spans: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
    for name, lines in zip(truth["files"], texts, strict=True):
        if name.startswith("spans/"):
            for line in lines:
                for resource in json.loads(line)["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        spans |= {
                            span["spanId"]: (name, resource["resource"], span) for span in scope["spans"]
                        }
    return [
        _Flow(
            flow,
            [
                (truth["files"][file], json.loads(texts[file][line - 1]))
                for file, line in flow["records"]["logs"]
            ],
            [spans[span] for span in flow["records"]["spans"]],
        )
        for flow in truth["flows"]
    ]


def _break(flow: _Flow, how: Losing, chance: Random, lost: Lost) -> None:
    """Take the IDs out of some of a flow's hops, in place."""
    main = flow.truth["correlation_id"]
    others = [other["correlation_id"] for other in flow.truth["continuations"]]
    lost.pairs |= {(main, other) for other in others}
    spans = dict(_units_of_spans(flow))
    lines = [spans.get(line.get("span_id", "")) or (line["service"], _trigger(line)) for _, line in flow.logs]
    sender = {
        line["event_id"]: unit
        for (_, line), unit in zip(flow.logs, lines, strict=True)
        if line.get("operation") == "send"
    }
    handled: dict[Unit, None] = {
        (line["service"], line["event_id"]): None
        for _, line in flow.logs
        if line.get("operation") == "process" and line.get("event_id") and not others
    }
    lost.hops += len(handled)
    broken = {unit: f"{chance.getrandbits(128):032x}" for unit in handled if chance.random() < how.share}
    if not broken:
        return
    pieces = _Pieces(main, broken, sender)
    lost.pairs |= {(pieces.above(unit), name) for unit, name in broken.items()}
    for (_, line), unit in zip(flow.logs, lines, strict=True):
        _lose_from_line(line, unit, pieces, how)
    names = {span: pieces.of(unit) for span, unit in spans.items()}
    for _, _, span in flow.spans:
        _lose_from_span(span, spans[span["spanId"]], names, pieces, how)
    if how.quiet:
        told = {line["correlation_id"] for _, line in flow.logs if line.get("operation") == "send"}
        lost.pairs -= {
            (above, name) for above, name in lost.pairs if name in broken.values() and name not in told
        }
        flow.logs = [
            held
            for held, unit in zip(flow.logs, lines, strict=True)
            if unit not in broken or held[1].get("operation") == "send"
        ]
        flow.spans = [
            held
            for held in flow.spans
            if spans[held[2]["spanId"]] not in broken or held[2]["kind"] == PRODUCER
        ]


@dataclass(frozen=True)
class _Pieces:
    """Under which ID each unit of a flow goes."""

    main: str
    broken: Mapping[Unit, str]
    sender: Mapping[str, Unit]

    def of(self, unit: Unit) -> str:
        """The ID of the nearest unit above, or of this one, that lost its context; else the flow's own."""
        seen: set[Unit] = set()
        here: Unit | None = unit
        while here is not None and here not in seen:
            if here in self.broken:
                return self.broken[here]
            seen.add(here)
            here = self.sender.get(here[1] or "")
        return self.main

    def above(self, unit: Unit) -> str:
        """The ID under which the event was sent that a unit works on."""
        sent = self.sender.get(unit[1] or "")
        return self.of(sent) if sent is not None else self.main


def _lose_from_line(line: dict[str, Any], unit: Unit, pieces: _Pieces, how: Losing) -> None:
    name = pieces.of(unit)
    if name == pieces.main:
        return
    line["correlation_id"] = name
    if "trace_id" in line:
        line["trace_id"] = _renamed(line["trace_id"], name)
    cause = pieces.sender.get(line.get("causation_id", ""))
    if cause is not None and pieces.of(cause) != name:
        # What was published without a cause is handled without one.
        del line["causation_id"]
    if unit in pieces.broken:
        for key in MESSAGE_IDS:
            if key != "event_id" or line.get("operation") != "send":
                line.pop(key, None)
    if not how.keys:
        line["message"] = BUSINESS.sub("...", line["message"])
        for key, value in list(line.items()):
            if isinstance(value, str) and BUSINESS.search(value):
                del line[key]


def _lose_from_span(
    span: dict[str, Any], unit: Unit, names: Mapping[str, str], pieces: _Pieces, how: Losing
) -> None:
    name = names[span["spanId"]]
    if names.get(span.get("parentSpanId", "")) != name:
        span.pop("parentSpanId", None)
    span["links"] = [link for link in span.get("links", ()) if names.get(link["spanId"]) == name]
    if name == pieces.main:
        return
    for traced in (span, *span["links"]):
        traced["traceId"] = _renamed(traced["traceId"], name)
    gone = frozenset(SPAN_IDS if unit in pieces.broken and span["kind"] != PRODUCER else ())
    span["attributes"] = [
        {"key": CONVERSATION, "value": {"stringValue": name}} if one["key"] == CONVERSATION else one
        for one in span["attributes"]
        if one["key"] not in gone
        and (how.keys or not BUSINESS.search(str(one["value"].get("stringValue", ""))))
    ]


def _units_of_spans(flow: _Flow) -> Iterator[tuple[str, Unit]]:
    """(span ID, its unit): by the handling that it lies within, or by what lines within it tell."""
    held = {span["spanId"]: (Path(name).stem, span) for name, _, span in flow.spans}

    def up(span_id: str) -> Iterator[Mapping[str, Any]]:
        """The span and those above it in its own service."""
        service, span = held[span_id]
        while True:
            yield span
            above, parent = held.get(span.get("parentSpanId", ""), ("", span))
            if above != service:
                return
            span = parent

    told: dict[str, str] = {}
    for _, line in flow.logs:
        event, span_id = _trigger(line), line.get("span_id", "")
        if event and span_id in held:
            for span in up(span_id):
                told.setdefault(span["spanId"], event)
                if span["kind"] == CONSUMER:
                    break
    for span_id, (service, _) in held.items():
        events = (
            _text(span, "cloudevents.event_id") if span["kind"] == CONSUMER else told.get(span["spanId"])
            for span in up(span_id)
            if span["kind"] != PRODUCER
        )
        yield span_id, (service, next((event for event in events if event), told.get(span_id)))


def _text(span: Mapping[str, Any], key: str) -> str | None:
    return next((one["value"].get("stringValue") for one in span["attributes"] if one["key"] == key), None)


def _trigger(line: Mapping[str, Any]) -> str | None:
    """The event that a line was written for."""
    if line.get("operation") == "process":
        return line.get("event_id")
    return line.get("causation_id")


def _move(flow: _Flow, shift: timedelta) -> None:
    for _, line in flow.logs:
        line["timestamp"] = (_time(line["timestamp"]) + shift).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for _, _, span in flow.spans:
        for end in ("startTimeUnixNano", "endTimeUnixNano"):
            span[end] = str(int(span[end]) + shift // timedelta(microseconds=1) * 1000)


def _renumber(flows: Sequence[_Flow]) -> None:
    """Give offsets in the order of the times to which the flows were moved."""
    held: list[tuple[datetime, Any, str, dict[str, Any]]] = []
    topics: dict[str, str] = {}
    for flow in flows:
        for _, _, span in flow.spans:
            given = {one["key"]: one["value"] for one in span["attributes"]}
            if OFFSET in given:
                topics[span["spanId"]] = topic = given["messaging.destination.name"]["stringValue"]
                kind, offset = next(iter(given[OFFSET].items()))
                partition = next(iter(given["messaging.destination.partition.id"].values()))
                began = datetime.fromtimestamp(int(span["startTimeUnixNano"]) // 1000 / 1e6, UTC)
                held.append((began, (topic, str(partition), int(offset)), kind, given[OFFSET]))
    for flow in flows:
        for _, line in flow.logs:
            for before in ("", "kafka_dlt-original-"):
                if before + "offset" in line:
                    topic = line.get("kafka_dlt-original-topic") if before else line.get("destination")
                    topic = topic or topics.get(line.get("span_id", ""), "")
                    place = (topic, str(line[before + "partition"]), int(line[before + "offset"]))
                    held.append((_time(line["timestamp"]), place, before + "offset", line))
    following: dict[Any, int] = defaultdict(int)
    given_out: dict[Any, int] = {}
    for _, place, _, _ in sorted(held, key=lambda one: one[:2]):
        if place not in given_out:
            given_out[place] = following[place[:2]]
            following[place[:2]] += 1
    for _, place, name, holder in held:
        holder[name] = str(given_out[place]) if isinstance(holder[name], str) else given_out[place]


def _renamed(trace: str, piece: str) -> str:
    return f"{int(trace, 16) ^ int(piece, 16):032x}"


def _start(flow: _Flow) -> datetime:
    return min(_time(line["timestamp"]) for _, line in flow.logs)


def _end(flow: _Flow) -> datetime:
    return max(_time(line["timestamp"]) for _, line in flow.logs)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _us(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
