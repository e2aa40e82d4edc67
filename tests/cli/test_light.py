"""Light commands stay light: what a command imports is what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHOW_MODULES = """
import json, sys
from clew.cli.main import main
try:
    main(json.loads(sys.argv[1]))
except SystemExit:
    pass
print("\\n" + json.dumps(sorted(sys.modules)))
"""


def modules_of(*arguments: str, cwd: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW_MODULES, json.dumps(arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=60,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


HEAVY = {"duckdb", "pyarrow", "numpy", "yaml", "rich", "opentelemetry", "zstandard", "tomllib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        [],
        ["nonsense"],
        ["flows", "--help"],
        ["ingest", "--help"],
        ["compare", "--help"],
        ["collect", "kafka", "--help"],
    ],
)
def test_help_and_version_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert (
        modules_of(*arguments, cwd=tmp_path) & (HEAVY - {"rich"} if arguments == ["nonsense"] else HEAVY)
        == set()
    )


def test_the_list_of_commands_imports_no_command(tmp_path: Path) -> None:
    modules = modules_of("--help", cwd=tmp_path)
    assert [name for name in modules if name.startswith("clew.cli.commands.")] == []
    assert [
        name for name in modules if name.startswith(("clew.reconstruct", "clew.collectors", "clew.tracer"))
    ] == []


@pytest.mark.parametrize("command", ["flows", "stuck", "sources", "keys", "types"])
def test_commands_that_ask_import_neither_arrow_nor_numpy_nor_yaml(command: str, tmp_path: Path) -> None:
    make_store(tmp_path)
    modules = modules_of(command, cwd=tmp_path)
    assert modules & {"pyarrow", "numpy", "yaml", "opentelemetry", "rich.console", "zstandard"} == set()
    assert "duckdb" in modules


def test_show_imports_neither_arrow_nor_numpy_nor_yaml_nor_a_console(tmp_path: Path) -> None:
    make_store(tmp_path)
    modules = modules_of("show", "o-1", cwd=tmp_path)
    assert modules & {"pyarrow", "numpy", "yaml", "opentelemetry", "rich.console", "zstandard"} == set()
    assert "clew.cli.flow_view" in modules
    others = ("clew.reconstruct.learn", "clew.reconstruct.reports", "clew.reconstruct.duckdb.models")
    assert [name for name in modules if name.startswith(others)] == []


def test_why_imports_neither_arrow_nor_numpy_nor_yaml_nor_a_console(tmp_path: Path) -> None:
    make_store(tmp_path)
    modules = modules_of("why", "o-1", cwd=tmp_path)
    assert modules & {"pyarrow", "numpy", "yaml", "opentelemetry", "rich.console", "zstandard"} == set()
    assert "clew.cli.why_view" in modules


def make_store(folder: Path) -> None:
    log = folder / "app.log"
    log.write_text(
        '{"time":"2026-01-31T12:00:00Z","level":"info","service":"order","message":"placed",'
        '"event_name":"OrderPlaced","event_id":"e-1","correlation_id":"o-1"}\n',
        encoding="utf-8",
    )
    subprocess.run(
        [sys.executable, "-m", "clew.cli.main", "ingest", "app.log"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
