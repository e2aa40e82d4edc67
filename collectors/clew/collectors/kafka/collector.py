"""Topics of a Kafka cluster as sources."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.collectors.errors import CollectError
from clew.collectors.readahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from clew.collectors.formats.settings import Settings
    from clew.collectors.kafka.reader import Reader
    from clew.collectors.kafka.settings import KafkaSettings
    from clew.collectors.record import Batch

CLIENT_ID = "clew"
MISSING = "reading Kafka needs an extra that is not installed"
INSTALL = "pip install 'clew[kafka]'"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    latency: float = 0.5
    """From a message's coming to its batch, so that messages come in batches."""
    backlog: float = 2.0
    """The same while there is more to read than that."""
    watch: float = 3.0
    """Between looks at the topics: grown, deleted, made anew?"""
    mark: float = 5.0
    """Between the watermarks of partitions that are read to their end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that bound memory and latency."""

    batch_bytes: int
    batch_rows: int


class KafkaCollector:
    """Reads topics of one cluster, read-committed, by partition.

    *What.* Each partition is a source, ``kafka://CLUSTER/TOPIC/PARTITION``, where CLUSTER is the
    cluster's ID; its position is the offset of the next message. A topic that was deleted and
    made anew is read from its beginning, as another reading of the same source. ``raw`` has the
    columns ``line`` (a JSON object: what Kafka says of the message and the members of its value,
    see :mod:`clew.collectors.kafka.envelope`) and ``position`` (the offset).

    *Whose.* Without a group it takes all partitions of its topics, joins no group and commits
    nothing to the cluster. With one it shares them with other collectors of that group, and
    commits each batch's offset there once the store has it; where reading goes on is told
    by the store all the same.

    *Rejects* name values that cannot be opened (no JSON, of a schema that the registry does not
    know), and stretches of offsets that were deleted before they were read.

    *Said*, by ``tell``: rebalances, new partitions, topics that vanish or come, lost stretches.

    *Memory* is about ``batch_bytes`` and what the client fetches ahead (32 MiB), with a batch at
    hand and one ahead.

    With ``follow`` it goes on until :meth:`close`, and its watermark is exact where it read to
    the end; without, it ends where the partitions ended when it began.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        settings: Settings | None = None,
        follow: bool = True,
        scope: str = "",
        batch_bytes: int = 64 << 20,
        batch_rows: int = 100_000,
        pace: Pace | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        try:
            import confluent_kafka  # noqa: F401
        except ModuleNotFoundError as error:
            raise CollectError(MISSING, help=INSTALL) from error
        self._kafka = kafka
        self._settings = settings
        self._follow = follow
        self._scope = scope
        self._limits = Limits(batch_bytes, batch_rows)
        self._pace = pace or Pace()
        self._tell = tell or (lambda _: None)
        self._closed = False
        self._running: list[tuple[threading.Event, ReadAhead[Batch], Reader]] = []

    def batches(self, positions: Mapping[str, str]) -> Iterator[Batch]:
        """Read on from ``positions`` (source name → committed position).

        Raises:
            UnknownFormat: there is no format of the name given.
            FormatError: the format file given is wrong.
            CollectError: others than clew are in the group.
            SourceUnavailable: the cluster does not answer, or a topic named is not there; the
                latter after the others were read, with ``follow`` only where none is.
        """
        from clew.collectors.formats import named
        from clew.collectors.kafka.reader import Reader

        named(self._kafka.format)
        stop = threading.Event()
        reader = Reader(
            self._kafka,
            dict(positions),
            settings=self._settings,
            follow=self._follow,
            scope=self._scope,
            limits=self._limits,
            pace=self._pace,
            tell=self._tell,
            stop=stop,
        )
        ahead = ReadAhead(reader.batches(), "clew-kafka")
        self._running.append((stop, ahead, reader))
        if self._closed:
            self.close()
        try:
            yield from ahead
        finally:
            stop.set()
            ahead.close()

    def close(self) -> None:
        """Release connections and threads. Safe to call twice."""
        self._closed = True
        for stop, ahead, reader in self._running:
            stop.set()
            ahead.close()
            reader.close()
        self._running.clear()
