"""``truth.json``: what really happened, and what can be known of it from the files.

The statuses follow from what the services did, by the rules that ``clew flows`` documents;
nothing here looks at a log line or a span.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from clew.cli.demo.clock import NS, as_datetime
from clew.cli.demo.facts import Anchor, Delivery, FlowFacts
from clew.cli.demo.recording import Recording

DEFAULT_LIMIT_S: Final = 300
"""What is owed and has no limit of its own is stuck after 5 min."""

# As in definitions.yaml (a test compares them).
ENDS: Final = {
    "OrderCompleted": "completed",
    "OrderRejected": "failed",
    "OrderCancelled": "cancelled",
    "OrderRefunded": "compensated",
    "OnboardingCompleted": "completed",
    "VideoPublished": "completed",
    "VideoRejected": "failed",
    "ReconciliationCompleted": "completed",
    "ReconciliationFailed": "failed",
}


CULPRITS: Final = {
    # kind of fault: why a flow that it stopped is stuck
    "never_handled": "never_consumed",
    "lost_context": "never_consumed",
    "hung": "slow_step",
    "consumed_no_reaction": "consumed_no_reaction",
    "join_lacks_input": "consumed_no_reaction",
}
"""What the records tell of it: that a context got lost, only what went on without it could."""


class Verdict(NamedTuple):
    """What a flow's status must be."""

    with_definitions: str
    without_definitions: str
    late: bool
    cause: str | None
    """Why it is so, with definitions; None where the status needs no reason."""


class _Seen(NamedTuple):
    """What of a flow lies within the recording, under its own correlation ID."""

    ends: dict[str, int]
    dead: bool
    exhausted: bool
    owed_since: list[int]
    """Since when each message waits to be handled, and each handling to end."""
    retrying: bool


def judge(flow: FlowFacts, end_ns: int, as_of_ns: int, second_ns: int = NS) -> Verdict:
    """Say which status a flow must have at ``as_of_ns``, with its definition and without."""
    seen = _see(flow, end_ns)
    first_ns = flow.started_ns
    limit_ns = flow.limit_s * second_ns
    completed_ns = seen.ends.get("completed")
    late = completed_ns is not None and completed_ns - first_ns > limit_ns
    status = _with(seen, first_ns + limit_ns, as_of_ns)
    without = _without(seen, as_of_ns - DEFAULT_LIMIT_S * second_ns)
    return Verdict(status, without, late, _cause(flow, seen, status))


def _cause(flow: FlowFacts, seen: _Seen, status: str) -> str | None:
    if status in {"stuck", "in_progress"} and seen.retrying:
        return "retrying"
    if status == "stuck":
        return CULPRITS[flow.fault.kind] if flow.fault is not None else None
    return {"dead_lettered": "dead_lettered", "failed": "processing_failed"}.get(status)


def _with(seen: _Seen, deadline_ns: int, as_of_ns: int) -> str:
    for status, holds in (
        ("cancelled", "cancelled" in seen.ends),
        ("dead_lettered", seen.dead),
        ("failed", "failed" in seen.ends or seen.exhausted),
        ("compensated", "compensated" in seen.ends),
        ("completed", "completed" in seen.ends),
    ):
        if holds:
            return status
    return "stuck" if deadline_ns < as_of_ns else "in_progress"


def _without(seen: _Seen, overdue_ns: int) -> str:
    if seen.dead:
        return "dead_lettered"
    if seen.exhausted:
        return "failed"
    if any(since < overdue_ns for since in seen.owed_since):
        return "stuck"
    return "in_progress" if seen.owed_since or seen.retrying else "completed"


def _see(flow: FlowFacts, end_ns: int) -> _Seen:
    until_ns = _recorded_until(flow, end_ns)
    main = flow.main
    ends = {ENDS[event.type]: event.time_ns for event in _published(main, until_ns) if event.type in ENDS}
    owed: list[int] = []
    retrying = dead = exhausted = False
    for delivery in main.deliveries:
        if delivery.sent_ns > until_ns:
            continue
        dead |= _by(delivery.dead_ns, until_ns)
        exhausted |= _by(delivery.exhausted_ns, until_ns)
        if not (_by(delivery.done_ns, until_ns) or dead or exhausted):
            since = _open_since(delivery, until_ns)
            retrying |= since is None
            owed += [] if since is None else [since]
    return _Seen(ends, dead, exhausted, owed, retrying)


