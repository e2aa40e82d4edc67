"""Headers carry the trace, the baggage and the correlation ID, in both forms that clients use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from clew.tracer import Event, continuing, correlated, current, extract, inject, next_event, working_on

IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
# OpenTelemetry strips baggage values.
STRIPPED = IDS.map(str.strip).filter(bool)
SPANS = st.builds(
    lambda trace_id, span_id, flags: SpanContext(
        trace_id, span_id, is_remote=False, trace_flags=TraceFlags(flags)
    ),
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.integers(0, 1),
)


CARRIERS: list[type[dict[str, str] | list[tuple[str, bytes]]]] = [dict, list]


@given(IDS, IDS, SPANS, st.sampled_from(CARRIERS))
def test_what_is_injected_is_extracted(
    correlation: str,
    cause: str,
    span: SpanContext,
    carrier: type[dict[str, str] | list[tuple[str, bytes]]],
) -> None:
    headers = carrier()
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(span)))
    try:
        with correlated(correlation, causation_id=cause):
            assert inject(headers) is headers
    finally:
        context.detach(token)
    incoming = extract(headers)
    sender = trace.get_current_span(incoming.context).get_span_context()
    assert (incoming.correlation_id, incoming.causation_id) == (correlation, cause)
    assert (sender.trace_id, sender.span_id, sender.trace_flags) == (
        span.trace_id,
        span.span_id,
        span.trace_flags,
    )
    assert sender.is_remote


@given(STRIPPED)
def test_the_correlation_id_survives_in_the_baggage_alone(correlation: str) -> None:
    with correlated(correlation):
        headers = inject(dict[str, str]())
    assert extract({"baggage": headers["baggage"]}).correlation_id == correlation


def test_baggage_of_others_travels_too() -> None:
    token = context.attach(baggage.set_baggage("tenant", "blue", context.get_current()))
    try:
        with correlated("c-1"):
            headers = inject(list[tuple[str, bytes]]())
    finally:
        context.detach(token)
    assert baggage.get_all(extract(headers).context) == {"tenant": "blue", "correlation_id": "c-1"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ce_correlationid": "a", "x-correlation-id": "b", "baggage": "correlation_id=c"}, "a"),
        ({"X-Correlation-ID": "b", "baggage": "correlation_id=c"}, "b"),
        ([("x-correlation-id", b"old"), ("X-Correlation-Id", b"new")], "new"),
        ([("x-correlation-id", None), ("correlation-id", b"d")], "d"),
        ({"x-correlation-id": "evil\r\n", "baggage": "correlation_id=c"}, "c"),
        ({"baggage": "correlation_id=c%0d%0ac"}, None),
        ({"baggage": ";;;=,,%"}, None),
        ({}, None),
    ],
)
def test_the_correlation_id_is_looked_for_under_many_names(
    headers: dict[str, str] | list[tuple[str, bytes]], expected: str | None
) -> None:
    assert extract(headers).correlation_id == expected


NAMES = st.text(max_size=20) | st.sampled_from(["traceparent", "tracestate", "baggage", "ce_correlationid"])


@given(st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=80) | st.text(st.characters()))))
def test_no_header_whatever_is_an_error(headers: list[tuple[str, bytes | str | None]]) -> None:
    found = extract(headers).correlation_id
    assert found is None or found.encode()


def test_injecting_replaces_what_an_earlier_hop_wrote() -> None:
    pairs = [("X-Correlation-Id", b"old"), ("key", b"kept"), ("x-correlation-id", b"older")]
    mapping = {"X-Correlation-ID": "old", "key": "kept"}
    with correlated("new"):
        inject(pairs)
        inject(mapping)
    assert [pair for pair in pairs if pair[0] != "baggage"] == [
        ("key", b"kept"),
        ("x-correlation-id", b"new"),
    ]
    assert {name: value for name, value in mapping.items() if name != "baggage"} == {
        "key": "kept",
        "x-correlation-id": "new",
    }


def test_work_that_continues_headers_is_caused_by_the_message() -> None:
    event = Event(type="OrderPlaced", source="/orders", correlation_id="c-1")
    headers, _ = event.to_binary()
    with working_on(event):
        inject(headers)
    with continuing(headers) as incoming:
        assert incoming.causation_id == event.id
        follow_up = next_event("PaymentSucceeded", source="/payments")
    assert (follow_up.correlation_id, follow_up.causation_id) == ("c-1", event.id)
    assert current().correlation_id is None


def test_headers_that_tell_nothing_start_a_new_flow() -> None:
    with continuing({}):
        assert current().correlation_id
