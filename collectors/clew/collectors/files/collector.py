"""Files, folders, patterns and standard input as sources."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, BinaryIO

from clew.collectors.files.discover import Problem, discover, unavailable
from clew.collectors.files.following import Follower, Pace
from clew.collectors.files.inputs import STDIN, open_input, standard_input
from clew.collectors.files.readahead import ReadAhead
from clew.collectors.files.reader import Limits, Reader
from clew.collectors.files.slabs import Slabs
from clew.collectors.files.sources import Resolved, Sources, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clew.collectors.files.inputs import Input
    from clew.collectors.formats.plans import Plan
    from clew.collectors.formats.settings import Settings
    from clew.collectors.record import Batch

PATIENCE = 0.2
"""Seconds that a pipe is waited for before looking at the clock."""


class FilesCollector:
    """Reads files, what is in folders, what patterns match, and standard input (``-``)."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        format: str | None = None,
        settings: Settings | None = None,
        follow: bool = False,
        scope: str = "",
        batch_bytes: int = 128 << 20,
        batch_rows: int = 1 << 18,
        line_bytes: int = 16 << 20,
        document_bytes: int = 128 << 20,
        pace: Pace | None = None,
        stdin: BinaryIO | None = None,
    ) -> None:
        self._paths = tuple(paths)
        self._format = format
        self._settings = settings
        self._follow = follow
        self._scope = scope
        self._pace = pace or Pace()
        self._limits = Limits(batch_bytes, batch_rows, line_bytes, document_bytes, self._pace.latency)
        self._stdin = stdin
        self._slabs = Slabs(batch_bytes + 1)
        self._closed = False
        self._running: list[tuple[threading.Event, ReadAhead[Batch]]] = []

    def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
        """Read on from ``positions`` (source name → committed position)."""
        if self._format is not None:
            from clew.collectors.formats import named

            named(self._format)
        stop = threading.Event()
        read = self._followed if self._follow else self._read
        ahead = ReadAhead(read(dict(positions), stop), "clew-files")
        self._running.append((stop, ahead))
        if self._closed:
            self.close()
        try:
            yield from ahead
        finally:
            stop.set()
            ahead.close()

    def close(self) -> None:
        """Release files and threads. Safe to call twice."""
        self._closed = True
        for stop, ahead in self._running:
            stop.set()
            ahead.close()
        self._running.clear()

    def _read(self, positions: Mapping[str, str], stop: threading.Event) -> Iterator[Batch]:
        sources = Sources(positions, self._scope)
        found = discover(self._paths)
        problems = found.problems
        sources.look_at(found.files)
        doubtful: list[str] = []
        for file in found.files:
            yield from self._read_file(file, sources, stop, problems, doubtful)
        for file in doubtful:
            yield from self._read_file(file, sources, stop, problems)
        if problems:
            raise unavailable(problems)

    def _read_file(
        self,
        file: str,
        sources: Sources,
        stop: threading.Event,
        problems: list[Problem],
        doubtful: list[str] | None = None,
    ) -> Iterator[Batch]:
        """One file to its end; noted in ``doubtful`` where others had better be read before it."""
        try:
            opened = self._open(file)
            try:
                replaced = True
                while replaced and not stop.is_set():
                    resolved = sources.resolve(opened, now=doubtful is None)
                    if not isinstance(resolved, Resolved):
                        if resolved is Verdict.LATER and doubtful is not None:
                            doubtful.append(file)
                        return
                    reader = self._reader(opened, resolved, stop)
                    for batch in reader.read(final=True):
                        sources.move(reader.source, reader.position)
                        yield batch
                    replaced = reader.replaced
            finally:
                opened.close()
        except OSError as error:
            problems.append(Problem.of(file, error))

    def _followed(self, positions: Mapping[str, str], stop: threading.Event) -> Iterator[Batch]:
        follower = Follower(
            sources=Sources(positions, self._scope),
            find=lambda: discover(self._paths),
            open_file=self._open,
            make_reader=lambda opened, resolved, plan: self._reader(opened, resolved, stop, plan),
            stop=stop,
            scope=self._scope,
            pace=self._pace,
        )
        yield from follower.batches()

    def _open(self, path: str) -> Input:
        if path == STDIN:
            return standard_input(self._stdin or sys.stdin.buffer, PATIENCE)
        return open_input(path, PATIENCE)

    def _reader(
        self, opened: Input, resolved: Resolved, stop: threading.Event, plan: Plan | None = None
    ) -> Reader:
        return Reader(
            opened,
            resolved.stream,
            resolved.source,
            resolved.position,
            known=resolved.known,
            limits=self._limits,
            slabs=self._slabs,
            recognise=self._plan,
            stop=stop,
            plan=plan,
        )

    def _plan(self, sample: Sequence[str]) -> Plan:
        from clew.collectors.formats import plan, recognise

        if self._format is not None:
            return plan(self._format, sample, settings=self._settings)
        return recognise(sample, settings=self._settings)
