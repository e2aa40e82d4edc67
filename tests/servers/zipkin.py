"""Zipkin's own server with its in-memory storage, fetched by Maven and run on the loopback."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

VERSION: Final = "3.5.1"
HEAP: Final = "4g"
"""Room for a million spans: with 1g it stops answering before it holds them."""
CONNECTIONS: Final = 4
_JAR: Final = f"zipkin-server-{VERSION}-exec.jar"
_FETCH_S: Final = 600
_START_S: Final = 120
_SETTLE_S: Final = 600
_SERVING: Final = re.compile(r"Serving HTTP at \S+ - http://127\.0\.0\.1:(\d+)/")
_SAMPLE: Final = re.compile(r"^(\w+)\{([^}]*)\} (\S+)$", re.MULTILINE)


class Unavailable(Exception):
    """The server cannot be had here, or not do what is asked of it; the message says why."""


def server_jar() -> Path:
    """Give the server's jar, fetched once into the user's cache folder.

    Raises:
        Unavailable: Java or Maven is missing, or Maven could not fetch it.
    """
    if shutil.which("java") is None:
        raise Unavailable("java is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clew-tests"
    jar = cache / _JAR
    if jar.exists():
        return jar
    if shutil.which("mvn") is None:
        raise Unavailable(f"mvn is not installed and {jar} is not there")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as fetched:
        artifact = f"-Dartifact=io.zipkin:zipkin-server:{VERSION}:jar:exec"
        command = ["mvn", "-q", "-B", "dependency:copy", artifact, f"-DoutputDirectory={fetched}"]
        try:
            done = subprocess.run(
                command, cwd=fetched, capture_output=True, text=True, timeout=_FETCH_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"mvn did not fetch {_JAR} within {_FETCH_S} s") from None
        if done.returncode or not (Path(fetched) / _JAR).exists():
            lines = (done.stdout + done.stderr).strip().splitlines()
            raise Unavailable(f"mvn could not fetch {_JAR}: {lines[0] if lines else 'it gave no reason'}")
        # A rename, so that an interrupted fetch leaves no half of a jar behind.
        (Path(fetched) / _JAR).replace(jar)
    return jar


class Zipkin:
    """A running server that takes posts of spans and tells how many it holds."""

    def __init__(self, port: int, log: Path) -> None:
        self.log = log
        self._port = port

    def post_all(self, posts: Path, spans: int) -> float:
        """Post each line of ``posts`` over a few connections; give the seconds until all is stored.

        The server answers 202 before it stores, so the clock stops only when its queue is
        empty and it has counted ``spans`` more than before.

        Raises:
            Unavailable: it refused, dropped or stopped taking spans.
        """
        before = self._counted()
        begun = time.perf_counter()
        with posts.open("rb") as file:
            lock = threading.Lock()
            failures: list[str] = []
            senders = [
                threading.Thread(target=self._send, args=(file, lock, failures)) for _ in range(CONNECTIONS)
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
        if failures:
            raise Unavailable(f"{failures[0]}; its log ends: {_last_line(self.log)}")
        deadline = begun + _SETTLE_S
        while not self._settled(before + spans):
            if time.perf_counter() > deadline:
                raise Unavailable(f"not all was stored in {_SETTLE_S} s: {_last_line(self.log)}")
            time.sleep(0.005)
        return time.perf_counter() - begun

    def trace(self, trace_id: str) -> list[dict[str, object]]:
        """Give the spans of a trace; none when the server does not hold it."""
        status, body = self._ask("GET", f"/api/v2/trace/{trace_id}")
        if status == http.client.NOT_FOUND:
            return []
        found: list[dict[str, object]] = json.loads(body)
        return found

    def healthy(self) -> bool:
        """Tell whether the server says that it and its storage are up."""
        try:
            status, _ = self._ask("GET", "/health")
        except OSError:
            return False
        return status == http.client.OK

    def _send(self, posts: IO[bytes], lock: threading.Lock, failures: list[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            while not failures:
                with lock:
                    body = posts.readline()
                if not body:
                    return
                connection.request("POST", "/api/v2/spans", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
                if answer.status != http.client.ACCEPTED:
                    failures.append(f"the server answered {answer.status}: {said[:200]!r}")
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"the server stopped answering: {error}")
        finally:
            connection.close()

    def _settled(self, spans: int) -> bool:
        metrics = self._metrics()
        if metrics["zipkin_collector_spans_dropped_total"]:
            raise Unavailable(f"the server dropped spans: {_last_line(self.log)}")
        waiting = metrics["armeria_executor_queued_tasks"] + metrics["armeria_executor_active_threads"]
        return metrics["zipkin_collector_spans_total"] >= spans and not waiting

    def _counted(self) -> int:
        return int(self._metrics()["zipkin_collector_spans_total"])

    def _metrics(self) -> dict[str, float]:
        """Give its metrics, those of the HTTP transport and the storing threads added up by name."""
        _, body = self._ask("GET", "/prometheus")
        sums: dict[str, float] = {}
        for name, _, value in _SAMPLE.findall(body.decode()):
            sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def zipkin(log: Path, most_spans: int) -> Iterator[Zipkin]:
    """Run a server that keeps up to ``most_spans`` spans; its output goes to ``log``.

    Raises:
        Unavailable: it cannot be fetched, or is not healthy within two minutes.
    """
    jar = server_jar()
    ports = [f"--armeria.ports[0].{name}" for name in ("ip=127.0.0.1", "port=0", "protocols[0]=http")]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "JAVA_HOME")}
    with log.open("wb") as out:
        server = subprocess.Popen(
            ["java", f"-Xmx{HEAP}", "-jar", str(jar), *ports],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=kept | {"STORAGE_TYPE": "mem", "MEM_MAX_SPANS": str(most_spans)},
        )
        try:
            yield _started(server, log)
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _started(server: subprocess.Popen[bytes], log: Path) -> Zipkin:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Unavailable(f"the server ended with status {server.returncode}: {_last_line(log)}")
        serving = _SERVING.search(log.read_text(errors="replace"))
        if serving:
            running = Zipkin(int(serving[1]), log)
            if running.healthy():
                return running
        time.sleep(0.05)
    raise Unavailable(f"the server was not healthy within {_START_S} s: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"
