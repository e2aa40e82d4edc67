"""DuckDB's errors in the store's own words: what, why, and how to go on.

DuckDB tells most of them apart by text alone; the phrases here are those of 2.0, and
what none of them matches still becomes a :class:`StoreError`.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.turns import busy
from clew.reconstruct.errors import (
    ReconstructError,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreMissing,
    StoreUnusable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FULL_ERRNO = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_LOCKED = "Could not set lock on file"
_IN_THIS_PROCESS = "Unique file handle conflict"
_HOLDER = re.compile(r"Conflicting lock is held in (?P<command>.+?) \(PID (?P<pid>\d+)\)")


def is_locked(error: Exception) -> bool:
    """Whether another holds DuckDB's own lock on the file, so that asking again may help."""
    return _LOCKED in str(error) or _IN_THIS_PROCESS in str(error)


def is_interrupt(error: BaseException) -> bool:
    """Whether DuckDB says so that Ctrl-C ended a query; the KeyboardInterrupt itself is lost."""
    return type(error).__name__ == "InterruptException" or (
        type(error) is RuntimeError and "Query interrupted" in str(error)
    )


@contextmanager
def told(store: Path, *, timeout: float) -> Iterator[None]:
    """Raise what DuckDB or the system raises within as a :class:`StoreError` about ``store``."""
    import duckdb

    try:
        yield
    except ReconstructError:
        raise
    except duckdb.Error as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        raise fault(error, store, timeout=timeout) from error
    except RuntimeError as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        raise


def fault(error: Exception, store: Path, *, timeout: float = 0.0) -> StoreError:
    """The :class:`StoreError` that says what DuckDB's ``error`` means for ``store``."""
    text = str(error)
    if is_locked(error):
        return _locked(text, store, timeout)
    said = f"{type(error).__name__} {text}"
    for phrases, told_as in _MEANINGS:
        if any(phrase in said for phrase in phrases):
            return told_as(store, text)
    return StoreError(
        f"{store}: {_first_line(text)}",
        help="What was committed is safe. If this goes on, clew rebuild makes everything derived anew.",
    )


def full(store: Path, text: str = "") -> StoreFull:
    """The error for a disk that is full."""
    why = f" ({_first_line(text)})" if text else ""
    return StoreFull(
        f"{store}: no room left on its disk{why}",
        help="What was committed is safe. Free some room, then run the same command again: "
        "it goes on where this one stopped.",
    )


def missing(store: Path) -> StoreMissing:
    """The error for a store that is not there."""
    return StoreMissing(
        f"there is no store at {store}",
        help="clew ingest PATH makes it. Name another one with --store or CLEW_STORE.",
    )


def not_a_store(store: Path, why: str = "it is no DuckDB database") -> StoreUnusable:
    """The error for a file that is something else."""
    if store.is_dir():
        why = "it is a folder"
    return StoreUnusable(
        f"{store} is not a clew store: {why}",
        help="Nothing in it was changed. Name another file with --store or CLEW_STORE.",
    )


def of_system(error: OSError, store: Path) -> StoreError:
    """The :class:`StoreError` for a failed call of the operating system."""
    if error.errno in _FULL_ERRNO:
        return full(store)
    if isinstance(error, FileNotFoundError):
        return missing(store)
    return StoreUnusable(
        f"{store}: {error.strerror or error} ({error.filename})",
        help="Get permission for it, or name another store with --store or CLEW_STORE.",
    )


def _locked(text: str, store: Path, timeout: float) -> StoreBusy:
    if _IN_THIS_PROCESS in text:
        return busy(store, ["another connection of this process"], timeout)
    found = _HOLDER.search(text)
    return busy(store, [f"process {found['pid']} ({found['command']})"] if found else [], timeout)


def _damaged(store: Path, text: str) -> StoreUnusable:
    log = store.with_name(store.name + ".wal")
    if "WAL" in text and log.exists():
        return StoreUnusable(
            f"{store}: its log {log.name} does not fit it or is damaged ({_first_line(text)})",
            help="Put back the pair of files that belong together. Without its last commits the store opens "
            f"once {log.name} is moved away; then ingest the same input again.",
        )
    return StoreUnusable(
        f"{store} is damaged ({_first_line(text)})",
        help="Move it away and ingest the same input again, or put back a copy of it.",
    )


def _forbidden(store: Path, text: str) -> StoreUnusable:
    return StoreUnusable(
        f"{store}: {_first_line(text)}",
        help="Get permission to read and write it, or name another store with --store or CLEW_STORE.",
    )


def _of_newer_duckdb(store: Path, _text: str) -> StoreUnusable:
    import duckdb

    return StoreUnusable(
        f"{store} is written in a file format that DuckDB {duckdb.__version__} cannot read",
        help="Upgrade: pip install --upgrade duckdb",
    )


def _out_of_memory(store: Path, text: str) -> StoreError:
    return StoreError(
        f"{store}: not enough memory for this ({_first_line(text)})",
        help="What was committed is safe. Ask for less at once, or close other programs.",
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:300]


_MEANINGS: tuple[tuple[tuple[str, ...], Callable[[Path, str], StoreError]], ...] = (
    (("max_temp_directory_size", *(os.strerror(code) for code in sorted(_FULL_ERRNO))), full),
    (("database does not exist", os.strerror(errno.ENOENT)), lambda store, _: missing(store)),
    ((os.strerror(errno.EACCES), os.strerror(errno.EROFS)), _forbidden),
    (("not a valid DuckDB database file", os.strerror(errno.EISDIR)), lambda store, _: not_a_store(store)),
    (("database file with version number", "newer version of DuckDB"), _of_newer_duckdb),
    (
        (
            "Corrupt ",
            "Could not read enough bytes",
            "does not match stored checksum",
            "WAL does not match",
            "WAL checkpoint iteration does not match",
            "Failure while replaying WAL",
            "SerializationException",
            "InternalException",
            "FatalException",
        ),
        _damaged,
    ),
    (("OutOfMemoryException",), _out_of_memory),
)
"""Phrases in a DuckDB error (its type first) → what it means; the first that fits."""
