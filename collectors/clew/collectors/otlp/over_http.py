"""OTLP/HTTP, Zipkin's spans, health and readiness, as an ASGI application.

https://opentelemetry.io/docs/specs/otlp/#otlphttp and https://zipkin.io/zipkin-api/
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from clew.collectors.otlp import answers
from clew.collectors.otlp.bodies import ENCODINGS, IDENTITY, NotPacked, TooLarge
from clew.collectors.otlp.requests import Answer, Encoding, Later, Refused, Signal

if TYPE_CHECKING:
    from clew.collectors.otlp.access import Access
    from clew.collectors.otlp.desk import Desk

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PATHS: Final = {f"/v1/{signal}": signal for signal in Signal}
ZIPKIN: Final = "/api/v2/spans"
JSON, PROTOBUF, TEXT = "application/json", "application/x-protobuf", "text/plain; charset=utf-8"


class _Failure(Exception):
    """A request ends with this status."""

    def __init__(self, status: int, reason: str, *, code: int = answers.INVALID_ARGUMENT) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.code = code


class _Head(NamedTuple):
    """What the head of a request says."""

    encoding: Encoding
    signal: Signal
    packed: bool
    length: int | None


class _Gone(Exception):
    """The client went away before its request was whole."""


class Application:
    """Answers requests by way of a desk."""

    def __init__(self, desk: Desk, access: Access) -> None:
        self._desk = desk
        self._access = access

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        encoding = _encoding(scope["path"], headers)
        try:
            if scope["path"] in {"/healthz", "/readyz"}:
                await self._tell_health(scope["path"], send)
                return
            head = self._head(scope, headers)
            answer = await self._ask(head, receive)
        except _Gone:
            return
        except _Failure as failure:
            await _tell_failure(send, encoding, failure)
            return
        await _tell(send, head, answer)

    def _head(self, scope: dict[str, Any], headers: dict[str, str]) -> _Head:
        path = scope["path"]
        if path not in PATHS and path != ZIPKIN:
            raise _Failure(
                404, f"nothing is taken at {path}; it is /v1/traces, /v1/logs, /v1/metrics and {ZIPKIN}"
            )
        if scope["method"] != "POST":
            raise _Failure(405, "requests are posted")
        if not self._access.admits(headers.get("authorization", "")):
            raise _Failure(401, "the token is missing or another", code=answers.UNAUTHENTICATED)
        encoding = _encoding(path, headers)
        if encoding is None:
            given = headers.get("content-type", "none")
            raise _Failure(415, f"a Content-Type of {given!r} is not taken; it is {PROTOBUF} or {JSON}")
        packing = headers.get("content-encoding", IDENTITY).strip().lower() or IDENTITY
        if packing not in {IDENTITY, *ENCODINGS}:
            raise _Failure(
                415, f"a Content-Encoding of {packing!r} is not taken; it is gzip, deflate or none"
            )
        length = headers.get("content-length", "")
        most = self._desk.limits.body_bytes
        if length.isdecimal() and int(length) > most:
            raise _Failure(
                413, f"a body of {int(length):,} bytes; at most {most:,} are taken: send smaller batches"
            )
        return _Head(
            encoding,
            PATHS.get(path, Signal.TRACES),
            packing != IDENTITY,
            int(length) if length.isdecimal() else None,
        )

    async def _ask(self, head: _Head, receive: Receive) -> Answer:
        desk = self._desk
        taken = 0
        try:
            deadline = time.monotonic() + desk.limits.body_seconds
            parts: list[bytes] = []
            more = True
            while more:
                message = await _received(receive, deadline)
                part = message.get("body", b"")
                more = message.get("more_body", False)
                if taken + len(part) > desk.limits.body_bytes:
                    raise _Failure(413, f"more than {desk.limits.body_bytes:,} bytes: send smaller batches")
                if part:
                    if not await desk.take_room(
                        len(part), min(deadline, time.monotonic() + desk.limits.answer_seconds / 2)
                    ):
                        return Later(1, "too much is being received at once")
                    taken += len(part)
                    parts.append(part)
            body = b"".join(parts)
            parts.clear()
            return await desk.ask(head.encoding, head.signal, body, packed=head.packed)
        except TooLarge as error:
            raise _Failure(413, str(error)) from None
        except NotPacked as error:
            raise _Failure(400, str(error)) from None
        finally:
            if taken:
                await desk.give_room(taken)

    async def _tell_health(self, path: str, send: Send) -> None:
        why = self._desk.ready() if path == "/readyz" else ""
        await _send(send, 503 if why else 200, TEXT, (why or "ok").encode() + b"\n")


async def _received(receive: Receive, deadline: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            message: dict[str, Any] = await receive()
    except TimeoutError:
        raise _Failure(408, "the body came too slowly") from None
    if message["type"] == "http.disconnect":
        raise _Gone
    return message


def _encoding(path: str, headers: dict[str, str]) -> Encoding | None:
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if path == ZIPKIN:
        return Encoding.ZIPKIN if given in {JSON, ""} else None
    return {JSON: Encoding.JSON, PROTOBUF: Encoding.PROTOBUF, "application/protobuf": Encoding.PROTOBUF}.get(
        given
    )


async def _tell(send: Send, head: _Head, answer: Answer) -> None:
    if isinstance(answer, Refused):
        await _tell_failure(send, head.encoding, _Failure(400, answer.reason))
    elif isinstance(answer, Later):
        failure = _Failure(503, answer.reason, code=answers.UNAVAILABLE)
        await _tell_failure(send, head.encoding, failure, answer.seconds)
    elif head.encoding is Encoding.ZIPKIN:
        await _send(send, 202, TEXT, answer.reason.encode())
    elif head.encoding is Encoding.JSON:
        await _send(send, 200, JSON, answers.success_json(answer, head.signal))
    else:
        await _send(send, 200, PROTOBUF, answers.success(answer))


async def _tell_failure(
    send: Send, encoding: Encoding | None, failure: _Failure, retry_seconds: int = 0
) -> None:
    headers = {"retry-after": str(retry_seconds)} if retry_seconds else {}
    if failure.status == 405:  # noqa: PLR2004
        headers["allow"] = "POST"
    if failure.status in {408, 413}:
        headers["connection"] = "close"
    if encoding is Encoding.PROTOBUF:
        body = answers.status(failure.code, failure.reason, retry_seconds)
        await _send(send, failure.status, PROTOBUF, body, headers)
    elif encoding is Encoding.JSON:
        await _send(send, failure.status, JSON, answers.status_json(failure.code, failure.reason), headers)
    else:
        await _send(send, failure.status, TEXT, failure.reason.encode() + b"\n", headers)


async def _send(
    send: Send, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None
) -> None:
    given = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
