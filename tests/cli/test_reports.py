"""Reports over many flows as a person and a program get them: whole outputs at both widths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from clew.cli.look import Look, cells
from clew.cli.report_tables import percent

Run = Callable[..., "CompletedProcess[str]"]
Golden = Callable[[str, str], None]

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
DEFINITIONS = """
flows:
  order-fulfilment:
    start: OrderPlaced
    ends: {completed: [OrderCompleted], failed: [OrderRejected]}
"""
FLOWS = 80
HALF = FLOWS // 2
SPLIT = "2026-01-31T12:40:00Z"


def line(second: float, flow: int, service: str, operation: str | None, event: str, **more: Any) -> str:
    told = {
        "timestamp": (BEGIN + timedelta(minutes=flow, seconds=second)).isoformat().replace("+00:00", "Z"),
        "severity": "INFO",
        "service": service,
        "message": f"{event} of order {flow}",
        "correlation_id": f"order-{flow:03}",
        "event_type": event,
        "event_id": f"e-{flow}-{event}",
        "operation": operation,
        **more,
    }
    return json.dumps({name: value for name, value in told.items() if value is not None})


def orders() -> Iterator[str]:
    """Eighty orders, one a minute; from the fortieth on payment takes longer and a new error is seen."""
    for flow in range(FLOWS):
        late = flow >= HALF
        work = (3 if late else 1) + flow % 7 / 10
        failing = late and flow % 5 == 0
        yield line(0, flow, "order", "send", "OrderPlaced", schema_version="2" if late else "1")
        if failing:
            error = {"severity": "ERROR", "error.type": "card.Declined", "error.message": "no"}
            yield line(0.1, flow, "payment", "process", "OrderPlaced", **error)
        yield line(0.2, flow, "payment", "process", "OrderPlaced")
        ended = "OrderRejected" if flow % 10 == 0 else "OrderCompleted"
        yield line(0.2 + work, flow, "payment", "send", ended, causation_id=f"e-{flow}-OrderPlaced")
        yield line(0.3 + work, flow, "mail", "process", ended)
    yield line(0, 0, "odd\x1b[2J", None, "Odd\u202e\x1b[31mEvent", correlation_id="odd-1", event_id="odd")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, run_in: Callable[[Path], Run]) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    (folder / "definitions.yaml").write_text(DEFINITIONS, encoding="utf-8")
    lines = "\n".join(orders()) + "\n"
    done = run_in(folder)("ingest", "-", "--definitions", "definitions.yaml", stdin=lines)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture
def ask(shop: Path, run_in: Callable[[Path], Run]) -> Run:
    return run_in(shop)


COMMANDS = {
    "types": ["types"],
    "variants": ["variants", "order-fulfilment"],
    "steps": ["steps", "order-fulfilment"],
    "compare": ["compare", "--at", SPLIT],
}


@pytest.mark.parametrize("width", ["80", "200"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_report_prints_what_its_golden_file_says(name: str, width: str, ask: Run, golden: Golden) -> None:
    done = ask(*COMMANDS[name], COLUMNS=width)
    assert (done.returncode, done.stderr) == (0, "")
    golden(f"reports/{name}.{width}", done.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_json_of_a_report_is_what_its_golden_file_says(name: str, ask: Run, golden: Golden) -> None:
    done = ask(*COMMANDS[name], "--json", COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    for told in map(json.loads, done.stdout.splitlines()):
        assert told["schema"] == 1
    golden(f"reports/{name}.json", done.stdout)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", ["40", "57", "80", "101", "133", "200"])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_of_a_report_is_wider_than_the_terminal(
    name: str, width: str, encoding: str, ask: Run
) -> None:
    more = ["--all"] if name == "compare" else []
    done = ask(*COMMANDS[name], *more, COLUMNS=width, PYTHONIOENCODING=encoding)
    assert [one for one in done.stdout.splitlines() if cells(one) > int(width)] == []


@pytest.mark.parametrize("command", ["types", "variants", "steps"])
def test_text_from_outside_is_shown_and_never_obeyed(command: str, ask: Run) -> None:
    name = "Odd\u202e\x1b[31mEvent"
    done = ask(command, *(["--type"] if command == "types" else []), name, COLUMNS="120")
    assert done.returncode == 0
    assert "Odd\\u202e␛[31mEvent" in done.stdout
    assert "\x1b" not in done.stdout
    raw = ask(command, *(["--type"] if command == "types" else []), name, "--json")
    assert "\x1b" not in raw.stdout
    assert json.loads(raw.stdout)["type"] == name


@pytest.mark.parametrize(
    "arguments",
    [
        ["variants", "order-fulfillment"],
        ["steps", "ORDER-fulfilment"],
        ["types", "--type", "orderfulfilment"],
        ["compare", "--at", SPLIT, "--type", "order_fulfilment"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_type_that_is_not_there_ends_with_3_and_the_nearest_one(arguments: list[str], ask: Run) -> None:
    done = ask(*arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert "did you mean order-fulfilment?" in done.stderr


def test_a_type_like_no_other_ends_with_3_and_says_where_types_are_listed(ask: Run) -> None:
    done = ask("steps", "zzz")
    assert done.returncode == 3
    assert "clew types lists" in done.stderr


def test_conditions_narrow_a_report(ask: Run) -> None:
    def flows(*arguments: str) -> list[int]:
        return [json.loads(one)["flows"] for one in ask("types", "--json", *arguments).stdout.splitlines()]

    assert flows() == [80, 1]
    assert flows("--type", "order-fulfilment", "--since", SPLIT) == [40]
    assert flows("--until", SPLIT, "--service", "payment") == [40]
    assert flows("--since", "5m") == [6]
    assert flows("--as-of", "2026-01-31T12:09:30Z", "--service", "mail") == [10]
    assert flows("--scope", "elsewhere") == []
    assert "no flow matches" in ask("types", "--scope", "elsewhere").stdout


def test_limit_cuts_the_list_and_says_what_is_left(ask: Run) -> None:
    done = ask("variants", "order-fulfilment", "--limit", "1")
    assert "4 variants of 80 flows; --limit 0 lists the other 3" in done.stdout
    assert ask("variants", "order-fulfilment", "--limit", "1", "--json").stdout.count("\n") == 1
    done = ask("steps", "order-fulfilment", "--limit", "2")
    assert "2 of 6 steps; --limit 0 lists all" in done.stdout
    done = ask("compare", "--at", SPLIT, "--all", "--limit", "3", "--json")
    assert done.stdout.count("\n") == 3


def test_compare_takes_two_windows_relative_to_as_of(ask: Run) -> None:
    done = ask("compare", "--before", "80m..70m", "--after", "10m..", COLUMNS="100")
    assert done.returncode == 0
    assert done.stdout.startswith("11 flows before, 10 after\n")
    assert "fewer than 30 flows in a window" in done.stdout


def test_compare_fails_on_a_significant_change_only_where_asked_to(ask: Run) -> None:
    assert ask("compare", "--at", SPLIT).returncode == 0
    assert ask("compare", "--at", SPLIT, "--exit-code").returncode == 1
    alike = [
        "compare",
        "--before",
        "..2026-01-31T12:20",
        "--after",
        f"2026-01-31T12:20..{SPLIT}",
        "--exit-code",
    ]
    assert ask(*alike).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--before", "2h..1h"],
        ["--after", "2h..1h"],
        ["--at", "1h", "--before", "2h..1h"],
        ["--before", "..", "--after", "1h.."],
        ["--before", "yesterday", "--after", "1h.."],
        ["--before", "soon..1h", "--after", "1h.."],
        ["--before", "..1h", "--after", "2h.."],
    ],
    ids=" ".join,
)
def test_windows_that_are_not_two_are_wrong_use(arguments: list[str], ask: Run) -> None:
    done = ask("compare", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_a_window_without_flows_is_said_to_be_empty(ask: Run) -> None:
    done = ask("compare", "--at", "2020-01-01")
    assert done.returncode == 0
    assert "no flow before: nothing to compare" in done.stdout


def test_a_store_without_flows_has_no_types(run: Run) -> None:
    run("ingest", "-", stdin="")
    assert run("types").returncode == 0
    done = run("steps", "any")
    assert done.returncode == 3
    assert "clew ingest" in done.stderr


def test_a_pipe_gets_no_colour_and_colour_says_nothing_of_its_own(ask: Run) -> None:
    plain = ask("steps", "order-fulfilment").stdout
    colored = ask("steps", "order-fulfilment", "--color", "always").stdout
    assert "\x1b[" not in plain
    assert "\x1b[" in colored


@pytest.mark.parametrize(
    ("share", "shown"),
    [(None, ""), (0.0, "0%"), (1.0, "100%"), (0.9999, ">99.9%"), (0.0001, "<0.1%"), (0.5, "50.0%")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float | None, shown: str) -> None:
    assert percent(share) == shown
    assert cells(shown) < Look().width
