"""Batches on their way into the store: some gather while others are written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from clew.collectors.record import Outcome

if TYPE_CHECKING:
    from types import TracebackType

    from clew.collectors.record import Batch
    from clew.reconstruct.answers import Written

TOGETHER = 200
"""Batches written in one transaction at most."""
MANY = 100_000
"""Rows that are worth a transaction by themselves: no further batch joins them, and none is
asked for until they are written, since they are large."""

Result = tuple["Batch", "Written"]
Put = Callable[[list["Batch"]], list[Result]]
"""Writes batches in one transaction."""


@dataclass(slots=True)
class _Group:
    """Batches that will be written together, in their order."""

    batches: list[Batch] = field(default_factory=list)
    rows: int = 0

    def has_room(self, batch: Batch) -> bool:
        return not self.batches or (
            self.rows + _rows(batch) <= MANY
            and len(self.batches) < TOGETHER
            and self.batches[0].scope == batch.scope
        )

    def add(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.rows += _rows(batch)


def _rows(batch: Batch) -> int:
    return batch.raw.num_rows if batch.raw is not None else 0


def _settle_failed(batches: list[Batch]) -> None:
    for batch in batches:
        if batch.settle is not None:
            batch.settle(Outcome(committed=False))


class Pipeline:
    """A group of batches gathers while the writing thread has another.

    The thread takes whatever has gathered as soon as it is free, so that a single batch
    is committed at once however long the next one takes to come, and small ones that come
    fast go together. One group gathers and one is written: memory is bounded by
    two, of which only one is large.
    """

    def __init__(self, put: Put) -> None:
        self._put = put
        self._changed = threading.Condition()
        self._group = _Group()
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._ended = False
        self._busy = False
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
        """Take a batch into the group that gathers, when that has room; write a large one.

        Raises:
            Whatever ended the writing of an earlier batch.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._group.has_room(batch))
            if self._error is not None:
                raise self._error
            self._group.add(batch)
            self._changed.notify_all()
            if _rows(batch) > MANY:
                self._changed.wait_for(lambda: self._error is not None or self._is_idle())

    def _is_idle(self) -> bool:
        return not self._busy and not self._group.batches

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
                batches = self._group.batches
                if not batches:
                    return
                self._group, self._busy = _Group(), True
                self._changed.notify_all()
            try:
                self._write_group(batches)
            except BaseException as error:  # noqa: BLE001  it is raised again where the batches come from
                with self._changed:
                    self._error = error
                    waiting = [*batches, *self._group.batches]
                    self._changed.notify_all()
                _settle_failed(waiting)
                return
            # Nothing of theirs is held on to while the next ones gather.
            del batches
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _write_group(self, batches: list[Batch]) -> None:
        """All of them or, where one of them hinders that, those before it; what is done leaves ``batches``."""
        try:
            self._done(self._put(batches))
        except Exception:
            if len(batches) == 1:
                raise
            while batches:
                self._done(self._put(batches[:1]))
                del batches[0]
        else:
            batches.clear()

    def _done(self, results: list[Result]) -> None:
        for batch, written in results:
            if batch.settle is not None:
                batch.settle(Outcome(committed=True, records=written.records, rejected=written.rejected))
        # Whoever counts what was written needs no input, which is large.
        told = [(replace(batch, raw=None, settle=None), written) for batch, written in results]
        with self._changed:
            self._results.extend(told)
