"""Flows as JSON: documented in docs/commands.md, and versioned by ``schema``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clew.cli.units import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clew.reconstruct.answers import Continuation, FlowGroup, SourceStatus, StoredReject
    from clew.reconstruct.detail import FlowDetail, Observation, Step
    from clew.reconstruct.model import Flow, Owed, Summary
    from clew.reconstruct.running import RunningProcess

SCHEMA = 1
"""Grows when a field changes its meaning or goes; a new field does not change it."""


def time(value: datetime | None) -> str | None:
    """ISO 8601 in UTC with microseconds, e.g. ``2026-01-31T12:00:00.123456Z``."""
    if value is None:
        return None
    if value.tzinfo is not None and value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def flow(found: Flow) -> dict[str, Any]:
    """One line of ``clew flows --json``."""
    return {
        "schema": SCHEMA,
        "flow_id": found.flow_id,
        "scope": found.scope,
        "type": found.type,
        "status": found.status,
        "also": list(found.also),
        "cause": found.cause,
        "late": found.late,
        "started": time(found.started),
        "last": time(found.last),
        "deadline": time(found.deadline),
        "owed": owed(found.owed),
        "records": found.records,
        "events": found.events,
        "errors": found.errors,
        "dead_letters": found.dead_letters,
        "missing_parents": found.missing_parents,
        "services": list(found.services),
        "keys": {name: list(values) for name, values in found.keys.items()},
        "evidence": dict(found.evidence),
        "inferred": found.inferred,
    }


def group(found: FlowGroup, by: str) -> dict[str, Any]:
    """One line of ``clew flows --by … --json``."""
    return {
        "schema": SCHEMA,
        "by": by,
        "value": found.value,
        "flows": found.flows,
        "causes": dict(found.causes),
        "oldest": time(found.oldest),
        "newest": time(found.newest),
        "first": time(found.first),
        "example": found.example,
        "scope": found.scope,
        "changes": [
            {"kind": one.kind, "name": one.name, "value": one.value, "time": time(one.time)}
            for one in found.changes
        ],
    }


def owed(thing: Owed | None) -> dict[str, Any] | None:
    """What a flow waits for."""
    if thing is None:
        return None
    return {
        "kind": thing.kind,
        "name": thing.name,
        "service": thing.service,
        "destination": thing.destination,
        "since": time(thing.since),
        "deadline": time(thing.deadline),
        "held": thing.held,
    }


def detail(found: FlowDetail, refined: str | None) -> dict[str, Any]:
    """The whole of ``clew show --json``: the flow's line, and its steps, records and links."""
    return {
        **flow(found.flow),
        "as_of": time(found.as_of),
        "refined_cause": refined,
        "steps": [step(one) for one in found.steps],
        "loose": [observation(one) for one in found.loose],
        "links": [{"flow_id": link.flow_id, "kind": link.kind, "via": link.via} for link in found.links],
        "joined": [continuation(one) for one in found.joined],
        "truncated": found.truncated,
    }


def continuation(one: Continuation) -> dict[str, Any]:
    """Where a flow likely goes on; durations are in microseconds."""
    return {
        "flow_id": one.flow_id,
        "scope": one.scope,
        "continued": one.continued,
        "likelihood": one.likelihood,
        "second": one.second,
        "after": one.after,
        "after_id": one.after_id,
        "service": one.service,
        "step": one.step,
        "time": time(one.time),
        "lag_us": one.lag_us,
        "usual_us": list(one.usual_us) if one.usual_us else None,
        "agree": list(one.agree),
    }


def step(one: Step) -> dict[str, Any]:
    """A step; durations are in microseconds."""
    return {
        "id": one.id,
        "parent": one.parent,
        "via": one.via,
        "kind": one.kind,
        "name": one.name,
        "service": one.service,
        "start": time(one.start),
        "end": time(one.end),
        "duration_us": microseconds(one.start, one.end),
        "open": one.open,
        "queue_wait_us": one.queue_wait_us,
        "skew_us": one.skew_us,
        "system": one.system,
        "destination": one.destination,
        "partition": one.partition,
        "offset": one.offset,
        "consumer_group": one.consumer_group,
        "event_id": one.event_id,
        "span_id": one.span_id,
        "attempt": one.attempt,
        "status": one.status,
        "error_type": one.error_type,
        "error_message": one.error_message,
        "dead_letter": one.dead_letter,
        "missing_parent": one.missing_parent,
        "shared": one.shared,
        "observations": [observation(seen) for seen in one.observations],
        "logs": [observation(seen) for seen in one.logs],
    }


def observation(seen: Observation) -> dict[str, Any]:
    """A stored record and why it is there."""
    return {"evidence": seen.evidence, "shared": seen.shared, "record": plain(seen.fields)}


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record's columns; those that hold JSON text become that JSON."""
    return {name: _value(name, value) for name, value in fields.items()}


def summary(found: Summary) -> dict[str, Any]:
    """The store as a whole."""
    return {
        "schema": SCHEMA,
        "as_of": time(found.as_of),
        "as_of_from": found.as_of_from,
        "flows": found.flows,
        "by_status": dict(found.by_status),
        "records": found.records,
        "unattributed": found.unattributed,
        "missing_parents": found.missing_parents,
        "rejects": found.rejects,
        "undated": found.undated,
        "behind": [
            {
                "source": one.source,
                "scope": one.scope,
                "watermark": time(one.watermark),
                "flows": one.flows,
                "silent": one.silent,
            }
            for one in found.behind
        ],
    }


def source(found: SourceStatus) -> dict[str, Any]:
    """One line of ``clew sources --json``."""
    return {
        "schema": SCHEMA,
        "source": found.source,
        "scope": found.scope,
        "format": found.format,
        "position": found.position,
        "records": found.records,
        "duplicates": found.duplicates,
        "rejects": found.rejects,
        "first": time(found.first),
        "last": time(found.last),
        "watermark": time(found.watermark),
        "watermark_exact": found.watermark_exact,
        "updated": time(found.updated),
        "silent": found.silent,
    }


def running(found: RunningProcess) -> Iterator[dict[str, Any]]:
    """Lines of ``clew sources --running --json``: one for each collector of a process."""
    process = {
        "schema": SCHEMA,
        "command": found.command,
        "pid": found.pid,
        "host": found.host,
        "started": time(found.started),
        "updated": time(found.updated),
        "running": found.running,
        "store_error": found.error or None,
        "store_error_time": time(found.error_time),
    }
    for one in found.sources:
        yield process | {
            "name": one.name,
            "state": one.state,
            "records": one.records,
            "rate": one.rate,
            "behind_us": one.behind_us,
            "rejects": one.rejects,
            "failures": one.failures,
            "error": one.error or None,
            "error_time": time(one.error_time),
        }


def reject(found: StoredReject) -> dict[str, Any]:
    r"""One line of ``clew sources --rejects --json``; bytes that are not UTF-8 stand as ``\xNN``."""
    return {
        "schema": SCHEMA,
        "source": found.source,
        "position": found.position,
        "reason": found.reason,
        "raw": found.raw.decode("utf-8", "backslashreplace"),
    }


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return time(value)
    if name in {"links", "keys", "attributes"} and isinstance(value, str):
        import json

        try:
            return json.loads(value)
        except ValueError:
            return value
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
