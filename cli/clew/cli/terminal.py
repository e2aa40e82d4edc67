"""The one object that writes: results to stdout, talk to stderr, colour only where it is wanted."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from clew.cli.look import Line, Look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console

STYLES = {
    "faint": "dim",
    "strong": "bold",
    "heading": "bold",
    "name": "cyan",
    "service": "blue",
    "wait": "yellow",
    "work": "green",
    "error": "bold red",
    "warning": "bold yellow",
    "help": "cyan",
    "completed": "green",
    "in_progress": "cyan",
    "stuck": "bold yellow",
    "failed": "bold red",
    "dead_lettered": "bold magenta",
    "compensated": "green",
    "compensating": "yellow",
    "cancelled": "bright_black",
}
PIPE_WIDTH = 80
_NARROWEST = 40


class Terminal:
    """Owns rich, which is imported only when something is printed in colour.

    Width: ``COLUMNS`` where it is set, else the terminal's own, else 80 in a pipe.
    Colour: as ``--color`` says; ``auto`` is on for a terminal unless ``NO_COLOR`` is
    set or ``TERM`` is ``dumb``. Box drawing where stdout's encoding is UTF-8.
    """

    def __init__(self, *, color: str = "auto", environ: Mapping[str, str] | None = None) -> None:
        self.environ = os.environ if environ is None else environ
        self.color = color
        self.interactive = _is_terminal(sys.stderr)
        """Whether somebody watches stderr, so that progress is worth showing."""
        self._consoles: dict[str, Console] = {}

    @property
    def look(self) -> Look:
        """Width and encoding of stdout."""
        return Look(self._width(), _encoding(sys.stdout))

    @property
    def person(self) -> bool:
        """Whether stdout is a terminal."""
        return _is_terminal(sys.stdout)

    def out(self, lines: Line | str | Iterable[Line]) -> None:
        """Write a result to stdout, line by line."""
        self._write("stdout", sys.stdout, lines)

    def json(self, value: Any) -> None:
        """Write one JSON value as one line to stdout."""
        import json

        from clew.cli.visible import visible_json

        text = json.dumps(value, ensure_ascii=_encoding(sys.stdout) != "utf-8", separators=(",", ":"))
        sys.stdout.write(visible_json(text) + "\n")

    def document(self, text: str) -> None:
        """Write a file's text to stdout as it is, in UTF-8. Its writer has made visible what a terminal obeys."""
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()

    def say(self, lines: Line | str | Iterable[Line]) -> None:
        """Talk to the person: to stderr."""
        self._write("stderr", sys.stderr, lines)

    def warn(self, text: str) -> None:
        """Say that something is not as it should be, and that the command went on."""
        self._talk(text, first=Line(_encoding(sys.stderr)).add("warning: ", "warning"))

    def hint(self, text: str) -> None:
        """Say how to go on, where somebody reads both."""
        if self.person and self.interactive:
            self._talk(text, "faint")

    def _talk(self, text: str, style: str = "", first: Line | None = None) -> None:
        """Say it in lines as wide as the terminal; in a pipe, where lines are searched, in one."""
        first = first if first is not None else Line(_encoding(sys.stderr))
        if self.interactive:
            look = Look(self._width(), _encoding(sys.stderr))
            self.say(look.wrap(text, style, first=first, again=look.line("  ")))
        else:
            self.say(first.add(text, style))

    def console(self, name: str = "stderr") -> Console:
        """Rich's own console, for progress."""
        if name not in self._consoles:
            from rich.console import Console
            from rich.theme import Theme

            class PipeConsole(Console):
                """Leaves a broken pipe to whoever runs the command."""

                def on_broken_pipe(self) -> None:
                    raise BrokenPipeError

            self._consoles[name] = PipeConsole(
                stderr=name == "stderr",
                theme=Theme(STYLES),
                force_terminal=True if self.color == "always" else None,
                no_color=False if self.color == "always" else None,
                highlight=False,
                markup=False,
                emoji=False,
            )
        return self._consoles[name]

    def colored(self, stream: TextIO) -> bool:
        """Whether ``stream`` gets colour."""
        if self.color != "auto":
            return self.color == "always"
        if self.environ.get("NO_COLOR") or self.environ.get("TERM") == "dumb":
            return False
        return _is_terminal(stream)

    def _write(self, name: str, stream: TextIO, lines: Line | str | Iterable[Line]) -> None:
        if isinstance(lines, str):
            lines = Line(_encoding(stream)).add(lines)
        if isinstance(lines, Line):
            lines = (lines,)
        if not self.colored(stream):
            stream.writelines(line.plain + "\n" for line in lines)
            return
        from rich.text import Text

        console = self.console(name)
        for line in lines:
            text = Text.assemble(*line.pieces, end="\n")
            console.print(text, soft_wrap=True)

    def _width(self) -> int:
        columns = self.environ.get("COLUMNS", "")
        if columns.isdecimal() and int(columns) > 0:
            return max(int(columns), _NARROWEST)
        try:
            return max(os.get_terminal_size(sys.stdout.fileno()).columns or PIPE_WIDTH, _NARROWEST)
        except (OSError, ValueError, AttributeError):
            return PIPE_WIDTH


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def _encoding(stream: TextIO) -> str:
    name = (getattr(stream, "encoding", None) or "ascii").lower().replace("_", "-")
    return "utf-8" if name in {"utf-8", "utf8"} else name
