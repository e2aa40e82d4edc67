"""A file is what it holds: grown, renamed, packed, truncated or replaced, nothing is read twice."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
from typing import TYPE_CHECKING

import pytest
import zstandard
from tests.files.reading import Reading, jsonl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKERS = [gzip.compress, zstandard.compress, bz2.compress, lzma.compress]
OLD, NEW = jsonl(*range(20)), jsonl(*range(20, 30))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(OLD)
    return path


def test_a_grown_file_adds_its_new_lines_with_their_numbers(log: Path) -> None:
    reading = Reading().read(log)
    assert reading.ids == list(range(20))
    assert reading.batches[0].first
    log.write_bytes(OLD + NEW)
    reading.read(log)
    assert reading.ids == list(range(20, 30))
    assert reading.numbers == list(range(21, 31))
    assert reading.sources == [str(log)]
    assert not reading.batches[0].first


def test_an_unchanged_file_costs_its_ends_only(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_bytes(jsonl(*range(5000)))
    reading = Reading().read(log)
    read = []
    pread = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        read.append(size)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    assert reading.read(log).batches == []
    assert sum(read) < 20_000


@pytest.mark.parametrize("rotated", ["app.log.1", "archive/old.txt", "app.log.1.gz"])
def test_a_rotated_file_goes_on_where_it_was_and_the_new_one_starts(log: Path, rotated: str) -> None:
    reading = Reading().read(log.parent)
    target = log.parent / rotated
    target.parent.mkdir(exist_ok=True)
    late = OLD + jsonl(20, 21)
    target.write_bytes(gzip.compress(late) if rotated.endswith("gz") else late)
    log.write_bytes(jsonl(22, 23))
    reading.read(log.parent)
    assert sorted(reading.ids) == [20, 21, 22, 23]
    assert len(set(reading.sources)) == 2
    assert str(log) in reading.sources
    assert reading.read(log.parent).batches == []


def test_rotation_again_and_again_uses_the_names_again_that_are_free(log: Path) -> None:
    reading = Reading().read(log.parent)
    for turn in range(1, 6):
        if turn > 1:
            log.with_suffix(".log.1").replace(log.with_suffix(".log.2"))
        log.rename(log.with_suffix(".log.1"))
        log.write_bytes(jsonl(*range(100 * turn, 100 * turn + 20)))
        reading.read(log.parent)
        assert reading.ids == list(range(100 * turn, 100 * turn + 20))
        assert all(batch.first for batch in reading.batches)
    assert len(reading.positions) <= 4


@pytest.mark.parametrize("pack", PACKERS)
def test_a_packed_file_is_told_by_its_bytes_and_not_read_after_its_original(
    log: Path, pack: Callable[[bytes], bytes]
) -> None:
    packed = log.with_name("no-suffix")
    packed.write_bytes(pack(OLD))
    reading = Reading().read(packed)
    assert reading.ids == list(range(20))
    assert reading.batches[-1].bytes == packed.stat().st_size == reading.batches[-1].total_bytes
    assert reading.read(packed).batches == []
    assert reading.read(log).batches == []


@pytest.mark.parametrize("pack", PACKERS)
def test_members_and_frames_follow_one_another(log: Path, pack: Callable[[bytes], bytes]) -> None:
    log.write_bytes(pack(OLD[:1000]) + pack(b"") + pack(OLD[1000:]))
    reading = Reading().read(log, batch_bytes=500)
    assert reading.ids == list(range(20))
    log.write_bytes(log.read_bytes() + pack(NEW))
    assert reading.read(log).ids == list(range(20, 30))
    assert reading.read(log).batches == []


def test_a_copy_is_not_read_while_the_original_is_there(log: Path) -> None:
    reading = Reading().read(log)
    shutil.copy(log, log.with_name("copy.log"))
    assert reading.read(log.parent).batches == []
    assert Reading().read(log.parent).ids == list(range(20))


def test_a_truncated_and_rewritten_file_starts_anew(log: Path) -> None:
    reading = Reading().read(log)
    log.write_bytes(NEW)
    reading.read(log)
    assert reading.ids == list(range(20, 30))
    assert reading.numbers[0] == 1
    assert reading.sources == [str(log)]
    assert reading.batches[0].first


def test_a_rewritten_file_that_is_longer_and_begins_alike_starts_anew(log: Path) -> None:
    log.write_bytes(jsonl(*range(100)))
    reading = Reading().read(log)
    log.write_bytes(jsonl(*range(50), *range(200, 300)))
    reading.read(log)
    assert reading.ids == [*range(50), *range(200, 300)]
    assert reading.batches[0].first


def test_files_that_share_a_short_beginning_stay_apart(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"time,message\n")
    reading = Reading().read(tmp_path)
    for name in "abc":
        (tmp_path / name).write_bytes(b"time,message\n" + name.encode())
    reading.read(tmp_path)
    assert reading.lines == ["a", "b", "c"]
    assert [source[-1] for source in reading.sources] == ["a", "b", "c"]


def test_a_copy_that_goes_its_own_way_is_a_source_of_its_own(log: Path) -> None:
    reading = Reading().read(log)
    shutil.copy(log, log.with_name("copy.log"))
    log.with_name("copy.log").write_bytes(OLD + NEW)
    reading.read(log.parent)
    assert reading.ids == list(range(30))
    assert reading.sources == [str(log.with_name("copy.log"))]


def test_another_scope_reads_for_itself(log: Path) -> None:
    reading = Reading().read(log, scope="one")
    reading.read(log, scope="two")
    assert reading.ids == list(range(20))
    assert reading.sources == [f"{log}#2"]
    assert reading.batches[0].scope == "two"
    assert reading.read(log, scope="two").batches == reading.read(log, scope="one").batches == []


def test_an_empty_file_is_known_and_later_read(log: Path) -> None:
    log.write_bytes(b"")
    reading = Reading().read(log)
    assert reading.sources == [str(log)]
    assert reading.lines == []
    assert reading.read(log).batches == []
    log.write_bytes(OLD)
    assert reading.read(log).ids == list(range(20))
    assert list(reading.positions) == [str(log)]


def test_a_last_line_without_end_is_no_half_record_later(log: Path) -> None:
    log.write_bytes(OLD + NEW[:60])
    reading = Reading().read(log)
    assert reading.ids == list(range(20))
    assert [(r.position, r.reason) for r in reading.rejects] == [
        (21, "the input ends within this JSON value")
    ]
    assert reading.read(log).batches == []
    log.write_bytes(OLD + NEW)
    reading.read(log)
    assert reading.ids == list(range(20, 30))
    assert reading.rejects == []


def test_a_whole_last_line_without_end_counts_and_its_end_adds_nothing(log: Path) -> None:
    log.write_bytes((OLD + NEW)[:-1])
    reading = Reading().read(log)
    assert reading.ids == list(range(30))
    assert reading.read(log).batches == []
    log.write_bytes(OLD + NEW + jsonl(30))
    reading.read(log)
    assert (reading.ids, reading.numbers, reading.rejects) == ([30], [31], [])


def test_text_that_was_counted_without_end_is_not_doubled_when_it_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_bytes(b"one\ntwo is half")
    reading = Reading().read(file)
    assert reading.lines == ["one", "two is half"]
    file.write_bytes(b"one\ntwo is half done\nthree\n")
    reading.read(file)
    assert reading.lines == ["three"]
    assert reading.numbers == [3]
    assert [(r.position, r.raw) for r in reading.rejects] == [(2, b" done")]
    assert reading.read(file).batches == []


def test_an_array_that_was_rewritten_longer_adds_its_new_elements(tmp_path: Path) -> None:
    file = tmp_path / "spans.json"
    elements = jsonl(*range(8)).decode().splitlines()
    file.write_text("[\n" + ",\n".join(elements[:5]) + "\n]\n")
    reading = Reading().read(file, batch_bytes=300)
    assert reading.ids == [0, 1, 2, 3, 4]
    assert reading.numbers == [1, 2, 3, 4, 5]
    assert reading.read(file).batches == []
    file.write_text("[\n" + ",\n".join(elements) + "\n]\n")
    reading.read(file)
    assert (reading.ids, reading.numbers, reading.rejects) == ([5, 6, 7], [6, 7, 8], [])


def test_names_that_are_no_utf8_become_sources_all_the_same(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.log"
    with open(path, "wb") as file:  # noqa: PTH123  a name in bytes
        file.write(OLD)
    reading = Reading().read(tmp_path)
    assert reading.ids == list(range(20))
    assert reading.sources[0].encode().endswith(b"caf\\xe9.log")
    assert reading.read(tmp_path).batches == []
