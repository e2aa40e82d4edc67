"""Where reading stands in one content, recognised by what it holds and not by its name.

A rotated file goes on under another name, a compressed copy holds the same bytes, and a
new file may stand under the old name. So a position carries a fingerprint of the first
bytes and one of the bytes just before it: a file holds the content of a position if both
agree. What is packed is compared unpacked.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VERSION = 1
HEAD_BYTES = 4096
TAIL_BYTES = 1024
ENOUGH = 64
"""Bytes read below which a content is not recognised under another name: too many files
begin with the same header."""


def digest(data: bytes | memoryview) -> str:
    """A short fingerprint of some bytes."""
    return blake2b(data, digest_size=12).hexdigest()


def shown(path: str) -> str:
    """A path as text: bytes in it that are no UTF-8 are written as escapes."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a content was read. All sizes are of the unpacked bytes."""

    path: str
    """Where it was last seen."""
    scope: str = ""
    offset: int = 0
    """Bytes read."""
    number: int = 0
    """Lines or elements counted so far."""
    head: tuple[int, str] = (0, "")
    """Length and fingerprint of its first bytes, of what was read at most 4 KiB."""
    tail: tuple[int, str] = (0, "")
    """Length and fingerprint of the bytes just before ``offset``, at most 1 KiB."""
    format: str = ""
    framing: str = ""
    """lines or documents"""
    within: bool = False
    """``offset`` lies in a top-level JSON array."""
    unended: bool = False
    """The last line counted had no end yet."""
    held: str = ""
    """Fingerprint of what lies behind ``offset`` and was rejected, for good or for now."""
    packed: str = ""
    """Fingerprint of the packed file that was read to its end: size, first and last bytes."""
    partial: bool = False
    """It was followed, or its end not reached: nobody said that it was read to its end for good."""

    def text(self) -> str:
        """As it is stored."""
        fields = {name: value for name, value in asdict(self).items() if value}
        # ASCII, because a path may hold bytes that are no text.
        return json.dumps({"v": VERSION, **fields}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From what :meth:`text` gave; None for what is no position of a file."""
        try:
            fields = json.loads(text)
        except ValueError:
            return None
        if not isinstance(fields, dict) or fields.pop("v", None) != VERSION or "path" not in fields:
            return None
        for name in ("head", "tail"):
            if name in fields:
                fields[name] = tuple(fields[name])
        try:
            return cls(**fields)
        except TypeError:
            return None

    def begins(self, head: bytes) -> bool:
        """Whether content that starts with ``head`` (4 KiB, or all of it) may be this one."""
        length, fingerprint = self.head
        return len(head) >= length and (not length or digest(head[:length]) == fingerprint)


class Ledger:
    """Every source known, by name, as far as this run has read it.

    A source is named after the path where its content was first seen; while that content
    is still somewhere, another one at that path is ``path#2``, and so on. What another
    scope or collector has read only takes up names.
    """

    def __init__(self, positions: Mapping[str, str], scope: str) -> None:
        self._names = set(positions)
        self._known: dict[str, Position] = {}
        self._by_path: dict[str, dict[str, None]] = {}
        self._by_head: dict[tuple[int, str], dict[str, None]] = {}
        for source, text in positions.items():
            position = Position.parse(text)
            if position is not None and position.scope == scope:
                self.move(source, position)

    def move(self, source: str, position: Position) -> None:
        """Remember how far ``source`` has been read."""
        before = self._known.get(source)
        if before is not None:
            self._by_path[before.path].pop(source, None)
            self._by_head[before.head].pop(source, None)
        self._names.add(source)
        self._known[source] = position
        self._by_path.setdefault(position.path, {})[source] = None
        self._by_head.setdefault(position.head, {})[source] = None

    def get(self, source: str) -> Position | None:
        """How far ``source`` has been read, None where it was never seen."""
        return self._known.get(source)

    def packed(self, path: str, mark: str) -> Iterator[str]:
        """Sources that were read to their end from the very packed file of that fingerprint."""
        return (
            source
            for source, position in self._known.items()
            if mark and position.packed == mark and (position.offset or position.path == path)
        )

    def candidates(self, path: str, head: bytes) -> list[tuple[str, Position]]:
        """Sources that content at ``path`` that starts with ``head`` may belong to.

        Those last seen at ``path`` come first, the newest before the older, and last of all
        one of which nothing was read.
        """
        here = [
            source for source in reversed(self._by_path.get(path, {})) if self._known[source].begins(head)
        ]
        lengths = {length for length, _ in self._by_head if ENOUGH <= length <= len(head)}
        elsewhere = [
            source
            for length in sorted(lengths, reverse=True)
            for source in self._by_head.get((length, digest(head[:length])), {})
            if self._known[source].path != path
        ]
        order = sorted([*here, *elsewhere], key=lambda source: not self._known[source].offset)
        return [(source, self._known[source]) for source in order]

    def name(self, path: str, in_use: Callable[[str, Position], bool]) -> str:
        """A name for new content at ``path``, which no content that is still somewhere has."""
        for number in count(1):
            name = shown(path) if number == 1 else f"{shown(path)}#{number}"
            known = self._known.get(name)
            if name not in self._names or (known is not None and not in_use(name, known)):
                return name
        raise AssertionError
