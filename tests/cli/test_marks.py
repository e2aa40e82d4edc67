"""--with lists flows that ended well and yet are not right, and clew types counts them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., "CompletedProcess[str]"]

DEFINITIONS = (
    "flows: {order: {start: Placed, steps: [{event: Mailed}], ends: {completed: Mailed}, limit: 10s}}\n"
)


def line(second: int, service: str, name: str, operation: str, order: str, **more: Any) -> str:
    fields = {"timestamp": f"2026-01-31T12:00:{second:02}Z", "severity": "INFO", "service": service}
    told = {"event_type": name, "operation": operation, "correlation_id": order}
    return json.dumps({**fields, "message": f"{operation} {name}", **told, **more})


def order(number: int, *, tries: int, seconds: int) -> list[str]:
    flow, event = f"order-{number}", f"p-{number}"
    lines = [line(0, "shop", "Placed", "send", flow, event_id=event)]
    for attempt in range(1, tries + 1):
        lines.append(line(attempt, "mail", "Placed", "process", flow, event_id=event, attempt=attempt))
        cause = {"event_id": f"m-{number}-{attempt}", "causation_id": event}
        lines.append(line(attempt + seconds, "mail", "Mailed", "send", flow, **cause))
    return lines


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, run_in: Callable[[Path], Run]) -> Run:
    folder = tmp_path_factory.mktemp("marks")
    (folder / "flows.yaml").write_text(DEFINITIONS, encoding="utf-8")
    lines = [
        *order(1, tries=1, seconds=1),
        *order(2, tries=2, seconds=0),
        *order(3, tries=1, seconds=30),
    ]
    done = run_in(folder)("ingest", "-", "--definitions", "flows.yaml", stdin="\n".join(lines) + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    return run_in(folder)


@pytest.mark.parametrize(
    ("marks", "listed"),
    [
        (["duplicates"], {"order-2"}),
        (["late"], {"order-3"}),
        (["late", "duplicates"], {"order-2", "order-3"}),
    ],
    ids=["duplicates", "late", "either"],
)
def test_flows_with_a_mark_are_listed(run: Run, marks: list[str], listed: set[str]) -> None:
    done = run("flows", "--json", *(word for mark in marks for word in ("--with", mark)))
    flows = [json.loads(text) for text in done.stdout.splitlines()]
    assert {flow["flow_id"] for flow in flows} == listed
    assert {flow["status"] for flow in flows} == {"completed"}


def test_types_counts_them(run: Run) -> None:
    (told,) = (json.loads(text) for text in run("types", "--json").stdout.splitlines())
    assert (told["flows"], told["late"], told["duplicates"]) == (3, 1, 1)
    heading, row, *_ = run("types", COLUMNS="160").stdout.splitlines()
    assert heading.split().count("DUPLICATES") == heading.split().count("LATE") == 1
    assert row.split()[:5] == ["order", "3", "100%", "3", "1"]


def test_what_cannot_be_asked_for_is_refused(run: Run) -> None:
    done = run("flows", "--with", "luck")
    assert done.returncode == 2
    assert "duplicates" in done.stderr
