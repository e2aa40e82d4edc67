"""From what a person names to the files that are read.

Names stay as they are written, because sources are called by them: ``os.path`` and not
``Path.resolve``, which follows links, nor ``Path`` objects for each of many files.
"""

# ruff: noqa: PTH100, PTH111, PTH112, PTH116, PTH118, PTH123, PTH207

from __future__ import annotations

import glob
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

from clew.collectors.errors import SourceUnavailable
from clew.collectors.files.inputs import STDIN
from clew.collectors.files.position import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NAMED = 20
"""Problems that a message names one by one."""

STORE_MAGIC = b"DUCK"
"""Bytes 8 to 11 of a DuckDB file."""
NUMBERS = re.compile(r"(\d+)")
ROTATED = re.compile(r"^(?P<base>.+?)[.-](?P<number>\d{1,4})(?P<packed>\.(gz|zst|bz2|xz))?$")


class Problem(NamedTuple):
    """What could not be read, and why."""

    path: str
    reason: str
    missing: bool = False
    """There is nothing (yet)."""

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"

    @classmethod
    def of(cls, path: str, error: OSError) -> Self:
        """The problem that an error tells of."""
        return cls(path, error.strerror or str(error), isinstance(error, FileNotFoundError))


@dataclass(slots=True)
class Found:
    """Files in the order in which they are read, and what could not be looked into."""

    files: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def unavailable(problems: Sequence[Problem]) -> SourceUnavailable:
    """The error that names what could not be read."""
    named = [str(problem) for problem in problems[:NAMED]]
    if len(problems) > NAMED:
        named.append(f"and {len(problems) - NAMED:,} more")
    return SourceUnavailable("; ".join(named))


def discover(paths: Iterable[str]) -> Found:
    """Absolute paths of the files meant by ``paths``; ``-`` stays as it is.

    A folder means all files in it at any depth, less hidden ones and clew's own store; a
    pattern is a glob in which ``**`` means any depth. What is named itself is taken
    whatever it is. In a folder the files come in natural order (``b2`` before ``b10``), of
    a rotated file the older parts first. A file met twice (by two names too) is taken once.
    """
    found = Found()
    seen: set[tuple[int, int] | str] = set()
    for path in paths:
        for file in _expand(path, found.problems):
            identity: tuple[int, int] | str = file
            if file != STDIN:
                try:
                    status = os.stat(file)
                except OSError as error:
                    found.problems.append(Problem.of(file, error))
                    continue
                identity = (status.st_dev, status.st_ino)
            if identity not in seen:
                seen.add(identity)
                found.files.append(file)
    return found


def _expand(path: str, problems: list[Problem]) -> Iterator[str]:
    if path == STDIN:
        yield path
        return
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(path):
        yield from _walk(path, problems)
    elif glob.has_magic(path) and not os.path.lexists(path):
        matches = glob.glob(path, recursive=True)
        if not matches:
            problems.append(Problem(path, "no file matches", missing=True))
        for match in sorted(matches, key=order):
            if os.path.isdir(match):
                yield from _walk(match, problems) if not path.endswith("**") else ()
            elif _is_regular(match) and not _is_store(match):
                yield match
    else:
        yield path


def _walk(folder: str, problems: list[Problem]) -> Iterator[str]:
    def told(error: OSError) -> None:
        problems.append(Problem.of(error.filename, error))

    for parent, folders, names in os.walk(folder, onerror=told):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=order)
        stores = tuple(name for name in names if _is_store(os.path.join(parent, name)))
        for name in sorted(names, key=order):
            file = os.path.join(parent, name)
            # A store's log and lock files are called after it.
            if not name.startswith((".", *stores)) and _is_regular(file):
                yield file


def _is_regular(file: str) -> bool:
    """Whether it is a regular file. One of which that cannot be told is left to fail."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)
    except OSError:
        return True


def _is_store(file: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            return False
        with open(file, "rb") as opened:
            return opened.read(12)[8:] == STORE_MAGIC
    except OSError:
        return False


def order(path: str) -> tuple[object, ...]:
    """Sort key: numbers by their value, and ``app.log.2`` before ``app.log.1`` before ``app.log``."""
    rotated = ROTATED.match(path)
    base = rotated["base"] if rotated else path
    natural = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in NUMBERS.split(base) if part
    )
    return natural, -int(rotated["number"]) if rotated else 1
