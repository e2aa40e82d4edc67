"""The cluster: its topics as they are now, and how far their partitions reach."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from clew.collectors.errors import SourceUnavailable

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Sequence

    from confluent_kafka.admin import ClusterMetadata

    from clew.collectors.kafka.settings import KafkaSettings

REACH_S, TURN_S = 15.0, 1.0
"""How long a cluster may take to answer, and how long is waited in one turn."""

_NO_SUCH_GROUP = {KafkaError.GROUP_ID_NOT_FOUND, KafkaError.INVALID_GROUP_ID}
_NOT_ALLOWED = {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
_COORDINATOR_COMES = {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
}
"""The brokers are agreeing on who looks after the group: soon one does."""

Partition = tuple[str, int]
"""Topic and number."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster knows it; made anew, it has another ID."""

    name: str
    id: str
    partitions: int


class Errors:
    """The last thing that a client complained about by itself: why it reaches nobody."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, error: KafkaError) -> None:
        """Take what librdkafka's ``error_cb`` is called with."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self.last:  # noqa: SLF001  its public name
            self.last = error.str()


class Cluster:
    """Asks one cluster. Every method raises SourceUnavailable where it does not answer."""

    def __init__(self, settings: KafkaSettings, common: dict[str, Any], stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._errors = Errors()
        properties: dict[str, Any] = {**common, "error_cb": self._errors}
        self._admin = AdminClient(properties)
        self.id = str(self._metadata().cluster_id)

    def topics(self) -> dict[str, Topic]:
        """The topics that are wanted and there, by name."""
        try:
            names = [
                name for name in self._admin.list_topics(timeout=REACH_S).topics if self._settings.wants(name)
            ]
        except KafkaException as error:
            raise self._unreachable(error) from error
        return self.described(names)

    def described(self, names: Sequence[str]) -> dict[str, Topic]:
        """Those of these topics that are there."""
        if not names:
            return {}
        found = {}
        for name, future in self._admin.describe_topics(
            TopicCollection(list(names)), request_timeout=REACH_S
        ).items():
            try:
                told = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise self._unreachable(error) from error
                continue
            found[name] = Topic(name, str(told.topic_id), len(told.partitions))
        return found

    def beginnings(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset that is still there."""
        return self._offsets(partitions, OffsetSpec.earliest())

    def ends(self, partitions: Iterable[Partition], *, read_committed: bool = True) -> dict[Partition, int]:
        """The offset after the last message that may be read.

        With open transactions that is before the last one written, which is told without
        ``read_committed``.
        """
        return self._offsets(partitions, OffsetSpec.latest(), read_committed=read_committed)

    def at(self, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int]:
        """The first offset of a message not older than a time; the end where there is none."""
        partitions = list(partitions)
        ends = self.ends(partitions)
        found = self._offsets(partitions, OffsetSpec.for_timestamp(time_ms))
        return {one: offset if offset >= 0 else ends[one] for one, offset in found.items()}

    def foreign_members(self, group: str, client_id: str) -> list[str]:
        """Clients in a group that are not of clew, by what they call themselves.

        None where the login may not ask.
        """
        deadline = time.monotonic() + REACH_S
        while True:
            try:
                asked = self._admin.describe_consumer_groups([group], request_timeout=REACH_S)
                told = asked[group].result()
            except KafkaException as error:
                code = error.args[0].code()
                if code in _COORDINATOR_COMES and time.monotonic() < deadline and not self._stop.wait(0.2):
                    continue
                if code in _NO_SUCH_GROUP or code in _NOT_ALLOWED:
                    return []
                raise self._unreachable(error) from error
            return sorted({one.client_id for one in told.members if one.client_id != client_id})

    def _metadata(self) -> ClusterMetadata:
        """Asked for in short turns, so that who stops is not kept waiting."""
        deadline = time.monotonic() + REACH_S
        while True:
            try:
                return self._admin.list_topics(timeout=TURN_S)
            except KafkaException as error:
                # Only now does the client call back with what is behind it.
                self._admin.poll(0)
                refused = "uthentication" in self._errors.last
                if refused or self._stop.is_set() or time.monotonic() > deadline:
                    raise self._unreachable(error) from error

    def _offsets(
        self, partitions: Iterable[Partition], spec: OffsetSpec, *, read_committed: bool = True
    ) -> dict[Partition, int]:
        from confluent_kafka import IsolationLevel

        wanted = {TopicPartition(*one): spec for one in partitions}
        if not wanted:
            return {}
        level = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
        try:
            asked = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=REACH_S)
            return {(one.topic, one.partition): future.result().offset for one, future in asked.items()}
        except KafkaException as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: KafkaException) -> SourceUnavailable:
        return unreachable(self._settings, error, self._errors)


def unreachable(settings: KafkaSettings, error: KafkaException, errors: Errors) -> SourceUnavailable:
    """What to say when a cluster does not answer."""
    what = error.args[0].str() if error.args and isinstance(error.args[0], KafkaError) else str(error)
    told = f"{what} ({errors.last})" if errors.last and errors.last != what else what
    return SourceUnavailable(
        f"cannot reach Kafka at {settings.bootstrap}: {told}",
        help="check the address, and security.protocol, sasl.* and ssl.* as the cluster wants them",
    )
