"""The contract of everything that reads the outside world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from clew.collectors.record import Batch


@runtime_checkable
class Collector(Protocol):
    """Yields batches, each with the position after it.

    Order: batches of one source come in the order of their positions; batches of
    several sources may interleave. A batch whose position was committed is never
    yielded again by a collector that was given that position. Given the same
    positions and unchanged input, the batches hold the same Records (batch borders
    may differ). Nothing to read gives no batch, and is no error.

    Memory is bounded whatever the input's size: the caller pulls, and a collector
    reads ahead at most one batch. The collector owns what it opened until
    :meth:`close`; a batch stays valid after the next one was pulled.

    A source that is pushed, or that keeps what nobody acknowledged, gives its batches a
    ``settle``, and is told there when a batch is committed. One that was told of a failure
    ends; asked again, it gives what was not committed again.

    What cannot be decoded is a reject (in the batch, or by the SELECT), never an
    exception. :class:`clew.collectors.errors.SourceUnavailable` is raised for a
    source that cannot be opened at all, after the others were read.
    """

    def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
        """Read on from ``positions`` (source name → committed position)."""
        ...

    def close(self) -> None:
        """Release files and threads. Safe to call twice."""
        ...


@runtime_checkable
class Pushed(Collector, Protocol):
    """A collector to which others send, and which therefore outlives a store's trouble.

    Its batches have a ``settle``. When one could not be stored, :meth:`batches` ends; called
    again, after :meth:`failed`, it goes on with what was not committed.
    """

    def failed(self, reason: str, *, passing: bool) -> None:
        """Say why a batch could not be stored.

        ``passing``: what hindered it passes (the store is busy, the disk full) and has nothing
        to do with what is in the batch. Otherwise the collector gives what it gave in smaller
        batches, and in the end rejects for ``reason`` what fails by itself.
        """
        ...
