"""Commands whose libraries are extras of the package."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from clew.cli.errors import CommandError
from clew.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def extra(name: str, command: str) -> Iterator[None]:
    """Within the block the imports of an extra; where one is missing, the line that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "clew":
            raise
        raise CommandError(
            f"{command} needs the module {error.name}, which is not installed",
            help=f"pip install 'clew[{name}]'",
            status=Exit.USAGE,
        ) from None
