"""The store's file: opened for a turn, closed after it, and never left half made.

The workbench is one in-memory DuckDB to which the file is attached as ``store``. So
temporary tables outlive a turn, and a closed store costs others nothing.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from clew.reconstruct.duckdb import at_rest
from clew.reconstruct.duckdb.faults import is_locked, missing, not_a_store, of_system, told
from clew.reconstruct.duckdb.schema import ROW_GROUP
from clew.reconstruct.duckdb.scratch import Scratch
from clew.reconstruct.duckdb.turns import Turns, busy
from clew.reconstruct.duckdb.versions import create, is_outdated, update
from clew.reconstruct.errors import StoreError, StoreMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duckdb import DuckDBPyConnection

    from clew.reconstruct.duckdb.versions import Layout

TIMEOUT_SECONDS = 30.0
MEMORY_LIMIT = "1200MB"
"""For DuckDB's own buffers; with what the process needs besides, 2 GB is not exceeded."""

ROWS = f"ROW_GROUP_SIZE {ROW_GROUP}"
_WATCH_SECONDS = 0.01
_IDLE_SECONDS = 1.0
"""After so long without a batch the file is closed although no clew waits: other programs
cannot queue, and a closed file has no log to replay."""

_live: WeakSet[DuckFile] = WeakSet()


