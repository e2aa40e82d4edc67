"""How output looks: its width, its glyphs, and lines made of styled pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from clew.cli.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable


class Glyphs(NamedTuple):
    """Every sign that is drawn, so that ASCII can stand in for all of them."""

    branch: str
    last: str
    rail: str
    guess: str
    guess_last: str
    sends: str
    handles: str
    event: str
    span: str
    work: str
    error: str
    wait: str
    point: str
    open: str
    rule: str
    idle: str
    cut: str
    times: str
    cross: str
    warn: str
    dead: str
    clock: str
    note: str


UNICODE = Glyphs(
    branch="├ ",
    last="└ ",
    rail="│ ",
    guess="├╌",
    guess_last="└╌",
    sends="→",
    handles="←",
    event="•",
    span=" ",
    work="█",
    error="▓",
    wait="░",
    point="◆",
    open="▶",
    rule="─",
    idle="╱",  # noqa: RUF001
    cut="…",
    times="×",  # noqa: RUF001
    cross="✖",
    warn="▲",
    dead="⊘",
    clock="◔",
    note="┊",
)
ASCII = Glyphs(
    branch="+ ",
    last="` ",
    rail="| ",
    guess="+~",
    guess_last="`~",
    sends="->",
    handles="<-",
    event="*",
    span=" ",
    work="#",
    error="%",
    wait=".",
    point="o",
    open=">",
    rule="-",
    idle="/",
    cut="~",
    times="x",
    cross="x",
    warn="!",
    dead="@",
    clock="?",
    note=":",
)
STATUS_GLYPHS = {
    "completed": ("✔", "+"),
    "in_progress": ("◔", "?"),
    "stuck": ("▲", "!"),
    "failed": ("✖", "x"),
    "dead_lettered": ("⊘", "@"),
    "compensated": ("↺", "<"),
    "compensating": ("↻", "<"),
    "cancelled": ("○", "o"),
}


class Piece(NamedTuple):
    """Some text and the name of its style, a key of :data:`clew.cli.terminal.STYLES` or ""."""

    text: str
    style: str = ""


_OURS = dict.fromkeys(
    map(ord, {char for sign in (*UNICODE, *dict(STATUS_GLYPHS.values())) for char in sign}), "-"
)


def cells(text: str) -> int:
    """Columns that ``text`` takes on a terminal: two for each wide character."""
    if text.isascii() or text.translate(_OURS).isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


class Line:
    """A line of styled pieces. Whatever is added is made visible first, so that nothing slips by."""

    __slots__ = ("cells", "encoding", "pieces")

    def __init__(self, encoding: str = "utf-8") -> None:
        self.encoding = encoding
        self.pieces: list[Piece] = []
        self.cells = 0

    def add(self, text: str, style: str = "") -> Line:
        """Append; gives the line itself."""
        shown = visible(text, self.encoding)
        if shown:
            self.pieces.append(Piece(shown, style))
            self.cells += cells(shown)
        return self

    def extend(self, other: Line) -> Line:
        """Append another line's pieces; gives the line itself."""
        self.pieces.extend(other.pieces)
        self.cells += other.cells
        return self

    def pad(self, width: int, fill: str = " ", style: str = "") -> Line:
        """Fill up to ``width`` columns; gives the line itself."""
        return self.add(fill * (width - self.cells), style) if self.cells < width else self

    def fit(self, width: int, cut: str = "…") -> Line:
        """The line itself where it fits, otherwise its beginning and ``cut`` in ``width`` columns."""
        if self.cells <= width:
            return self
        from rich.cells import set_cell_size

        fitted = Line(self.encoding)
        room = max(width - cells(cut), 0)
        for text, style in self.pieces:
            taken = text if cells(text) <= room else set_cell_size(text, room)
            fitted.add(taken, style)
            room -= cells(taken)
            if room <= 0:
                break
        return fitted.add(cut[: max(width - fitted.cells, 0)], "faint")

    @property
    def plain(self) -> str:
        """The text without styles and trailing blanks."""
        return "".join(piece.text for piece in self.pieces).rstrip()


class Look(NamedTuple):
    """What the place that output goes to can show."""

    width: int = 80
    encoding: str = "utf-8"

    @property
    def glyphs(self) -> Glyphs:
        """Box drawing where the encoding has it, otherwise ASCII."""
        return UNICODE if self.encoding == "utf-8" else ASCII

    def line(self, text: str = "", style: str = "") -> Line:
        """A new line that begins with ``text``."""
        return Line(self.encoding).add(text, style)

    def status(self, status: str) -> str:
        """A status as glyph and word, so that it reads without colour."""
        glyphs = STATUS_GLYPHS.get(status, ("", ""))
        return f"{glyphs[self.glyphs is ASCII]} {status}"

    def wrap(self, text: str, style: str = "", *, first: Line, again: Line | None = None) -> list[Line]:
        """``text`` broken at blanks into lines of at most the width.

        The first continues ``first``; every other begins with ``again``, blanks as
        wide as ``first`` unless given. A word longer than a line is broken anywhere.
        """
        again = again if again is not None else self.line(" " * first.cells)
        lines = [Line(self.encoding).extend(first)]
        fresh = True
        for word in self._words(text, max(self.width - max(first.cells, again.cells), 1)):
            line = lines[-1]
            gap = "" if fresh else " "
            if not fresh and line.cells + 1 + cells(word) > self.width:
                line, gap = Line(self.encoding).extend(again), ""
                lines.append(line)
            line.add(gap + word, style)
            fresh = False
        return lines

    def join(self, parts: Iterable[tuple[str, str]], *, first: Line, again: Line | None = None) -> list[Line]:
        """Styled parts set apart by commas, broken only between them where they fit a line."""
        again = again if again is not None else self.line("  ")
        lines = [first]
        for place, (text, style) in enumerate(parts):
            comma = ", " if place else ""
            part = self.line(text, style)
            if place and lines[-1].cells + len(comma) + part.cells + 1 > self.width:
                lines[-1].add(",")
                lines.append(Line(self.encoding).extend(again).extend(part))
            else:
                lines[-1].add(comma).extend(part)
        return [line.fit(self.width, self.glyphs.cut) for line in lines]

    def _words(self, text: str, longest: int) -> list[str]:
        words: list[str] = []
        for word in visible(text, self.encoding).split(" "):
            rest = word
            while cells(rest) > longest:
                part = rest[:longest] if rest.isascii() else rest[: max(longest // 2, 1)]
                words.append(part)
                rest = rest[len(part) :]
            if rest:
                words.append(rest)
        return words
