"""Bad input is a clear message or a counted reject, and costs nothing else."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import pytest
import zstandard
from tests.files.reading import Reading, folder_of_nobody, jsonl

from clew.collectors.errors import UnknownFormat
from clew.collectors.files import FilesCollector
from clew.collectors.files.inputs import open_input
from clew.collectors.files.reader import Limits, Reader
from clew.collectors.files.slabs import Slabs
from clew.collectors.files.sources import Resolved, Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clew.collectors.formats.plans import Plan

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


def nothing_fits(sample: Sequence[str]) -> Plan:
    raise UnknownFormat(f"nothing fits {sample[0]!r}", help="--format names one")


def test_a_file_of_no_known_format_is_one_reject_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"lorem ipsum\ndolor sit\n" * 500)
    positions: dict[str, str] = {}
    for expected in (1, 0):
        opened = open_input(str(tmp_path / "a.txt"), 0)
        resolved = Sources(positions, "").resolve(opened, now=True)
        assert isinstance(resolved, Resolved)
        reader = Reader(
            opened,
            resolved.stream,
            resolved.source,
            resolved.position,
            known=resolved.known,
            limits=Limits(1 << 20, 1000, 1 << 20, 1 << 20, 1.0),
            slabs=Slabs(1 << 20),
            recognise=nothing_fits,
            stop=Event(),
        )
        batches = list(reader.read(final=True))
        opened.close()
        assert len(batches) == expected
        for batch in batches:
            assert [r.reason for r in batch.rejects] == ["nothing fits 'lorem ipsum'; --format names one"]
            positions[batch.source] = batch.position
    reading = Reading(positions).read(tmp_path)
    assert len(reading.lines) == 1000


def test_a_format_that_is_none_is_said_before_anything_is_read(tmp_path: Path) -> None:
    collector = FilesCollector([str(tmp_path)], format="nonesuch")
    with pytest.raises(UnknownFormat, match="nonesuch"):
        next(collector.batches({}))
    collector.close()


def test_what_may_not_be_read_is_named_and_the_others_are_read() -> None:
    with folder_of_nobody() as folder:
        for name in ("locked", "open"):
            (folder / name).mkdir()
            (folder / name / "z.log").write_bytes(jsonl(1))
        (folder / "a.log").touch(0)
        (folder / "locked").chmod(0)
        reading = Reading().read(folder)
        (folder / "locked").chmod(0o700)
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
# Not ru_maxrss: that begins with what the forking test run had.
print(next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM')) >> 10)
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
