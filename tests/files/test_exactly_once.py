"""Whatever befalls a log and its reader, every line written comes once."""

from __future__ import annotations

import gzip
import random
import shutil
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.files.reading import Reading, ids, jsonl, lines

from clew.collectors.files import FilesCollector, Pace

if TYPE_CHECKING:
    from pathlib import Path


class Service:
    """Writes numbered lines to ``app.log`` and rotates it in all the ways there are."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log = folder / "app.log"
        self.log.touch()
        self.written = 0
        self._half = b""

    def write(self) -> None:
        """Some lines, the last perhaps not yet whole."""
        count = self.chance.randrange(30)
        text = self._half + jsonl(*range(self.written, self.written + count))
        self.written += count
        cut = self.chance.choice([len(text), self.chance.randrange(len(text) + 1)])
        cut = max(cut, text.rfind(b"\n", 0, cut - 1) + 1)
        self._half = text[cut:]
        self._append(text[:cut])

    def end_line(self) -> None:
        """A log is only rotated between lines."""
        self._append(self._half)
        self._half = b""

    def rename(self) -> None:
        self.end_line()
        self._shift()
        self.log.rename(self.log.with_name("app.log.1"))
        self.log.touch()

    def copy_and_truncate(self) -> None:
        self.end_line()
        self._shift()
        shutil.copy(self.log, self.log.with_name("app.log.1"))
        self.log.write_bytes(b"")

    def pack(self) -> None:
        old = self.log.with_name("app.log.2")
        if old.exists():
            old.with_name("app.log.2.gz").write_bytes(gzip.compress(old.read_bytes()))
            old.unlink()

    def _append(self, text: bytes) -> None:
        with self.log.open("ab") as file:
            file.write(text)

    def _shift(self) -> None:
        for number in range(40, 0, -1):
            for suffix in ("", ".gz"):
                old = self.log.with_name(f"app.log.{number}{suffix}")
                if old.exists():
                    old.rename(self.log.with_name(f"app.log.{number + 1}{suffix}"))


@pytest.mark.parametrize("seed", range(12))
def test_read_now_and_then_and_interrupted(tmp_path: Path, seed: int) -> None:
    service = Service(tmp_path, seed)
    chance = service.chance
    reading, received = Reading(), Counter[int]()
    acts = [service.write] * 6 + [service.rename, service.copy_and_truncate, service.pack]
    for _ in range(40):
        chance.choice(acts)()
        if chance.random() < 0.5:
            collector = FilesCollector(
                [str(tmp_path)], format="json", batch_bytes=chance.choice([300, 2000, 1 << 20])
            )
            stop_after = chance.choice([1, 2, 1000])
            for number, batch in enumerate(collector.batches(reading.positions)):
                if number == stop_after:
                    break
                reading.take(batch)
                received.update(ids(lines(batch)))
            collector.close()
    service.end_line()
    received.update(reading.read(tmp_path).ids)
    assert received == Counter(range(service.written))
    assert reading.read(tmp_path).batches == []


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
def test_followed_while_written_and_rotated(tmp_path: Path, seconds: int) -> None:
    """Nothing is lost or torn.

    What is met while it is being renamed may come again, from the start of a source: the
    store drops what it has.
    """
    service = Service(tmp_path, seconds)
    chance = random.Random(seconds)
    pace = Pace(poll=0.01, rescan=0.02, latency=0.02, idle=0.5, grace=0.5)
    end = time.monotonic() + seconds

    def work() -> None:
        acts = [service.write] * 20 + [service.rename, service.copy_and_truncate, service.pack]
        while time.monotonic() < end:
            service.chance.choice(acts)()
            time.sleep(service.chance.random() * 0.02)
        service.end_line()

    writer = threading.Thread(target=work)
    writer.start()
    reading, received = Reading(), set[int]()
    while writer.is_alive():
        collector = FilesCollector([str(tmp_path)], format="json", follow=True, pace=pace, batch_bytes=2000)
        leave = threading.Timer(chance.random() * 1.5, collector.close)
        leave.start()
        for batch in collector.batches(reading.positions):
            reading.take(batch)
            received.update(ids(lines(batch)))
        leave.join()
    received.update(reading.read(tmp_path).ids)
    assert received == set(range(service.written))
    assert reading.rejects == []
    assert reading.read(tmp_path).batches == []
