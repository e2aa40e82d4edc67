"""SIGINT and SIGTERM for as long as a block runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def asked_to_end(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have ``handler`` called for both within the block, and whoever was before it afterwards. In the main thread."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former if former is not None else signal.SIG_DFL)
