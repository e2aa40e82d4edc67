"""A flag wins over the environment, that over clew.toml, that over the default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., "CompletedProcess[str]"]


def test_the_store_is_named_by_flag_then_variable_then_settings_then_default(
    run: Run, tmp_path: Path
) -> None:
    def named(*arguments: str, **environment: str) -> str:
        return run("flows", *arguments, COLUMNS="400", **environment).stderr.splitlines()[0]

    assert "clew.duckdb" in named()
    (tmp_path / "clew.toml").write_text('store = "from-settings.duckdb"\n', encoding="utf-8")
    assert "from-settings.duckdb" in named()
    assert "from-variable.duckdb" in named(CLEW_STORE="from-variable.duckdb")
    assert "from-flag.duckdb" in named("--store", "from-flag.duckdb", CLEW_STORE="from-variable.duckdb")


def test_settings_are_read_from_the_file_that_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[flows]\nstore = "mine.duckdb"\n', encoding="utf-8")
    assert "mine.duckdb" in run("flows", "--config", "mine.toml").stderr
    assert "mine.duckdb" in run("flows", CLEW_CONFIG="mine.toml").stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "store = \n",
            (
                "error: the settings are not TOML: Invalid value\n"
                "  --> clew.toml:1:9\n"
                "    1 | store =\n"
                "      |         ^\n"
            ),
        ),
        (
            "[flows]\nlimt = 5\n",
            (
                "error: clew flows has no option --limt\n"
                "  --> clew.toml:2\n"
                "    2 | limt = 5\n"
                "      | ^^^^\n"
                "help: did you mean limit?\n"
            ),
        ),
        (
            "[flow]\nlimit = 5\n",
            (
                "error: no command is called 'flow'\n"
                "  --> clew.toml:1\n"
                "    1 | [flow]\n"
                "      |  ^^^^\n"
                "help: did you mean flows?\n"
            ),
        ),
        (
            'zone = "UTC"\n',
            (
                "error: 'zone' is no setting that commands share\n"
                "  --> clew.toml:1\n"
                '    1 | zone = "UTC"\n'
                "      | ^^^^\n"
                "help: known are: store, scope, color\n"
            ),
        ),
    ],
)
def test_a_mistake_in_the_settings_is_shown_where_it_stands(
    run: Run, tmp_path: Path, settings: str, message: str
) -> None:
    (tmp_path / "clew.toml").write_text(settings, encoding="utf-8")
    done = run("flows")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_a_wrong_value_in_the_settings_is_wrong_use(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clew.toml").write_text('[flows]\nlimit = "many"\n', encoding="utf-8")
    done = run("flows")
    assert done.returncode == 2
    assert "--limit" in done.stderr
    assert "many" in done.stderr


def test_settings_that_are_named_and_absent_are_wrong_use(run: Run) -> None:
    done = run("flows", "--config", "absent.toml")
    assert (done.returncode, done.stderr) == (
        2,
        "error: cannot read the settings: No such file or directory\n  --> absent.toml\n",
    )


def test_help_works_whatever_the_settings_say(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clew.toml").write_text("nonsense", encoding="utf-8")
    done = run("flows", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--status" in done.stdout


def test_a_command_and_those_below_it_share_their_table(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clew.toml").write_text("[formats]\nlines = 1\njson = true\n", encoding="utf-8")
    (tmp_path / "in.jsonl").write_text('{"level": "info", "message": "a"}\n' * 3, encoding="utf-8")
    assert run("formats").stdout.startswith('{"schema":1,')
    assert run("formats", "test", "in.jsonl").stdout.count("\n") == 1
    (tmp_path / "clew.toml").write_text("[formats]\nline = 1\n", encoding="utf-8")
    done = run("formats", "test", "in.jsonl")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: clew formats has no option --line")
    assert done.stderr.splitlines()[-1] == "help: did you mean lines?"
