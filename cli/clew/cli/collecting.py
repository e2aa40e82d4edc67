"""What every ``clew collect`` does: options on how to read, joining, and the end's report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clew.cli.exits import Exit
from clew.cli.judging import changed, into_scope, judged_by, judging, reading, redacting, zoned
from clew.cli.options import as_json, option, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from clew.cli.options import Context
    from clew.cli.terminal import Terminal
    from clew.collectors.collector import Collector
    from clew.collectors.formats.settings import Settings as Reading
    from clew.collectors.supervision import Status, Supervisor
    from clew.reconstruct.errors import StoreError
    from clew.reconstruct.ingest import Progress
    from clew.reconstruct.model import Settings as Judging
    from clew.reconstruct.running import RunningSource

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")


def reading_options(command: Decorated) -> Decorated:
    """How what comes is read, whatever brings it."""
    made: Decorated = zoned("COLLECT")(redacting("COLLECT")(into_scope("read")(command)))
    return made


def joining_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How the store judges, where it is, and what is told."""
    told = option("--no-progress", env="COLLECT_NO_PROGRESS", is_flag=True, help="No progress on stderr.")
    return judging(told(as_json(stored(command))))


class Live:
    """Live sources under one supervisor, which is made anew where the store was in trouble."""

    def __init__(self, makers: Mapping[str, Callable[[], Collector]], terminal: Terminal) -> None:
        self._makers = makers
        self._terminal = terminal
        self._supervisor: Supervisor | None = None
        self._trouble = Trouble()

    def make(self) -> Supervisor:
        """The next supervisor."""
        from clew.collectors.supervision import Supervisor

        self._supervisor = Supervisor(self._makers, tell=self._terminal.warn)
        return self._supervisor

    @property
    def statuses(self) -> list[Status]:
        """How each source is now."""
        return list(self._supervisor.statuses.values()) if self._supervisor is not None else []

    def run(self, joining: Joining, *, progress: bool) -> int:
        """Collect until the end; gives the exit status."""
        from clew.cli.collecting_line import watched
        from clew.collectors.supervision import State
        from clew.reconstruct.running import noticed

        with noticed(joining.store_path, "clew collect", self._told):
            status = joining.run(
                self.make,
                lambda: watched(self, self._terminal, wanted=progress),
                trouble=self._trouble,
            )
        wrong = [one for one in self.statuses if one.state is State.WRONG]
        return Exit.USAGE if wrong and len(wrong) == len(self.statuses) else status

    def _told(self) -> tuple[list[RunningSource], tuple[str, datetime | None]]:
        """What others are told of it."""
        return [_running(one) for one in self.statuses], self._trouble.last


def _running(status: Status) -> RunningSource:
    from datetime import UTC, datetime

    from clew.reconstruct.running import RunningSource

    mark = status.watermark_us
    at = status.error_time
    return RunningSource(
        name=status.name,
        state=status.state.value,
        records=status.records,
        rate=round(status.rate(), 1),
        behind_us=max(0, time.time_ns() // 1000 - mark) if mark is not None else None,
        rejects=status.rejects,
        failures=status.failures,
        error=status.error,
        error_time=None if at is None else datetime.fromtimestamp(at, UTC),
    )


class Trouble:
    """The last trouble that a store gave."""

    def __init__(self) -> None:
        self.last: tuple[str, datetime | None] = ("", None)

    def __call__(self, error: StoreError) -> None:
        """Remember it."""
        from datetime import UTC, datetime

        self.last = str(error), datetime.now(UTC)


class Joining:
    """One run of a ``clew collect``: by which settings, and into which store."""

    def __init__(self, context: Context, given: Mapping[str, Any]) -> None:
        self._context = context
        self._given = given
        self._now = judged_by(context)
        self.judging: Judging = changed(self._now, given)

    @property
    def store_path(self) -> Path:
        """Where the store is."""
        return Path(self._context.store_path)

    def reading(self, given: Mapping[str, Any]) -> Reading:
        """How a source with these options is read."""
        return reading(self.judging, given["redact_keys"], given["redact_patterns"], zone=given["zone"])

    def run(
        self,
        make: Callable[[], Collector],
        shown: Callable[[], AbstractContextManager[Progress | None]],
        trouble: Callable[[StoreError], None] = lambda _error: None,
    ) -> int:
        """Collect until the end, and tell how it was; gives the exit status."""
        from clew.cli.commands.ingest import in_json, told
        from clew.reconstruct.collecting import collect

        terminal = self._context.terminal
        settings = None if self.judging == self._now else self.judging

        def told_of(error: StoreError) -> None:
            trouble(error)
            terminal.warn(f"not stored, and tried again: {error}")

        with self._context.store(create=True, settings=settings) as store:
            with shown() as progress:
                report = collect(store, make, progress=progress, trouble=told_of)
            summary = store.summary()
        for problem in report.problems:
            terminal.warn(problem)
        if self._given["as_json"]:
            terminal.json(in_json(report))
        else:
            terminal.out(told(report, summary, terminal.look))
        return Exit.UNREACHABLE if report.problems and not report.by_source else Exit.FINE
