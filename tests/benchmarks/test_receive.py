"""Spans pushed by services: committed by ``clew receive``, against Zipkin's server taking them into memory."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.benchmarks.figures import Figure, Figures, NotRun
from tests.benchmarks.inputs import Inputs, Spans
from tests.benchmarks.measuring import CLEW, alternate, duration, run
from tests.otlp.running import Command, free_ports
from tests.servers.zipkin import Unavailable, server_jar, zipkin

from clew.cli.exits import Exit

pytestmark = pytest.mark.bench

COUNT = 300_000
ROUNDS = 3
LINES_PER_POST = 10
"""A thousand spans, as Zipkin is sent."""
CONNECTIONS = 64
"""More than Zipkin needs: it answers before it stores, and clew after."""
RATE, SECONDS, PER_POST = 5_000, 30, 250
"""Of the test of latency: records a second, for so long, in posts of so many."""
_IDS = ("traceId", "spanId", "parentSpanId")


def test_spans_per_second_committed_against_zipkin(inputs: Inputs, figures: Figures) -> None:
    name = f"spans per second of `clew receive` of {inputs.named(COUNT)} OTLP spans / of Zipkin's server"
    try:
        server_jar()
        spans = inputs.spans(COUNT)
        posts, warm = _protobuf(spans.otlp), _protobuf(spans.otlp.with_name("warm.jsonl"))
        runs = alternate(
            inputs.rounds(ROUNDS),
            {
                "clew": lambda _: _receive(inputs, spans, posts, warm),
                "zipkin": lambda _: _post(inputs, spans),
            },
        )
    except Unavailable as error:
        figures.add(NotRun(name, str(error)))
        return
    ours, theirs = median(runs["clew"]), median(runs["zipkin"])
    pairs = [other / one for one, other in zip(runs["clew"], runs["zipkin"], strict=True)]
    detail = (
        f"{spans.total / ours:,.0f}/s committed / {spans.total / theirs:,.0f}/s into memory, both warm; "
        f"{len(pairs)} pairs, {min(pairs):.2f} to {max(pairs):.2f}"
    )
    figures.add(Figure(name, theirs / ours, 1, detail, at_least=True))


def test_time_until_a_record_is_shown(inputs: Inputs, figures: Figures) -> None:
    """From the sending of a request to the end of a ``clew show`` that was asked again until it told of it."""
    seconds = max(5, round(SECONDS * inputs.scale))
    store = inputs.folder / "latency.duckdb"
    waits: list[float] = []
    asks: list[float] = []
    with _receiving(store) as port:
        stop = threading.Event()
        load = threading.Thread(target=_load, args=(port, seconds, stop))
        load.start()
        number = 0
        while load.is_alive():
            number += 1
            waits.append(_shown(store, port, f"marked-{number}", asks))
        stop.set()
        load.join()
    waits.sort()
    detail = f"{len(waits)} looked for while {RATE:,} records a second came; median {duration(median(waits))}"
    name = f"p99 from arrival to `clew show` at {RATE:,} records a second"
    figures.add(Figure(name, waits[int(len(waits) * 0.99)], 2, detail, unit="s"))
    figures.add(
        Figure("longest `clew show` meanwhile", max(asks), 2, f"median {duration(median(asks))}", unit="s")
    )


def _receive(inputs: Inputs, spans: Spans, posts: Sequence[bytes], warm: Sequence[bytes]) -> float:
    store = inputs.folder / "received.duckdb"
    with _receiving(store) as port:
        _send_all(port, warm)
        begun = time.perf_counter()
        _send_all(port, posts)
        took = time.perf_counter() - begun
    said = json.loads(
        run([CLEW, "sources", "--store", str(store), "--json"], inputs.folder).output.splitlines()[0]
    )
    assert said["records"] == spans.total + spans.warm_total
    for path in store.parent.glob(f"{store.name}*"):
        path.unlink()
    return took


@contextmanager
def _receiving(store: Path) -> Iterator[int]:
    grpc_port, http_port = free_ports(2)
    command = Command(store, grpc=grpc_port, http=http_port)
    try:
        command.wait_until_ready()
        yield http_port
    finally:
        status, _, said = command.end()
        assert status == 0, said


def _post(inputs: Inputs, spans: Spans) -> float:
    with zipkin(inputs.folder / "zipkin.log", (spans.total + spans.warm_total) * 2) as server:
        server.post_all(spans.warm_posts, spans.warm_total)
        return server.post_all(spans.posts, spans.total)


def _protobuf(otlp: Path) -> list[bytes]:
    """The spans of a file of OTLP JSON, as exporters of protobuf post them."""
    made: list[bytes] = []
    request = ExportTraceServiceRequest()
    with otlp.open("rb") as file:
        for number, line in enumerate(file, 1):
            request.MergeFrom(
                json_format.ParseDict(_with_base64_ids(json.loads(line)), ExportTraceServiceRequest())
            )
            if number % LINES_PER_POST == 0:
                made.append(request.SerializeToString())
                request.Clear()
    made.append(request.SerializeToString())
    return [body for body in made if body]


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64_ids(one) for one in value]
    if isinstance(value, dict):
        return {
            name: base64.b64encode(bytes.fromhex(one)).decode() if name in _IDS else _with_base64_ids(one)
            for name, one in value.items()
        }
    return value


def _send_all(port: int, posts: Sequence[bytes]) -> None:
    """Post all over some connections, those that are put off again."""
    left = iter(posts)
    lock = threading.Lock()
    failures: list[str] = []

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            while not failures:
                with lock:
                    body = next(left, None)
                if body is None:
                    return
                while (status := _posted(connection, body)) == http.client.SERVICE_UNAVAILABLE:
                    time.sleep(1)
                if status != http.client.OK:
                    failures.append(f"the receiver answered {status}")
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"the receiver stopped answering: {error}")
        finally:
            connection.close()

    senders = [threading.Thread(target=send) for _ in range(CONNECTIONS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert failures == []


def _posted(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _request(first: int, count: int, correlation: str = "") -> bytes:
    """Spans of now; ``first`` makes their IDs different from others'."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "orders"
    spans = resource_spans.scope_spans.add().spans
    now = time.time_ns()
    for number in range(first, first + count):
        span = spans.add(name="work", kind=2, start_time_unix_nano=now, end_time_unix_nano=now + 1_000_000)
        span.trace_id, span.span_id = (number // 10 + 1).to_bytes(16, "big"), (number + 1).to_bytes(8, "big")
        span.attributes.add(key="correlation_id").value.string_value = correlation or f"order-{number // 10}"
    return request.SerializeToString()


def _load(port: int, seconds: int, stop: threading.Event) -> None:
    """Requests at a steady rate, over connections that each wait for their answers."""
    begun = time.monotonic()
    total = RATE * seconds // PER_POST
    left = iter(range(total))
    lock = threading.Lock()

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while not stop.is_set():
            with lock:
                number = next(left, None)
            if number is None:
                break
            time.sleep(max(0.0, begun + number * PER_POST / RATE - time.monotonic()))
            _posted(connection, _request(number * PER_POST, PER_POST))
        connection.close()

    senders = [threading.Thread(target=send) for _ in range(CONNECTIONS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def _shown(store: Path, port: int, correlation: str, asks: list[float]) -> float:
    begun = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    number = (1 << 50) + int(correlation.rpartition("-")[2]) * 10
    sending = threading.Thread(target=_posted, args=(connection, _request(number, 1, correlation)))
    sending.start()
    while True:
        asked = time.perf_counter()
        command = [CLEW, "show", correlation, "--store", str(store)]
        done = subprocess.run(command, capture_output=True, check=False)
        asks.append(time.perf_counter() - asked)
        assert done.returncode in {Exit.FINE, Exit.NOT_FOUND}, done.stderr
        if done.returncode == Exit.FINE:
            break
    took = time.perf_counter() - begun
    sending.join()
    connection.close()
    return took
