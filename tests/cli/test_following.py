"""``clew wait`` and ``--follow``: what is committed while somebody looks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from clew.cli.exits import Exit

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SECONDS = 60
"""What a line is waited for, at most."""

DEFINITIONS = """
flows:
  order:
    start: Placed
    steps: [Paid]
    ends: {completed: Paid, failed: Refused}
    limit: 1m
"""


@pytest.fixture
def write(tmp_path: Path, process: Run) -> Callable[..., None]:
    """Adds lines to a log and ingests it: (second, name, order)..."""
    (tmp_path / "flows.yaml").write_text(DEFINITIONS)

    def add(*lines: tuple[int, str, str]) -> None:
        with (tmp_path / "app.jsonl").open("a") as log:
            for second, name, order in lines:
                time = f"2026-03-02T12:{second // 60:02}:{second % 60:02}Z"
                log.write(
                    json.dumps({"time": time, "service": "shop", "event_type": name, "correlation_id": order})
                    + "\n"
                )
        done = process("ingest", "app.jsonl", "--definitions", "flows.yaml", "--no-progress")
        assert done.returncode == Exit.FINE, done.stderr

    return add


@pytest.fixture
def following(tmp_path: Path) -> Callable[..., object]:
    """Runs a command that goes on, and gives its next lines."""

    @contextmanager
    def start(*arguments: str) -> Iterator[Callable[[], str]]:
        environment = os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "clew.cli.main", *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        watchdog = threading.Timer(SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            stdout: IO[str] = process.stdout
            yield lambda: stdout.readline().rstrip("\n")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
            assert (process.returncode, err) == (Exit.FINE, "")
        finally:
            watchdog.cancel()
            process.kill()
            process.communicate()

    return start


def test_wait_prints_the_flow_and_ends_when_it_has_the_status(
    write: Callable[..., None], process: Run
) -> None:
    write((0, "Placed", "o-1"), (1, "Paid", "o-1"), (2, "Placed", "o-2"))
    done = process("wait", "o-1")
    assert done.returncode == Exit.FINE
    assert "completed" in done.stdout
    assert "o-1" in done.stdout
    assert process("wait", "o-2", "--until", "in_progress", "--timeout", "0s").returncode == Exit.FINE
    told = json.loads(process("wait", "o-1", "--json").stdout)
    assert (told["flow_id"], told["status"]) == ("o-1", "completed")


def test_wait_looks_again_when_something_is_committed(write: Callable[..., None], process: Run) -> None:
    """Neither the store nor the flow is there when it begins."""

    def later() -> None:
        time.sleep(1)
        write((0, "Placed", "o-1"))
        write((1, "Paid", "o-1"))

    writing = threading.Thread(target=later)
    writing.start()
    done = process("wait", "o-1", "--timeout", f"{SECONDS}s", "--json")
    writing.join()
    assert done.returncode == Exit.FINE, done.stderr
    assert json.loads(done.stdout)["status"] == "completed"


def test_wait_ends_with_status_one_when_the_flow_ends_otherwise_or_the_time_is_over(
    write: Callable[..., None], process: Run
) -> None:
    write((0, "Placed", "o-1"), (1, "Refused", "o-1"), (2, "Placed", "o-2"))
    ended = process("wait", "o-1", "--timeout", "1h")
    assert ended.returncode == Exit.FOUND
    assert "ended otherwise" in ended.stderr
    assert "failed" in ended.stdout
    over = process("wait", "o-2", "--timeout", "0s")
    assert over.returncode == Exit.FOUND
    assert "the time is over" in over.stderr
    assert "in_progress" in over.stdout


def test_wait_for_what_never_comes_says_so(write: Callable[..., None], process: Run) -> None:
    missing = process("wait", "o-1", "--timeout", "0s")
    assert (missing.returncode, missing.stdout) == (Exit.NOT_FOUND, "")
    write((0, "Placed", "o-1"))
    other = process("wait", "o-9", "--timeout", "0s")
    assert other.returncode == Exit.NOT_FOUND
    assert "'o-9'" in other.stderr


def test_wait_for_an_id_of_several_flows_tells_them(write: Callable[..., None], process: Run) -> None:
    write((0, "Placed", "o-11"), (1, "Placed", "o-12"))
    several = process("wait", "o-1", "--timeout", "1h")
    assert (several.returncode, several.stdout) == (Exit.USAGE, "")
    assert "clew wait o-11" in several.stderr
    assert "clew wait o-12" in several.stderr


def test_flows_that_are_followed_are_listed_and_then_told_as_they_change(
    write: Callable[..., None], following: Callable[..., object]
) -> None:
    write((0, "Placed", "o-1"))
    with following("flows", "--follow") as line:  # type: ignore[attr-defined]
        listed = [line() for _ in range(5)]
        assert "o-1" in listed[1]
        write((10, "Placed", "o-2"))
        told = line()
        assert told.startswith("12:00:10 ")
        assert "in_progress" in told
        assert "o-2" in told
        write((70, "Paid", "o-2"))
        changed = [line(), line()]
        assert any("stuck" in one and "o-1" in one for one in changed)
        assert any("completed" in one and "o-2" in one for one in changed)


def test_stuck_that_is_followed_tells_when_a_flow_is_stuck_no_more(
    write: Callable[..., None], following: Callable[..., object]
) -> None:
    write((0, "Placed", "o-1"), (100, "Placed", "o-2"))
    with following("stuck", "--follow", "--json") as line:  # type: ignore[attr-defined]
        assert json.loads(line())["flow_id"] == "o-1"
        write((101, "Paid", "o-2"), (102, "Paid", "o-1"))
        told = json.loads(line())
        assert (told["flow_id"], told["status"]) == ("o-1", "completed")


def test_flows_that_a_changed_definition_judges_otherwise_are_told(
    write: Callable[..., None], following: Callable[..., object], process: Run, tmp_path: Path
) -> None:
    write((0, "Placed", "o-1"), (1, "Paid", "o-1"), (2, "Placed", "o-2"), (100, "Placed", "o-3"))
    with following("flows", "--follow", "--json") as line:  # type: ignore[attr-defined]
        listed = {flow["flow_id"]: flow["status"] for flow in (json.loads(line()) for _ in range(3))}
        assert listed == {"o-1": "completed", "o-2": "stuck", "o-3": "in_progress"}
        (tmp_path / "patient.yaml").write_text(DEFINITIONS.replace("1m", "1h"))
        done = process("rebuild", "--definitions", "patient.yaml")
        assert done.returncode == Exit.FINE, done.stderr
        told = json.loads(line())
        assert (told["flow_id"], told["status"]) == ("o-2", "in_progress")
        # Nothing is told of the others, so that what comes next is of what comes next.
        assert process("rebuild", "--definitions", "flows.yaml").returncode == Exit.FINE
        told = json.loads(line())
        assert (told["flow_id"], told["status"]) == ("o-2", "stuck")


def test_a_flow_that_is_shown_is_drawn_again_when_it_changes_and_not_when_others_do(
    write: Callable[..., None], following: Callable[..., object]
) -> None:
    write((0, "Placed", "o-1"))
    with following("show", "o-1", "--follow", "--json") as line:  # type: ignore[attr-defined]
        assert json.loads(line())["status"] == "in_progress"
        write((5, "Placed", "o-2"))
        write((6, "Paid", "o-1"))
        told = json.loads(line())
        assert (told["status"], told["records"]) == ("completed", 2)


def test_what_is_followed_is_of_now(write: Callable[..., None], run: Run) -> None:
    write((0, "Placed", "o-1"))
    for other in (["--as-of", "2026-03-02"], ["--inferred"]):
        done = run("show", "o-1", "--follow", *other)
        assert done.returncode == Exit.USAGE
        assert other[0] in done.stderr


@pytest.mark.parametrize(
    "other", [["--by", "cause"], ["--as-of", "2026-03-02"], ["--exit-code"], ["--fail-on", "stuck"]]
)
def test_following_refuses_what_it_cannot_go_with(run: Run, other: list[str]) -> None:
    done = run("flows", "--follow", *other)
    assert done.returncode == Exit.USAGE
    assert other[0] in done.stderr
