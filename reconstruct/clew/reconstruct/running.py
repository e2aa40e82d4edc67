"""What the processes that write to a store are doing: told in files beside it, read without its lock.

Each process keeps one file, ``<store>.running.<random>``, locked (``flock``) for as long as it lives
and written anew every two seconds. The kernel drops the lock when its process dies, however it dies: so
one that was killed is never taken for one that runs, whatever its file says.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EVERY_S = 2.0
"""Between two notices of a process."""
_MIDDLE = ".running."
_MOST_BYTES = 1 << 20
_TRIES, _PAUSE_S = 5, 0.002


@dataclass(frozen=True, slots=True)
class RunningSource:
    """What one collector does now."""

    name: str
    state: str
    """``reading``, ``waiting`` (it failed and will be tried again), ``ended``, ``wrong``, ``receiving``."""
    records: int
    """Stored, since the process began."""
    rate: float
    """Records a second, of late."""
    behind_us: int | None
    """How long ago that is up to which all was read; None where that is not known."""
    rejects: int
    failures: int
    error: str
    """The last one, in words; empty for none."""
    error_time: datetime | None


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """One process that writes to a store, as it was at ``updated``."""

    command: str
    pid: int
    host: str
    started: datetime
    updated: datetime
    running: bool
    """False: it ended without saying so; it was killed, or the machine went down."""
    error: str
    """The last trouble with the store, in words; empty for none."""
    error_time: datetime | None
    sources: tuple[RunningSource, ...]


Tell = Callable[[], tuple[Sequence[RunningSource], tuple[str, datetime | None]]]
"""Gives what each collector does, and the last trouble with the store."""


@contextmanager
def noticed(store: Path, command: str, tell: Tell) -> Iterator[None]:
    """Let others know, within the block, what this process does; asks ``tell`` every two seconds, in a thread.

    A folder that takes no file, or a disk that is full, is no reason to stop: others know less then.
    """
    _clear(store)
    try:
        fd, name = tempfile.mkstemp(prefix=store.name + _MIDDLE, dir=store.parent)
    except OSError:
        yield
        return
    fcntl.flock(fd, fcntl.LOCK_EX)
    now = datetime.now(UTC)
    process = RunningProcess(command, os.getpid(), os.uname().nodename, now, now, True, "", None, ())  # noqa: FBT003
    over = threading.Event()

    def write() -> None:
        while True:
            sources, (error, at) = tell()
            told = replace(
                process, updated=datetime.now(UTC), sources=tuple(sources), error=error, error_time=at
            )
            with suppress(OSError):
                _write(fd, told)
            if over.wait(EVERY_S):
                return

    writer = threading.Thread(target=write, name="clew-running", daemon=True)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()
        with suppress(OSError):
            Path(name).unlink()
        os.close(fd)


def running(store: Path) -> list[RunningProcess]:
    """Processes that write to ``store``, and those that were killed while they did; the oldest first."""
    found = [process for path in _files(store) if (process := _read(path)) is not None]
    return sorted(found, key=lambda process: (process.started, process.pid))


def _files(store: Path) -> list[Path]:
    prefix = store.name + _MIDDLE
    with suppress(OSError):
        return [path for path in store.parent.iterdir() if path.name.startswith(prefix)]
    return []


def _write(fd: int, process: RunningProcess) -> None:
    # What follows the first line is left from a longer notice: nobody reads it.
    os.pwrite(fd, json.dumps(asdict(process), default=datetime.isoformat).encode() + b"\n", 0)


def _read(path: Path) -> RunningProcess | None:
    """What a file says; None where it says nothing, or is gone."""
    try:
        with path.open("rb") as file:
            alive = not _is_free(file.fileno())
            for _ in range(_TRIES):
                file.seek(0)
                with suppress(ValueError, KeyError, TypeError):
                    return replace(_process(json.loads(file.readline(_MOST_BYTES))), running=alive)
                # It is written at this very moment.
                time.sleep(_PAUSE_S)
    except OSError:
        pass
    return None


def _process(told: dict[str, Any]) -> RunningProcess:
    sources = tuple(
        RunningSource(**{**one, "error_time": _time(one["error_time"])}) for one in told["sources"]
    )
    times = {name: _time(told[name]) for name in ("started", "updated", "error_time")}
    return RunningProcess(**{**told, **times, "sources": sources})


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _is_free(fd: int) -> bool:
    """Whether nobody holds the file; what is open is held by us for this moment only."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def _clear(store: Path) -> None:
    """Remove what killed processes left. A file without a word is one that is just being made."""
    for path in _files(store):
        with suppress(OSError), path.open("rb") as file:
            if _is_free(file.fileno()) and os.fstat(file.fileno()).st_size:
                path.unlink()
