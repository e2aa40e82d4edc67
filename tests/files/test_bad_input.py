"""Bad input is a clear message or a counted reject, and costs nothing else."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from tests.files.reading import Reading, jsonl

from clew.collectors.errors import UnknownFormat
from clew.collectors.files import FilesCollector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("cut", [300, 301, 333])
def test_of_a_truncated_gzip_what_came_out_is_kept_and_the_rest_told(tmp_path: Path, cut: int) -> None:
    lines = b"".join(jsonl(n).replace(b"xxx", os.urandom(20).hex().encode()) for n in range(200))
    packed = gzip.compress(lines)
    file = tmp_path / "a.gz"
    file.write_bytes(packed[: len(packed) * cut // 400])
    reading = Reading().read(file, tmp_path / "b.log")
    kept = reading.ids
    assert kept == list(range(len(kept)))
    assert 100 < len(kept) < 200
    (reject,) = reading.rejects
    assert reject.position == len(kept) + 1
    assert reject.reason == "the gzip data ends too early: it is cut off, or still being written"
    assert lines.split(b"\n")[len(kept)].startswith(reject.raw)
    assert reading.read(file).batches == []
    file.write_bytes(packed)
    reading.read(file)
    assert reading.ids == list(range(len(kept), 200))
    assert reading.rejects == []


def test_damaged_bytes_after_good_ones_are_one_reject(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(zstandard.compress(jsonl(1, 2)) + b"garbage")
    reading = Reading().read(file)
    assert reading.ids == [1, 2]
    assert [r.reason.split(":")[0] for r in reading.rejects] == ["the zstd data is damaged"]
    assert reading.read(file).batches == []


def test_a_binary_file_is_one_reject(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(os.urandom(50_000))
    (tmp_path / "b.log").write_bytes(jsonl(1))
    (tmp_path / "c.txt").write_bytes("text".encode("utf-16"))
    reading = Reading().read(tmp_path)
    assert reading.ids == [1]
    assert [r.reason for r in reading.rejects] == [
        "a binary file: it holds NUL bytes",
        "UTF-16 text: convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)",
    ]
    assert all(len(r.raw) <= 4096 for r in reading.rejects)
    assert reading.read(tmp_path).batches == []


def test_a_file_of_no_known_format_is_one_reject_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"lorem ipsum\ndolor sit\n" * 500)
    (tmp_path / "b.log").write_bytes(jsonl(1))
    reading = Reading().read(tmp_path, format=None)
    assert reading.ids == [1]
    (reject,) = reading.rejects
    assert "recognised" in reject.reason
    assert reading.read(tmp_path, format=None).batches == []
    assert len(reading.read(tmp_path, format="json").lines) == 1000


def test_a_format_that_is_none_is_said_before_anything_is_read(tmp_path: Path) -> None:
    collector = FilesCollector([str(tmp_path)], format="nonesuch")
    with pytest.raises(UnknownFormat, match="nonesuch"):
        next(collector.batches({}))
    collector.close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user who may not read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_what_may_not_be_read_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    Reading().read(tmp_path)  # Imports what it needs while everything may be read.
    with as_nobody(), tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        for name in ("locked", "open"):
            Path(folder, name).mkdir()
            Path(folder, name, "z.log").write_bytes(jsonl(1))
        Path(folder, "a.log").touch(0)
        Path(folder, "locked").chmod(0)
        reading = Reading().read(folder)
        Path(folder, "locked").chmod(0o700)
    assert reading.ids == [1]
    assert f"{folder}/locked: Permission denied" in reading.problem
    assert f"{folder}/a.log: Permission denied" in reading.problem


def test_what_is_not_there_is_named_after_the_others_were_read(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(jsonl(1))
    reading = Reading().read(tmp_path / "none", tmp_path / "a.log", tmp_path / "*.none")
    assert reading.ids == [1]
    assert f"{tmp_path}/none: No such file or directory" in reading.problem
    assert f"{tmp_path}/*.none: no file matches" in reading.problem


def test_nul_bytes_before_the_first_line_do_not_make_a_file_binary(tmp_path: Path) -> None:
    """A writer that does not append leaves them when its file is truncated."""
    file = tmp_path / "app.log"
    file.write_bytes(b"\0" * 100_000 + jsonl(1, 2, 3))
    reading = Reading().read(file)
    assert reading.ids == [2, 3]
    assert [(r.position, r.reason) for r in reading.rejects] == [(1, "holds NUL bytes")]


MEMORY = """
import resource, sys
from tests.files.reading import Reading
reading = Reading().read(sys.argv[1], batch_bytes=1 << 20, format=None)
print(len(reading.lines), [r.reason for r in reading.rejects], reading.numbers)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_a_line_of_100_mb_is_rejected_without_being_held(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "app.log"
    content = jsonl(1) + b'{"a": "' + b"x" * 100_000_000 + b'"}\n' + jsonl(2)
    file.write_bytes(pack(content))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(file)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    told, peak = done.stdout.splitlines()
    assert told == "2 ['a line of 100,000,009 bytes: more than 16,777,216'] [1, 3]"
    assert int(peak) < 400
