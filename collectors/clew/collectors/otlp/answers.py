"""Answers as they are written: OTLP's partial success and google.rpc.Status, in protobuf and JSON.

https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

import json

from clew.collectors.otlp.requests import Accepted, Signal

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAUTHENTICATED, UNAVAILABLE = 3, 8, 16, 14
"""Codes of google.rpc.Code."""
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
REJECTED_NAMES = {
    Signal.TRACES: "rejectedSpans",
    Signal.LOGS: "rejectedLogRecords",
    Signal.METRICS: "rejectedDataPoints",
}


def success(answer: Accepted) -> bytes:
    """``Export…ServiceResponse``: empty where nothing is to be said."""
    if not answer.reason:
        return b""
    return _bytes(1, _varint(1, answer.rejected) + _bytes(2, answer.reason.encode()))


def success_json(answer: Accepted, signal: Signal) -> bytes:
    """The same in JSON."""
    if not answer.reason:
        return b"{}"
    told = {REJECTED_NAMES[signal]: str(answer.rejected), "errorMessage": answer.reason}
    return json.dumps(
        {"partialSuccess": told if answer.rejected else {"errorMessage": answer.reason}}
    ).encode()


def status(code: int, message: str, retry_seconds: int = 0) -> bytes:
    """``google.rpc.Status``, with a RetryInfo where there is a time to wait."""
    written = _varint(1, code) + _bytes(2, message.encode())
    if retry_seconds:
        detail = _bytes(1, RETRY_INFO.encode()) + _bytes(2, retry_info(retry_seconds))
        written += _bytes(3, detail)
    return written


def status_json(code: int, message: str) -> bytes:
    """The same in JSON."""
    return json.dumps({"code": code, "message": message}).encode()


def retry_info(seconds: int) -> bytes:
    """``google.rpc.RetryInfo``."""
    return _bytes(1, _varint(1, seconds))


def _varint(number: int, value: int) -> bytes:
    return _encoded(number << 3) + _encoded(value) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:  # noqa: PLR2004  seven bits a byte
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
