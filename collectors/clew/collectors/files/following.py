"""Files that grow, are rotated, truncated or replaced while they are read."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clew.collectors.files.discover import Problem, unavailable
from clew.collectors.files.inputs import STDIN, look_again
from clew.collectors.files.position import Position, shown
from clew.collectors.files.reader import estimated
from clew.collectors.files.sources import Resolved, Verdict
from clew.collectors.record import Batch, Reject, empty_select

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from clew.collectors.files.discover import Found
    from clew.collectors.files.inputs import Input
    from clew.collectors.files.reader import Reader
    from clew.collectors.files.sources import Sources
    from clew.collectors.formats.plans import Plan

BEAT_SHARE = 0.1
"""Seconds for each file between two such words: each is written down."""

Identity = tuple[int, int] | str
"""Device and inode; the path of what is no file."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    poll: float = 0.2
    """Between looks at the files."""
    rescan: float = 1.0
    """Between looks for new files."""
    latency: float = 1.0
    """From a file's growth to its being read, so that lines come in batches."""
    idle: float = 2.0
    """Without growth until a line without an end, or a record that may go on, counts as it is."""
    grace: float = 3.0
    """Without growth until a file that is no longer found is left."""
    beat: float = 10.0
    """Between words on files that do not grow: that they were read to their end by then."""


