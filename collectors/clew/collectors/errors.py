"""What can go wrong while collecting.

Exception
└── CollectError
    ├── SourceUnavailable   a source cannot be opened or reached
    ├── FormatError         a format file is wrong: file, line, column, text and help
    └── UnknownFormat       no such format, or nothing recognises the input
"""

from __future__ import annotations


class CollectError(Exception):
    """Base of all; ``help`` says how to go on."""

    def __init__(self, message: str, *, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class SourceUnavailable(CollectError):
    """A source cannot be opened or reached."""


class UnknownFormat(CollectError):
    """No format of that name, or none recognises the input."""


class FormatError(CollectError):
    """A format file is wrong."""

    def __init__(
        self,
        message: str,
        *,
        file: str,
        line: int = 0,
        column: int = 0,
        text: str = "",
        help: str = "",
    ) -> None:
        super().__init__(message, help=help)
        self.file = file
        self.line = line
        self.column = column
        self.text = text
