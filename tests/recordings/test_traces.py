"""Zipkin, Jaeger and OTLP recordings: spans, traces, orphans, errors and services as counted by others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Read = Callable[..., Any]


@pytest.mark.parametrize(
    ("file", "rows", "ids", "services", "errors", "orphans"),
    [
        ("messaging", 4, 4, 2, 0, 0),
        ("messaging2", 11, 11, 4, 0, 6),
        ("skew", 4, 3, 2, 0, 0),
        ("ascend", 8, 6, 3, 0, 0),
        ("yelp", 16, 13, 6, 0, 0),
        ("smartthings-oauth-authorization", 175, 130, 8, 2, 0),
        ("smartthings-mobile-web-install", 1041, 663, 16, 2, 0),
    ],
)
def test_zipkin_halves_of_one_span_are_one_step(
    read: Read, file: str, rows: int, ids: int, services: int, errors: int, orphans: int
) -> None:
    reading = read(f"zipkin/{file}.json")
    assert reading.report.by_kind == {"span": rows}
    assert len(reading.flows) == 1
    assert len(reading.services) == services
    assert reading.flows[0].errors == errors
    assert reading.orphans == orphans
    detail = reading.store.flow(reading.flows[0].flow_id)
    assert detail is not None
    assert len(detail.steps) == ids
    assert sum(len(step.observations) for step in detail.steps) == rows


@pytest.mark.parametrize(
    ("file", "spans", "flows", "errors"),
    [
        ("jaeger/ui_01.json", 5, 1, 1),
        ("jaeger-ui/TraceTimelineViewer_genaiTestTrace.json", 57, 1, 1),
        ("jaeger/link_attributes_trace.json", 1, 1, 0),
        ("otlp-proto/trace.json", 1, 1, 0),
    ],
)
def test_jaeger_and_otlp_traces_are_flows(read: Read, file: str, spans: int, flows: int, errors: int) -> None:
    reading = read(file)
    assert reading.report.by_kind == {"span": spans}
    assert len(reading.flows) == flows
    assert sum(flow.errors for flow in reading.flows) == errors
    assert reading.report.rejects == 0


def test_otlp_traces_joined_by_links_are_one_flow(read: Read) -> None:
    """Two traces in the file; the spans of the second link to one of the first."""
    reading = read("jaeger/otel_traces_01.json")
    assert reading.report.by_kind == {"span": 4}
    assert len(reading.flows) == 1
    assert reading.flows[0].errors == 4


def test_an_otlp_span_written_twice_is_one(read: Read) -> None:
    reading = read("jaeger-ui/otlp2jaeger-in.json")
    assert reading.report.records == 2
    assert reading.report.duplicates == 1
    assert reading.orphans == 1


def test_otlp_logs_and_events_are_records(read: Read) -> None:
    reading = read("otlp-proto/logs.json", "otlp-proto/events.json")
    assert reading.report.by_kind == {"log": 2}


def test_crisp_traces_keep_their_errors(read: Read, recordings: Path) -> None:
    """33 files with one trace each, all of one trace ID: each in a scope of its own."""
    files = sorted((recordings / "crisp-jaeger").rglob("*.json"))
    reading = read(*files, scope_each=True)
    assert reading.report.by_kind == {"span": 134}
    assert len(reading.flows) == 33
    assert reading.orphans == 0
    assert sum(flow.errors for flow in reading.flows) == 18
    assert sum(flow.errors > 0 for flow in reading.flows if "err_pattern" in flow.scope) > 0
