"""Reads files as a store would: batches one after the other, positions kept."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clew.collectors.errors import SourceUnavailable
from clew.collectors.files import FilesCollector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clew.collectors.record import Batch, Reject

NOBODY = 65534
"""A user without rights on any Unix."""


def jsonl(*numbers: int) -> bytes:
    """One JSON line for each number, of a bit more than a hundred bytes."""
    return b"".join(
        json.dumps(
            {"time": "2026-01-05T12:00:00Z", "message": f"m{n} " + 70 * "x", "event_id": f"e{n}"}
        ).encode()
        + b"\n"
        for n in numbers
    )


def ids(lines: Iterable[str]) -> list[int]:
    """The numbers of :func:`jsonl` in ``lines``."""
    return [int(json.loads(line)["event_id"][1:]) for line in lines]


def lines(batch: Batch) -> list[str]:
    """The raw units of a batch."""
    return [] if batch.raw is None else [str(line) for line in batch.raw["line"].to_pylist()]


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder of ours while we are a user who may not read everything.

    Nothing is imported meanwhile that was not before: that may not be readable either.
    """
    user = os.geteuid()
    if user == 0:
        Reading().read(Path(__file__), format="json")
        os.seteuid(NOBODY)
    try:
        with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    finally:
        os.seteuid(user)


@dataclass
class Reading:
    """What was read, and where it stands."""

    positions: dict[str, str] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    problem: str = ""

    def read(self, *paths: Path | str, **options: Any) -> Reading:
        """Read on; what was read before is forgotten."""
        options.setdefault("format", "json")
        self.batches, self.problem = [], ""
        collector = FilesCollector([str(path) for path in paths], **options)
        try:
            for batch in collector.batches(self.positions):
                self.take(batch)
        except SourceUnavailable as error:
            self.problem = str(error)
        finally:
            collector.close()
        return self

    def take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.positions[batch.source] = batch.position

    @property
    def lines(self) -> list[str]:
        return [line for batch in self.batches for line in lines(batch)]

    @property
    def numbers(self) -> list[int]:
        raws = [batch.raw for batch in self.batches if batch.raw is not None]
        return [int(number) for raw in raws for number in raw["position"].to_numpy()]

    @property
    def ids(self) -> list[int]:
        return ids(self.lines)

    @property
    def rejects(self) -> list[Reject]:
        return [reject for batch in self.batches for reject in batch.rejects]

    @property
    def sources(self) -> list[str]:
        return [batch.source for batch in self.batches]
