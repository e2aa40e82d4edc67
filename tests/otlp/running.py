"""A receiver that runs: in this process, or as the command that can be killed."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from clew.collectors.formats.settings import Settings
from clew.collectors.otlp.access import Access, Address
from clew.collectors.otlp.desk import Limits
from clew.collectors.otlp.receiver import Pace, Receiver
from clew.collectors.otlp.requests import Later
from clew.collectors.otlp.server import Servers
from clew.reconstruct import open_store
from clew.reconstruct.errors import StoreError
from clew.reconstruct.receiving import receive
from clew.reconstruct.store import Store

LOOPBACK = Address("127.0.0.1", 0)
QUICK = Pace(linger=0.01, linger_alone=0.01)
PATIENCE_S = 60


class Said(NamedTuple):
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Running:
    """A receiver in this process: its addresses, and ways to send to it."""

    def __init__(self, servers: Servers, receiver: Receiver, store: Path) -> None:
        assert servers.http is not None
        assert servers.grpc is not None
        self.http = servers.http.port
        self.grpc = servers.grpc.port
        self.receiver = receiver
        self.path = store
        self.trouble: list[StoreError] = []

    def post(self, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> Said:
        return post(self.http, path, body, content_type, **headers)

    def get(self, path: str) -> Said:
        return said(self.http, "GET", path, b"", {})

    def store(self) -> Store:
        return open_store(self.path)


def post(port: int, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> Said:
    """Post, each time over a new connection; ``_`` in names of headers stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return said(port, "POST", path, body, {"Content-Type": content_type, **named})


def said(port: int, method: str, path: str, body: bytes, headers: dict[str, str]) -> Said:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return Said(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@contextmanager
def running(
    store: Path,
    *,
    pace: Pace = QUICK,
    limits: Limits | None = None,
    access: Access | None = None,
    settings: Settings | None = None,
    timeout: float = 30.0,
    scope: str = "",
) -> Iterator[Running]:
    """Receive into ``store`` until the block ends, and store what was taken."""
    receiver = Receiver(pace=pace, settings=settings, scope=scope)
    servers = Servers(receiver, grpc=LOOPBACK, http=LOOPBACK, access=access or Access(), limits=limits)
    ending = threading.Event()
    with open_store(store, create=True, timeout=timeout) as opened:
        opened.positions()
        servers.start()
        here = Running(servers, receiver, store)
        joining = threading.Thread(
            target=receive,
            args=(opened, receiver),
            kwargs={"ending": ending, "trouble": here.trouble.append},
            name="join",
        )
        joining.start()
        try:
            yield here
        finally:
            ending.set()
            receiver.close()
            joining.join(PATIENCE_S)
            receiver.drop(Later(1, "over"))
            servers.stop()
            assert not joining.is_alive()


class Command:
    """``clew receive`` as a process."""

    def __init__(self, store: Path, *options: str, grpc: int, http: int) -> None:
        self.grpc = grpc
        self.http = http
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
        arguments = ["--store", str(store), "--grpc", f"127.0.0.1:{grpc}", "--http", f"127.0.0.1:{http}"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clew.cli.main", "receive", *arguments, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=kept,
        )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            try:
                if said(self.http, "GET", "/readyz", b"", {}).status == http.client.OK:
                    return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("it never became ready")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)

    def end(self) -> tuple[int, str, str]:
        """Ask it to end; its status, and what it wrote."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at now."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def one_span(number: int, **more: Any) -> dict[str, Any]:
    """A span in OTLP JSON."""
    return {
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "work",
        "kind": 1,
        "startTimeUnixNano": str(1_772_366_400_000_000_000 + number * 1_000_000),
        "endTimeUnixNano": str(1_772_366_400_500_000_000 + number * 1_000_000),
        "attributes": [{"key": "order_id", "value": {"stringValue": f"o-{number}"}}],
        **more,
    }


def traces(*spans: dict[str, Any]) -> bytes:
    """A request of spans in OTLP JSON."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "orders"}}]}
    return json.dumps(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}
    ).encode()


def logs(*records: dict[str, Any]) -> bytes:
    """A request of log records in OTLP JSON."""
    return json.dumps(
        {"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": list(records)}]}]}
    ).encode()


ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
