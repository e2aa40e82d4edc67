"""Queues, streams and dead letters of a RabbitMQ broker as sources."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from clew.collectors.errors import CollectError, SourceUnavailable
from clew.collectors.rabbitmq import fields
from clew.collectors.rabbitmq.address import Address
from clew.collectors.rabbitmq.dead_letters import DeadLetterReader
from clew.collectors.rabbitmq.queues import FirehoseReader, TapReader
from clew.collectors.rabbitmq.reader import Ended, Limits, Pace, Reader, Surroundings
from clew.collectors.rabbitmq.settings import TapKind
from clew.collectors.rabbitmq.streams import StreamReader, TapStreamReader
from clew.collectors.rabbitmq.topology import remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from clew.collectors.formats.settings import Settings
    from clew.collectors.rabbitmq.settings import RabbitSettings
    from clew.collectors.record import Batch

FORMAT = "rabbitmq"
_PATIENCE_S = 0.2


class RabbitCollector:
    """Reads one broker, and takes no message from anybody.

    *What.* Each of these is a source, ``rabbitmq://CLUSTER/VHOST/QUEUE``: a tap, which is a
    queue that clew binds beside the applications' to exchanges; the firehose, which is one
    bound to the tracer's exchange; streams; and queues of dead letters. ``raw`` has the columns
    ``line`` (a JSON object: what RabbitMQ says of the message and the members of its body, see
    :mod:`clew.collectors.rabbitmq.envelope`) and ``position``.

    *How often.* A stream's messages come exactly once, by their offsets. Those of a tap are
    acknowledged after the commit, so that a kill between the two gives them again: with a
    message ID they are recognised, without one they are stored twice. A tap of the kind
    ``stream`` needs no IDs.

    *What stays.* A tap goes on gathering while nobody reads it, up to its bound; what it
    dropped by then is counted and told as a reject. :meth:`remove_tap` takes it away.

    *Rejects* name messages whose body is not what its content type says. *Memory* is bounded
    by ``limits.held_bytes``, and one batch more.

    ``settings`` say how times and secrets are read; ``tell`` is told, by whatever thread, what
    a person should know while it goes on.
    """

    def __init__(
        self,
        rabbit: RabbitSettings,
        *,
        format: str = FORMAT,
        settings: Settings | None = None,
        follow: bool = False,
        scope: str = "",
        limits: Limits | None = None,
        pace: Pace | None = None,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        fields.install()
        self._rabbit = rabbit
        self._address = Address(rabbit)
        self._format = format
        self._settings = settings
        self._follow = follow
        self._scope = scope
        self._limits = limits or Limits()
        self._pace = pace or Pace()
        self._tell = tell
        self._running: list[tuple[Surroundings, list[Reader]]] = []
        self._closed = False

    def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
        """Read on from ``positions``; with ``follow`` until :meth:`close`, from whatever thread.

        Raises:
            UnknownFormat: there is no format of the name given.
            CollectError: an exchange or queue cannot be read as asked.
            SourceUnavailable: after all others were read, what could not be; with ``follow`` at once,
                and a broker that goes away later is waited for.
        """
        from clew.collectors.formats import plan

        around = Surroundings(
            rabbit=self._rabbit,
            address=self._address,
            positions=dict(positions),
            plan=lambda sample: plan(self._format, sample, settings=self._settings),
            follow=self._follow,
            scope=self._scope,
            limits=self._limits,
            pace=self._pace,
            tell=self._tell,
        )
        readers = self._readers(around)
        self._running.append((around, readers))
        if self._closed:
            self.close()
            return
        for reader in readers:
            reader.start()
        yield from _given(around, len(readers))

    def close(self) -> None:
        """Release connections and threads. Safe to call twice."""
        self._closed = True
        for around, _ in self._running:
            around.stop.set()
        for _, readers in self._running:
            for reader in readers:
                reader.join()
        self._running.clear()

    def remove_tap(self) -> None:
        """Delete the queues that clew declared, with what is in them.

        Raises:
            SourceUnavailable: the broker cannot be reached, or refuses.
        """
        tap = self._rabbit.tap
        with (
            self._address.told(f"removing {tap.queue('tap')}"),
            self._address.connect("removes its queues") as connection,
        ):
            remove(connection.channel(), tap)

    def _readers(self, around: Surroundings) -> list[Reader]:
        rabbit = self._rabbit
        readers: list[Reader] = []
        if rabbit.exchanges:
            if rabbit.tap.kind is TapKind.STREAM:
                readers.append(TapStreamReader(around, rabbit.exchanges))
            else:
                readers.append(TapReader(around, rabbit.exchanges))
        if rabbit.firehose:
            readers.append(FirehoseReader(around))
        readers += [StreamReader(around, name) for name in dict.fromkeys(rabbit.streams)]
        readers += [DeadLetterReader(around, name) for name in dict.fromkeys(rabbit.dead_letters)]
        return readers


def _given(around: Surroundings, left: int) -> Iterator[Batch]:
    errors: list[CollectError] = []
    while left and not around.stop.is_set():
        try:
            item = around.inbox.get(timeout=_PATIENCE_S)
        except queue.Empty:
            continue
        if isinstance(item, Ended):
            left -= 1
            if item.error is not None:
                errors.append(item.error)
                if around.follow or not isinstance(item.error, SourceUnavailable):
                    break
            continue
        if item.pulled is not None:
            item.pulled()
        yield item.batch
    if errors:
        raise _one_of(errors)


def _one_of(errors: list[CollectError]) -> CollectError:
    first, *others = sorted(errors, key=lambda error: isinstance(error, SourceUnavailable))
    if not others or not isinstance(first, SourceUnavailable):
        return first
    return SourceUnavailable("; ".join(dict.fromkeys(str(error) for error in errors)), help=first.help)
