"""Zone, year, key names and redaction."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from clew.collectors.errors import CollectError
from clew.collectors.formats import Redaction, Settings, plan
from clew.collectors.formats.checking import explained

SECRET = "hunter2"
REDACT = Settings(redaction=Redaction(keys=("password", "Card"), patterns=(r"\b\d{4}-\d{4}-\d{4}-\d{4}\b",)))


def record(line: str, format: str, settings: Settings, *, learned: bool = True) -> dict[str, Any]:
    (found,) = explained(plan(format, [line] * 200 if learned else [], settings=settings), [line])
    assert found.record is not None
    return found.record


@pytest.mark.parametrize(
    ("written", "zone", "utc"),
    [
        ("2026-03-01T12:00:00", "UTC", "2026-03-01 12:00:00"),
        ("2026-03-01T12:00:00", "Europe/Berlin", "2026-03-01 11:00:00"),
        ("2026-07-01 12:00:00,5", "Europe/Berlin", "2026-07-01 10:00:00.500000"),
        ("2026-03-01T12:00:00Z", "Europe/Berlin", "2026-03-01 12:00:00"),
        ("2026-03-01T12:00:00+05:30", "Europe/Berlin", "2026-03-01 06:30:00"),
        ("2026-03-01T12:00:00.123456789Z", "UTC", "2026-03-01 12:00:00.123456"),
        ("2026-03-01 12:00:00 UTC", "Europe/Berlin", "2026-03-01 12:00:00"),
        ("2026-03-01 13:00:00,5 +0100", "UTC", "2026-03-01 12:00:00.500000"),
        ("2026-03-01 11:00:00 -01:00", "UTC", "2026-03-01 12:00:00"),
        ("01/Mar/2026:12:00:00 +0100", "UTC", "2026-03-01 11:00:00"),
        ("1772366400", "Europe/Berlin", "2026-03-01 12:00:00"),
        ("1772366400.25", "UTC", "2026-03-01 12:00:00.250000"),
        ("1772366400123", "UTC", "2026-03-01 12:00:00.123000"),
        ("1772366400123456", "UTC", "2026-03-01 12:00:00.123456"),
        ("1772366400123456789", "UTC", "2026-03-01 12:00:00.123456"),
    ],
)
@pytest.mark.parametrize("session", ["UTC", "America/New_York"])
def test_times_are_utc_whatever_the_session_and_the_source(
    written: str, zone: str, utc: str, session: str
) -> None:
    select = plan("json", settings=Settings(zone=zone)).select
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{session}'")
        connection.register("raw", pa.table({"line": [json.dumps({"time": written})], "position": [1]}))
        assert str(connection.execute(f'SELECT "time" FROM ({select})').fetchall()[0][0]) == utc


@pytest.mark.parametrize(
    "written", ["", "never", "99999999999999999999999", "infinity", "2026-13-01", "-1e400", "12:00"]
)
def test_what_is_no_time_stays_among_the_attributes(written: str) -> None:
    found = record(json.dumps({"time": written, "msg": "m"}), "json", Settings())
    assert "time" not in found
    assert found["attributes"] == {"time": written}


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_times_at_the_ends_of_the_calendar_are_read(written: str) -> None:
    assert str(record(json.dumps({"time": written}), "json", Settings())["time"])[:10] == written[:10]


def test_a_time_without_a_year_takes_the_one_given() -> None:
    line = "Feb  3 01:02:03 host orders[7]: placed"
    found = record(line, "text", Settings(year=2024))
    assert (str(found["time"]), found["service"], found["body"]) == (
        "2024-02-03 01:02:03",
        "orders",
        "placed",
    )


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(CollectError, match="Mars"):
        plan("json", settings=Settings(zone="Mars/Olympus"))


def test_configured_names_are_keys_of_their_class() -> None:
    settings = Settings(keys={"bookingRef": "instance", "truck": "entity"})
    for learned in (True, False):
        found = record(
            '{"msg":"m","correlation_id":"c","bookingRef":"b","truck":5}', "json", settings, learned=learned
        )
        assert (found["correlation_id"], found["correlation_key"]) == ("b", "bookingRef")
        assert found["keys"] == {"correlation_id": "c", "truck": "5"}


LINES = {
    "json": [
        json.dumps({"msg": "m", "password": SECRET, "deep": {"er": [{"PASSWORD": SECRET, "n": 1}]}}),
        json.dumps({"msg": f"login password={SECRET} ok"}),
        json.dumps({"msg": "m", "card": {"number": [SECRET, {"x": SECRET}]}, "b": 2}),
        json.dumps({"msg": json.dumps({"password": SECRET, "a": 1})}),
        json.dumps({"password": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": SECRET}}}}}}}}}),
        json.dumps({"msg": f'say "password": "{SECRET}"'}),
    ],
    "logfmt": [f"time=1 level=info msg=m password={SECRET}", f'level=info msg=m password="{SECRET} x"'],
    "text": [f"2026-03-01 12:00:00 INFO password: {SECRET}"],
    "docker": [
        json.dumps({"log": json.dumps({"msg": "m", "password": SECRET}) + "\n", "stream": "stdout", "time": "2026-03-01T12:00:00Z"})
    ],
    "otlp": [
        json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{
            "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "name": "x",
            "startTimeUnixNano": "1772366400000000000",
            "attributes": [{"key": "password", "value": {"stringValue": SECRET}}]}]}]}]})
    ],
}  # fmt: skip


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("format", LINES)
def test_what_must_not_be_stored_is_in_no_column(format: str, learned: bool) -> None:  # noqa: FBT001
    lines = LINES[format]
    found = explained(plan(format, lines * 200 if learned else [], settings=REDACT), lines)
    assert len(found) == len(lines)
    assert SECRET not in repr(found)
    assert "[redacted]" in repr(found)


def test_a_column_of_csv_is_redacted_by_its_name() -> None:
    lines = ["time,msg,password", f"2026-03-01T12:00:00Z,m,{SECRET}"]
    found = explained(plan("csv", lines, settings=REDACT), lines)
    assert [one.record and one.record["attributes"] for one in found] == [{"password": "[redacted]"}]


def test_a_reject_is_redacted_too() -> None:
    (found,) = explained(plan("json", settings=REDACT), ['{"password":"' + SECRET + '","x"'])
    assert found.reject == "not valid JSON"
    assert SECRET not in repr(found)


def test_patterns_are_replaced_in_texts_and_leave_objects_whole() -> None:
    found = record(
        json.dumps({"msg": "card 1234-5678-9012-3456", "a": {"b": "1234-5678-9012-3456"}}), "json", REDACT
    )
    assert found["body"] == "card [redacted]"
    assert found["attributes"] == {"a": {"b": "[redacted]"}}


def test_what_is_beside_it_stays() -> None:
    found = record('{"msg":"m","password":"x","order_id":"o-1","n":1}', "json", REDACT)
    assert found["keys"] == {"order_id": "o-1"}
    assert found["attributes"] == {"password": "[redacted]", "n": 1}


def test_a_pattern_that_is_no_expression_is_refused() -> None:
    with pytest.raises(CollectError, match="not a regular expression"):
        plan("json", settings=Settings(redaction=Redaction(patterns=("(",))))


@pytest.mark.parametrize("name", ["schlüssel", "ärger", "--token", "$key", "@pin", "clé", "a.b-c"])
@pytest.mark.parametrize("written", ["x {}={}", "{}: {}", "x,{} = {} y", "({}={})"])
def test_a_name_of_any_characters_is_found_in_a_text(name: str, written: str) -> None:
    settings = Settings(redaction=Redaction(keys=(name,)))
    found = record(json.dumps({"msg": written.format(name, SECRET)}, ensure_ascii=False), "json", settings)
    assert SECRET not in found["body"]
    assert "[redacted]" in found["body"]


def test_a_name_that_ends_in_another_is_another_name() -> None:
    assert record('{"msg":"mypassword=x"}', "json", REDACT)["body"] == "mypassword=x"
