"""Batches on their way into the store: one is decoded while another is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from clew.collectors.record import Batch
    from clew.reconstruct.model import Written

TOGETHER = 200
"""Batches written in one transaction at most."""
MANY = 100_000
"""Rows that are worth a transaction by themselves: no further batch joins them."""
TABLES = ("memory.main.decoded_0", "memory.main.decoded_1")

Result = tuple["Batch", "Written"]
Decode = Callable[["Batch", str, int], int]
"""Add a batch to a table as its batch number n; returns the table's rows."""
Put = Callable[[list["Batch"], str], list[Result]]
"""Write a table's batches in one transaction."""


class Pipeline:
    """A group of decoded batches gathers while the writing thread has another.

    The thread takes whatever has gathered as soon as it is free, so that a single batch
    is committed at once however long the next one takes to come, and small ones that come
    fast go together. One group gathers and one is written: memory is bounded by two.
    """

    def __init__(self, decode: Decode, put: Put) -> None:
        self._decode = decode
        self._put = put
        self._changed = threading.Condition()
        self._gathered: list[Batch] = []
        self._rows = 0
        self._slot = 0
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="clew-write")

    def __enter__(self) -> Pipeline:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def add(self, batch: Batch) -> None:
        """Decode a batch into the group that gathers, when that has room.

        Raises:
            Whatever ended the writing of an earlier batch.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._has_room(batch))
            if self._error is not None:
                raise self._error
            self._rows = self._decode(batch, TABLES[self._slot], len(self._gathered))
            self._gathered.append(batch)
            self._changed.notify_all()

    def results(self) -> Iterator[Result]:
        """What has been committed since last asked."""
        with self._changed:
            done, self._results = self._results, []
        yield from done

    def finish(self) -> Iterator[Result]:
        """Wait for everything added; raises as :meth:`add`."""
        self.__exit__(None, None, None)
        if self._error is not None:
            raise self._error
        yield from self.results()

    def _has_room(self, batch: Batch) -> bool:
        if not self._gathered:
            return True
        return self._rows < MANY and len(self._gathered) < TOGETHER and self._gathered[0].scope == batch.scope

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._gathered or self._ended)
                if not self._gathered:
                    return
                batches, table = self._gathered, TABLES[self._slot]
                self._gathered, self._rows, self._slot = [], 0, 1 - self._slot
                self._changed.notify_all()
            try:
                done = self._put(batches, table)
            except BaseException as error:  # noqa: BLE001  it is raised again where the batches come from
                with self._changed:
                    self._error = error
                    self._gathered = []
                    self._changed.notify_all()
                return
            with self._changed:
                self._results.extend(done)
