"""The envelope: what goes out comes back, and what CloudEvents forbids is refused by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.tracer import EnvelopeError, Event
from clew.tracer.event import Binding

NONCHARACTERS = [chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF)]
NONCHARACTERS += [chr(code) for code in range(0xFDD0, 0xFDF0)]
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=NONCHARACTERS), min_size=1, max_size=40
)
JSON = st.recursive(
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TIMES = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001 - hypothesis takes naive bounds
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001 - likewise
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9))]),
)
NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: (
        name
        not in {
            *("id", "source", "type", "subject", "time", "specversion", "data", "dataschema"),
            *("datacontenttype", "correlationid", "causationid", "schemaversion"),
        }
    )
)
CONTENT = st.one_of(
    st.tuples(st.sampled_from(["application/json", "application/vnd.order+json; charset=utf-8", None]), JSON),
    st.tuples(st.just("text/plain"), st.text(st.characters(exclude_categories=["Cs"]), min_size=1)),
    st.tuples(st.sampled_from(["application/octet-stream", "image/png"]), st.binary(min_size=1)),
    st.tuples(st.just("application/json"), st.none()),
)


@st.composite
def events(draw: st.DrawFn, extension: st.SearchStrategy[Any]) -> Event:
    content_type, data = draw(CONTENT)
    optional = st.none() | TEXT
    return Event(
        type=draw(TEXT),
        source=draw(TEXT),
        id=draw(TEXT),
        data=data,
        datacontenttype=content_type,
        time=draw(st.none() | TIMES),
        correlation_id=draw(optional),
        causation_id=draw(optional),
        schema_version=draw(optional),
        dataschema=draw(optional),
        subject=draw(optional),
        extensions=draw(st.dictionaries(NAMES, extension, max_size=3)),
    )


@given(events(TEXT | st.booleans() | st.integers(-(2**31), 2**31 - 1)))
def test_structured_mode_gives_back_the_same_event(event: Event) -> None:
    assert Event.from_json(event.to_json()) == event
    assert Event.batch_from_json(f"[{event.to_json()}]") == [event]


@given(events(TEXT), st.sampled_from(["kafka", "http", "amqp"]))
def test_binary_mode_gives_back_the_same_event(event: Event, binding: Binding) -> None:
    headers, body = event.to_binary(binding)
    assert Event.from_binary(headers, body) == event
    assert Event.from_message([(name, value.encode()) for name, value in headers.items()], body) == event


@given(events(TEXT))
def test_headers_for_http_are_printable_ascii(event: Event) -> None:
    headers, _ = event.to_binary("http")
    written = [value for name, value in headers.items() if name != "content-type"]
    assert all(value.isascii() and value.isprintable() and " " not in value for value in written)


def test_an_event_has_the_names_that_cloudevents_gives_them() -> None:
    event = Event(
        type="OrderPlaced",
        source="/orders",
        id="e-1",
        time=datetime(2026, 3, 2, 10, 0, 0, 5, tzinfo=timezone(timedelta(hours=1))),
        data={"order_id": "o-1"},
        correlation_id="c-1",
        causation_id="e-0",
        schema_version="2",
    )
    assert json.loads(event.to_json()) == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/orders",
        "type": "OrderPlaced",
        "datacontenttype": "application/json",
        "correlationid": "c-1",
        "causationid": "e-0",
        "schemaversion": "2",
        "time": "2026-03-02T09:00:00.000005Z",
        "data": {"order_id": "o-1"},
    }
    headers, body = event.to_binary()
    assert headers["ce_correlationid"] == "c-1"
    assert headers["content-type"] == "application/json"
    assert body == b'{"order_id":"o-1"}'


def test_the_content_type_tells_structured_from_binary_mode() -> None:
    event = Event(type="a", source="/b", time=None)
    headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    assert Event.from_message(headers, event.to_json().encode()) == event
    with pytest.raises(EnvelopeError, match="batch_from_json"):
        Event.from_message({"content-type": "application/cloudevents-batch+json"}, b"[]")


def test_of_repeated_headers_the_last_counts_and_case_does_not() -> None:
    headers = [
        ("CE_ID", b"old"),
        ("ce_id", b"new"),
        ("ce_type", b"t"),
        ("ce_source", b"/s"),
        ("ce_specversion", b"1.0"),
    ]
    assert Event.from_binary([*headers, ("other", None)], None).id == "new"


GOOD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(
    ("change", "attribute", "says"),
    [
        ({"id": None}, "id", "required"),
        ({"id": ""}, "id", "empty"),
        ({"id": 7}, "id", "text, not int"),
        ({"type": "a\x1b[31m"}, "type", "U+001B"),
        ({"source": "\ud800"}, "source", "U+D800"),
        ({"specversion": None}, "specversion", "missing"),
        ({"specversion": "0.3"}, "specversion", "0.3"),
        ({"time": "yesterday\x1b"}, "time", r"yesterday\x1b"),
        ({"time": "2026-03-02T10:00:00"}, "time", "zone"),
        ({"time": "2026-13-02T10:00:00Z"}, "time", "month"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time", "0001"),
        ({"data": 1, "data_base64": "AA=="}, "data_base64", "only one"),
        ({"data_base64": "A"}, "data_base64", "base64"),
        ({"Bad_Name": "x"}, "'Bad_Name'", "lower-case"),
        ({"number": 2**31}, "number", "32 bits"),
        ({"nested": {"a": 1}}, "nested", "text, not dict"),
    ],
)
def test_what_is_no_event_is_refused_by_name(change: dict[str, Any], attribute: str, says: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        Event.from_structured(GOOD | change)
    assert caught.value.attribute == attribute
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text", ["", "[", "null", "7", "[{}]", "[" * 200_000, b"\xff", '{"specversion": NaN}']
)
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(EnvelopeError):
        Event.from_json(text)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], b"{}"),
        ([("ce_id", None)], b""),
        ([("ce_id", b"\xff")], b""),
        ([("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"t"), ("ce_source", b"s")], b"{"),
        ([("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"t"), ("ce_data", b"s")], b""),
    ],
)
def test_what_is_no_binary_message_is_refused(headers: list[tuple[str, bytes | None]], body: bytes) -> None:
    with pytest.raises(EnvelopeError):
        Event.from_binary(headers, body)


@pytest.mark.parametrize("data", [float("nan"), object(), {"a": {1}}])
def test_data_that_json_cannot_hold_is_refused_when_written(data: object) -> None:
    event = Event(type="t", source="/s", data=data)
    with pytest.raises(EnvelopeError, match="data"):
        event.to_json()
    with pytest.raises(EnvelopeError, match="data"):
        event.to_binary()


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="time zone"):
        Event(type="t", source="/s", time=datetime(2026, 1, 1))  # noqa: DTZ001 - the point
