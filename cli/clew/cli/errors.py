"""The CLI's own errors, and the one renderer that makes a message of any error.

Exception
└── CommandError          a command cannot go on; carries its exit status
    ├── UsageMistake      an option, an argument or a setting is wrong: file, line and text
    └── NothingFound      nothing of that ID, source or format
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from clew.cli.exits import Exit

if TYPE_CHECKING:
    from clew.cli.look import Line, Look


class CommandError(Exception):
    """A command cannot go on; ``help`` says how to."""

    status = Exit.UNREACHABLE

    def __init__(self, message: str, *, help: str = "", status: Exit | None = None) -> None:
        super().__init__(message)
        self.help = help
        if status is not None:
            self.status = status


class UsageMistake(CommandError):
    """An option, an argument or a setting is wrong."""

    status = Exit.USAGE

    def __init__(
        self, message: str, *, file: str = "", line: int = 0, column: int = 0, text: str = "", help: str = ""
    ) -> None:
        super().__init__(message, help=help)
        self.file = file
        self.line = line
        self.column = column
        self.text = text


class NothingFound(CommandError):
    """Nothing of that ID, source or format."""

    status = Exit.NOT_FOUND


class Message(NamedTuple):
    """What a person is told about an error."""

    what: str
    status: Exit
    file: str = ""
    line: int = 0
    column: int = 0
    text: str = ""
    """The offending text: the part that is marked, or the whole line where ``column`` is 0."""
    help: str = ""


def message(error: BaseException) -> Message:
    """What to tell about ``error``, whichever layer raised it."""
    place = {name: getattr(error, name, "") for name in ("file", "text", "help")}
    spot = {name: int(getattr(error, name, 0) or 0) for name in ("line", "column")}
    status = _status(error)
    if status is Exit.BUG:
        return Message(
            what=f"this is a bug in clew: {type(error).__name__}: {error}",
            status=status,
            help="please report it with the traceback: set CLEW_DEBUG=1 and run the same command again",
        )
    return Message(
        what=_what(error),
        status=status,
        file=str(place["file"] or ""),
        text=str(place["text"] or ""),
        help=str(place["help"] or ""),
        **spot,
    )


def _what(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return "out of memory" if isinstance(error, MemoryError) else str(error) or type(error).__name__


def _status(error: BaseException) -> Exit:
    if isinstance(error, CommandError):
        return error.status
    from clew.collectors.errors import CollectError, SourceUnavailable
    from clew.reconstruct.errors import ReconstructError, StoreError

    if isinstance(error, (StoreError, SourceUnavailable)):
        return Exit.UNREACHABLE
    if isinstance(error, (ReconstructError, CollectError)):
        return Exit.USAGE
    return Exit.UNREACHABLE if isinstance(error, (OSError, MemoryError)) else Exit.BUG


def render(told: Message, look: Look) -> list[Line]:
    """The message in lines: what and why, where with the text marked, how to go on."""
    lines = look.wrap(told.what, first=look.line("error: ", "error"))
    if told.file:
        where = (
            told.file + (f":{told.line}" if told.line else "") + (f":{told.column}" if told.column else "")
        )
        lines.append(look.line("  --> ", "faint").add(where, "name"))
    if told.text:
        lines.extend(_marked(told, look))
    if told.help:
        lines.extend(look.wrap(told.help, first=look.line("help: ", "help")))
    return lines


def _marked(told: Message, look: Look) -> list[Line]:
    gutter = f"{told.line:>5} | " if told.line else "      | "
    whole, start = _line_of(told)
    cut = look.glyphs.cut
    if start < 0:
        return [look.line(gutter, "faint").add(whole).fit(look.width, cut)]
    spot = told.text if whole[start:].startswith(told.text) else _word(whole[start:])
    room = look.width - len(gutter)
    skipped = max(0, start - room // 3) if look.line(whole[:start] + spot).cells > room else 0
    lead = cut if skipped else ""
    before = look.line(lead + whole[skipped:start])
    carets = max(1, min(look.line(spot).cells, room - before.cells))
    shown = look.line(gutter, "faint").extend(before).add(whole[start:]).fit(look.width, cut)
    blank = gutter if told.line == 0 else " " * (len(gutter) - 2) + "| "
    return [shown, look.line(blank, "faint").add(" " * before.cells).add("^" * carets, "error")]


def _word(text: str) -> str:
    found = re.match(r"[\w.-]+", text)
    return found[0] if found else text[:1]


def _line_of(told: Message) -> tuple[str, int]:
    """The whole line, and where in it the offending text begins; -1 where nothing is to be marked."""
    if told.file and told.line:
        try:
            with open(told.file, encoding="utf-8", errors="backslashreplace") as lines:  # noqa: PTH123  light
                for number, line in enumerate(lines, 1):
                    if number == told.line:
                        whole = line.rstrip("\r\n")
                        start = told.column - 1 if told.column else whole.find(told.text)
                        if told.text in whole or told.column:
                            return whole, min(start, len(whole))
                        break
        except OSError:
            pass  # the file may be a name only (stdin, a bundled one): then its text stands alone
    return told.text, told.column - 1 if 0 < told.column <= len(told.text) else -1
