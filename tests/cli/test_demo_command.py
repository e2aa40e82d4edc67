"""``clew demo`` runs, reports, and names commands that work as they stand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("broker", "told"),
    [
        (("kafka", "--bootstrap", "127.0.0.1:1"), "Kafka at 127.0.0.1:1 cannot be used"),
        (
            ("rabbitmq", "--url", "amqp://me:secret@127.0.0.1:1/"),
            "amqp://127.0.0.1:1/: it cannot be reached: Connection refused",
        ),
    ],
)
def test_a_broker_that_does_not_answer_is_told_with_what_to_do(
    run: Run, tmp_path: Path, broker: tuple[str, ...], told: str
) -> None:
    done = run("demo", "--live", *broker)
    said = " ".join(done.stderr.split())
    assert (done.returncode, done.stdout) == (4, "")
    assert told in said
    assert "clew starts none" in said
    assert "secret" not in said
    assert not (tmp_path / "clew-demo" / "clew.duckdb").exists()


@pytest.mark.parametrize(("broker", "module"), [("kafka", "confluent_kafka"), ("rabbitmq", "pika")])
def test_a_broker_whose_extra_is_missing_is_told_with_the_line_to_type(
    run: Run, monkeypatch: pytest.MonkeyPatch, broker: str, module: str
) -> None:
    for loaded in [name for name in sys.modules if name.startswith(("clew.cli.demo.live", module))]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    done = run("demo", "--live", broker)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"needs the module {module}, which is not installed" in done.stderr
    assert f"pip install 'clew[{broker}]'" in done.stderr


def test_a_command_beside_the_demo_ends_when_the_demo_is_gone(tmp_path: Path) -> None:
    words = ["receive", "--grpc", "none", "--http", "127.0.0.1:0", "--store", str(tmp_path / "s.duckdb")]
    with subprocess.Popen(
        [sys.executable, "-m", "clew.cli.child", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as beside:
        assert beside.stderr is not None
        assert "OTLP/HTTP" in beside.stderr.readline()
        # As the kernel closes it for a parent that was killed.
        out, _ = beside.communicate("", timeout=60)
    assert (beside.returncode, out) == (0, "0 records received in 0 requests\n")
