"""Which source a file is, and where to go on in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from clew.collectors.files.inputs import STDIN, Input, open_input
from clew.collectors.files.position import ENOUGH, Ledger, Position, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clew.collectors.files.streams import Stream

STDIN_NAME = "stdin"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A file's source; ``stream`` stands at ``position``."""

    source: str
    position: Position
    stream: Stream
    known: bool
    """The source was read before (be it that there was nothing in it)."""


class Verdict(Enum):
    """Why a file is not read."""

    NOTHING = "nothing in it that was not read"
    LATER = (
        "begins like what was read, but holds less, or more while that is still there: a copy in the making?"
    )


class Sources:
    """Tells renamed, rotated, copied, replaced and truncated files apart by their content.

    - At its path, a file whose content was read there goes on where that ended.
    - At another path, content that was read goes on if it is no longer where it was
      (renamed, rotated, compressed). If it is still there too, the file is a copy: read
      anew if it holds more, else not at all.
    - What was read nowhere is read from its start. It takes over the name of what stood at
      its path, unless that content is still among the files of this run.
    """

    def __init__(self, positions: Mapping[str, str], scope: str) -> None:
        self._ledger = Ledger(positions, scope)
        self._scope = scope
        self._claimed: dict[str, str] = {}
        """Source → the path at which it was found in this run."""
        self._files: Sequence[str] = ()
        self._holders: set[str] | None = None
        self._moving = False

    def look_at(self, files: Sequence[str]) -> None:
        """Take ``files`` as those of this run: what they hold keeps its source's name."""
        self._files = files
        self._holders = None

    def move(self, source: str, position: Position) -> None:
        """Remember how far ``source`` was read."""
        self._ledger.move(source, position)

    def position(self, source: str) -> Position | None:
        """How far a source has been read, None where it was never seen."""
        return self._ledger.get(source)

    def knows(self, source: str) -> bool:
        """Whether something was read of ``source``, in this scope."""
        return self._ledger.get(source) is not None

    def claim(self, source: str, path: str) -> None:
        """The content of ``source`` is at ``path`` now."""
        self._claimed[source] = path

    def release(self, source: str, path: str) -> None:
        """The content of ``source`` is no longer at ``path``."""
        if self._claimed.get(source) == path:
            del self._claimed[source]

    def again(self, source: str, opened: Input) -> Resolved | None:
        """Where to go on in a file of ``source``; None where it no longer holds that content."""
        position = self._ledger.get(source) or Position(opened.path, self._scope)
        known = self._ledger.get(source) is not None
        stream = opened.start(position.offset, position.tail)
        if stream is None or not position.begins(opened.head()):
            return None
        return Resolved(source, position, stream, known=known)

    def resolve(self, opened: Input, *, now: bool) -> Resolved | Verdict:
        """The source of an open file. What could be a copy in the making is only read ``now``.

        Raises:
            OSError: the file cannot be read.
        """
        path = opened.path
        if opened.live:
            return self._live(opened)
        for source in self._ledger.packed(path, opened.packed):
            self._claimed.setdefault(source, path)
            return Verdict.NOTHING
        doubtful = False
        for source, position in self._ledger.candidates(path, opened.head()):
            stream = opened.start(position.offset, position.tail)
            if stream is None:
                doubtful |= position.head[0] >= ENOUGH
                continue
            if position.path == path or not self._is_elsewhere(source, position, path):
                self._claimed[source] = path
                return Resolved(source, position, stream, known=True)
            if not stream.readinto(memoryview(bytearray(1))):
                return Verdict.NOTHING
            doubtful = True
        if doubtful and not now:
            return Verdict.LATER
        source = self._ledger.name(path, self._in_use)
        self._claimed[source] = path
        return self._from_start(opened, source, known=False)

    def _live(self, opened: Input) -> Resolved | Verdict:
        source = STDIN_NAME if opened.path == STDIN else shown(opened.path)
        return self._from_start(opened, source, known=False)

    def _from_start(self, opened: Input, source: str, *, known: bool) -> Resolved | Verdict:
        stream = opened.start(0, (0, ""))
        if stream is None:
            return Verdict.NOTHING
        return Resolved(source, Position(opened.path, self._scope), stream, known)

    def _is_elsewhere(self, source: str, position: Position, path: str) -> bool:
        """Whether the content of ``source`` is still found at another path than this."""
        last = self._claimed.get(source, position.path)
        return last != path and _holds(last, position)

    def _in_use(self, source: str, position: Position) -> bool:
        """Whether the content of ``source`` is among the files of this run."""
        if source in self._claimed:
            return True
        if not position.offset:
            return False
        if self._holders is None:
            self._holders, self._moving = set(), False
            for file in self._files:
                self._holders.update(self._held_by(file))
        return self._moving or source in self._holders

    def _held_by(self, file: str) -> list[str]:
        try:
            opened = open_input(file, 0)
        except OSError as error:
            # Gone since it was listed: what it held is perhaps under another name already.
            self._moving |= isinstance(error, FileNotFoundError)
            return []
        try:
            if opened.live:
                return []
            return [
                *self._ledger.packed(file, opened.packed),
                *(
                    source
                    for source, position in self._ledger.candidates(file, opened.head())
                    if position.offset and opened.start(position.offset, position.tail)
                ),
            ]
        except OSError:
            return []
        finally:
            opened.close()


def _holds(path: str, position: Position) -> bool:
    """Whether the file at ``path`` still holds the content that was read up to ``position``."""
    try:
        opened = open_input(path, 0)
    except OSError:
        return False
    try:
        if opened.live:
            return False
        if position.packed and opened.packed == position.packed:
            return True
        return position.begins(opened.head()) and opened.start(position.offset, position.tail) is not None
    except OSError:
        return False
    finally:
        opened.close()
