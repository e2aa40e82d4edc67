"""Every exit status, in one place."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's exit status means."""

    FINE = 0
    """The command did what it was asked."""
    FOUND = 1
    """The command worked, and found what it was asked to fail on."""
    USAGE = 2
    """Wrong use: an option, a setting, a format or a definition."""
    NOT_FOUND = 3
    """Nothing of that ID, source or format."""
    UNREACHABLE = 4
    """No source or store could be reached; with --strict, not all of the sources."""
    REJECTS = 5
    """More of the input was rejected than --max-rejects allows."""
    BUG = 70
    """Something unforeseen went wrong in clew itself (sysexits.h: EX_SOFTWARE)."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C, as shells report SIGINT."""
    BROKEN_PIPE = 141
    """The reader of the output went away, as shells report SIGPIPE."""
