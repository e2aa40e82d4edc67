"""What can go wrong with a store or a definition.

Exception
└── ReconstructError
    ├── StoreError            the store cannot do what was asked
    │   ├── StoreBusy         another process held it for longer than the timeout
    │   ├── StoreMissing      no store there, and none may be made
    │   ├── StoreUnusable     not a clew store, damaged, no permission, or of another version
    │   └── StoreFull         the disk is full; what was committed is safe
    ├── DefinitionError       a flow definition is wrong: file, line, text and help
    └── NothingToDefine       what was seen is nothing that a flow definition could say
"""

from __future__ import annotations


class ReconstructError(Exception):
    """Base of all; ``help`` says how to go on."""

    def __init__(self, message: str, *, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class StoreError(ReconstructError):
    """The store cannot do what was asked."""


class StoreBusy(StoreError):
    """Another process held the store for longer than the timeout."""


class StoreMissing(StoreError):
    """There is no store, and the command may not make one."""


class StoreUnusable(StoreError):
    """Not a clew store, damaged, not permitted, or written by another version."""


class StoreFull(StoreError):
    """The disk is full. What was committed before is safe."""


class DefinitionError(ReconstructError):
    """A flow definition is wrong."""

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


class NothingToDefine(ReconstructError):
    """What was seen is nothing that a flow definition could say."""
