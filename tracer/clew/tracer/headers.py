"""The context in message headers: W3C trace context and baggage, and the correlation ID.

Written: ``traceparent``, ``tracestate`` and ``baggage`` by OpenTelemetry's own
propagators, ``x-correlation-id`` and ``x-causation-id``. The correlation ID is a
baggage entry (``correlation_id``) too, so that it survives services that know
OpenTelemetry but nothing of clew.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clew.tracer.context import Correlation, correlated, current, is_portable
from clew.tracer.event import Headers, header_pairs

HeaderList = list[tuple[str, bytes]]
Carrier = TypeVar("Carrier", bound=MutableMapping[str, str] | HeaderList)

BAGGAGE_KEY: Final = "correlation_id"
_PROPAGATORS: Final[tuple[TextMapPropagator, ...]] = (
    TraceContextTextMapPropagator(),
    W3CBaggagePropagator(),
)
# Names under which an ID is looked for, best first; lower case.
_CORRELATION: Final = (
    "ce_correlationid",
    "ce-correlationid",
    "cloudevents:correlationid",
    "cloudevents_correlationid",
    "x-correlation-id",
    "correlation-id",
    "correlation_id",
    "correlationid",
)
# In a CloudEvents message the cause of what its handler does is the event itself.
_CAUSATION: Final = (
    "ce_id",
    "ce-id",
    "cloudevents:id",
    "cloudevents_id",
    "x-causation-id",
    "causation-id",
    "causation_id",
)
# Lists by their specifications: repeated headers are one list (RFC 9110, section 5.3).
_LISTS: Final = frozenset({"baggage", "tracestate"})


@dataclass(frozen=True, slots=True)
class Incoming:
    """What headers told. ``context`` is OpenTelemetry's, for ``start_span(context=…)``."""

    correlation_id: str | None
    causation_id: str | None
    context: Context


def inject(headers: Carrier, correlation: Correlation | None = None) -> Carrier:
    """Write the current context into headers, in place, replacing older values.

    Headers are a ``dict[str, str]``, or a ``list[tuple[str, bytes]]`` as Kafka has
    them. ``correlation`` stands in for the current one. Gives the same headers back.
    """
    chosen = correlation if correlation is not None else current()
    context = otel_context.get_current()
    if chosen.correlation_id is not None:
        context = baggage.set_baggage(BAGGAGE_KEY, chosen.correlation_id, context)
        _write(headers, "x-correlation-id", chosen.correlation_id)
    if chosen.cause is not None:
        _write(headers, "x-causation-id", chosen.cause)
    for propagator in _PROPAGATORS:
        propagator.inject(headers, context, _SETTER)
    return headers


def extract(headers: Headers) -> Incoming:
    """Read the context out of headers. What is absent or unusable is None: never an error.

    Names are matched without regard to case; of repeated headers the last counts.
    IDs are looked for as CloudEvents attributes (``ce_correlationid``), then as
    ``x-correlation-id`` and the like, then in the baggage.
    """
    found = _read(headers)
    context = _propagated(found)
    correlation_id = _first(found, _CORRELATION)
    if correlation_id is None:
        carried = baggage.get_baggage(BAGGAGE_KEY, context)
        if isinstance(carried, str) and is_portable(carried):
            correlation_id = carried
    return Incoming(correlation_id, _first(found, _CAUSATION), context)


def remote_context(headers: Headers) -> Context:
    """Read OpenTelemetry's context alone out of headers: trace and baggage."""
    return _propagated(_read(headers))


@contextmanager
def continuing(headers: Headers) -> Iterator[Incoming]:
    """Work in the flow and the trace that the headers tell of; in a new flow where they tell none."""
    incoming = extract(headers)
    token = otel_context.attach(incoming.context)
    try:
        with correlated(incoming.correlation_id, causation_id=incoming.causation_id):
            yield incoming
    finally:
        otel_context.detach(token)


def _read(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, raw in header_pairs(headers):
        if raw is None:
            continue
        # A str may hold lone surrogates, which the propagators cannot encode.
        text = (raw.encode(errors="replace") if isinstance(raw, str) else raw).decode(errors="replace")
        lower = name.lower()
        found[lower] = f"{found[lower]},{text}" if lower in _LISTS and lower in found else text
    return found


def _propagated(found: dict[str, str]) -> Context:
    context = Context()
    for propagator in _PROPAGATORS:
        context = propagator.extract(found, context, _GETTER)
    return context


def _first(found: dict[str, str], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = found.get(name)
        if value is not None and is_portable(value):
            return value
    return None


def _write(headers: MutableMapping[str, str] | HeaderList, name: str, value: str) -> None:
    if isinstance(headers, list):
        if any(known.lower() == name for known, _ in headers):
            headers[:] = [pair for pair in headers if pair[0].lower() != name]
        headers.append((name, value.encode()))
        return
    for known in [known for known in headers if known.lower() == name and known != name]:
        del headers[known]
    headers[name] = value


class _Getter(Getter[dict[str, str]]):
    def get(self, carrier: dict[str, str], key: str) -> list[str] | None:
        value = carrier.get(key)
        return None if value is None else [value]

    def keys(self, carrier: dict[str, str]) -> list[str]:
        return list(carrier)


class _Setter(Setter[MutableMapping[str, str] | HeaderList]):
    def set(self, carrier: MutableMapping[str, str] | HeaderList, key: str, value: str) -> None:
        _write(carrier, key.lower(), value)


_GETTER: Final = _Getter()
_SETTER: Final = _Setter()
