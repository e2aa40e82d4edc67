"""The receiver at length: killed again and again, flooded while its store is held by another."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path
from statistics import fmean

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.otlp.running import Command, free_ports, post
from tests.otlp.sending import killed

from clew.reconstruct import open_store

pytestmark = pytest.mark.soak

PROTOBUF = "application/x-protobuf"
SENDERS, POSTS, SPANS = 64, 600, 2_000
HELD_S = 20
FEW_SENDERS, FEW, FEW_EVERY_S = 8, 500, 1.0
"""Up to 4,000 spans a second."""
LOOK_S = 0.5
FLAT = 1.15
"""The last third holds at most so many times what the second does."""
MOST_BYTES = 1_600 << 20
"""Of the process: DuckDB's buffers, the bodies that may wait, and the libraries."""


def test_ten_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    sent, found = killed(tmp_path / "clew.duckdb", 10, seed=7, least=2_000)
    told = Counter({f"{sender}-{number}": 1 for sender, count in enumerate(sent) for number in range(count)})
    assert found == told


def test_a_store_that_is_held_slows_the_senders_and_not_the_memory(tmp_path: Path) -> None:
    grpc_port, http_port = free_ports(2)
    store = tmp_path / "clew.duckdb"
    receiver = Command(store, grpc=grpc_port, http=http_port)
    receiver.wait_until_ready()
    left = iter(range(POSTS))
    lock = threading.Lock()
    answers: Counter[int] = Counter()

    def send() -> None:
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            body = _request(number)
            while True:
                status = post(http_port, "/v1/traces", body, PROTOBUF).status
                with lock:
                    answers[status] += 1
                if status != 503:
                    break
                time.sleep(random.uniform(0.5, 1.5))

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    with open_store(store) as other, other.held():
        for sender in senders:
            sender.start()
        time.sleep(HELD_S)
    for sender in senders:
        sender.join()
    peak = _bytes(receiver.process.pid, "VmHWM")
    status, _, _ = receiver.end()
    assert status == 0
    assert (set(answers), answers[200]) == ({200, 503}, POSTS)
    with open_store(store) as opened:
        assert opened.summary().records == POSTS * SPANS
    assert peak < MOST_BYTES


def test_memory_is_flat_over_minutes_of_load(tmp_path: Path) -> None:
    """SOAK_SECONDS is how long, ten minutes unless set; what the process holds is told every ten seconds.

    Each time while somebody else has the store: what DuckDB keeps of the file, up to its own bound, for as
    long as nobody asks, is a cache and no growth.
    """
    grpc_port, http_port = free_ports(2)
    store = tmp_path / "clew.duckdb"
    receiver = Command(store, grpc=grpc_port, http=http_port)
    receiver.wait_until_ready()
    end = time.monotonic() + float(os.environ.get("SOAK_SECONDS", "600"))
    numbers = count()
    failed: list[int] = []

    def send() -> None:
        while time.monotonic() < end:
            turn = time.monotonic() + FEW_EVERY_S
            status = post(http_port, "/v1/traces", _request(next(numbers), FEW), PROTOBUF).status
            if status not in {200, 503}:
                failed.append(status)
            time.sleep(max(0.0, turn - time.monotonic()))

    senders = [threading.Thread(target=send) for _ in range(FEW_SENDERS)]
    for sender in senders:
        sender.start()
    held: list[float] = []
    while time.monotonic() < end:
        time.sleep(min(10.0, max(0.0, end - time.monotonic())))
        with open_store(store) as other, other.held():
            other.summary()
            # By now it has let go of the file, and its requests wait.
            time.sleep(LOOK_S)
            held.append(_bytes(receiver.process.pid, "VmRSS") / (1 << 20))
    for sender in senders:
        sender.join()
    status, told, _ = receiver.end()
    sys.stdout.write(f"{told.strip()}; MiB held: {', '.join(f'{mib:.0f}' for mib in held)}\n")
    assert (status, failed) == (0, [])
    # Libraries are loaded and buffers filled in the first third.
    third = len(held) // 3
    assert fmean(held[-third:]) < FLAT * fmean(held[third : 2 * third])


def _request(number: int, spans_in_it: int = SPANS) -> bytes:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for place in range(spans_in_it):
        span = spans.add(name="work", start_time_unix_nano=1_772_366_400_000_000_000 + place)
        span.trace_id, span.span_id = (number + 1).to_bytes(16, "big"), (place + 1).to_bytes(8, "big")
        span.attributes.add(key="text").value.string_value = "x" * 200
    return request.SerializeToString()


def _bytes(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (found,) = (line for line in lines if line.startswith(f"{what}:"))
    return int(found.split()[1]) * 1024
