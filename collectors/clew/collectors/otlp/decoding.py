"""Bodies of requests as the raw input of one SELECT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.collectors.formats.settings import Settings
from clew.collectors.otlp.requests import Encoding, Request, Signal
from clew.collectors.record import empty_select

if TYPE_CHECKING:
    import pyarrow as pa

    from clew.collectors.formats.plans import Plan

Numbered = Sequence[tuple[int, bytes]]
"""Texts, each with its request's number."""

FORMATS = {Encoding.JSON: "otlp", Encoding.PROTOBUF: "otlp", Encoding.ZIPKIN: "zipkin"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """``raw`` and ``select`` as in a Batch; ``bad`` says of a request why nothing of it can be read."""

    raw: pa.Table | None
    select: str
    format: str
    bad: Mapping[int, str]


class Decoder:
    """Knows how each encoding is read; a plan is made when it is first needed."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._plans: dict[str, Plan] = {}
        self._select = ""

    def decode(self, encoding: Encoding, requests: Sequence[tuple[int, Request]]) -> Decoded:
        """Make one table of requests of one encoding, each with its number."""
        name = FORMATS[encoding]
        if encoding is Encoding.PROTOBUF:
            return self._protobuf([(number, request.signal, request.body) for number, request in requests])
        texts, bad = _readable([(number, request.body) for number, request in requests])
        if not texts:
            return Decoded(None, empty_select(), name, bad)
        return Decoded(_table(texts), self._plan(name).select, name, bad)

    def _protobuf(self, requests: Sequence[tuple[int, Signal, bytes]]) -> Decoded:
        from clew.collectors.otlp.columns import table
        from clew.collectors.otlp.select import protobuf_select
        from clew.collectors.otlp.wire import Malformed

        name = FORMATS[Encoding.PROTOBUF]
        bad: dict[int, str] = {}
        try:
            raw = table(requests)
        except Malformed:
            # Rare, and then it is to be known which one: each by itself.
            good = []
            for request in requests:
                try:
                    table([request])
                    good.append(request)
                except Malformed as error:
                    bad[request[0]] = str(error)
            raw = table(good)
        if not raw.num_rows:
            return Decoded(None, empty_select(), name, bad)
        if not self._select:
            self._select = protobuf_select(self._settings)
        return Decoded(raw, self._select, name, bad)

    def _plan(self, name: str) -> Plan:
        from clew.collectors.formats import plan

        if name not in self._plans:
            self._plans[name] = plan(name, settings=self._settings)
        return self._plans[name]


def _readable(bodies: Numbered) -> tuple[Numbered, dict[int, str]]:
    """Those bodies that are text, and why the others are not."""
    texts: list[tuple[int, bytes]] = []
    bad: dict[int, str] = {}
    for number, body in bodies:
        try:
            body.decode()
        except UnicodeDecodeError as error:
            bad[number] = f"not UTF-8 at byte {error.start + 1} (0x{body[error.start]:02x})"
            continue
        if b"\0" in body:
            bad[number] = "holds NUL bytes"
            continue
        texts.append((number, body))
    return texts, bad


def _table(texts: Numbered) -> pa.Table:
    """Columns ``line`` and ``position``, in a few chunks, so that all cores decode."""
    import pyarrow as pa

    step = -(-len(texts) // min(len(texts), CHUNKS))
    parts = [texts[at : at + step] for at in range(0, len(texts), step)]
    lines = [pa.array([body for _, body in part], pa.binary()).cast(pa.string()) for part in parts]
    numbers = [pa.array([number for number, _ in part], pa.int64()) for part in parts]
    return pa.table({"line": pa.chunked_array(lines), "position": pa.chunked_array(numbers)})


CHUNKS = 8
"""Parts of a table of which a database may give each to another core."""
