"""The inputs and stores of the benchmarks, made when first asked for and kept for the run."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.benchmarks.measuring import CLEW, Run, run
from tests.generators.lines import LINES_PER_FLOW, write_lines
from tests.generators.otlp import write_spans
from tests.servers.zipkin_posts import write_posts

FURTHER: Final = 10_000
"""Lines of a part that comes later, before scaling."""
FURTHER_PARTS: Final = 5
_WARM_SPANS: Final = 100_000
_DEFINITIONS: Final = """\
flows:
  order-fulfilment:
    start: OrderPlaced
    steps: [PaymentSucceeded, InventoryReserved, ShipmentDispatched]
    ends: {completed: [OrderCompleted]}
    limit: 10s
"""


class Lines(NamedTuple):
    """A file of lines, and the parts that go on where it ends."""

    path: Path
    total: int
    further: tuple[Path, ...]


class Store(NamedTuple):
    """A store, and IDs of four kinds, each of another flow in it."""

    path: Path
    ids: tuple[str, ...]


class Spans(NamedTuple):
    """The same spans for clew and for Zipkin."""

    otlp: Path
    posts: Path
    total: int
    warm_posts: Path
    """Other spans, for the server to warm up with."""
    warm_total: int


class Inputs:
    """Makes inputs in ``folder``; every number asked for is multiplied by ``scale``."""

    def __init__(self, folder: Path, scale: float) -> None:
        self.folder = folder
        self.scale = scale
        # One cache per object, so that a finished run's are not kept alive.
        self.lines = cache(self._lines)
        self.store = cache(self._store)
        self.store_of_flows = cache(self._store_of_flows)
        self.spans = cache(self._spans)

    def definitions(self) -> Path:
        """Give a file with the definition of the flows that the lines tell of."""
        path = self.folder / "definitions.yaml"
        path.write_text(_DEFINITIONS)
        return path

    def scaled(self, count: int, least: int = 100) -> int:
        """Give a number at this run's scale."""
        return max(least, round(count * self.scale))

    def rounds(self, full: int) -> int:
        """Give how often to measure: a small scale is to see that all works, not how fast."""
        return full if self.scale >= 0.1 else min(full, 2)

    def named(self, count: int) -> str:
        """Give a number at this run's scale as people write it: 50k, 5M."""
        scaled = self.scaled(count)
        for size, letter in ((1_000_000, "M"), (1000, "k")):
            if scaled >= size:
                return f"{scaled / size:g}{letter}"
        return str(scaled)

    def ingest(self, store: Path, *arguments: object) -> tuple[Run, dict[str, Any]]:
        """Run ``clew ingest`` as a process of its own; give what it took and what it said."""
        given = ["--store", store, "--json", "--no-progress", *arguments]
        done = run([CLEW, "ingest", *map(str, given)], self.folder)
        said: dict[str, Any] = json.loads(done.output)
        return done, said

    def _lines(self, count: int) -> Lines:
        lines, part = self.scaled(count), self.scaled(FURTHER, 10)
        path = self.folder / f"lines-{count}.jsonl"
        write_lines(path, lines + FURTHER_PARTS * part)
        further = tuple(self.folder / f"lines-{count}-part-{number}.jsonl" for number in range(FURTHER_PARTS))
        with path.open("r+b") as file:
            for _ in range(lines):
                file.readline()
            end = file.tell()
            for place in further:
                place.write_bytes(b"".join(file.readline() for _ in range(part)))
            file.truncate(end)
        return Lines(path, lines, further)

    def _store(self, count: int) -> Store:
        lines = self.lines(count)
        path = self.folder / f"store-{count}.duckdb"
        _, said = self.ingest(path, lines.path)
        assert said["new"] == lines.total
        return Store(path, _ids(lines.path))

    def _store_of_flows(self, flows: int) -> Path:
        """Give a store of so many flows, one in a hundred of which ends midway and owes a step."""
        lines = self.folder / "flows.jsonl"
        write_lines(lines, self.scaled(flows) * LINES_PER_FLOW)
        path = self.folder / f"flows-{flows}.duckdb"
        _, said = self.ingest(path, lines, "--definitions", self.definitions())
        lines.unlink()
        assert said["flows"] >= self.scaled(flows)
        return path

    def _spans(self, count: int) -> Spans:
        otlp, posts = self.folder / "spans.jsonl", self.folder / "posts.jsonl"
        warm, warm_posts = self.folder / "warm.jsonl", self.folder / "warm-posts.jsonl"
        write_spans(otlp, self.scaled(count))
        write_spans(warm, self.scaled(_WARM_SPANS), seed=2)
        return Spans(otlp, posts, write_posts(otlp, posts), warm_posts, write_posts(warm, warm_posts))


def _ids(lines: Path) -> tuple[str, ...]:
    """Give IDs of four kinds from lines at four places of a file."""
    size = lines.stat().st_size
    found = []
    with lines.open("rb") as file:
        for number, name in enumerate(("correlation_id", "event_id", "trace_id", "order_id"), 1):
            file.seek(size * number // 5)
            file.readline()
            found.append(str(json.loads(file.readline())[name]))
    return tuple(found)
