"""The demo system: four workflows that run in virtual time and write logs and spans.

``run`` makes a folder of what twenty services would have written in one hour, and a
``truth.json`` beside it that says what really happened, for tests and for the curious.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clew.cli.demo.facts import FlowFacts
    from clew.cli.demo.plan import PlannedFlow
    from clew.cli.demo.service import Service
    from clew.cli.demo.world import World

DEFINITIONS: Final = Path(__file__).with_name("definitions.yaml")
"""The four workflows as flow definitions."""
TRUTH: Final = "truth.json"
DEFAULT_FAULTS: Final = 0.15
_HOUSEKEEPING_S: Final = 300
_WRITE_EVERY_S: Final = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """A flow worth looking at."""

    status: str
    type: str
    correlation_id: str
    key: tuple[str, str]
    """Name and value of its business key."""
    fault: str | None


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What a run wrote."""

    folder: Path
    logs: tuple[Path, ...]
    spans: tuple[Path, ...]
    definitions: Path
    truth: Path
    flows: int
    events: int
    log_lines: int
    span_count: int
    as_of: datetime
    """Time of the newest record, UTC."""
    statuses: Mapping[str, int]
    """What the truth says: number of flows by status, judged with the definitions."""
    samples: Mapping[str, Sample]
    """One flow of each status."""
    seconds: float
    """How long the run took."""


def run(folder: Path, *, flows: int = 400, seed: int = 1, faults: float = DEFAULT_FAULTS) -> DemoRun:
    """Run the demo system and write its files below ``folder``; the same seed gives the same bytes.

    ``faults`` is the share of flows in which something goes wrong. Files of an earlier
    run are replaced; anything else in the folder is left alone. Raises ValueError for
    numbers out of range, OSError where the folder cannot be written.
    """
    if flows < 1:
        raise ValueError(f"flows must be at least 1, not {flows}")
    if not 0 <= faults <= 1:
        raise ValueError(f"faults must lie between 0 and 1, not {faults}")
    from clew.cli.demo.clock import NS, START_NS, Clock
    from clew.cli.demo.plan import SPAN_S, plan_flows
    from clew.cli.demo.recording import Recording
    from clew.cli.demo.world import World

    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(DEFINITIONS, folder / DEFINITIONS.name)
    world = World(Recording(folder, Clock(), _machine_paths()), seed)
    end_ns = START_NS + SPAN_S * NS
    with without_otel_settings():
        services, begin = build(world)
    for planned in plan_flows(flows, faults, world.chance):
        world.timeline.at(planned.start_ns, lambda planned=planned: begin(planned))  # type: ignore[misc]
    schedule_housekeeping(world, services, end_ns)
    for now_ns in range(START_NS, end_ns + 1, _WRITE_EVERY_S * NS):
        world.timeline.run(now_ns)
        world.recording.pass_time(now_ns)
    world.end_ns = end_ns
    world.timeline.run()
    world.recording.finish(end_ns)
    files = [folder / name for name in world.recording.files]
    logs = tuple(path for path in files if path.parent.name == "logs")
    spans = tuple(path for path in files if path.parent.name == "spans")
    return told(folder, world, logs, spans, seed=seed, end_ns=end_ns, began=began)


def told(
    folder: Path,
    world: World,
    logs: tuple[Path, ...] = (),
    spans: tuple[Path, ...] = (),
    *,
    seed: int,
    end_ns: int,
    began: float,
) -> DemoRun:
    """Write the truth about what a world did up to ``end_ns``, and tell of it."""
    from clew.cli.demo.clock import as_datetime
    from clew.cli.demo.truth import write_truth

    truth = folder / TRUTH
    counts, samples = write_truth(truth, world.recording, world.flows, seed=seed, end_ns=end_ns)
    return DemoRun(
        folder=folder,
        logs=logs,
        spans=spans,
        definitions=folder / DEFINITIONS.name,
        truth=truth,
        flows=len(world.flows),
        events=sum(len(anchor.published) for flow in world.flows for anchor in flow.anchors),
        log_lines=world.recording.log_lines,
        span_count=world.recording.spans,
        as_of=as_datetime(world.recording.last_ns),
        statuses=dict(counts.most_common()),
        samples={status: _sample(status, flow) for status, flow in samples.items()},
        seconds=time.monotonic() - began,
    )


