"""What a person says about a cluster: where it is, which topics, from where on, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from clew.collectors.errors import CollectError

DEAD_LETTERS = r"(?i)(^|[._-])(dlq|dlt|dead[._-]?letters?)([._-]|$)"
"""Names of topics that hold dead letters, unless others are given (Spring Kafka ends them with
``-dlt``, before 3.0 ``.DLT``; Kafka Connect and Streams leave the name to people)."""

REGEX = "^"
"""What a topic begins with that is a pattern, as in librdkafka's ``subscribe``."""


class Values(StrEnum):
    """What values are."""

    AUTO = "auto"
    """JSON where they begin like it, of a schema registry where they are framed so, else text."""
    JSON = "json"
    """JSON; anything else is rejected."""
    RAW = "raw"
    """Text, or base64 of what is none; never looked into."""


class Start(StrEnum):
    """Where reading begins in a partition of which nothing was read."""

    BEGINNING = "beginning"
    END = "end"


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """``topics`` are names, or regular expressions that begin with ``^``."""

    bootstrap: str
    """``host:port``, several with commas."""
    topics: tuple[str, ...]
    start: Start | datetime = Start.BEGINNING
    """In a partition of which nothing was read; a time means the first message that is not older."""
    group: str | None = None
    """A consumer group to share the partitions with other collectors of the same store, and to
    which what is stored is committed; None takes part in no group."""
    values: Values = Values.AUTO
    format: str = "kafka"
    """A format's name or file, for the object that a message becomes."""
    dead_letters: tuple[str, ...] = (DEAD_LETTERS,)
    registry: str | None = None
    """URL of a schema registry that speaks Confluent's API."""
    registry_auth: str | None = None
    """``user:password``."""
    client: Mapping[str, str] = field(default_factory=dict)
    """Further properties as librdkafka names them: ``security.protocol``, ``sasl.username``, …"""

    def __post_init__(self) -> None:
        if not self.topics:
            raise CollectError("no topic is named", help="a name, or a pattern such as ^orders")
        if self.registry is not None and not self.registry.startswith(("http://", "https://")):
            raise CollectError(f"no URL of a schema registry: {self.registry}", help="http://… or https://…")
        for pattern in (*self.patterns, *self.dead_letters):
            try:
                re.compile(pattern)
            except re.error as error:
                raise CollectError(f"no regular expression: {pattern!r}: {error}") from error

    @property
    def names(self) -> tuple[str, ...]:
        """The topics that are named."""
        return tuple(topic for topic in self.topics if not topic.startswith(REGEX))

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns that topics match."""
        return tuple(topic for topic in self.topics if topic.startswith(REGEX))

    def wants(self, topic: str) -> bool:
        """Whether a topic of the cluster is to be read; never one of Kafka's own unless named."""
        if topic in self.names:
            return True
        return not topic.startswith("__") and any(re.search(pattern, topic) for pattern in self.patterns)

    def holds_dead_letters(self, topic: str) -> bool:
        """Whether a topic's messages are dead letters by its name."""
        return any(re.search(pattern, topic) for pattern in self.dead_letters)
