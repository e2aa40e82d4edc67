"""Never a traceback; every way to end has its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from clew.cli import main as program

Run = Callable[..., "CompletedProcess[str]"]


def test_a_bare_call_shows_the_help_as_wrong_use(run: Run) -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: clew [OPTIONS] COMMAND")


def test_an_unknown_command_names_those_that_are_near(run: Run) -> None:
    done = run("flowz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: No command 'flowz'. Did you mean flows?\nhelp: clew --help\n"


def test_a_wrong_option_points_to_the_help_of_its_command(run: Run) -> None:
    done = run("flows", "--sort", "beauty")
    assert done.returncode == 2
    assert done.stderr.startswith("error: Invalid value for '--sort'")
    assert done.stderr.endswith("help: clew flows --help\n")


@pytest.mark.parametrize("command", [["flows"], ["stuck"], ["show", "x"], ["sources"], ["keys"], ["rebuild"]])
def test_without_a_store_a_command_says_how_to_make_one(run: Run, command: list[str], tmp_path: Path) -> None:
    done = run(*command)
    assert (done.returncode, done.stdout) == (4, "")
    assert "there is no store" in done.stderr
    assert "clew ingest" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["flows", "sources", "keys", "rebuild"])
def test_what_is_no_store_is_refused_in_words(run: Run, command: str, tmp_path: Path) -> None:
    (tmp_path / "clew.duckdb").write_bytes(b"this is a poem\n" * 1000)
    done = run(command)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "clew.duckdb").read_bytes() == b"this is a poem\n" * 1000


def test_an_unforeseen_error_is_one_message_and_with_debug_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("nobody saw this coming")

    monkeypatch.setattr(program.clew, "make_context", broken)
    assert program.main(["flows"]) == 70
    said = capsys.readouterr().err
    assert "nobody saw this coming" in said
    assert "CLEW_DEBUG=1" in said
    assert "Traceback" not in said
    monkeypatch.setenv("CLEW_DEBUG", "1")
    assert program.main(["flows"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program.clew, "make_context", interrupted)
    assert program.main(["flows"]) == 130
    assert capsys.readouterr().err.strip().startswith("clew: interrupted")


@pytest.mark.parametrize("color", ["never", "always"])
def test_a_reader_that_goes_away_ends_the_command_quietly(color: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "clew.cli.main", "formats", "--color", color],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["formats"], ["formats", "--json"]])
def test_output_that_cannot_be_written_is_told_in_one_message(arguments: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "clew.cli.main", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (4, b"error: No space left on device\n")


def test_a_real_ctrl_c_while_waiting_for_input_ends_ingest_with_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "clew.cli.main", "ingest", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdin is not None
    process.stdin.write(b'{"time":"2026-01-31T12:00:00Z","message":"hello","correlation_id":"c-1"}\n')
    process.stdin.flush()
    _until((tmp_path / "clew.duckdb").exists)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in said


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, "waited for a minute"
        time.sleep(0.05)


def test_following_reads_what_is_added_until_ctrl_c_and_is_fine(tmp_path: Path, run: Run) -> None:
    log = tmp_path / "app.log"
    line = '{{"time":"2026-01-31T12:00:0{0}Z","message":"hello","correlation_id":"c-{0}"}}\n'
    log.write_text(line.format(1), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "clew.cli.main", "ingest", "--follow", "app.log", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    _until(lambda: run("flows", "--json").stdout.count("c-1") == 1)
    with log.open("a", encoding="utf-8") as more:
        more.write(line.format(2))
    _until(lambda: run("flows", "--json").stdout.count("c-2") == 1)
    process.send_signal(signal.SIGINT)
    told, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, b"")
    assert json.loads(told)["records"] == 2
    assert json.loads(told)["stopped_by"] == "SIGINT"
