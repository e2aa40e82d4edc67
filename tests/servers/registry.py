"""Apicurio Registry, which speaks Confluent's API too, fetched by Maven and run on the loopback."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.fetching import Unavailable, java, unpacked
from tests.servers.kafka import free_ports
from tests.servers.sharing import end, has_ended, spawn

VERSION = "3.0.9"
"""The last that runs on Java 17."""
_START_S = 120


class Registry:
    """A registry that runs, with nothing in it at first."""

    def __init__(self, url: str) -> None:
        self.url = url

    def register(
        self, subject: str, kind: str, schema: str | dict[str, Any], references: Sequence[dict[str, Any]] = ()
    ) -> int:
        """Add a schema, and give its ID."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        body = json.dumps({"schemaType": kind, "schema": text, "references": list(references)}).encode()
        request = urllib.request.Request(  # noqa: S310  the loopback
            f"{self.url}/subjects/{subject}/versions",
            data=body,
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  likewise
            return int(json.load(answer)["id"])

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def started(folder: Path) -> dict[str, Any]:
    """Start a registry whose log stays in ``folder``; gives its ``url`` and ``pid``.

    Raises:
        Unavailable: it cannot be fetched or started.
    """
    home = unpacked(f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all")
    (port,) = free_ports(1)
    log = folder / "registry.log"
    options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    options += ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"]
    jar = str(home / f"apicurio-registry-app-{VERSION}-runner.jar")
    pid = spawn([java(), *options, "-jar", jar], log, folder)
    running = Registry(f"http://127.0.0.1:{port}/apis/ccompat/v7")
    deadline = time.monotonic() + _START_S
    while not running.answers():
        if has_ended(pid) or time.monotonic() > deadline:
            end(pid)
            raise Unavailable(f"the registry did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.1)
    return {"url": running.url, "pid": pid}