@contextmanager
def without_otel_settings() -> Iterator[None]:
    """Hide OTEL_… variables, which the SDK obeys: the user's settings are not the demo's."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def build(world: World) -> tuple[list[Service], Callable[[PlannedFlow], None]]:
    """Start the services; the function given begins a flow."""
    from clew.cli.demo import plan
    from clew.cli.demo.facts import FlowFacts
    from clew.cli.demo.workflows import financial_reconciliation as reconciliation
    from clew.cli.demo.workflows import order_fulfilment as order
    from clew.cli.demo.workflows import shared_services as shared
    from clew.cli.demo.workflows import user_onboarding as onboarding
    from clew.cli.demo.workflows import video_processing as video

    orders, users, videos = (
        order.OrderService(world),
        onboarding.UserService(world),
        video.VideoService(world),
    )
    ledger = reconciliation.LedgerService(world)
    runs = reconciliation.ReconciliationService(world, ledger)
    reacting: list[type[Service]] = [
        order.PaymentService,
        order.InventoryService,
        order.ShippingService,
        onboarding.ProfileService,
        onboarding.EmailService,
        onboarding.BillingService,
        video.TranscoderService,
        video.ThumbnailService,
        video.MetadataService,
        video.PublisherService,
        reconciliation.BankGateway,
        reconciliation.AdjustmentService,
        reconciliation.ReportingService,
        shared.NotificationService,
        shared.AnalyticsService,
    ]
    services = [orders, users, videos, ledger, runs, *(service(world) for service in reacting)]
    starts: dict[str, tuple[Callable[[FlowFacts], None], tuple[tuple[str, str], ...]]] = {
        plan.ORDER: (orders.place, (("order_id", "ord"), ("customer_id", "cus"))),
        plan.ONBOARDING: (users.register, (("user_id", "usr"),)),
        plan.VIDEO: (videos.upload, (("video_id", "vid"),)),
        plan.RECONCILIATION: (runs.start, (("run_id", "run"), ("account_id", "acc"))),
    }

    def begin(planned: PlannedFlow) -> None:
        start, keys = starts[planned.workflow]
        start(
            FlowFacts(
                type=planned.workflow,
                keys={name: world.short_id(prefix) for name, prefix in keys},
                scenario=planned.scenario,
                fault=planned.fault,
                limit_s=plan.LIMITS[planned.workflow],
            )
        )

    return services, begin


def schedule_housekeeping(world: World, services: list[Service], end_ns: int) -> None:
    """Have every service say now and then that it is there, up to ``end_ns``."""
    clock = world.clock

    def all_started() -> None:
        for service in services:
            service.housekeeping("service started", version="1.4.2")

    def all_report() -> None:
        for service in services:
            service.housekeeping("consumer lag is low", lag=world.chance.randrange(4))

    world.timeline.at(clock.start_ns, all_started)
    every_ns = _HOUSEKEEPING_S * clock.second_ns
    for time_ns in range(clock.start_ns + every_ns, end_ns, every_ns):
        world.timeline.at(time_ns, all_report)


def _machine_paths() -> dict[str, str]:
    """Paths that stack traces hold → what stands in the files, the same on every machine."""
    import opentelemetry.trace

    import clew.tracer

    packages = Path(opentelemetry.trace.__file__).parents[2]
    return {
        str(Path(__file__).parent): "/app",
        str(Path(clew.tracer.__file__ or "").parents[2]): "/app/lib",
        str(packages): "/app/lib",
        sysconfig.get_path("stdlib"): "/usr/lib/python3",
    }


def _sample(status: str, flow: FlowFacts) -> Sample:
    name, value = next(iter(flow.keys.items()))
    return Sample(
        status=status,
        type=flow.type,
        correlation_id=flow.main.correlation_id or "",
        key=(name, value),
        fault=flow.fault.kind if flow.fault else None,
    )