class DuckFile:
    """One store file. Every method may be called from any thread; one at a time works.

    ``create`` says whether a missing store is made; ``timeout`` is how long a turn may
    be waited for, in seconds. A forked child may use the same object: it opens anew.
    """

    def __init__(
        self,
        path: Path,
        *,
        layout: Layout,
        create: bool = True,
        timeout: float = TIMEOUT_SECONDS,
        memory_limit: str = MEMORY_LIMIT,
        threads: int | None = None,
    ) -> None:
        # The real path: two names of one store must meet at one turnstile.
        self.path = Path(os.path.realpath(path))
        self.timeout = timeout
        self._layout = layout
        self._create = create
        self._options = {"memory_limit": memory_limit} | ({"threads": threads} if threads else {})
        self._turns = Turns(self.path, timeout=timeout)
        self._guard = threading.RLock()
        self._connection: DuckDBPyConnection | None = None
        self._scratch: Scratch | None = None
        self._attached = False
        self._written: tuple[int, int] | None = None
        self._depth = 0
        self._idle_since = 0.0
        self._watcher: threading.Thread | None = None
        self._late: StoreError | None = None
        _live.add(self)

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """A connection to read from ``store`` until the block ends.

        Within another ``reading`` or ``writing`` of the same thread it is the same one.
        Temporary tables may be made; they last until :meth:`close` or an error. Fetch what
        is asked for before the block ends, and let no cursor of the connection outlive it.

        Raises:
            StoreBusy, StoreMissing, StoreUnusable, StoreFull, StoreError.
        """
        with self._alone_here(), self._told():
            connection = self._open(alone=False)
            self._depth += 1
            try:
                yield connection
            except BaseException:
                self._depth -= 1
                self._abort()
                raise
            self._depth -= 1
            self._settle()

    @contextmanager
    def reading_through(self, show: Callable[[DuckDBPyConnection], None]) -> Iterator[DuckDBPyConnection]:
        """:meth:`reading`, but the file is ``kept``, and ``store`` a database in memory that ``show`` fills.

        It goes with the block. Within another ``reading`` of the same thread that one's
        ``store`` is the file again afterwards.
        """
        # A writer's turn ends: what is shown is attached for reading.
        self.release()
        with self.reading() as connection:
            path = _quoted(self.path)
            connection.execute("DETACH store")
            connection.execute(f"ATTACH {path} AS kept (TYPE duckdb, READ_ONLY)")
            connection.execute("ATTACH ':memory:' AS store")
            try:
                show(connection)
                yield connection
            finally:
                connection.execute("DETACH store")
                connection.execute("DETACH kept")
                connection.execute(f"ATTACH {path} AS store (TYPE duckdb, READ_ONLY)")

    @contextmanager
    def writing(self) -> Iterator[DuckDBPyConnection]:
        """A connection within a transaction that is committed when the block ends well.

        Otherwise it is rolled back whole. A transaction writes to ``store`` and to
        temporary tables only (DuckDB: one attached database for each transaction).
        Afterwards the file stays open until somebody waits for it, a second has
        passed or :meth:`release` is called.

        Raises:
            As :meth:`reading`.
        """
        with self._alone_here(), self._told():
            if self._depth:
                raise RuntimeError("writing within reading or writing")
            self._raise_late()
            connection = self._open(alone=True)
            self._depth += 1
            try:
                at_rest.make_log(self.path)
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
                self._written = at_rest.identity(self.path)
            except BaseException:
                self._depth -= 1
                self._abort()
                raise
            self._depth -= 1
            self._settle(keep=True)

    @contextmanager
    def workbench(self) -> Iterator[DuckDBPyConnection]:
        """The connection without a turn: for temporary tables alone, such as a decoded batch."""
        with self._alone_here(), self._told():
            yield self._workbench()

    def stamp(self) -> str:
        """What differs after every commit, told without opening the file."""
        return at_rest.stamp(self.path)

    @contextmanager
    def cursor(self) -> Iterator[DuckDBPyConnection]:
        """A connection of its own to the workbench's tables, for use beside a turn, in any thread.

        It must not touch ``store``. It keeps nobody waiting and waits for nobody.
        """
        with self._alone_here():
            cursor = self._workbench().cursor()
        with self._told(), cursor:
            yield cursor

    def release(self) -> None:
        """Close the file and let others in. Safe to call at any time."""
        with self._alone_here(), self._told():
            if not self._depth:
                self._detach()
            self._raise_late()

    def close(self) -> None:
        """Release, and drop the workbench with its temporary tables. Safe to call twice."""
        with self._alone_here():
            try:
                if not self._depth:
                    self.release()
            finally:
                self._discard()

    # -- turns and the attached file

    def _open(self, *, alone: bool) -> DuckDBPyConnection:
        """The connection with the file attached, for writing where ``alone``."""
        if alone:
            self._refuse_another_file()
        if self._attached:
            return self._workbench()
        deadline = time.monotonic() + self.timeout
        if not alone and self._is_absent():
            # An empty store is made by a writer, and then read like any other.
            self._attach(alone=True, deadline=deadline)
            self._detach()
        if not self._attach(alone=alone, deadline=deadline):
            self._detach()
            self._attach(alone=True, deadline=deadline)
            self._detach()
            self._attach(alone=False, deadline=deadline)
        return self._workbench()

    def _attach(self, *, alone: bool, deadline: float) -> bool:
        """Take a turn and open the file; False where a writer must bring it up to date first."""
        if not self._create and self._is_absent():
            raise missing(self.path)
        try:
            self._turns.begin(alone=alone, deadline=deadline)
            if alone and self._is_absent():
                self._make()
            self._attach_file(self.path, read_only=not alone, deadline=deadline)
            self._attached = True
            if not is_outdated(self._workbench(), self._layout, self.path):
                return True
            if alone:
                at_rest.make_log(self.path)
                update(self._workbench(), self._layout, self.path)
        except BaseException:
            self._discard()
            raise
        return alone

    def _attach_file(self, path: Path, *, read_only: bool, deadline: float) -> None:
        """ATTACH; where a program that takes no turns has the file, ask until ``deadline``."""
        import duckdb

        mode = "READ_ONLY" if read_only else f"READ_WRITE, {ROWS}"
        connection = self._workbench()
        while True:
            try:
                connection.execute(f"ATTACH {_quoted(path)} AS store (TYPE duckdb, {mode})")
            except duckdb.Error as error:
                if not is_locked(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _detach(self) -> None:
        """Close the file, which writes its log into it, and end the turn."""
        try:
            if self._attached and self._connection is not None:
                self._connection.execute("DETACH store")
                self._attached = False
                if self._turns.alone:
                    at_rest.remove_empty_log(self.path)
        except BaseException:
            self._discard()
            raise
        finally:
            self._attached = False
            self._turns.end()

    def _abort(self) -> None:
        """After an error: roll back and let others in; the error at hand is the one to tell."""
        if self._depth:
            return
        if self._connection is not None:
            with suppress(Exception):
                self._connection.execute("ROLLBACK")
        with suppress(Exception):
            self._detach()

    def _settle(self, *, keep: bool = False) -> None:
        """After a block: let others in, unless this is a writer whom nobody waits for."""
        if self._depth:
            return
        if not self._turns.alone or self._turns.wanted():
            self._detach()
        elif keep:
            self._idle_since = time.monotonic()
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="clew-turn", daemon=True)
                self._watcher.start()

    def _watch(self) -> None:
        """Between batches, however long the next one takes: let in whoever comes."""
        while True:
            time.sleep(_WATCH_SECONDS)
            if not self._guard.acquire(blocking=False):
                continue
            try:
                if not self._attached or not self._turns.alone:
                    self._watcher = None
                    return
                if self._turns.wanted() or time.monotonic() - self._idle_since > _IDLE_SECONDS:
                    self._watcher = None
                    with self._told():
                        self._detach()
                    return
            except StoreError as error:
                self._late = error
                return
            finally:
                self._guard.release()

    def _raise_late(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            raise late

    # -- the workbench

    def _workbench(self) -> DuckDBPyConnection:
        """The in-memory connection. It reaches no file but the store, and no network."""
        if self._connection is None:
            import duckdb

            self._scratch = Scratch(self.path)
            self._connection = connection = duckdb.connect(
                config={
                    **self._options,
                    "temp_directory": str(self._scratch.folder),
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                    "python_enable_replacements": False,
                }
            )
            # A cast from a zoned time gives local time otherwise.
            connection.execute("SET TimeZone = 'UTC'")
            # Records need no order among themselves, and keeping one keeps one core waiting.
            connection.execute("SET preserve_insertion_order = false")
            # DuckDB draws one on stdout by itself where Python runs interactively.
            connection.execute("SET enable_progress_bar = false")
            own = [_quoted(f"{self.path}{end}") for end in ("", ".wal", ".wal.checkpoint", ".wal.recovery")]
            connection.execute(f"SET allowed_paths = [{', '.join(own)}]")
            connection.execute(f"SET allowed_directories = [{_quoted(self._scratch.folder)}]")
            connection.execute("SET enable_external_access = false")
        return self._connection

    def _discard(self) -> None:
        """Drop the workbench, whatever state it is in, and end the turn."""
        connection, self._connection = self._connection, None
        scratch, self._scratch = self._scratch, None
        self._attached = False
        try:
            if connection is not None:
                with suppress(Exception):
                    connection.close()
            if scratch is not None:
                scratch.close()
        finally:
            self._turns.end()

    # -- making and checking the file

    def _is_absent(self) -> bool:
        """Whether there is no store: an empty file (``mktemp``) counts as none."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return True
        except OSError as error:
            raise of_system(error, self.path) from error
        if self.path.is_dir():
            raise not_a_store(self.path)
        return self._create and stat.st_size == 0

    def _refuse_another_file(self) -> None:
        """What comes next may only go where the earlier batches went, or those were lost unseen."""
        if self._written is None or self._written == at_rest.identity(self.path):
            return
        self._written = None
        self._discard()
        raise StoreMissing(
            f"{self.path} was removed or replaced while it was written to",
            help="Put it back, or run the same command again to read all of the input into a new one.",
        )

    def _make(self) -> None:
        """Make the store beside its place and move it there whole, the owner's from its first byte."""
        connection = self._workbench()
        if self._scratch is None:
            raise RuntimeError("no scratch folder")
        made = self._scratch.folder / f"new-{os.getpid()}-{threading.get_ident()}"
        connection.execute(f"ATTACH {_quoted(made)} AS store (TYPE duckdb, STORAGE_VERSION 'latest', {ROWS})")
        create(connection, self._layout)
        connection.execute("DETACH store")
        try:
            made.chmod(0o600)
            # A log without its store cannot be read any more, and would stop the new one.
            at_rest.log_of(self.path).unlink(missing_ok=True)
            made.replace(self.path)
        except OSError as error:
            raise of_system(error, self.path) from error

    # -- threads and forks

    @contextmanager
    def _alone_here(self) -> Iterator[None]:
        """Keep the process's other threads out, waiting no longer than for other processes."""
        guard = self._guard
        if not guard.acquire(timeout=self.timeout):
            raise busy(self.path, ["another thread of this process"], self.timeout)
        try:
            yield
        finally:
            guard.release()

    @contextmanager
    def _told(self) -> Iterator[None]:
        with told(self.path, timeout=self.timeout):
            yield

    def _let_go_for_fork(self) -> None:
        if not self._guard.acquire(blocking=False):
            return
        try:
            if self._attached and not self._depth:
                with self._told():
                    self._detach()
        except StoreError as error:
            self._late = error
        finally:
            self._guard.release()

    def _forget(self) -> None:
        """In a forked child: leave the parent's database alone.

        Closing it would write into the parent's file, so the child never frees it.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            import ctypes

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        if self._scratch is not None:
            self._scratch.forget()
        self._scratch = None
        self._attached = False
        self._depth = 0
        self._watcher = None
        self._late = None
        self._guard = threading.RLock()
        self._turns.forget()


def _quoted(path: Path | str) -> str:
    """An SQL string: ATTACH and SET take no bound values."""
    return "'" + str(path).replace("'", "''") + "'"


def _before_fork() -> None:
    # DuckDB lets no file be opened twice in a process, and a child would take what the
    # parent had open for its own: so what nobody works with is closed first.
    for file in list(_live):
        file._let_go_for_fork()  # noqa: SLF001  this module's own


def _after_fork_in_child() -> None:
    for file in list(_live):
        file._forget()  # noqa: SLF001  this module's own


def _at_exit() -> None:
    # Before the interpreter is taken apart: the watching thread must not outlive it.
    for file in list(_live):
        file.timeout = 1.0
        with suppress(StoreError):
            file.close()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
