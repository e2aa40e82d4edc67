"""OTLP/gRPC and gRPC's health protocol, on bytes: no message is parsed here.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import grpc

from clew.collectors.otlp import answers
from clew.collectors.otlp.bodies import GZIP, NotPacked, TooLarge
from clew.collectors.otlp.requests import Accepted, Answer, Encoding, Later, Refused, Signal

if TYPE_CHECKING:
    from clew.collectors.otlp.access import Access, Address
    from clew.collectors.otlp.desk import Desk

_SERVICE: Final = "opentelemetry.proto.collector.{}.v1.{}Service"
SERVICES: Final = {
    _SERVICE.format("trace", "Trace"): Signal.TRACES,
    _SERVICE.format("logs", "Logs"): Signal.LOGS,
    _SERVICE.format("metrics", "Metrics"): Signal.METRICS,
}
HEALTH: Final = "grpc.health.v1.Health"
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"
CALLS: Final = 256
"""At once in one connection; more of them wait there."""
READ: Final = 24
"""Messages that are read at once, each of which may be as large as a body may."""


async def serve(desk: Desk, access: Access, address: Address) -> tuple[grpc.aio.Server, int]:
    """Start; give the server and its port.

    Raises:
        RuntimeError: the address cannot be listened at.
    """
    limits = desk.limits
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_metadata_size", limits.header_bytes),
            ("grpc.absolute_max_metadata_size", limits.header_bytes),
            # Opened by clew itself: gRPC would open a whole bomb before it looks at its size.
            ("grpc.per_message_decompression", 0),
            ("grpc.max_concurrent_streams", CALLS),
            ("grpc.server_handshake_timeout_ms", int(limits.header_seconds * 1000)),
            ("grpc.so_reuseport", 0),
        ]
    )
    service = _Service(desk, access)
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                name, {"Export": grpc.stream_unary_rpc_method_handler(service.export(signal))}
            )
            for name, signal in SERVICES.items()
        ]
    )
    check: Any = grpc.unary_unary_rpc_method_handler(service.check)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(HEALTH, {"Check": check})])
    if access.certificate is None or access.key is None:
        port = server.add_insecure_port(str(address))
    else:
        credentials = grpc.ssl_server_credentials(
            [(access.key.read_bytes(), access.certificate.read_bytes())],
            root_certificates=access.client_ca.read_bytes() if access.client_ca else None,
            require_client_auth=access.client_ca is not None,
        )
        port = server.add_secure_port(str(address), credentials)
    await server.start()
    return server, port


class _Service:
    """A call is taken as a stream of which one message is read: so it is read only when there is room."""

    def __init__(self, desk: Desk, access: Access) -> None:
        self._desk = desk
        self._access = access
        self._read = asyncio.Semaphore(READ)

    def export(self, signal: Signal) -> Any:
        """The handler of one signal's Export."""

        async def handle(messages: AsyncIterator[bytes], context: Any) -> bytes:
            sent = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
            if not self._access.admits(sent.get("authorization", "")):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or another")
            return await self._export(signal, messages, context)

        return handle

    async def _export(self, signal: Signal, messages: AsyncIterator[bytes], context: Any) -> bytes:
        limits = self._desk.limits
        try:
            async with asyncio.timeout(limits.body_seconds), self._read:
                async with asyncio.timeout(limits.header_seconds):
                    body = await anext(messages, b"")
        except TimeoutError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the message came too slowly")
        size = len(body)
        if not await self._desk.take_room(size, time.monotonic() + limits.answer_seconds / 2):
            return await _told(context, Later(1, "too much is being received at once"))
        try:
            answer = await self._desk.ask(Encoding.PROTOBUF, signal, body, packed=body.startswith(GZIP))
        except (TooLarge, NotPacked) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            await self._desk.give_room(size)
        return await _told(context, answer)

    async def check(self, _message: bytes, _context: Any) -> bytes:
        """``grpc.health.v1.Health/Check``."""
        return _NOT_SERVING if self._desk.ready() else _SERVING


async def _told(context: Any, answer: Answer) -> bytes:
    match answer:
        case Refused(reason):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, reason)
        case Later(seconds, reason):
            metadata = (
                ("google.rpc.retryinfo-bin", answers.retry_info(seconds)),
                ("grpc-status-details-bin", answers.status(answers.UNAVAILABLE, reason, seconds)),
            )
            await context.abort(grpc.StatusCode.UNAVAILABLE, reason, metadata)
        case Accepted():
            return answers.success(answer)
    return b""
