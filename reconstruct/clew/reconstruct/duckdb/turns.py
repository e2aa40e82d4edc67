"""Whose turn it is at a store file: fair turns between processes, without a server.

DuckDB's own file lock says only yes or no, and whoever asks again soonest wins. Two
empty files beside the store make a turnstile of ``flock``: everybody locks
``<store>.queue``, then ``<store>.lock`` (shared by readers, alone by a writer), then
lets the queue go. So a waiting writer keeps later readers behind it, and readers
that wait are next when a writer's turn ends. A lock belongs to an open file: the
kernel drops it when its process dies, however it dies, and two stores of one process
exclude each other just as two processes do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from clew.reconstruct.errors import StoreBusy, StoreUnusable

SLICE_SECONDS = 0.25
"""How long a writer may go on with small batches although somebody waits: opening and
closing for every one of them would cost more than the waiting."""

_LONGEST_PAUSE = 0.005
_COURTESY = 6 * _LONGEST_PAUSE
"""Whoever gave way queues again only after so long: those who waited before look often
enough to be ahead of it by then, and nobody is overtaken time and again."""
_NOTE_BYTES = 512
_live: WeakSet[Turns] = WeakSet()


class Turns:
    """Takes turns at one store. Not for several threads at once; each makes its own.

    ``timeout`` is how long :meth:`begin` may wait, in seconds.
    """

    def __init__(self, store: Path, *, timeout: float) -> None:
        self.store = store
        self.timeout = timeout
        self.lock_path = store.with_name(store.name + ".lock")
        self.queue_path = store.with_name(store.name + ".queue")
        self._lock_fd: int | None = None
        self._queue_fd: int | None = None
        self._since = 0.0
        self._alone = False
        self._gives_way = False
        self._courteous_until = 0.0
        _live.add(self)

    @property
    def held(self) -> bool:
        """Whether this is our turn."""
        return self._lock_fd is not None

    @property
    def alone(self) -> bool:
        """Whether this is our turn to write."""
        return self.held and self._alone

    def begin(self, *, alone: bool, deadline: float | None = None) -> bool:
        """Wait for a turn, ``alone`` to write; it lasts until :meth:`end`.

        False where there is nothing to take turns with: a reader whose folder admits
        no new file and has no turnstile. DuckDB's own lock must do there.

        Raises:
            StoreBusy: another held the store until ``deadline`` (``time.monotonic()``;
                by default ``timeout`` from now).
            StoreUnusable: the folder does not admit a writer.
        """
        if self.held:
            raise RuntimeError("a turn within a turn")
        if deadline is None:
            deadline = time.monotonic() + self.timeout
        time.sleep(max(0.0, min(self._courteous_until, deadline) - time.monotonic()))
        while True:
            try:
                queue, lock = self._open(alone=alone)
            except OSError as error:
                if alone:
                    raise _not_writable(self.store, error) from error
                return False
            kept = False
            try:
                self._pass(queue, lock, alone=alone, deadline=deadline)
                # Somebody may have removed the two files meanwhile: a lock on what is
                # gone excludes nobody.
                kept = _is_at(queue, self.queue_path) and _is_at(lock, self.lock_path)
                if kept:
                    self._queue_fd, self._lock_fd = queue, lock
                    self._alone, self._since = alone, time.monotonic()
            finally:
                if not kept:
                    _let_go(lock)
                    _let_go(queue)
            if kept:
                break
        if alone:
            _leave_note(lock)
        return True

    def wanted(self) -> bool:
        """Whether somebody waits and our slice of time is used up."""
        if not self.held or self._queue_fd is None or time.monotonic() - self._since < SLICE_SECONDS:
            return False
        if not _try(self._queue_fd, fcntl.LOCK_EX):
            self._gives_way = True
            return True
        fcntl.flock(self._queue_fd, fcntl.LOCK_UN)
        return False

    def end(self) -> None:
        """Let the next one in. Safe to call at any time."""
        lock, queue = self._lock_fd, self._queue_fd
        self._lock_fd = self._queue_fd = None
        if lock is not None:
            if self._alone:
                with suppress(OSError):
                    os.ftruncate(lock, 0)
            _let_go(lock)
        if queue is not None:
            _let_go(queue)
        if self._gives_way:
            self._gives_way = False
            self._courteous_until = time.monotonic() + _COURTESY

    def forget(self) -> None:
        """In a forked child: drop what belongs to the parent without unlocking it."""
        for fd in (self._lock_fd, self._queue_fd):
            if fd is not None:
                os.close(fd)
        self._lock_fd = self._queue_fd = None

    def holders(self) -> list[str]:
        """Who has the turn now, as ``process 4711 (clew ingest …)``, where it can be known."""
        pids = _lock_owners(self.lock_path)
        if pids:
            return [_named(pid) for pid in pids]
        note = _read_note(self.lock_path)
        return [note] if note else []

    def _pass(self, queue: int, lock: int, *, alone: bool, deadline: float) -> None:
        """Go through the turnstile."""
        if not _wait(queue, fcntl.LOCK_EX, deadline):
            raise self._busy()
        try:
            if not _wait(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, deadline):
                raise self._busy()
        finally:
            fcntl.flock(queue, fcntl.LOCK_UN)

    def _open(self, *, alone: bool) -> tuple[int, int]:
        queue = _open_file(self.queue_path, writable=alone)
        try:
            return queue, _open_file(self.lock_path, writable=alone)
        except OSError:
            os.close(queue)
            raise

    def _busy(self) -> StoreBusy:
        return busy(self.store, self.holders(), self.timeout)


def busy(store: Path, holders: list[str], waited: float) -> StoreBusy:
    """The error for a store that ``holders`` did not let go within ``waited`` seconds."""
    who = ", ".join(holders) if holders else "another process"
    return StoreBusy(
        f"{store} is in use by {who}; waited {waited:g} s for it",
        help="Try again when it has ended, or stop it. What it has committed is safe either way.",
    )


def _wait(fd: int, operation: int, deadline: float) -> bool:
    """Poll for a lock, because a blocking ``flock`` cannot be given a time limit."""
    pause = 0.0005
    while not _try(fd, operation):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        # Uneven pauses, so that no two of those who wait stay in step.
        time.sleep(min(left, pause * (0.5 + time.monotonic_ns() % 997 / 1994)))
        pause = min(pause * 2, _LONGEST_PAUSE)
    return True


def _try(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _let_go(fd: int) -> None:
    # Closing alone would not unlock while a forked child still has the file open.
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _open_file(path: Path, *, writable: bool) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if writable or error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        # A reader locks what it may only read just as well.
        return os.open(path, flags | os.O_RDONLY)


def _is_at(fd: int, path: Path) -> bool:
    try:
        there = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def _leave_note(fd: int) -> None:
    """Say who writes, for systems (and containers) where the kernel does not tell."""
    with suppress(OSError):
        note = f"{_named(os.getpid())} on {os.uname().nodename}".encode(errors="replace")
        os.ftruncate(fd, 0)
        os.pwrite(fd, note[:_NOTE_BYTES], 0)


def _read_note(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_NOTE_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _lock_owners(path: Path) -> list[int]:
    """Process IDs that hold ``path``, from Linux's ``/proc/locks`` (see proc(5)); [] elsewhere."""
    try:
        inode = str(path.stat().st_ino)
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    owners = []
    for line in lines:
        # "12: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF"; "->" marks one that waits
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:  # noqa: PLR2004
            owners.append(int(fields[4]))
    return sorted(pid for pid in set(owners) if pid > 0)


def _named(pid: int) -> str:
    if pid == os.getpid():
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv else ""
    else:
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            raw = b""
        command = " ".join(part.decode(errors="replace") for part in raw.split(b"\0") if part)
    command = "".join(c if c.isprintable() else "?" for c in command)[:120]
    return f"process {pid} ({command})" if command else f"process {pid}"


def _not_writable(store: Path, error: OSError) -> StoreUnusable:
    folder = store.parent
    if not folder.is_dir():
        return StoreUnusable(
            f"{store}: there is no folder {folder}",
            help="Make the folder first, or name another place with --store or CLEW_STORE.",
        )
    return StoreUnusable(
        f"{store} cannot be written: {error.strerror} ({error.filename})",
        help=f"Get permission to write in {folder}, or name another place with --store or CLEW_STORE.",
    )


def _after_fork_in_child() -> None:
    for turns in list(_live):
        turns.forget()


os.register_at_fork(after_in_child=_after_fork_in_child)
