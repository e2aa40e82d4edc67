"""What really happened to each flow: kept beside the recording, for ``truth.json`` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong in a flow: its kind, and the handler that it strikes."""

    kind: str
    service: str = ""
    event: str = ""


@dataclass(slots=True)
class Delivery:
    """One event on its way to one consumer group. Times are epoch nanoseconds."""

    event_type: str
    group: str
    sent_ns: int
    attempts: list[tuple[int, int]] = field(default_factory=list)
    """Start and end of each attempt."""
    done_ns: int | None = None
    """When an attempt succeeded."""
    exhausted_ns: int | None = None
    dead_ns: int | None = None


class Published(NamedTuple):
    """An event that was sent."""

    time_ns: int
    type: str


@dataclass(slots=True, eq=False)
class Anchor:
    """The records that share one way to be attributed: a correlation ID, known sooner or later."""

    flow: FlowFacts
    correlation_id: str | None
    published: list[Published] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    logs: list[tuple[int, int]] = field(default_factory=list)
    """(number of the file, number of the line), both as truth.json counts them."""
    spans: list[str] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)
    """(topic, event ID) of what lies in a real broker."""
    errors: int = 0


@dataclass(slots=True, eq=False)
class FlowFacts:
    """One workflow instance."""

    type: str
    keys: Mapping[str, str]
    scenario: str
    """What the input leads to: ok, cancelled, rejected, compensated."""
    fault: Fault | None
    limit_s: int
    """Seconds after which its definition calls it late or stuck."""
    started_ns: int = 0
    ended_ns: int | None = None
    """When its end event was sent."""
    anchors: list[Anchor] = field(default_factory=list)

    @property
    def main(self) -> Anchor:
        """The anchor under which the flow started."""
        return self.anchors[0]

    def struck(self, service: str, event_type: str) -> str | None:
        """Kind of the fault that strikes this handler, or None."""
        fault = self.fault
        if fault is not None and fault.service == service and fault.event == event_type:
            return fault.kind
        return None
