"""Files, folders, patterns and standard input as sources."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, BinaryIO

from clew.collectors.files.discover import Problem, discover, unavailable
from clew.collectors.files.following import Follower, Pace
from clew.collectors.files.inputs import STDIN, open_input, standard_input
from clew.collectors.files.reader import Limits, Reader
from clew.collectors.files.slabs import Slabs
from clew.collectors.files.sources import Resolved, Sources, Verdict
from clew.collectors.readahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clew.collectors.files.inputs import Input
    from clew.collectors.formats.plans import Plan
    from clew.collectors.formats.settings import Settings
    from clew.collectors.record import Batch

PATIENCE = 0.2
"""Seconds that a pipe is waited for before looking at the clock."""


class FilesCollector:
    """Reads files, what is in folders, what patterns match, and standard input (``-``).

    *What.* A folder means its files at any depth, less hidden ones and clew's own store. gzip,
    zstd, bzip2 and xz are recognised by their first bytes. A unit is a line, a JSON document
    that spans lines, or an element of a top-level JSON array, as the content shows; ``raw``
    has the columns ``line`` (string view, without the line's end) and ``position`` (number of
    the line or element, from 1). The format is recognised from the beginning of each file.

    *Sources* are contents, called by the path where each was first seen, standard input
    ``stdin``. A file that has grown goes on where it was; one that was renamed, copied or
    packed is the same content; one that was truncated, replaced or rewritten is another.
    See :class:`clew.collectors.files.sources.Sources` and
    :class:`clew.collectors.files.position.Position`. A pipe is read from its start each time.

    *A last line without its end* counts when the input ends, unless it is the beginning of a
    JSON value: that is rejected, and read when it is whole. If a counted one turns out to go
    on when the file has grown, what continues it is a reject, so that no half of a record
    stands beside the whole. When following, it waits for its end: a line that is no JSON, and
    the last record of several lines, for ``pace.idle`` seconds at most.

    *Rejects* name lines that are no UTF-8, hold NUL bytes or are longer than ``line_bytes``;
    documents longer than ``document_bytes`` or broken; files that are binary or of no known
    format; and the point where packed data is damaged or ends too early.

    *Memory* is about three times ``batch_bytes`` (of which a batch holds one), whatever the
    input; ``batch_rows`` bounds a batch of short lines. What comes by a pipe, or is appended
    to a followed file, is delivered after ``pace.latency`` seconds.

    ``format`` is a format's name or file; ``settings`` say how times and secrets are read;
    ``stdin`` stays the caller's.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        format: str | None = None,
        settings: Settings | None = None,
        follow: bool = False,
        scope: str = "",
        batch_bytes: int = 160 << 20,
        batch_rows: int = 245_760,
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
        """Read on from ``positions`` (source name → committed position).

        With ``follow``, until :meth:`close` is called, from whatever thread.

        Raises:
            UnknownFormat: there is no format of the name given.
            FormatError: the format file given is wrong.
            SourceUnavailable: after all others were read, what could not be; with ``follow``
                only at the start, when nothing can be read. Later it is a reject.
        """
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
