"""RabbitMQ from Debian's package, run on the loopback with folders, a node name and an epmd of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pika
from pika.exceptions import AMQPError
from tests.servers.certificates import Certificates, made
from tests.servers.fetching import Unavailable

SCRIPTS: Final = Path("/usr/lib/rabbitmq/bin")
_START_S: Final = 120
_STOP_S: Final = 60
_PLUGINS: Final = "[]."
_SETTINGS: Final = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {ca}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_none
"""
_PORTS: Final = (15_000, 30_000)


class RabbitMQ:
    """One node. Its queues, streams and messages outlive :meth:`restart` and :meth:`kill`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "rabbitmq.log"
        self.port, self._tls_port, self._dist_port, self._epmd_port = free_ports(4)
        self._certificates = Certificates.within(folder)
        self.ca = self._certificates.ca
        self._node = f"clew-{os.getpid()}-{self.port}@localhost"
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, as its first user."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"

    @property
    def url_with_tls(self) -> str:
        """The same, encrypted; :attr:`ca` signed its certificate."""
        return f"amqps://guest:guest@127.0.0.1:{self._tls_port}/%2f"

    def start(self) -> None:
        """Start it, and return when it takes connections.

        Raises:
            Unavailable: it ended, or did not take any within two minutes.
        """
        if self._epmd is None:
            made(self.folder)
            with self.log.open("ab") as out:
                self._epmd = subprocess.Popen(
                    ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
                    stdout=out,
                    stderr=subprocess.STDOUT,
                )
        with self.log.open("ab") as out:
            self._server = subprocess.Popen(
                [str(SCRIPTS / "rabbitmq-server")],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                cwd=self.folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._server.poll() is not None:
                raise Unavailable(f"the server ended with status {self._server.returncode}: {self.told()}")
            if time.monotonic() > deadline:
                raise Unavailable(f"the server took no connection within {_START_S} s: {self.told()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it in an orderly way. Safe where it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Take it away as a power cut does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it on what it kept."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def ctl(self, *command: str) -> str:
        """Run ``rabbitmqctl``; its output."""
        done = subprocess.run(
            [str(SCRIPTS / "rabbitmqctl"), "-q", *command],
            env=self._environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_STOP_S,
            check=True,
        )
        return done.stdout

    def connect(self) -> pika.BlockingConnection:
        """A connection for tests; the caller closes it."""
        return pika.BlockingConnection(pika.URLParameters(self.url))

    def told(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'nothing'} ({self.log})"

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except (AMQPError, OSError):
            return False
        return True

    def _end(self, number: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        try:
            server.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG"}}
        plugins = self.folder / "enabled_plugins"
        plugins.write_text(_PLUGINS)
        (self.folder / "rabbitmq.conf").write_text(
            _SETTINGS.format(
                port=self._tls_port,
                ca=self.ca,
                certificate=self._certificates.certificate,
                key=self._certificates.key,
            )
        )
        return kept | {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none.conf"),
            # The distribution listens on the loopback only, as everything here.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }


def missing() -> str | None:
    """Why there is no RabbitMQ here; None where there is."""
    if not (SCRIPTS / "rabbitmq-server").exists():
        return "RabbitMQ is not installed: apt-get install rabbitmq-server"
    return None if shutil.which("epmd") else "epmd is not installed: apt-get install rabbitmq-server"


@contextmanager
def rabbitmq(folder: Path) -> Iterator[RabbitMQ]:
    """Run a node in ``folder``, where its log stays.

    Raises:
        Unavailable: it is not installed, or did not start.
    """
    reason = missing()
    if reason is not None:
        raise Unavailable(reason)
    server = RabbitMQ(folder)
    try:
        server.start()
        yield server
    finally:
        server.close()


def free_ports(count: int) -> list[int]:
    """Ports of the loopback on which nobody listens now.

    Not of those that the system gives to connections: a client that tries again and again while
    the server is away would at last be given that very port, and be connected to itself.
    """
    found: list[int] = []
    chance = random.SystemRandom()
    while len(found) < count:
        port = chance.randrange(*_PORTS)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
