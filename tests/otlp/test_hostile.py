"""Hostile and broken senders are refused, and everybody else goes on."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.otlp.running import QUICK, Running, one_span, running, traces

from clew.collectors.otlp.desk import Limits
from clew.collectors.otlp.receiver import Receiver
from clew.collectors.otlp.requests import Accepted, Answer, Encoding, Refused, Request, Signal
from clew.collectors.record import Batch
from clew.reconstruct.answers import Written
from clew.reconstruct.duckdb.store import DuckStore
from clew.reconstruct.errors import StoreError
from clew.reconstruct.model import Settings
from clew.reconstruct.receiving import receive

PROTOBUF = "application/x-protobuf"
LIMITS = Limits(
    body_bytes=1 << 20,
    reading_bytes=3 << 20,
    header_bytes=8 << 10,
    header_seconds=0.3,
    body_seconds=0.6,
    connections=8,
)
NO_PROTOBUF = [
    b"\x0a" + b"\xff" * 9 + b"\x01",
    b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x0a\x04\x12\x02\x12\x7f",
    b"\x0b",
    b"\x00\x00",
    b"\x0a\x06\x12\x04\x12\x02\x2a\x05",
]


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """It is asked at the end whether everybody else went on."""
    with running(tmp_path_factory.mktemp("hostile") / "clew.duckdb", limits=LIMITS) as here:
        yield here
        assert here.post("/v1/traces", traces(one_span(1))).status == 200
        assert here.post("/v1/traces", NO_PROTOBUF[0], PROTOBUF).status == 400


def bomb(size: int) -> bytes:
    return gzip.compress(b"\x0a" + bytes(size), compresslevel=1)


def test_a_bomb_is_opened_no_further_than_the_limit(receiving: Running) -> None:
    body = bomb(64 << 20)
    assert len(body) < LIMITS.body_bytes
    said = receiving.post("/v1/traces", body, PROTOBUF, content_encoding="gzip")
    assert said.status == 413
    assert b"it opens to more than 1,048,576 bytes" in said.body


def test_a_bomb_over_grpc_is_opened_no_further_either(receiving: Running) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{receiving.grpc}") as channel:
        request = ExportTraceServiceRequest()
        span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
        span.name = "x" * (8 << 20)
        with pytest.raises(grpc.RpcError) as refused:
            TraceServiceStub(channel).Export(request, compression=grpc.Compression.Gzip)  # type: ignore[no-untyped-call]
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == "it opens to more than 1,048,576 bytes"


def test_a_large_body_is_refused_by_what_it_says_of_itself(receiving: Running) -> None:
    """Before any of it is read."""
    with socket.create_connection(("127.0.0.1", receiving.http), timeout=20) as sender:
        sender.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            b"Content-Length: 1073741824\r\n\r\n"
        )
        assert sender.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_large_body_that_says_nothing_of_itself_is_cut_off(receiving: Running) -> None:
    with socket.create_connection(("127.0.0.1", receiving.http), timeout=20) as sender:
        sender.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        answer = b""
        try:
            for _ in range(1024):
                sender.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            answer = sender.recv(100)
        except OSError:
            answer = answer or b"HTTP/1.1 413 "
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_large_head_is_refused(receiving: Running) -> None:
    with socket.create_connection(("127.0.0.1", receiving.http), timeout=20) as sender:
        sender.sendall(b"POST /v1/traces HTTP/1.1\r\nX: " + b"x" * (64 << 10))
        assert sender.recv(100).startswith(b"HTTP/1.1 400 ")


def test_who_sends_a_head_or_a_body_too_slowly_is_cut_off(receiving: Running) -> None:
    """More of them than connections are kept."""
    slow = [socket.create_connection(("127.0.0.1", receiving.http), timeout=20) for _ in range(12)]
    half = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    try:
        for number, one in enumerate(slow):
            one.sendall(b"POST /v1/tr" if number % 2 else half)
        assert receiving.post("/v1/traces", traces(one_span(2))).status == 200
        for number, one in enumerate(slow):
            try:
                answer = one.recv(100)
            except ConnectionResetError:
                answer = b""
            assert answer == b"" if number % 2 else answer.startswith(b"HTTP/1.1 408 ") or answer == b""
    finally:
        for one in slow:
            one.close()


def test_a_span_of_very_many_attributes_is_refused(receiving: Running) -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    for _ in range(20_000):
        span.attributes.add(key="k").value.int_value = 1
    said = receiving.post("/v1/traces", request.SerializeToString(), PROTOBUF)
    assert said.status == 400
    assert b"more than 16,384 fields" in said.body


def test_what_is_no_protobuf_is_refused(receiving: Running) -> None:
    with ThreadPoolExecutor(len(NO_PROTOBUF)) as pool:
        said = pool.map(lambda body: receiving.post("/v1/traces", body, PROTOBUF), NO_PROTOBUF)
        assert [each.status for each in said] == [400] * len(NO_PROTOBUF)


def test_values_nested_without_end_are_refused(receiving: Running) -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    value = span.attributes.add(key="k").value
    for _ in range(40):
        value = value.array_value.values.add()
    value.int_value = 1
    said = receiving.post("/v1/traces", request.SerializeToString(), PROTOBUF)
    assert said.status == 400
    assert b"nested deeper than" in said.body
    nested = json.loads(traces(one_span(3)))
    spans = nested["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[0]["attributes"] = "DEEP"
    deep = json.dumps(nested).encode().replace(b'"DEEP"', b"[" * 100_000 + b"]" * 100_000)
    assert receiving.post("/v1/traces", deep).status in {200, 400}


class Picky(DuckStore):
    """A store that cannot write what holds a certain word, whatever stands beside it."""

    def _put(self, batches: list[Batch], settings: Settings) -> list[tuple[Batch, Written]]:
        for batch in batches:
            if batch.raw is not None and any("poison" in str(row) for row in batch.raw["line"].to_pylist()):
                raise StoreError("it cannot be written")
        return super()._put(batches, settings)


def test_a_request_that_no_store_can_write_is_refused_in_the_end_and_hinders_no_other(tmp_path: Path) -> None:
    answers: dict[int, Answer] = {}
    receiver = Receiver(pace=QUICK)
    for number in range(5):
        body = traces(one_span(number, name="poison" if number == 2 else "work"))
        receiver.offer(Request(Encoding.JSON, Signal.TRACES, body, partial(answers.__setitem__, number)))
    receiver.close()
    troubles: list[StoreError] = []
    with Picky(tmp_path / "clew.duckdb") as store:
        receive(store, receiver, ending=threading.Event(), trouble=troubles.append)
        assert store.summary().records == 4
        assert [each.reason for each in store.rejects("otlp")] == ["it cannot be written"]
    assert answers.pop(2) == Refused("it cannot be written")
    assert set(answers.values()) == {Accepted()}
    assert len(troubles) == 2
    assert receiver.tally.waiting == 0


def test_beyond_the_room_there_is_nothing_is_taken() -> None:
    receiver = Receiver(pace=QUICK)
    size = QUICK.waiting_bytes // 3
    request = Request(Encoding.JSON, Signal.TRACES, bytes(size), lambda _: None)
    assert [receiver.offer(request) for _ in range(5)] == [True, True, True, False, False]
    assert receiver.tally.put_off == 2
