"""The servers of a receiver, in a thread of their own with one event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from clew.collectors.errors import SourceUnavailable
from clew.collectors.otlp.access import Address
from clew.collectors.otlp.desk import Desk, Limits
from clew.collectors.otlp.over_grpc import serve as serve_grpc
from clew.collectors.otlp.over_http import Application

if TYPE_CHECKING:
    import grpc

    from clew.collectors.otlp.access import Access
    from clew.collectors.otlp.receiver import Receiver

GRACE = 5.0
"""Seconds that answers are given to reach their senders at the end."""
_START = 30.0


class Servers:
    """Listens for a receiver, from :meth:`start` to :meth:`stop`.

    ``grpc`` and ``http`` say where; None leaves one out. After the start they tell the
    ports that were taken.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        grpc: Address | None,
        http: Address | None,
        access: Access,
        limits: Limits | None = None,
    ) -> None:
        self.grpc = grpc
        self.http = http
        self._receiver = receiver
        self._access = access
        self._limits = limits or Limits()
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="clew-receive", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises:
            CollectError: an address may not be listened at, or a certificate cannot be used.
            SourceUnavailable: an address is taken, or not this machine's.
        """
        self._access.check(*(address for address in (self.grpc, self.http) if address is not None))
        self._thread.start()
        self._started.wait(_START)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Take no more connections, let answers out, and end. Safe to call twice."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        if self._thread.ident is not None:
            self._thread.join(2 * GRACE)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  start() raises it
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        desk = Desk(self._receiver, self._limits)
        grpc_server: grpc.aio.Server | None = None
        http_server: uvicorn.Server | None = None
        http_task: asyncio.Task[None] | None = None
        if self.http is not None:
            listening = _listen(self.http)
            self.http = Address(self.http.host, listening.getsockname()[1])
            http_server = _http_server(Application(desk, self._access), self._access, self._limits)
            http_task = asyncio.create_task(http_server.serve(sockets=[listening]))
        try:
            if self.grpc is not None:
                try:
                    grpc_server, port = await serve_grpc(desk, self._access, self.grpc)
                except RuntimeError:
                    raise _not_listening(self.grpc, "the address is in use, or not this machine's") from None
                self.grpc = Address(self.grpc.host, port)
            if http_server is not None:
                await _until_started(http_server)
            self._started.set()
            await self._stop.wait()
        finally:
            if http_server is not None and http_task is not None:
                http_server.should_exit = True
                await http_task
            if grpc_server is not None:
                await grpc_server.stop(GRACE)


async def _until_started(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
    except OSError as error:
        listening.close()
        raise _not_listening(address, error.strerror or str(error)) from None
    return listening


def _not_listening(address: Address, why: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"cannot listen at {address}: {why}",
        help="stop what listens there, or name another address with --grpc or --http",
    )


def _http_server(application: Any, access: Access, limits: Limits) -> uvicorn.Server:
    config = uvicorn.Config(
        application,
        http=type("Protocol", (_Protocol,), {"limits": limits, "idle": OrderedDict()}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(limits.body_seconds),
        timeout_graceful_shutdown=int(GRACE),
        h11_max_incomplete_event_size=limits.header_bytes,
        proxy_headers=False,
    )
    # What a client does wrong is told to the client; a log of it would be a way to fill a disk.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config.load()
    tls = access.tls()
    if tls is not None:
        config.ssl = tls
    return uvicorn.Server(config)


class _Protocol(H11Protocol):
    """HTTP/1.1 for which a client has only so long to say what it wants."""

    limits: ClassVar[Limits]
    idle: ClassVar[OrderedDict[_Protocol, None]]
    """Connections that wait for a request's head, the longest first."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections and self.idle:
            next(iter(self.idle)).transport.abort()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        """Give the next head its time, once; none while a request is at hand."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._unwatch()
        elif self._deadline is None:
            self.idle[self] = None
            self._deadline = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _unwatch(self) -> None:
        self.idle.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.idle.pop(self, None)
        if self.conn.their_state is h11.IDLE:
            self.transport.abort()
