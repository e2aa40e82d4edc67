"""A file that is followed loses and doubles nothing, whatever happens to its name."""

from __future__ import annotations

import gzip
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from tests.files.reading import Reading, folder_of_nobody, jsonl

from clew.collectors.errors import SourceUnavailable
from clew.collectors.files import FilesCollector, Pace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACE = Pace(poll=0.01, rescan=0.05, latency=0.02, idle=0.3, grace=0.3, beat=0.5)
SOON = 20.0


class Following(Reading):
    """Reads on in small steps, each until what is expected is there."""

    def start(self, *paths: Path) -> Following:
        self.collector = FilesCollector([str(path) for path in paths], format="json", follow=True, pace=PACE)
        self.given = self.collector.batches(dict(self.positions))
        return self

    def until(self, count: int) -> list[int]:
        """The IDs of the next ``count`` lines."""
        self.batches = []
        begun = time.monotonic()
        while len(self.lines) < count:
            assert time.monotonic() - begun < SOON
            self.take(next(self.given))
        return self.ids


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(jsonl(0, 1, 2))
    return path


@pytest.fixture
def following() -> Iterator[Following]:
    reading = Following()
    yield reading
    reading.collector.close()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_what_is_appended_comes(log: Path, following: Following) -> None:
    following.start(log)
    assert following.until(3) == [0, 1, 2]
    append(log, jsonl(3)[:40])
    append(log, jsonl(3)[40:] + jsonl(4))
    assert following.until(2) == [3, 4]
    assert following.batches[0].watermark is not None
    assert not following.batches[0].watermark.exact
    following.collector.close()


def test_who_reads_a_followed_file_to_its_end_says_so_once(log: Path, following: Following) -> None:
    following.start(log)
    following.until(3)
    following.collector.close()
    reading = Reading(following.positions).read(log)
    assert [(batch.raw, batch.watermark, batch.more) for batch in reading.batches] == [(None, None, False)]
    assert Reading(reading.positions).read(log).batches == []


def test_a_followed_file_that_does_not_grow_is_said_to_have_been_read_so_far(
    log: Path, following: Following
) -> None:
    following.start(log)
    following.until(3)
    first = following.batches[-1]
    beat = next(following.given)
    assert first.watermark is not None
    assert beat.watermark is not None
    assert (beat.raw, beat.position, beat.more) == (None, first.position, False)
    assert beat.watermark.time_us > first.watermark.time_us


def test_half_a_line_waits_for_its_end(log: Path, following: Following) -> None:
    following.start(log)
    following.until(3)
    append(log, jsonl(3)[:40])
    time.sleep(2 * PACE.idle)
    append(log, jsonl(3)[40:])
    assert following.until(1) == [3]
    assert following.rejects == []


def test_a_whole_line_without_end_comes_when_nothing_follows(log: Path, following: Following) -> None:
    following.start(log)
    following.until(3)
    append(log, jsonl(3)[:-1])
    assert following.until(1) == [3]
    append(log, b"\n" + jsonl(4))
    assert following.until(1) == [4]
    assert following.rejects == []


def test_a_renamed_file_is_read_to_its_end_and_the_new_one_too(log: Path, following: Following) -> None:
    following.start(log.parent)
    following.until(3)
    for turn in range(1, 4):
        old = log.with_name(f"app.log.{turn}")
        log.rename(old)
        append(old, jsonl(10 * turn))
        log.write_bytes(jsonl(10 * turn + 1))
        assert sorted(following.until(2)) == [10 * turn, 10 * turn + 1]
    following.collector.close()
    assert Reading(following.positions).read(log.parent).lines == []


def test_a_file_that_is_moved_out_of_sight_is_still_read_to_its_end(log: Path, following: Following) -> None:
    following.start(log)
    following.until(3)
    old = log.with_name("gone")
    log.rename(old)
    append(old, jsonl(3))
    assert following.until(1) == [3]
    log.write_bytes(jsonl(4))
    assert following.until(1) == [4]


def test_a_copied_and_truncated_file_starts_anew_and_its_copy_is_not_read_again(
    log: Path, following: Following
) -> None:
    following.start(log.parent)
    following.until(3)
    shutil.copy(log, log.with_name("app.log.1"))
    append(log.with_name("app.log.1"), jsonl(3))
    log.write_bytes(b"")
    append(log, jsonl(4))
    assert sorted(following.until(2)) == [3, 4]
    append(log, jsonl(5))
    assert following.until(1) == [5]
    following.collector.close()
    assert Reading(following.positions).read(log.parent).lines == []


def test_a_rewritten_file_that_is_longer_is_noticed(log: Path, following: Following) -> None:
    following.start(log)
    following.until(3)
    log.write_bytes(jsonl(*range(10, 20)))
    assert following.until(10) == list(range(10, 20))


def test_files_that_appear_are_read(log: Path, following: Following) -> None:
    following.start(log.parent, log.parent / "later" / "*.log")
    following.until(3)
    log.with_name("b.log").write_bytes(jsonl(4))
    log.with_name("c.gz").write_bytes(gzip.compress(jsonl(5)))
    (log.parent / "later").mkdir()
    (log.parent / "later" / "d.log").write_bytes(jsonl(6))
    assert sorted(following.until(3)) == [4, 5, 6]


def test_a_packed_file_that_is_still_being_written_is_read_once(log: Path, following: Following) -> None:
    packed = gzip.compress(jsonl(*range(100, 400)))
    file = log.with_name("b.gz")
    file.touch()
    following.start(log.parent)
    following.until(3)
    for part in (packed[:5], packed[5 : len(packed) // 2], packed[len(packed) // 2 :]):
        append(file, part)
        time.sleep(2 * PACE.rescan)
    assert following.until(300) == list(range(100, 400))
    assert following.rejects == []


def test_an_empty_file_is_waited_for(tmp_path: Path, following: Following) -> None:
    file = tmp_path / "a.log"
    file.touch()
    following.start(file)
    following.take(next(following.given))
    assert following.sources == [str(file)]
    append(file, jsonl(1))
    assert following.until(1) == [1]


def test_when_nothing_can_be_read_at_the_start_it_says_so(tmp_path: Path, following: Following) -> None:
    following.start(tmp_path / "none")
    with pytest.raises(SourceUnavailable, match="none: No such file"):
        next(following.given)


def test_what_may_not_be_read_is_told_while_the_rest_is_followed(following: Following) -> None:
    with folder_of_nobody() as folder:
        (folder / "a.log").write_bytes(jsonl(0, 1))
        following.start(folder)
        assert following.until(2) == [0, 1]
        (folder / "b.log").touch(0)
        following.take(next(following.given))
        assert [(r.reason, following.sources[-1]) for r in following.rejects] == [
            ("Permission denied", str(folder / "b.log"))
        ]
        (folder / "b.log").chmod(0o600)
        (folder / "b.log").write_bytes(jsonl(2))
        assert following.until(1) == [2]
        following.collector.close()
