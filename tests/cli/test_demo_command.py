"""``clew demo`` runs, reports, and names commands that work as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, run_in: Callable[[Path], Run]) -> tuple[Path, str]:
    """The folder of a small demo, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = run_in(folder)("demo", "--flows", "40", "--faults", "0.5")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "running 40 flows of four workflows in clew-demo\n"
    return folder, done.stdout


def test_it_reports_what_was_put_together(ran: tuple[Path, str]) -> None:
    told = ran[1]
    assert re.search(r"^[\d,]+ log lines and [\d,]+ spans in \d+ files, written in ", told)
    assert " flows in all: " in told
    assert "stuck" in told
    assert "set by newest record" in told


def test_every_command_that_it_suggests_works(ran: tuple[Path, str], run_in: Callable[[Path], Run]) -> None:
    folder, told = ran
    commands = [shlex.split(line) for line in told.splitlines() if line.startswith("  clew ")]
    store = next(line.split("=")[1] for line in told.splitlines() if "export CLEW_STORE=" in line)
    assert len(commands) >= 5
    for command in commands:
        done = run_in(folder)(*command[1:], CLEW_STORE=store)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout != "", command


def test_a_second_demo_takes_the_place_of_the_first(
    ran: tuple[Path, str], run_in: Callable[[Path], Run]
) -> None:
    folder, _ = ran
    clew = run_in(folder)
    done = clew("demo", "again", "--flows", "4")
    assert done.returncode == 0
    done = clew("demo", "again", "--flows", "4", "--seed", "2")
    assert done.returncode == 0
    assert re.search(r"^[45] flows in all", done.stdout, re.MULTILINE)


def test_a_folder_that_no_demo_made_is_left_alone(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "clew-demo" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work", encoding="utf-8")
    done = run("demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "holds files that no demo wrote" in done.stderr
    assert [path.name for path in mine.parent.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clew-demo").write_text("", encoding="utf-8")
    done = run("demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no folder" in done.stderr
