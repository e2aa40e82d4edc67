"""What is no store, or may not be touched, is refused in words and left as it was."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from tests.store.files import KILLED, LAYOUT, add, counts, elsewhere

from clew.reconstruct.duckdb.file import DuckFile
from clew.reconstruct.errors import StoreMissing, StoreUnusable


def _text(path: Path) -> None:
    path.write_text("a log line\n" * 5000)


def _empty(path: Path) -> None:
    path.touch()


def _folder(path: Path) -> None:
    path.mkdir()


def _sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE a (b)")
    connection.close()


def _other_duckdb(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE precious AS SELECT 1 AS n")


def _truncated(path: Path) -> None:
    file = DuckFile(path, layout=LAYOUT)
    add(file, 1, rows=100_000)
    file.close()
    os.truncate(path, 3 * 4096 + 100)


def _damaged(path: Path) -> None:
    file = DuckFile(path, layout=LAYOUT)
    add(file, 1)
    file.close()
    raw = bytearray(path.read_bytes())
    raw[4096 + 20] ^= 0xFF
    raw[8192 + 20] ^= 0xFF
    path.write_bytes(raw)


def _log_of_another(path: Path) -> None:
    other = path.with_name("other")
    for each in (path, other):
        assert elsewhere(KILLED, each).returncode == -signal.SIGKILL
    other.with_name("other.wal").replace(path.with_name(path.name + ".wal"))


@pytest.mark.parametrize(
    ("spoil", "message", "help"),
    [
        (_text, "is not a clew store", "Nothing in it was changed"),
        (_empty, "is not a clew store", "Nothing in it was changed"),
        (_folder, "it is a folder", "Name another file"),
        (_sqlite, "is not a clew store", "Nothing in it was changed"),
        (_other_duckdb, "a DuckDB database of something else", "Nothing in it was changed"),
        (_truncated, "is damaged", "ingest the same input again"),
        (_damaged, "is damaged", "ingest the same input again"),
        (_log_of_another, "its log .* does not fit", "moved away"),
    ],
)
@pytest.mark.parametrize("use", [counts, lambda file: add(file, 1)], ids=["read", "write"])
def test_what_is_no_store_is_refused_in_words_and_left_as_it_was(
    path: Path,
    opened: Callable[..., DuckFile],
    spoil: Callable[[Path], None],
    message: str,
    help: str,
    use: Callable[[DuckFile], object],
) -> None:
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreUnusable, match=message) as unusable:
        use(opened(create=spoil is not _empty))
    assert help in unusable.value.help
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without permission")
def test_without_permission_a_reader_reads_and_a_writer_is_told(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    """In a folder that admits no file, over the log of a killed writer."""
    elsewhere(KILLED, path)
    for each in path.parent.iterdir():
        if each.name.endswith((".lock", ".queue")):
            each.unlink()
        else:
            each.chmod(0o644 if each.is_file() else 0o755)
    readers = """
        os.chdir("/")
        os.setuid(65534)
        file = DuckFile(Path(sys.argv[1]), layout=LAYOUT)
        print(counts(file))
        try:
            add(file, 5)
        except StoreUnusable as error:
            print(error, "|", error.help)
        print(sorted(each.name for each in Path(sys.argv[1]).parent.iterdir()))
        """
    for parent in list(path.parents)[:5]:
        if parent.stat().st_uid == 0 and parent.name.startswith(("pytest", "popen", "test")):
            parent.chmod(0o755)
    before = sorted(each.name for each in path.parent.iterdir())
    done = elsewhere(readers, path)
    assert done.stderr == ""
    read, refused, names = done.stdout.splitlines()
    assert read == "{0: 1000, 1: 1000, 2: 1000}"
    assert "cannot be written: Permission denied" in refused
    assert "Get permission" in refused
    assert names == str(before)
    path.chmod(0o000)
    done = elsewhere(readers, path)
    assert "StoreUnusable" in done.stderr
    assert "Permission denied" in done.stderr
    path.chmod(0o600)
    assert counts(opened()) == {0: 1000, 1: 1000, 2: 1000}


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path, opened: Callable[..., DuckFile]) -> None:
    with pytest.raises(StoreUnusable, match="there is no folder"):
        add(opened(tmp_path / "none" / "store"), 1)
    with pytest.raises(StoreMissing):
        counts(opened(tmp_path / "none" / "store", create=False))
