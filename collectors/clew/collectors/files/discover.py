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
from typing import TYPE_CHECKING

from clew.collectors.files.inputs import STDIN
from clew.collectors.files.position import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STORE_MAGIC = b"DUCK"
"""Bytes 8 to 11 of a DuckDB file."""
NUMBERS = re.compile(r"(\d+)")
ROTATED = re.compile(r"^(?P<base>.+?)[.-](?P<number>\d{1,4})(?P<packed>\.(gz|zst|bz2|xz))?$")


@dataclass(slots=True)
class Found:
    """Files in the order in which they are read, and what could not be looked into."""

    files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


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
                    found.problems.append(f"{shown(file)}: {error.strerror}")
                    continue
                identity = (status.st_dev, status.st_ino)
            if identity not in seen:
                seen.add(identity)
                found.files.append(file)
    return found


def _expand(path: str, problems: list[str]) -> Iterator[str]:
    if path == STDIN:
        yield path
        return
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(path):
        yield from _walk(path, problems)
    elif glob.has_magic(path) and not os.path.lexists(path):
        matches = glob.glob(path, recursive=True)
        if not matches:
            problems.append(f"{shown(path)}: no file matches")
        for match in sorted(matches, key=order):
            if os.path.isdir(match):
                yield from _walk(match, problems) if not path.endswith("**") else ()
            elif _readable_kind(match):
                yield match
    else:
        yield path


def _walk(folder: str, problems: list[str]) -> Iterator[str]:
    def told(error: OSError) -> None:
        problems.append(f"{shown(error.filename)}: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=told):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=order)
        for name in sorted(names, key=order):
            file = os.path.join(parent, name)
            if not name.startswith(".") and _readable_kind(file):
                yield file


def _readable_kind(file: str) -> bool:
    """Whether it is a regular file, and none of clew's own. One that cannot be read is left to fail."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):
            return False
        return not (_is_store(file) or (file.endswith(".wal") and _is_store(file[: -len(".wal")])))
    except OSError:
        return True


def _is_store(file: str) -> bool:
    try:
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
