"""Apache Kafka, one node of KRaft, fetched by Maven and run on the loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.certificates import Certificates, made
from tests.servers.fetching import Unavailable, jars, java
from tests.servers.sharing import end, has_ended, spawn

POM = Path(__file__).parent / "kafka_broker" / "pom.xml"
HEAP = "512m"
_START_S = 120
USER, PASSWORD = "clew", "secret"
"""Who may log in at the address that wants a password."""
_STORAGE = "kafka.tools.StorageTool"

PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
listener.name.ssl.ssl.keystore.type=PEM
listener.name.ssl.ssl.keystore.location={folder}/server.pem
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.retention.ms=-1
controlled.shutdown.enable=false
"""


Ports = tuple[int, int, int, int]
"""In plain, of the controller, with a password, with TLS."""


class Kafka:
    """A broker in ``folder``, that can be stopped and started again with what it holds."""

    def __init__(self, folder: Path, ports: Ports, pid: int | None = None) -> None:
        self._libs = jars("kafka", POM)
        self._folder = folder
        self._ports = ports
        self._config = folder / "server.properties"
        self.bootstrap = f"127.0.0.1:{ports[0]}"
        self.with_password = f"127.0.0.1:{ports[2]}"
        self.with_tls = f"127.0.0.1:{ports[3]}"
        self.ca = Certificates.within(folder).ca
        self.log = folder / "broker.log"
        self.pid = pid

    @classmethod
    def made(cls, folder: Path) -> Kafka:
        """A new one, not yet started.

        Raises:
            Unavailable: it cannot be fetched, or not set up.
        """
        folder.mkdir(parents=True, exist_ok=True)
        port, controller, sasl, tls = free_ports(4)
        broker = cls(folder, (port, controller, sasl, tls))
        given = made(folder)
        (folder / "server.pem").write_text(given.key.read_text() + given.certificate.read_text())
        properties = PROPERTIES.format(
            port=port, controller=controller, sasl=sasl, tls=tls, folder=folder, user=USER, password=PASSWORD
        )
        broker._config.write_text(properties)
        identity = broker._tool(_STORAGE, "random-uuid").strip().splitlines()[-1]
        broker._tool(_STORAGE, "format", "--standalone", "-t", identity, "-c", str(broker._config))
        return broker

    @classmethod
    def of(cls, folder: Path, state: dict[str, Any]) -> Kafka:
        """One that runs, perhaps started by another process; see :meth:`state`."""
        port, controller, sasl, tls = state["ports"]
        return cls(folder, (port, controller, sasl, tls), int(state["pid"]))

    @property
    def state(self) -> dict[str, Any]:
        """How to reach it."""
        return {"ports": list(self._ports), "pid": self.pid}

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            Unavailable: it does not within two minutes.
        """
        self.pid = pid = spawn(self._command("kafka.Kafka", str(self._config)), self.log, self._folder)
        deadline = time.monotonic() + _START_S
        while not self._serves():
            if has_ended(pid) or time.monotonic() > deadline:
                raise Unavailable(f"the broker did not start: {self.said()}")

    def _serves(self) -> bool:
        """Whether it answers within a second."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        client = AdminClient(
            {"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.ms": 50}
        )
        try:
            return bool(client.list_topics(timeout=1.0).brokers)
        except KafkaException:
            return False

    def stop(self, *, kill: bool = False) -> None:
        """End it, as a power cut does with ``kill``."""
        pid, self.pid = self.pid, None
        if pid is not None:
            end(pid, signal.SIGKILL if kill else signal.SIGTERM)

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else "nothing"

    def run(self, tool: str, *arguments: str) -> str:
        """Run one of Kafka's own command line tools; gives what it printed."""
        return self._tool(tool, "--bootstrap-server", self.bootstrap, *arguments)

    def _tool(self, tool: str, *arguments: str) -> str:
        done = subprocess.run(
            self._command(tool, *arguments),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self._folder,
            env=_environment(),
        )
        if done.returncode:
            raise Unavailable(f"{tool} failed: {(done.stdout + done.stderr).strip()[-500:]}")
        return done.stdout

    def _command(self, tool: str, *arguments: str) -> list[str]:
        options = [f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        options.append("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        return [java(), *options, "-cp", f"{self._libs}/*", tool, *arguments]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that are free now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "JAVA_HOME")}


@contextmanager
def kafka(folder: Path) -> Iterator[Kafka]:
    """A broker that runs within the block; its log stays in ``folder``.

    Raises:
        Unavailable: it cannot be fetched or started.
    """
    broker = Kafka.made(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder / "data", ignore_errors=True)
