"""Runs ``clew`` for a process that holds the other end of its stdin: when that is gone, this ends in good order."""

from __future__ import annotations

import os
import signal
import sys
import threading

from clew.cli.main import main


def _end_with_parent() -> None:
    """A parent that was killed asks nobody to end; its end of the pipe is closed all the same."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="clew-parent", daemon=True).start()
    sys.exit(main())
