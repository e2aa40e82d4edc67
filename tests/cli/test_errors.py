"""An error says what, why, where with the text marked, and how to go on; the whole message is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.cli.errors import CommandError, NothingFound, UsageMistake, message, render
from clew.cli.exits import Exit
from clew.cli.look import Look
from clew.collectors.errors import FormatError, SourceUnavailable, UnknownFormat
from clew.reconstruct.errors import DefinitionError, StoreBusy, StoreFull, StoreMissing, StoreUnusable


def told(error: BaseException, width: int = 72, encoding: str = "utf-8") -> str:
    return "\n".join(line.plain for line in render(message(error), Look(width, encoding)))


def test_the_offending_text_is_marked_in_its_line(tmp_path: Path) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text("flows:\n  order:\n    limit: 5 minuts\n", encoding="utf-8")
    error = DefinitionError(
        "limit is no duration", file=str(file), line=3, column=12, text="5 minuts", help="write 90s or 5m"
    )
    assert told(error, 400) == (
        "error: limit is no duration\n"
        f"  --> {file}:3:12\n"
        "    3 |     limit: 5 minuts\n"
        "      |            ^^^^^^^^\n"
        "help: write 90s or 5m"
    )


def test_a_whole_line_given_as_text_is_marked_at_its_column() -> None:
    error = FormatError("unknown entry", file="(bundled)", line=7, column=3, text="  shpae: json")
    assert told(error) == (
        "error: unknown entry\n  --> (bundled):7:3\n    7 |   shpae: json\n      |   ^^^^^"
    )


def test_text_without_a_column_is_found_in_the_line(tmp_path: Path) -> None:
    file = tmp_path / "clew.toml"
    file.write_text("[ingest]\nzome = 'x'\n", encoding="utf-8")
    lines = told(UsageMistake("no such option", file=str(file), line=2, text="zome"), 400).splitlines()
    assert lines[2:] == ["    2 | zome = 'x'", "      | ^^^^"]


def test_a_mark_far_to_the_right_stays_on_the_screen() -> None:
    text = "x" * 300 + " HERE " + "y" * 300
    error = DefinitionError("wrong", file="f", line=1, column=302, text=text)
    shown, mark = told(error, 60).splitlines()[2:]
    assert len(shown) <= 60
    assert shown[mark.index("^") :].startswith("HERE")
    assert mark.count("^") == 4


def test_outside_text_in_an_error_is_made_visible() -> None:
    assert told(SourceUnavailable("cannot open \x1b[2Jevil\n.log")) == "error: cannot open ␛[2Jevil␊.log"
    assert told(SourceUnavailable("cannot open \x1b[2J注.log"), encoding="ascii") == (
        r"error: cannot open \x1b[2J\u6ce8.log"
    )


def test_long_messages_wrap_below_themselves() -> None:
    lines = told(CommandError("word " * 30, help="do " * 30), 60).splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].startswith("       word")
    assert any(line.startswith("      do") for line in lines)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NothingFound("x"), Exit.NOT_FOUND),
        (UsageMistake("x"), Exit.USAGE),
        (CommandError("x", status=Exit.REJECTS), Exit.REJECTS),
        (StoreMissing("x"), Exit.UNREACHABLE),
        (StoreBusy("x"), Exit.UNREACHABLE),
        (StoreUnusable("x"), Exit.UNREACHABLE),
        (StoreFull("x"), Exit.UNREACHABLE),
        (SourceUnavailable("x"), Exit.UNREACHABLE),
        (UnknownFormat("x"), Exit.USAGE),
        (DefinitionError("x", file="f"), Exit.USAGE),
        (FormatError("x", file="f"), Exit.USAGE),
        (PermissionError(13, "Permission denied", "secret.log"), Exit.UNREACHABLE),
        (MemoryError(), Exit.UNREACHABLE),
        (KeyError("x"), Exit.BUG),
    ],
)
def test_each_kind_of_error_has_its_exit_status(error: Exception, status: Exit) -> None:
    assert message(error).status is status


def test_an_unforeseen_error_says_how_to_report_it() -> None:
    assert told(KeyError("flow"), 200) == (
        "error: this is a bug in clew: KeyError: 'flow'\n"
        "help: please report it with the traceback: set CLEW_DEBUG=1 and run the same command again"
    )


def test_an_error_of_the_system_names_its_file() -> None:
    assert (
        told(PermissionError(13, "Permission denied", "secret.log")) == "error: Permission denied: secret.log"
    )
