"""Spans sent by OpenTelemetry's exporters to a receiver that is killed again and again."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags
from tests.otlp.running import Command, free_ports

from clew.reconstruct import open_store
from clew.reconstruct.model import FlowFilter

BATCH = 40
TIMEOUT_S = 120
"""As long as an exporter tries: OTEL_EXPORTER_OTLP_TIMEOUT."""


def spans(sender: int, first: int, count: int) -> list[ReadableSpan]:
    """Spans each of a flow of its own, ``<sender>-<number>``."""
    return [
        ReadableSpan(
            name="work",
            context=SpanContext(
                (sender << 64) + number + 1, number + 1, is_remote=False, trace_flags=TraceFlags(1)
            ),
            resource=Resource({"service.name": f"sender-{sender}"}),
            attributes={"correlation_id": f"{sender}-{number}"},
            start_time=1_772_366_400_000_000_000 + number * 1_000,
            end_time=1_772_366_400_000_000_000 + number * 1_000 + 500,
        )
        for number in range(first, first + count)
    ]


def send(
    exporter: SpanExporter, sender: int, sent: list[int], stop: threading.Event, failures: list[str]
) -> None:
    """Export batch after batch until ``stop``; ``sent[sender]`` counts what was answered with success."""
    while not stop.is_set():
        result = exporter.export(spans(sender, sent[sender], BATCH))
        if result is not SpanExportResult.SUCCESS:
            failures.append(f"sender {sender} gave up after {sent[sender]} spans")
            return
        sent[sender] += BATCH


def killed(store: Path, kills: int, *, seed: int, least: int) -> tuple[list[int], Counter[str]]:
    """Run, kill and run again a receiver into which two exporters send.

    Gives the number of spans that each was told are stored, and the records found of each flow.
    """
    chosen = random.Random(seed)
    grpc_port, http_port = free_ports(2)
    exporters: Sequence[Any] = [
        GrpcSpans(f"http://127.0.0.1:{grpc_port}", insecure=True, timeout=TIMEOUT_S),
        HttpSpans(f"http://127.0.0.1:{http_port}/v1/traces", timeout=TIMEOUT_S),
    ]
    sent, failures, stop = [0, 0], list[str](), threading.Event()
    receiver = Command(store, grpc=grpc_port, http=http_port)
    receiver.wait_until_ready()
    senders = [
        threading.Thread(target=send, args=(exporter, number, sent, stop, failures))
        for number, exporter in enumerate(exporters)
    ]
    for sender in senders:
        sender.start()
    for _ in range(kills):
        before = sum(sent)
        while sum(sent) < before + least and not failures:
            time.sleep(0.01)
        time.sleep(chosen.uniform(0, 0.4))
        receiver.kill()
        receiver = Command(store, grpc=grpc_port, http=http_port)
        receiver.wait_until_ready()
    then = list(sent)
    while not failures and any(now == before for now, before in zip(sent, then, strict=True)):
        time.sleep(0.01)
    stop.set()
    for sender in senders:
        sender.join(TIMEOUT_S)
    status, _, _ = receiver.end()
    assert (failures, status) == ([], 0)
    for exporter in exporters:
        exporter.shutdown()
    with open_store(store) as opened:
        return sent, Counter({flow.flow_id: flow.records for flow in opened.flows(FlowFilter(limit=None))})
