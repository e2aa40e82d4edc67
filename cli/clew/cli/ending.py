"""Ending in good order: what was asked for once is finished, and a second time ends at once."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clew.reconstruct.signals import asked_to_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from clew.cli.terminal import Terminal

_ONCE_S = 0.5
"""A group of processes is told of one Ctrl-C by several: within so long they are one."""


@contextmanager
def until_asked_to_end(
    terminal: Terminal, said: str, close: Callable[[], object] = lambda: None
) -> Iterator[threading.Event]:
    """The first SIGINT or SIGTERM sets the event, calls ``close`` and says what goes on; a second one ends at once."""
    ending = threading.Event()
    asked = 0.0

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if ending.is_set() and time.monotonic() - asked > _ONCE_S:
            raise KeyboardInterrupt
        if ending.is_set():
            return
        asked = time.monotonic()
        ending.set()
        close()
        if terminal.interactive:
            terminal.say(f"{said}; again to end at once")

    with asked_to_end(end):
        yield ending
