"""What a sender is told: after the commit, in its own encoding, with the reason for what was rejected."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.otlp.running import PATIENCE_S, Running, logs, one_span, running, traces

from clew.collectors.otlp.desk import Limits
from clew.collectors.otlp.receiver import Pace
from clew.reconstruct import open_store
from clew.reconstruct.errors import StoreBusy

PROTOBUF = "application/x-protobuf"
LOG = {"timeUnixNano": "1772366400000000000", "body": {"stringValue": "no stock"}}


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("answers") / "clew.duckdb") as here:
        yield here


def records(here: Running) -> int:
    with here.store() as store:
        return store.summary().records


def test_a_request_is_committed_when_it_is_answered(receiving: Running) -> None:
    before = records(receiving)
    said = receiving.post("/v1/traces", traces(one_span(1), one_span(2)))
    assert (said.status, said.headers["content-type"], said.body) == (200, "application/json", b"{}")
    assert records(receiving) == before + 2


def test_a_request_that_is_sent_again_adds_nothing(receiving: Running) -> None:
    """Spans and log records, packed or not; but a line that stands twice in a request is two."""
    body = logs(LOG, LOG, {**LOG, "severityText": "WARN"})
    assert receiving.post("/v1/logs", body).status == 200
    before = records(receiving)
    assert receiving.post("/v1/logs", body).status == 200
    assert receiving.post("/v1/logs", gzip.compress(body), content_encoding="gzip").status == 200
    assert records(receiving) == before
    assert receiving.post("/v1/logs", logs(LOG, LOG, LOG)).status == 200
    assert records(receiving) == before + 1


def test_what_of_a_request_is_rejected_is_told_with_its_reason(receiving: Running) -> None:
    nameless = {**one_span(3), "traceId": "", "spanId": ""}
    del nameless["traceId"], nameless["spanId"]
    said = receiving.post("/v1/traces", traces(one_span(4), nameless, one_span(5)))
    assert said.status == 200
    assert json.loads(said.body) == {
        "partialSuccess": {"rejectedSpans": "1", "errorMessage": "a span without IDs"}
    }
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="a")
    spans.add(name="b")
    said = receiving.post("/v1/traces", request.SerializeToString(), PROTOBUF)
    assert (said.status, said.headers["content-type"]) == (200, PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(said.body).partial_success
    assert (partial.rejected_spans, partial.error_message) == (1, "a span without IDs")
    with receiving.store() as store:
        assert [each.reason for each in store.rejects("otlp")].count("a span without IDs") >= 2


UNREADABLE = [
    ("/v1/traces", "application/json", b'{"resourceSpans": [', "not valid JSON"),
    ("/v1/traces", "application/json", b'{"spans": []}', "no resourceSpans or resourceLogs in it"),
    ("/v1/traces", "application/json", b'{"resourceSpans": "\xff"}', "not UTF-8 at byte 20 (0xff)"),
    ("/v1/logs", "application/json", b'{"resourceLogs": "\x00"}', "holds NUL bytes"),
    ("/v1/traces", PROTOBUF, b"\x0a\x05abc", "it ends within a field: cut off, or damaged"),
    ("/v1/logs", PROTOBUF, b"this is no protobuf", "wire type 4: this is no protobuf, or is damaged"),
    ("/api/v2/spans", "application/json", b"nonsense", "not valid JSON"),
]


def test_what_cannot_be_read_is_refused_with_the_reason_and_kept_as_a_reject(receiving: Running) -> None:
    with ThreadPoolExecutor(len(UNREADABLE)) as pool:
        answers = list(pool.map(lambda each: receiving.post(each[0], each[2], each[1]), UNREADABLE))
    assert {answer.status for answer in answers} == {400}
    for (path, content_type, _, reason), answer in zip(UNREADABLE, answers, strict=True):
        if content_type == PROTOBUF:
            assert Status.FromString(answer.body).message == reason
        elif path == "/api/v2/spans":
            assert answer.body.decode() == f"{reason}\n"
        else:
            assert json.loads(answer.body)["message"] == reason
    with receiving.store() as store:
        assert {reason for *_, reason in UNREADABLE} <= {each.reason for each in store.rejects()}


def test_a_bad_request_costs_those_beside_it_nothing(receiving: Running) -> None:
    """They are in one batch, and only the bad ones are refused."""
    good = ExportTraceServiceRequest()
    spans = good.resource_spans.add().scope_spans.add().spans
    for number in range(9):
        spans.add(trace_id=b"good" * 4, span_id=bytes([number + 1]) * 8, name="work")
    bodies = [good.SerializeToString(), b"\x0a\x7f", good.SerializeToString()[:-3]] * 4
    with ThreadPoolExecutor(len(bodies)) as pool:
        said = list(pool.map(lambda body: receiving.post("/v1/traces", body, PROTOBUF), bodies))
    assert [each.status for each in said] == [200, 400, 400] * 4


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v2/traces", {"Content-Type": "application/json"}, 404),
        ("GET", "/v1/traces", {}, 405),
        ("POST", "/v1/traces", {"Content-Type": "text/plain"}, 415),
        ("POST", "/v1/traces", {"Content-Type": PROTOBUF, "Content-Encoding": "br"}, 415),
        ("POST", "/v1/traces", {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}, 400),
        ("GET", "/healthz", {}, 200),
        ("GET", "/readyz", {}, 200),
    ],
)
def test_anything_else_is_answered_as_http_has_it(
    receiving: Running, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    from tests.otlp.running import said

    assert said(receiving.http, method, path, b"not packed", headers).status == status


def test_zipkin_spans_become_flows(receiving: Running) -> None:
    spans = [
        {"traceId": f"{7:032x}", "id": f"{number:016x}", "name": "get", "timestamp": 1_772_366_400_000_000,
         "duration": 5, "localEndpoint": {"serviceName": "shop"}, "tags": {"correlation_id": "zipkin-1"}}
        for number in range(1, 4)
    ]  # fmt: skip
    said = receiving.post("/api/v2/spans", json.dumps(spans).encode())
    assert (said.status, said.body) == (202, b"")
    assert receiving.post("/api/v2/spans", b"[]").status == 202
    with receiving.store() as store:
        (match,) = store.find("zipkin-1")
        found = store.flow(match.flow_id)
        assert found is not None
        assert found.flow.records == 3
        assert {each.source for each in store.sources()} >= {"zipkin"}


def test_a_store_that_cannot_be_written_puts_senders_off_until_it_can(tmp_path: Path) -> None:
    """503 with Retry-After, and UNAVAILABLE with RetryInfo; and what was sent again is there once."""
    path = tmp_path / "clew.duckdb"
    limits = Limits(answer_seconds=0.3)
    with running(path, limits=limits, timeout=0.2) as here, open_store(path) as other:
        with other.held():
            said = here.post("/v1/traces", traces(one_span(1)))
            assert (said.status, said.headers["retry-after"]) == (503, "1")
            with grpc.insecure_channel(f"127.0.0.1:{here.grpc}") as channel:
                request = ExportTraceServiceRequest()
                request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
                with pytest.raises(grpc.RpcError) as refused:
                    TraceServiceStub(channel).Export(request)  # type: ignore[no-untyped-call]
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            trailing: Any = refused.value.trailing_metadata()
            told: dict[str, bytes] = dict(trailing)
            status = Status.FromString(told["grpc-status-details-bin"])
            info = RetryInfo()
            assert status.details[0].Unpack(info)
            assert info == RetryInfo.FromString(told["google.rpc.retryinfo-bin"])
            assert info.retry_delay.seconds == 1
            deadline = time.monotonic() + PATIENCE_S
            while not here.trouble:
                assert time.monotonic() < deadline, "the store was never found held"
                time.sleep(0.01)
        while (said := here.post("/v1/traces", traces(one_span(1)))).status == 503:
            pass
        assert said.status == 200
        assert {type(error) for error in here.trouble} == {StoreBusy}
    with open_store(path) as store:
        assert store.summary().records == 2


def test_what_was_taken_is_stored_when_a_receiver_is_asked_to_end(tmp_path: Path) -> None:
    """Also what nobody has been answered for yet: here a request would wait for others an hour long."""
    path = tmp_path / "clew.duckdb"
    answered: list[int] = []
    with running(path, pace=Pace(linger=3600, linger_alone=3600), limits=Limits(answer_seconds=60)) as here:
        sending = threading.Thread(
            target=lambda: answered.append(here.post("/v1/traces", traces(one_span(1))).status)
        )
        sending.start()
        while here.receiver.tally.waiting == 0:
            assert sending.is_alive()
    sending.join()
    assert answered == [200]
    with open_store(path) as store:
        assert store.summary().records == 1


def test_a_source_that_is_silent_has_told_all_it_knows(tmp_path: Path) -> None:
    """Its watermark goes on, or all that is owed would be taken for not yet read."""
    path = tmp_path / "clew.duckdb"
    with running(path, pace=Pace(linger=0.01, linger_alone=0.01, beat=0.05)) as here:
        assert here.post("/v1/traces", traces(one_span(1))).status == 200
        with here.store() as store:
            (first,) = store.sources()
            assert first.watermark is not None
            mark = first.watermark
            while mark == first.watermark:
                (now,) = store.sources()
                assert now.watermark is not None
                mark = now.watermark
    assert (now.position, now.format, now.records) == (first.position, first.format, first.records)
