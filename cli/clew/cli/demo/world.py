"""What all services of a run share: time, chance, the bus, the recording, whose turn it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final

from opentelemetry.sdk.trace.id_generator import IdGenerator

from clew.cli.demo.bus import Bus
from clew.cli.demo.clock import Timeline
from clew.cli.demo.facts import Anchor, FlowFacts
from clew.cli.demo.recording import Recording

_TRACE_BITS: Final = 128
_SPAN_BITS: Final = 64


class World:
    """One run's shared state. Everything random comes from its seed."""

    def __init__(self, recording: Recording, seed: int, bus: Callable[[World], Bus] = Bus) -> None:
        self.clock = recording.clock
        self.timeline = Timeline(self.clock)
        self.chance = Random(f"chance {seed}")  # noqa: S311 - a reproducible demo, no secret
        self._ids = Random(f"ids {seed}")  # noqa: S311 - likewise
        self.recording = recording
        self.bus = bus(self)
        self.flows: list[FlowFacts] = []
        self.end_ns: int | None = None
        """End of the recording, once it is reached: then only ended flows go on."""

    @property
    def anchor(self) -> Anchor:
        """Whose records are being made."""
        anchor = self.recording.anchor
        if anchor is None:
            raise AssertionError("no flow is at work")
        return anchor

    def turn_to(self, anchor: Anchor | None) -> None:
        """Make what follows the records of ``anchor``; None for no flow's."""
        self.recording.anchor = anchor

    def later(self, time_ns: int, action: Callable[[], None], anchor: Anchor) -> None:
        """Go on with a flow at a later time, unless the recording is over for it."""

        def go_on() -> None:
            ended_ns = anchor.flow.ended_ns
            if self.end_ns is None or (ended_ns is not None and ended_ns <= self.end_ns):
                self.turn_to(anchor)
                action()

        self.timeline.at(time_ns, go_on)

    def begin(self, flow: FlowFacts) -> Anchor:
        """Start a flow now, under a new correlation ID."""
        flow.started_ns = self.clock.now_ns
        anchor = Anchor(flow, self.new_id())
        flow.anchors.append(anchor)
        self.flows.append(flow)
        self.turn_to(anchor)
        return anchor

    def wait_ns(self, median_s: float, spread: float = 0.3) -> int:
        """Draw a duration (log-normal, as latencies are), in whole microseconds."""
        return self.clock.lasting(self.chance.lognormvariate(math.log(median_s), spread))

    def new_id(self) -> str:
        """Make an ID that looks like a random UUID and is the same in each run."""
        bits = f"{self._ids.getrandbits(_TRACE_BITS):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"

    def short_id(self, prefix: str) -> str:
        """Make a business key such as ``ord-3f9a01c27b``."""
        return f"{prefix}-{self._ids.getrandbits(40):010x}"

    def id_generator(self) -> IdGenerator:
        """Give the SDK trace and span IDs from the seed."""
        return _SeededIds(self._ids)


class _SeededIds(IdGenerator):
    def __init__(self, ids: Random) -> None:
        self._ids = ids

    def generate_span_id(self) -> int:
        return self._ids.getrandbits(_SPAN_BITS) | 1

    def generate_trace_id(self) -> int:
        return self._ids.getrandbits(_TRACE_BITS) | 1

    def is_trace_id_random(self) -> bool:
        return True
