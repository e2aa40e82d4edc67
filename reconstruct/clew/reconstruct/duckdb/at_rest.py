"""A store's file and its log as the file system has them, while nobody has them open."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from clew.reconstruct.duckdb.faults import of_system


def log_of(store: Path) -> Path:
    """Where DuckDB writes what is committed and not yet in the file."""
    return store.with_name(store.name + ".wal")


def make_log(store: Path) -> None:
    """Make the log the owner's from its first byte: DuckDB opens it as the umask has it.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        os.close(os.open(log_of(store), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise of_system(error, store) from error


def remove_empty_log(store: Path) -> None:
    """Leave no log behind in which nothing is."""
    log = log_of(store)
    with suppress(OSError):
        if log.stat().st_size == 0:
            log.unlink()


def identity(store: Path) -> tuple[int, int] | None:
    """Device and inode; None where there is no file."""
    try:
        stat = store.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def stamp(store: Path) -> str:
    """What differs after every commit.

    Raises:
        StoreError: it cannot be looked at.
    """
    stamps: list[str] = []
    for path in (store, log_of(store)):
        try:
            found = path.stat()
            stamps.append(f"{found.st_ino}.{found.st_mtime_ns}.{found.st_size}")
        except FileNotFoundError:
            stamps.append("")
        except OSError as error:
            raise of_system(error, store) from error
    return "/".join(stamps)
