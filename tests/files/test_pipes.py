"""Standard input and pipes: what comes is delivered soon, and once."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import threading
from typing import TYPE_CHECKING

import pytest
import zstandard
from tests.files.reading import Reading, ids, jsonl, lines

from clew.collectors.files import FilesCollector, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstandard.compress, bz2.compress]


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, io.FileIO]]:
    reading, writing = os.pipe()
    with io.FileIO(reading) as stdin, io.FileIO(writing, "w") as feed:
        yield stdin, feed


@pytest.mark.parametrize("pack", PACKERS)
def test_standard_input_is_read_to_its_end_packed_or_not(pack: Callable[[bytes], bytes]) -> None:
    reading = Reading()
    for _ in range(2):
        stdin = io.BytesIO(pack(jsonl(*range(50))))
        reading.read("-", stdin=stdin, batch_bytes=1000)
        assert reading.ids == list(range(50))
        assert reading.sources[0] == "stdin"
        assert [batch.first for batch in reading.batches] == [True] + [False] * (len(reading.batches) - 1)
        assert reading.batches[0].total_bytes is None


def test_what_came_is_delivered_before_the_pipe_ends(pipe: tuple[io.FileIO, io.FileIO]) -> None:
    stdin, feed = pipe
    collector = FilesCollector(["-"], format="json", stdin=stdin, pace=Pace(latency=0.05))
    feed.write(jsonl(1, 2) + jsonl(3)[:50])
    given = collector.batches({})
    first = next(given)
    assert ids(lines(first)) == [1, 2]
    feed.write(jsonl(3)[50:])
    second = next(given)
    assert ids(lines(second)) == [3]
    feed.close()
    assert list(given) == []
    collector.close()


def test_a_pipe_that_pauses_can_be_left(pipe: tuple[io.FileIO, io.FileIO]) -> None:
    stdin, feed = pipe
    collector = FilesCollector(["-"], format="json", stdin=stdin, pace=Pace(latency=0.05))
    feed.write(jsonl(1))
    next(collector.batches({}))
    collector.close()
    assert "clew-files" not in {thread.name for thread in threading.enumerate()}


def test_an_array_on_standard_input_gives_its_elements() -> None:
    text = b"[" + b",".join(jsonl(*range(30)).splitlines()) + b"]"
    assert Reading().read("-", stdin=io.BytesIO(text), batch_bytes=500).ids == list(range(30))


def test_empty_standard_input_is_a_source_without_records() -> None:
    reading = Reading().read("-", stdin=io.BytesIO(b""))
    assert reading.sources == ["stdin"]
    assert reading.lines == []


def test_a_named_pipe_is_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(jsonl(1, 2)))
    writer.start()
    reading = Reading().read(path)
    writer.join()
    assert reading.ids == [1, 2]
    assert reading.sources == [str(path)]
