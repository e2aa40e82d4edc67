"""Lines that begin with a time, as loggers and servers write them unless told otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from clew.collectors.formats import Settings, recognise
from clew.collectors.formats.checking import explained

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"

LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "log4j": (
        "2026-03-01 12:00:00,123 INFO  [main] c.e.Orders - placed",
        {"severity": "INFO", "body": "placed", "attributes": {"context": "main", "logger": "c.e.Orders"}},
    ),
    "spring boot": (
        "2026-03-01T13:00:00.123+01:00  WARN 1 --- [nio-8080-exec-1] c.e.OrderController               : slow: 3 s",
        {
            "severity": "WARN",
            "body": "slow: 3 s",
            "attributes": {"pid": "1", "thread": "nio-8080-exec-1", "logger": "c.e.OrderController"},
        },
    ),
    "spring boot with tracing": (
        f"2026-03-01T12:00:00.123Z  INFO 1 --- [orders] [  nio-exec-1] [{TRACE}-{SPAN}] c.e.Orders : placed",
        {
            "severity": "INFO",
            "service": "orders",
            "trace_id": TRACE,
            "span_id": SPAN,
            "body": "placed",
            "attributes": {"pid": "1", "thread": "nio-exec-1", "logger": "c.e.Orders"},
        },
    ),
    "spring boot outside of a span": (
        f"2026-03-01T12:00:00.123Z  INFO 1 --- [orders] [main] [{' ' * 49}] c.e.Orders : up",
        {
            "severity": "INFO",
            "service": "orders",
            "body": "up",
            "attributes": {"pid": "1", "thread": "main", "logger": "c.e.Orders"},
        },
    ),
    "spring cloud sleuth": (
        f"2026-03-01 12:00:00.123  INFO [orders,{TRACE},{SPAN}] 1 --- [main] c.e.Orders : placed",
        {
            "severity": "INFO",
            "service": "orders",
            "trace_id": TRACE,
            "span_id": SPAN,
            "body": "placed",
            "attributes": {"pid": "1", "thread": "main", "logger": "c.e.Orders"},
        },
    ),
    "serilog": ("2026-03-01 13:00:00.123 +01:00 [WRN] slow", {"severity": "WARN", "body": "slow"}),
    "nlog": ("2026-03-01 12:00:00.1230|ERROR|shop down", {"severity": "ERROR", "body": "shop down"}),
    "elasticsearch": (
        "[2026-03-01T12:00:00,123][INFO ][o.e.n.Node] [node-1] started",
        {"severity": "INFO", "body": "[node-1] started", "attributes": {"context": "o.e.n.Node"}},
    ),
    "celery": (
        "[2026-03-01 12:00:00,123: WARNING/ForkPoolWorker-1] retry",
        {"severity": "WARN", "body": "retry", "attributes": {"process": "ForkPoolWorker-1"}},
    ),
    "env_logger": (
        "[2026-03-01T12:00:00.123Z INFO  shop::orders] placed",
        {"severity": "INFO", "body": "placed", "attributes": {"logger": "shop::orders"}},
    ),
    "monolog": (
        '[2026-03-01T12:00:00.123000+00:00] app.ERROR: declined {"order_id":"o-1"} []',
        {
            "severity": "ERROR",
            "body": 'declined {"order_id":"o-1"} []',
            "attributes": {"logger": "app"},
        },
    ),
    "rails": (
        "W, [2026-03-01T12:00:00.123000 #12]  WARN -- shop: slow",
        {"severity": "WARN", "body": "slow", "attributes": {"pid": "12", "logger": "shop"}},
    ),
    "the level first": ("[ERROR] 2026-03-01 12:00:00,123 declined", {"severity": "ERROR", "body": "declined"}),
    "the level first, bare": ("INFO: 2026-03-01T12:00:00.123Z placed", {"severity": "INFO", "body": "placed"}),
    "klog": (
        "E0301 12:00:00.123000       1 main.go:10] declined",
        {"severity": "ERROR", "body": "declined", "attributes": {"thread": "1", "caller": "main.go:10"}},
    ),
    "tomcat": (
        "01-Mar-2026 12:00:00.123 SEVERE [main] o.a.Catalina down",
        {"severity": "ERROR", "body": "o.a.Catalina down", "attributes": {"thread": "main"}},
    ),
    "log4j's DATE": (
        "01 Mar 2026 12:00:00,123 INFO placed",
        {"severity": "INFO", "body": "placed"},
    ),
    "rsyslog": (
        "2026-03-01T13:00:00.123000+01:00 host orders[12]: placed",
        {"service": "orders", "body": "placed", "attributes": {"host": "host", "pid": "12"}},
    ),
    "syslog, RFC 5424": (
        '<165>1 2026-03-01T12:00:00.123Z host orders 1 ID47 [x@1 iut="3"] placed',
        {
            "service": "orders",
            "severity": "INFO",
            "body": "placed",
            "attributes": {"priority": "165", "host": "host", "pid": "1", "msgid": "ID47", "structured": '[x@1 iut="3"]'},
        },
    ),
    "gunicorn": (
        "[2026-03-01 12:00:00.123 +0000] [1] [INFO] Listening",
        {"severity": "INFO", "body": "Listening", "attributes": {"thread": "1"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("logger", LINES)
def test_a_line_is_read_as_its_logger_means_it(logger: str) -> None:
    line, wanted = LINES[logger]
    made = recognise([line] * 2, settings=Settings(year=2026))
    found = explained(made, [line, line])
    assert made.format == "text"
    assert [one.record and {**one.record, "time": str(one.record["time"])} for one in found] == [
        {"kind": "log", "time": "2026-03-01 12:00:00.123000", **wanted}
    ] * 2


@pytest.mark.parametrize(
    ("priority", "severity"),
    [(0, "FATAL"), (11, "ERROR"), (12, "WARN"), (13, "INFO"), (14, "INFO"), (191, "DEBUG"), (999, "DEBUG")],
)
def test_the_priority_of_a_syslog_line_tells_its_severity(priority: int, severity: str) -> None:
    line = f"<{priority}>Mar  1 12:00:00 host orders[7]: placed"
    (found,) = explained(recognise([line], settings=Settings(year=2026)), [line])
    assert found.record is not None
    assert (found.record["severity"], str(found.record["time"])) == (severity, "2026-03-01 12:00:00")
