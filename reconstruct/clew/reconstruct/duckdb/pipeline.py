"""Batches on their way into the store: one is decoded while another is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from clew.collectors.record import Batch
    from clew.reconstruct.model import Written

TOGETHER = 200
"""Batches written in one transaction at most."""
MANY = 100_000
"""Rows that are worth a transaction by themselves: no further batch joins them."""
FEW = 10_000
"""Rows so few that planning how to decode them costs more than decoding them."""
TABLES = ("memory.main.decoded_0", "memory.main.decoded_1")

Result = tuple["Batch", "Written"]


class Decode(Protocol):
    """Adds numbered batches of one SELECT to a table, and returns the table's rows."""

    def __call__(self, batches: list[tuple[int, Batch]], table: str, *, new: bool) -> int:
        """See :func:`clew.reconstruct.duckdb.writing.decode`."""
        ...


Put = Callable[[list["Batch"], str], list[Result]]
"""Writes a table's batches in one transaction."""


@dataclass(slots=True)
class _Group:
    """Batches that will be written together, in their order."""

    table: str
    batches: list[Batch] = field(default_factory=list)
    rows: int = 0
    small: list[tuple[int, Batch]] = field(default_factory=list)
    """Those not decoded yet."""
    made: bool = False

    def has_room(self, batch: Batch) -> bool:
        return not self.batches or (
            self.rows < MANY and len(self.batches) < TOGETHER and self.batches[0].scope == batch.scope
        )

    def add(self, batch: Batch, decode: Decode) -> None:
        numbered = (len(self.batches), batch)
        rows = batch.raw.num_rows if batch.raw is not None else 0
        if batch.rowwise and 0 < rows < FEW:
            self.small.append(numbered)
            self.rows += rows
        else:
            self.rows = decode([numbered], self.table, new=not self.made) + sum(
                one.raw.num_rows for _, one in self.small if one.raw is not None
            )
            self.made = True
        self.batches.append(batch)

    def decode_small(self, decode: Decode) -> None:
        by_select: dict[str, list[tuple[int, Batch]]] = {}
        for numbered in self.small:
            by_select.setdefault(numbered[1].select, []).append(numbered)
        for together in by_select.values():
            decode(together, self.table, new=not self.made)
            self.made = True


class Pipeline:
    """A group of batches gathers while the writing thread has another.

    The thread takes whatever has gathered as soon as it is free, so that a single batch
    is committed at once however long the next one takes to come, and small ones that come
    fast go together. One group gathers and one is written: memory is bounded by two.
    """

    def __init__(self, decode: Decode, decode_late: Decode, put: Put) -> None:
        self._decode = decode
        self._decode_late = decode_late
        self._put = put
        self._changed = threading.Condition()
        self._group = _Group(TABLES[0])
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="clew-write")

    def __enter__(self) -> Self:
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
        """Take a batch into the group that gathers, when that has room; decode it if it is large.

        Raises:
            Whatever ended the writing of an earlier batch.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._group.has_room(batch))
            if self._error is not None:
                raise self._error
            self._group.add(batch, self._decode)
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

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._group.batches or self._ended)
                group = self._group
                if not group.batches:
                    return
                self._group = _Group(TABLES[1 - TABLES.index(group.table)])
                self._changed.notify_all()
            try:
                group.decode_small(self._decode_late)
                done = self._put(group.batches, group.table)
            except BaseException as error:  # noqa: BLE001  it is raised again where the batches come from
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._results.extend(done)