class Follower:
    """Reads all there is, then what comes, until ``stop``.

    A file is watched by what it is, not by its name: renamed, it is read to its end while
    the new file under the old name is read too. One that shrinks, or no longer holds what
    was read, starts anew.
    """

    def __init__(
        self,
        *,
        sources: Sources,
        find: Callable[[], Found],
        open_file: Callable[[str], Input],
        make_reader: Callable[[Input, Resolved, Plan | None], Reader],
        stop: threading.Event,
        scope: str,
        pace: Pace,
    ) -> None:
        self._sources = sources
        self._find = find
        self._open = open_file
        self._make_reader = make_reader
        self._stop = stop
        self._scope = scope
        self._pace = pace
        self._told: set[str] = set()
        self._watched: dict[Identity, _Watched] = {}
        self._beaten = time.monotonic()

    def batches(self) -> Iterator[Batch]:
        """Batches as they come.

        Raises:
            SourceUnavailable: at the start, nothing can be read.
        """
        _allow_open_files()
        problems = self._scan()
        if problems and not self._watched:
            raise unavailable(problems)
        yield from self._tell(problems)
        scanned = time.monotonic()
        try:
            while not self._stop.is_set():
                if time.monotonic() - scanned > self._pace.rescan:
                    yield from self._tell(self._scan())
                    scanned = time.monotonic()
                moved = False
                for identity, watched in list(self._watched.items()):
                    for batch in self._read(watched):
                        moved = True
                        yield batch
                        if self._stop.is_set():
                            return
                    if watched.gone:
                        self._leave(identity)
                if not moved:
                    yield from self._beat()
                    self._stop.wait(self._pace.poll)
        finally:
            for identity in list(self._watched):
                self._leave(identity)

    def _beat(self) -> Iterator[Batch]:
        """Now and then, of each file that did not grow: that this is all of it up to now."""
        if time.monotonic() - self._beaten < max(self._pace.beat, BEAT_SHARE * len(self._watched)):
            return
        self._beaten = time.monotonic()
        for watched in self._watched.values():
            place = self._sources.position(watched.source)
            if place is not None and not watched.unread and not watched.opened.live:
                yield Batch(
                    watched.source,
                    None,
                    empty_select(),
                    place.text(),
                    watermark=estimated(),
                    scope=self._scope,
                    format=place.format,
                )

    def _tell(self, problems: list[Problem]) -> Iterator[Batch]:
        """Say once what cannot be read although it is there: nobody waits for an error at the end."""
        for problem in problems:
            source = shown(problem.path)
            if not problem.missing and str(problem) not in self._told:
                self._told.add(str(problem))
                if not self._sources.knows(source):
                    place = Position(problem.path, self._scope)
                    reject = Reject(1, problem.reason, b"")
                    yield Batch(source, None, empty_select(), place.text(), (reject,), scope=self._scope)

    def _scan(self) -> list[Problem]:
        """Look for files that are new, and for where those known are now."""
        found = self._find()
        self._sources.look_at(found.files)
        here: set[Identity] = set()
        for path in found.files:
            try:
                identity = _identity(path)
                here.add(identity)
                watched = self._watched.get(identity)
                if watched is not None:
                    watched.opened.path = path
                    if watched.source:
                        self._sources.claim(watched.source, path)
                else:
                    self._watched[identity] = _Watched(self._open(path))
            except OSError as error:
                found.problems.append(Problem.of(path, error))
        for identity, watched in self._watched.items():
            watched.found = identity in here
            if watched.found:
                watched.found_at = time.monotonic()
        return found.problems

    def _leave(self, identity: Identity) -> None:
        watched = self._watched.pop(identity)
        if watched.source:
            self._sources.release(watched.source, watched.opened.path)
        watched.opened.close()

    def _read(self, watched: _Watched) -> Iterator[Batch]:
        try:
            if watched.opened.live:
                yield from self._read_pipe(watched)
            else:
                yield from self._read_file(watched)
        except OSError:
            # A network file system's hiccup: the next look tells.
            watched.seen = None

    def _read_pipe(self, watched: _Watched) -> Iterator[Batch]:
        if watched.reader is None:
            resolved = self._sources.resolve(watched.opened, now=True)
            if not isinstance(resolved, Resolved):
                return
            watched.reader = self._make_reader(watched.opened, resolved, None)
        yield from watched.reader.read(final=True, following=True)
        watched.gone = watched.reader.ended and not watched.found

    def _read_file(self, watched: _Watched) -> Iterator[Batch]:
        now = time.monotonic()
        seen = watched.opened.state()
        if seen != watched.seen:
            since = watched.grown if watched.unread else now
            watched.unread, watched.grown, watched.waited = True, since, False
            watched.changed = now
            first = watched.seen is None
            watched.seen = seen
            if not first and now - since < self._pace.latency:
                return
        quiet = now - watched.changed
        lost = 0.0 if watched.found else now - watched.found_at
        closing = min(lost, quiet) > self._pace.grace
        idle = quiet > self._pace.idle and not watched.waited
        if watched.unread and (now - watched.grown >= self._pace.latency or watched.source == ""):
            watched.unread = False
            yield from self._read_on(watched, final=closing, idle=False)
        elif idle or closing:
            watched.waited = True
            yield from self._read_on(watched, final=closing, idle=idle)
        watched.gone = closing

    def _read_on(self, watched: _Watched, *, final: bool, idle: bool) -> Iterator[Batch]:
        """What lies behind the position, in what the file is now."""
        watched.opened = look_again(watched.opened)
        resolved = self._sources.again(watched.source, watched.opened) if watched.source else None
        if resolved is None:
            if watched.source:
                # Truncated or replaced: a copy of what it was may have been made just now.
                self._sources.release(watched.source, watched.opened.path)
                self._scan()
                watched.plan = None
            quiet = time.monotonic() - watched.changed > self._pace.grace
            resolution = self._sources.resolve(watched.opened, now=final or quiet)
            if not isinstance(resolution, Resolved):
                watched.source = ""
                watched.unread = resolution is Verdict.LATER
                return
            resolved = resolution
            watched.source = resolved.source
        reader = self._make_reader(watched.opened, resolved, watched.plan)
        # One that is still being packed ends too early for now.
        complete = final or (idle and bool(watched.opened.packed))
        for batch in reader.read(final=complete, following=True, idle=idle):
            self._sources.move(reader.source, reader.position)
            watched.plan = reader.plan
            yield batch
        watched.plan = reader.plan
        watched.unread |= reader.replaced


class _Watched:
    """One open file."""

    def __init__(self, opened: Input) -> None:
        self.opened = opened
        self.found = True
        """It stands where files are looked for,"""
        self.found_at = time.monotonic()
        """and did so last at this time."""
        self.gone = False
        self.source = ""
        self.plan: Plan | None = None
        self.reader: Reader | None = None
        self.seen: tuple[int, int] | None = None
        """Its size and time of change when last looked at."""
        self.unread = False
        self.grown = 0.0
        """When it began to hold something unread."""
        self.changed = 0.0
        self.waited = False
        """What is incomplete at its end was taken as it is."""


def _allow_open_files() -> None:
    """As many as this user may have: each file that is followed stays open, to be known when renamed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _identity(path: str) -> Identity:
    try:
        status = Path(path).stat()
    except OSError:
        if path == STDIN:
            return path
        raise
    return (status.st_dev, status.st_ino)