def _open_since(delivery: Delivery, until_ns: int) -> int | None:
    """Since when a delivery is owed something; None where it waits for its next attempt."""
    begun = [attempt for attempt in delivery.attempts if attempt[0] <= until_ns]
    if not begun:
        return delivery.sent_ns
    started_ns, ended_ns = begun[-1]
    return started_ns if ended_ns > until_ns else None


def _by(time_ns: int | None, until_ns: int) -> bool:
    return time_ns is not None and time_ns <= until_ns


def _published(anchor: Anchor, until_ns: int) -> list[Any]:
    return [event for event in anchor.published if event.time_ns <= until_ns]


def _recorded_until(flow: FlowFacts, end_ns: int) -> int:
    """Flows that had ended when the recording did are recorded to their last line."""
    if flow.ended_ns is not None and flow.ended_ns <= end_ns:
        return end_ns + 3600 * NS
    return end_ns


def write_truth(
    path: Path, recording: Recording, flows: Sequence[FlowFacts], *, seed: int, end_ns: int
) -> tuple[Counter[str], dict[str, FlowFacts]]:
    """Write the file; give the number of flows by status, and one flow of each."""
    as_of_ns = recording.last_ns
    counts: Counter[str] = Counter()
    samples: dict[str, FlowFacts] = {}
    with path.open("w", encoding="utf-8", newline="\n") as file:
        head = {
            "about": "what really happened; clew never reads this file",
            "seed": seed,
            "as_of": _text(as_of_ns),
            "files": recording.files,
            "log_lines": recording.log_lines,
            "spans": recording.spans,
            "background": {"logs": recording.background_logs, "spans": []},
        }
        file.write(json.dumps(head)[:-1] + ', "flows": [\n')
        separator = ""
        for flow in flows:
            verdict = judge(flow, end_ns, as_of_ns, recording.clock.second_ns)
            counts[verdict.with_definitions] += 1
            samples.setdefault(verdict.with_definitions, flow)
            file.write(separator + json.dumps(_flow_json(flow, verdict, end_ns)))
            separator = ",\n"
        file.write("\n]}\n")
    return counts, samples


def _flow_json(flow: FlowFacts, verdict: Verdict, end_ns: int) -> dict[str, Any]:
    main = flow.main
    until_ns = _recorded_until(flow, end_ns)
    fault = flow.fault
    return {
        "correlation_id": main.correlation_id,
        "type": flow.type,
        "keys": dict(flow.keys),
        "started": _text(flow.started_ns),
        "faults": []
        if fault is None
        else [{"kind": fault.kind, "service": fault.service or None, "event": fault.event or None}],
        "expected_status": {
            "with_definitions": verdict.with_definitions,
            "without_definitions": verdict.without_definitions,
        },
        "expected_cause": verdict.cause,
        "late": verdict.late,
        "needs": "compensation" if verdict.with_definitions == "compensated" else None,
        "events": len(_published(main, until_ns)),
        "error_lines": main.errors,
        "records": _records(*flow.anchors),
        "expected_records": _records(main),
        "continuations": list(_continuations(flow)),
    }


def _records(*anchors: Anchor) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {
        "logs": [line for anchor in anchors for line in anchor.logs],
        "spans": [span for anchor in anchors for span in anchor.spans],
    }
    messages = [message for anchor in anchors for message in anchor.messages]
    return found | {"messages": messages} if messages else found


def _continuations(flow: FlowFacts) -> Iterator[dict[str, Any]]:
    for anchor in flow.anchors[1:]:
        yield {
            "correlation_id": anchor.correlation_id,
            "records": _records(anchor),
        }


def _text(time_ns: int) -> str:
    return as_datetime(time_ns).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
