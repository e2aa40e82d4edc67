"""What a person names becomes files in a sensible order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import duckdb
import pytest

from clew.collectors.files.discover import discover

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in [
        "b10.log",
        "b2.log",
        "app.log",
        "app.log.1",
        "app.log.10.gz",
        "app.log.2.gz",
        "deep/er/x",
        ".git/y",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / ".hidden").touch()
    duckdb.connect(str(tmp_path / "clew.duckdb")).close()
    (tmp_path / "clew.duckdb.wal").touch()
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def names(folder: Path, *paths: str) -> list[str]:
    found = discover([str(folder / path) for path in paths])
    assert found.problems == []
    return [os.path.relpath(file, folder) for file in found.files]


def test_a_folder_is_all_its_files_but_the_hidden_and_the_store(folder: Path) -> None:
    assert names(folder, "") == [
        "app.log.10.gz",
        "app.log.2.gz",
        "app.log.1",
        "app.log",
        "b2.log",
        "b10.log",
        "deep/er/x",
    ]


def test_a_pattern_is_what_matches_it(folder: Path) -> None:
    assert names(folder, "b*.log") == ["b2.log", "b10.log"]
    assert names(folder, "**/x") == ["deep/er/x"]
    assert names(folder, "d*") == ["deep/er/x"]


def test_what_is_named_itself_is_taken_whatever_it_is(folder: Path) -> None:
    assert names(folder, ".hidden", "clew.duckdb", "pipe") == [".hidden", "clew.duckdb", "pipe"]
    (folder / "a[1].log").touch()
    assert names(folder, "a[1].log") == ["a[1].log"]


def test_a_file_of_two_names_is_taken_once(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "app.log")
    assert names(folder, "app.log", "link", "app.log", "app.*") == [
        "app.log",
        "app.log.10.gz",
        "app.log.2.gz",
        "app.log.1",
    ]


def test_a_relative_name_becomes_absolute_and_a_dash_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert discover(["-", "app.log", "-"]).files == ["-", str(folder / "app.log")]
