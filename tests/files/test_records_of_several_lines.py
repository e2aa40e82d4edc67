"""A record of several lines is in one batch whole, wherever reading pauses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.files.reading import Reading, lines

from clew.collectors.files import FilesCollector, Pace

if TYPE_CHECKING:
    from pathlib import Path

EVENT = """2026-03-01 12:00:{second:02},000 ERROR [main] c.e.Orders - could not place order {second}
java.lang.IllegalStateException: no stock
\tat c.e.Orders.place(Orders.java:{second})
\tat c.e.Orders.main(Orders.java:7)
"""
TEXT = "".join(EVENT.format(second=second) for second in range(20))
PACE = Pace(poll=0.01, rescan=0.05, latency=0.02, idle=1.0, grace=1.0)


def starts_whole(batch_lines: list[str]) -> bool:
    return batch_lines[0].startswith("2026-") and len(batch_lines) % 4 == 0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(("size", "rows"), [(100, 1000), (700, 1000), (1 << 20, 3), (1 << 20, 7)])
def test_no_batch_ends_within_a_record(log: Path, size: int, rows: int) -> None:
    reading = Reading().read(log, format="text", batch_bytes=size, batch_rows=rows)
    assert reading.lines == TEXT.splitlines()
    assert reading.numbers == list(range(1, 81))
    assert len(reading.batches) > 1
    assert all(starts_whole(lines(batch)) for batch in reading.batches)


def test_no_position_lies_within_a_record(log: Path) -> None:
    whole = Reading().read(log, format="text", batch_bytes=700)
    for count in range(len(whole.batches)):
        again = Reading()
        for batch in whole.batches[:count]:
            again.take(batch)
        done = again.lines
        again.read(log, format="text", batch_bytes=500)
        assert done + again.lines == TEXT.splitlines()
        assert all(starts_whole(lines(batch)) for batch in again.batches)


def test_a_record_that_never_ends_does_not_fill_the_memory(log: Path) -> None:
    log.write_text(TEXT + "\tat somewhere\n" * 1000)
    reading = Reading().read(log, format="text", batch_bytes=1000, line_bytes=3000)
    assert reading.lines == (TEXT + "\tat somewhere\n" * 1000).splitlines()
    assert max(batch.bytes for batch in reading.batches) < 8000


def test_the_last_record_of_a_followed_file_waits_for_its_lines(log: Path) -> None:
    collector = FilesCollector([os.fspath(log)], format="text", follow=True, pace=PACE)
    given = collector.batches({})
    assert len(lines(next(given))) == 76
    last = EVENT.format(second=20).splitlines(keepends=True)
    with log.open("a") as file:
        file.writelines(last[:2])
    assert len(lines(next(given))) == 4
    with log.open("a") as file:
        file.writelines(last[2:])
    assert "".join(f"{line}\n" for line in lines(next(given))) == "".join(last)
    collector.close()
