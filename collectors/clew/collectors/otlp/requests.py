"""One export request on its way into a store, and the answers it can get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Signal(StrEnum):
    """What an OTLP request carries."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"


class Encoding(StrEnum):
    """How a body is written."""

    PROTOBUF = "protobuf"
    JSON = "json"
    ZIPKIN = "zipkin"
    """Version 2: one JSON array of spans."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request is committed, but for what of it was rejected."""

    rejected: int = 0
    reason: str = ""
    """Why; without anything rejected, a warning."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of the request can be read: to send it again is of no use."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing is promised: send it again after so many seconds."""

    seconds: int
    reason: str


Answer = Accepted | Refused | Later


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """``body`` is decompressed; ``answer`` is called once, in whatever thread."""

    encoding: Encoding
    signal: Signal
    body: bytes
    answer: Callable[[Answer], None]
