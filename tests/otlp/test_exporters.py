"""OpenTelemetry's own exporters, as they are, send to a receiver."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import grpc
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from tests.otlp.running import Running, running

ORDERS = 5
SERVICE = Resource.create({"service.name": "orders"})


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("exporters") / "clew.duckdb") as here:
        yield here


def exporters(here: Running) -> dict[str, SpanExporter]:
    url = f"http://127.0.0.1:{here.http}/v1/traces"
    address = f"http://127.0.0.1:{here.grpc}"
    return {
        "http": HttpSpans(url),
        "http, gzip": HttpSpans(url, compression=Compression.Gzip),
        "http, deflate": HttpSpans(url, compression=Compression.Deflate),
        "grpc": GrpcSpans(address, insecure=True),
        "grpc, gzip": GrpcSpans(address, insecure=True, compression=grpc.Compression.Gzip),
    }


@pytest.mark.parametrize("road", ["http", "http, gzip", "http, deflate", "grpc", "grpc, gzip"])
def test_spans_of_every_exporter_become_flows(receiving: Running, road: str) -> None:
    provider = TracerProvider(resource=SERVICE)
    provider.add_span_processor(BatchSpanProcessor(exporters(receiving)[road]))
    tracer = provider.get_tracer("shop")
    for number in range(ORDERS):
        with (
            tracer.start_as_current_span(
                "place order",
                attributes={"correlation_id": f"{road}-{number}", "items": number, "tags": ["a"]},
            ),
            tracer.start_as_current_span("charge") as charge,
        ):
            charge.add_event("paid", {"amount": 9.5})
    assert provider.force_flush()
    provider.shutdown()
    with receiving.store() as store:
        for number in range(ORDERS):
            (match,) = store.find(f"{road}-{number}")
            found = store.flow(match.flow_id)
            assert found is not None
            assert found.flow.records == 2


@pytest.mark.parametrize("road", ["http", "grpc"])
def test_log_records_of_every_exporter_belong_to_their_span(receiving: Running, road: str) -> None:
    spans = exporters(receiving)[road]
    log_exporter = (
        HttpLogs(f"http://127.0.0.1:{receiving.http}/v1/logs")
        if road == "http"
        else GrpcLogs(f"http://127.0.0.1:{receiving.grpc}", insecure=True)
    )
    provider, log_provider = TracerProvider(resource=SERVICE), LoggerProvider(resource=SERVICE)
    provider.add_span_processor(BatchSpanProcessor(spans))
    log_provider.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    logger = log_provider.get_logger("shop")
    with provider.get_tracer("shop").start_as_current_span(
        "place", attributes={"correlation_id": f"log-{road}"}
    ):
        for _ in range(2):
            # Twice the same is twice written.
            logger.emit(
                timestamp=1_772_366_400_000_000_000, severity_number=SeverityNumber.WARN, body="no stock"
            )
    assert provider.force_flush()
    assert log_provider.force_flush()
    provider.shutdown()
    log_provider.shutdown()
    with receiving.store() as store:
        (match,) = store.find(f"log-{road}")
        found = store.flow(match.flow_id)
    assert found is not None
    assert found.flow.records == 3


def test_metrics_are_taken_and_said_not_to_be_kept(
    receiving: Running, caplog: pytest.LogCaptureFixture
) -> None:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    caplog.set_level(logging.WARNING)
    for exporter in (
        HttpMetrics(f"http://127.0.0.1:{receiving.http}/v1/metrics"),
        GrpcMetrics(f"http://127.0.0.1:{receiving.grpc}", insecure=True),
    ):
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        meters = MeterProvider(metric_readers=[reader])
        meters.get_meter("shop").create_counter("orders").add(1)
        assert meters.force_flush()
        meters.shutdown()
    assert caplog.records == []
    said = receiving.post("/v1/metrics", b'{"resourceMetrics":[{}]}')
    assert said.status == 200
    assert b"these metrics are not kept" in said.body
