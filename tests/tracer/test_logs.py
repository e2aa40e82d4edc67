"""A log line is one line of strict JSON with the IDs, whatever was logged."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext

from clew.tracer import Event, JsonFormatter, correlated, working_on

# Every code point, lone surrogates and control characters too.
ANY_TEXT = st.text(st.characters())
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ANY_TEXT
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.sets(st.integers()),
    lambda inner: (
        st.lists(inner) | st.dictionaries(ANY_TEXT | st.integers() | st.tuples(st.integers()), inner)
    ),
    max_leaves=10,
)


# What the standard library itself refuses as an extra.
REFUSED = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


def record(message: object, /, *args: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {
            "name": "app",
            "msg": message,
            "args": args,
            "levelno": level,
            "levelname": logging.getLevelName(level),
        }
    )
    made.__dict__.update(extra)
    return made


def strict(line: str) -> dict[str, Any]:
    """Parse as a strict reader does: one line, no NaN, no lone surrogate."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert line.isascii()
    assert line.isprintable()
    value = json.loads(line, parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    assert isinstance(value, dict)
    return value


@given(ANY_TEXT, st.dictionaries(ANY_TEXT, ANYTHING, max_size=5))
def test_any_message_and_any_extra_make_one_line_of_strict_json(message: str, extra: dict[str, Any]) -> None:
    made = record(message)
    made.__dict__.update({name: value for name, value in extra.items() if name not in REFUSED})
    line = strict(JsonFormatter("s").format(made))
    assert line["service"] == "s"
    assert line["message"] == re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", message)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_message_comes_back_as_it_was(message: str) -> None:
    assert strict(JsonFormatter("s").format(record(message)))["message"] == message


def test_a_line_has_exactly_these_names_in_this_order() -> None:
    event = Event(
        type="OrderPlaced",
        source="/o",
        id="e-1",
        correlation_id="c-1",
        causation_id="e-0",
        schema_version="2",
    )
    made = record("charged %s", "10 €", created=1_772_442_000.000_25, amount=10)
    span = trace.set_span_in_context(NonRecordingSpan(SpanContext(0xAB, 0xCD, is_remote=False)))
    token = context.attach(span)
    try:
        with working_on(event, operation="process", destination="orders"):
            line = strict(JsonFormatter("payment-service").format(made))
    finally:
        context.detach(token)
    assert list(line.items()) == [
        ("timestamp", "2026-03-02T09:00:00.000250Z"),
        ("severity", "INFO"),
        ("service", "payment-service"),
        ("logger", "app"),
        ("message", "charged 10 €"),
        ("event_type", "OrderPlaced"),
        ("event_id", "e-1"),
        ("correlation_id", "c-1"),
        ("causation_id", "e-0"),
        ("trace_id", "000000000000000000000000000000ab"),
        ("span_id", "00000000000000cd"),
        ("operation", "process"),
        ("destination", "orders"),
        ("schema_version", "2"),
        ("amount", 10),
    ]


def test_what_is_not_known_is_left_out() -> None:
    assert set(strict(JsonFormatter("s").format(record("m")))) == {
        "timestamp",
        "severity",
        "service",
        "logger",
        "message",
    }


def test_extras_replace_the_context_but_not_what_only_the_formatter_knows() -> None:
    with correlated("c-1"):
        line = strict(JsonFormatter("s").format(record("m", correlation_id="mine", service="x", timestamp=1)))
    assert (line["correlation_id"], line["service"]) == ("mine", "s")
    assert (line["extra.service"], line["extra.timestamp"]) == ("x", 1)


def test_an_exception_gives_its_type_message_and_stack() -> None:
    try:
        raise KeyError("order-7")  # noqa: TRY301 - a real traceback is the point
    except KeyError:
        line = strict(JsonFormatter("s").format(record("m", level=logging.ERROR, exc_info=sys.exc_info())))
    assert (line["error.type"], line["error.message"]) == ("KeyError", "'order-7'")
    assert line["error.stack"].startswith("Traceback (most recent call last):\n")
    assert line["error.stack"].endswith("KeyError: 'order-7'\n")


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    __repr__ = __str__


def test_hostile_values_do_not_cost_the_line() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    line = strict(
        JsonFormatter("s").format(
            record(
                "m",
                hostile=Hostile(),
                cycle=cycle,
                deep=deep,
                nan=float("nan"),
                price=Decimal("1.10"),
                huge=2**20_000,
            )
        )
    )
    assert line["hostile"] == "<unprintable Hostile>"
    assert (line["nan"], line["price"], line["huge"]) == ("nan", "1.10", hex(2**20_000))


@pytest.mark.parametrize(
    ("message", "args"), [("%d items", ("many",)), ("%s", ()), ("100%", (1,)), (Hostile(), ())]
)
def test_arguments_that_do_not_fit_do_not_cost_the_line(message: object, args: tuple[object, ...]) -> None:
    line = strict(JsonFormatter("s").format(record(message, *args)))
    assert line["message"]


@pytest.mark.parametrize(
    ("level", "severity"),
    [(10, "DEBUG"), (20, "INFO"), (30, "WARN"), (40, "ERROR"), (50, "FATAL"), (25, "Level 25")],
)
def test_severity_is_named_as_opentelemetry_does(level: int, severity: str) -> None:
    assert strict(JsonFormatter("s").format(record("m", level=level)))["severity"] == severity


def test_times_are_written_to_the_microsecond_across_seconds() -> None:
    formatter = JsonFormatter("s")
    for micros in (0, 1, 999_999, 1_000_000, 1_000_001, 999_999):
        line = strict(formatter.format(record("m", created=1_772_442_000 + micros / 1e6)))
        moment = datetime.fromtimestamp(1_772_442_000, UTC).timestamp() + micros / 1e6
        assert datetime.fromisoformat(line["timestamp"]).timestamp() == pytest.approx(moment, abs=2e-7)


@pytest.fixture
def _service_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")


@pytest.mark.usefixtures("_service_name")
def test_the_service_name_is_opentelemetrys_unless_given() -> None:
    assert strict(JsonFormatter().format(record("m")))["service"] == "from-environment"
    line = strict(JsonFormatter("given", static={"version": "1"}).format(record("m")))
    assert (line["service"], line["version"]) == ("given", "1")
