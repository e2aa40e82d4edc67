"""The demo system over a real broker: an hour in a minute, on everybody's clock.

The services run in this process, as they do in the demo without a broker; messages go through the
broker, and logs and spans are exported over OTLP. What the workflows take and may take is as many times
shorter as the clock is faster, so that all that is recorded carries the time at which it really happened.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from clew.cli.demo import DEFINITIONS, DemoRun, build, schedule_housekeeping, told, without_otel_settings
from clew.cli.demo.clock import NS, START_NS, Clock
from clew.cli.demo.live.bus import LiveBus
from clew.cli.demo.live.exports import Exports
from clew.cli.demo.plan import LIMITS, SPAN_S, plan_flows
from clew.cli.demo.truth import DEFAULT_LIMIT_S
from clew.cli.demo.world import World
from clew.reconstruct.definition_writer import duration

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from clew.cli.demo.live.broker import Broker, Plan

_PAUSE_S: Final = 0.01
_SETTLED_S: Final = 3600
"""What lies further ahead than so many of the workflows' seconds hangs for good."""
_MARGIN_S: Final = 60
_PATIENCE_S: Final = 120
"""For what the broker has not delivered; of everybody's seconds."""
_LIMIT = re.compile(r"(?<=limit: )(\d+)m")


class Pressed(NamedTuple):
    """How the workflows are judged whose hour passes in less: ``speed`` times as fast."""

    speed: float

    @property
    def limit(self) -> str:
        """How long what is owed and has no limit of its own may take."""
        return self._shortened(DEFAULT_LIMIT_S)

    def _shortened(self, seconds: int) -> str:
        return duration(round(seconds * 1_000_000 / self.speed))

    def write(self, definitions: Path) -> None:
        """Write the workflows' definitions with their limits shortened."""

        def shortened(match: re.Match[str]) -> str:
            return self._shortened(int(match[1]) * 60)

        text = _LIMIT.sub(shortened, DEFINITIONS.read_text(encoding="utf-8"))
        definitions.write_text(text, encoding="utf-8")


def run(
    folder: Path,
    broker: Broker,
    endpoint: str,
    *,
    flows: int,
    seed: int,
    faults: float,
    speed: float,
    ending: threading.Event,
    prepared: Callable[[Plan], None],
) -> tuple[DemoRun, int]:
    """Run the services until every flow has ended, or waits for something overdue, or ``ending`` is set.

    ``prepared`` is called when there are topics and nothing was sent. When this returns, everything is sent,
    exported and answered; it gives what happened, and how many messages were sent. Only ``truth.json`` is
    written, which names log records by (number of the service's log, epoch microseconds) and messages by
    (topic, event ID).

    Raises:
        BrokerError: the broker cannot be used.
    """
    began = time.monotonic()
    clock = Clock(time.time_ns(), round(NS / speed))
    recording = Exports(clock, endpoint)
    world = World(recording, seed, lambda world: LiveBus(world, broker))
    bus = world.bus
    if not isinstance(bus, LiveBus):
        raise TypeError(bus)
    with without_otel_settings():
        services, begin = build(world)
    planned = plan_flows(flows, faults, world.chance)
    broker.prepare(bus.plan)
    prepared(bus.plan)
    # The clock starts when everybody is ready.
    clock.start_ns = time.time_ns()
    for one in planned:
        at_ns = clock.start_ns + (one.start_ns - START_NS) * clock.second_ns // NS
        world.timeline.at(at_ns, lambda one=one: begin(one))  # type: ignore[misc]
    schedule_housekeeping(world, services, clock.start_ns + SPAN_S * clock.second_ns)
    last_ns = max(one.start_ns for one in planned) - START_NS
    overdue_s = max(LIMITS.values()) + _MARGIN_S
    settled_ns = clock.start_ns + (last_ns + overdue_s * NS) * clock.second_ns // NS
    while not ending.is_set():
        clock.now_ns = now_ns = time.time_ns()
        bus.take()
        world.timeline.run(now_ns)
        recording.pass_time(now_ns)
        over = now_ns > settled_ns and _is_settled(world, bus, recording, now_ns)
        if over or now_ns > settled_ns + _PATIENCE_S * NS:
            break
        time.sleep(_PAUSE_S)
    world.end_ns = end_ns = clock.now_ns = time.time_ns()
    for service in services:
        service.housekeeping("service stopped")
    broker.flush()
    recording.finish(end_ns)
    return told(folder, world, seed=seed, end_ns=end_ns, began=began), bus.sent


def _is_settled(world: World, bus: LiveBus, recording: Exports, now_ns: int) -> bool:
    """Whether nothing will come any more but what hangs for good."""
    due = [at_ns for at_ns in (world.timeline.next_ns(), recording.next_ns()) if at_ns is not None]
    return not bus.open and min(due, default=now_ns * 2) > now_ns + _SETTLED_S * world.clock.second_ns
