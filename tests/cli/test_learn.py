"""``clew learn``: what it prints, what it changes, and how to go back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.cli.exits import Exit

Run = Callable[..., "subprocess.CompletedProcess[str]"]

WAY = ("Placed", "Paid", "Sent")
FEW = ("--support", "20", "--floor", "2s")


def _line(second: int, order: str, event: str) -> str:
    time = f"2026-03-02T{12 + second // 3600}:{second // 60 % 60:02}:{second % 60:02}Z"
    return json.dumps(
        {"time": time, "service": f"{event.lower()}-service", "event_type": event, "correlation_id": order}
    )


@pytest.fixture
def ask(tmp_path: Path, run: Run) -> Callable[..., str]:
    """A store of 40 orders, one that stopped and some of another type; asks ``clew`` and gives what it printed."""
    lines = [_line(nth * 10 + at, f"order-{nth}", event) for nth in range(40) for at, event in enumerate(WAY)]
    lines += [_line(500, "stopped", "Placed"), *(_line(3000, f"other-{nth}", "Opened") for nth in range(4))]
    (tmp_path / "app.jsonl").write_text("\n".join(lines) + "\n")

    def ask(*arguments: str, status: int = Exit.FINE) -> str:
        done = run(*arguments)
        assert done.returncode == status, done.stderr
        return done.stdout if status == Exit.FINE else done.stderr

    ask("ingest", "app.jsonl", "--no-progress")
    return ask


def _status(ask: Callable[..., str], flow: str) -> str:
    told: dict[str, Any] = json.loads(ask("show", flow, "--json").splitlines()[0])
    return str(told["status"])


def test_a_table_tells_what_was_learned_and_what_is_left_unsaid(ask: Callable[..., str]) -> None:
    assert ask("learn", *FEW).splitlines() == [
        "TYPE    FLOWS  LEARNED FROM  EXPLAINED  OWED  MAY COME  ENDS  LIMIT  NEW",
        "Placed     41            41      97.6%     2         0     1  6.00s  new",
        "",
        "nothing is said of these:",
        "  Opened: 4 settled flows; 20 are asked for",
        "",
        "model 1 is in use: flows are judged by it from now on",
        "next: clew learn --show, clew stuck",
    ]
    assert ask("learn", *FEW).splitlines()[1].endswith("  same")
    assert _status(ask, "stopped") == "stuck"


def test_a_dry_run_changes_nothing(ask: Callable[..., str]) -> None:
    assert "nothing is kept" in ask("learn", "--dry-run", *FEW)
    assert ask("learn", "--list") == "nothing was learned yet; clew learn does\n"
    assert _status(ask, "stopped") == "in_progress"


def test_a_model_is_shown_step_by_step(ask: Callable[..., str]) -> None:
    ask("learn", *FEW)
    shown = ask("learn", "--show", "--type", "Placed").splitlines()
    assert shown[2] == "Placed, begins with Placed: learned from 41 flows of 41"
    assert [line.split()[:2] for line in shown[4:6]] == [["Paid", "paid-service"], ["Sent", "sent-service"]]
    assert shown[6] == "ends completed with Sent (40 flows; nothing after it in 100%)"
    assert "says nothing of 'Nothing'" in ask("learn", "--show", "--type", "Nothing", status=Exit.NOT_FOUND)


def test_an_earlier_model_is_used_again(ask: Callable[..., str]) -> None:
    ask("learn", *FEW)
    ask("learn", "--support", "1000")
    assert _status(ask, "stopped") == "in_progress"
    assert ask("learn", "--use", "1") == "judged by model 1 from now on\n"
    assert _status(ask, "stopped") == "stuck"
    listed = [json.loads(line) for line in ask("learn", "--list", "--json").splitlines()]
    assert [(model["model"], model["in_use"], model["types"]) for model in listed] == [
        (2, False, []),
        (1, True, ["Placed"]),
    ]
    assert "there is no model 7" in ask("learn", "--use", "7", status=Exit.NOT_FOUND)
    assert ask("learn", "--use", "0") == "judged by no model from now on\n"
    assert "no model is in use" in ask("learn", "--show", status=Exit.NOT_FOUND)


def test_json_has_the_definition_as_its_file_would(ask: Callable[..., str], tmp_path: Path) -> None:
    told = json.loads(ask("learn", "--json", *FEW))
    (placed,) = [one for one in told["types"] if one["type"] == "Placed"]
    (tmp_path / "flows.yaml").write_text(placed["definition"])
    ask("rebuild", "--definitions", "flows.yaml")
    assert _status(ask, "stopped") == "stuck"
    assert (told["model"], told["kept"], placed["new"]) == (1, True, ["new"])
    assert [step["event"] for step in placed["steps"]] == ["Paid", "Sent"]


def test_what_cannot_be_asked_together_is_refused(ask: Callable[..., str]) -> None:
    assert "one at a time" in ask("learn", "--show", "--list", status=Exit.USAGE)
