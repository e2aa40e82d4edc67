"""Runs an iterator in a thread of its own, one item ahead of who takes them."""

from __future__ import annotations

import threading
from queue import Queue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Items of ``source`` in their order; while one is worked on, the next is made, and no more.

    What ``source`` raises is raised here, in its place.
    """

    def __init__(self, source: Iterator[T], name: str) -> None:
        self._source = source
        self._ready: Queue[tuple[str, T | BaseException | None]] = Queue()
        self._wanted = threading.Semaphore(1)
        self._closed = False
        # A daemon, so that a pipe that never ends cannot keep the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                self._wanted.acquire()
                if self._closed:
                    break
                item = next(self._source, _END)
                if item is _END:
                    self._ready.put(("end", None))
                    break
                self._ready.put(("item", item))  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            self._ready.put(("error", error))

    def __iter__(self) -> Iterator[T]:
        """Take the items."""
        while not self._closed:
            what, item = self._ready.get()
            if what == "end":
                return
            if what == "error":
                raise item  # type: ignore[misc]
            self._wanted.release()
            yield item  # type: ignore[misc]

    def close(self, timeout: float = 5.0) -> None:
        """Stop after the item being made; wait for it at most ``timeout`` seconds."""
        self._closed = True
        self._ready.put(("end", None))
        self._wanted.release()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)


_END = object()
