"""librdkafka's properties: those that correct reading needs, under what a person gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.collectors.kafka.settings import KafkaSettings

CLIENT_ID = "clew"
"""What clew calls itself, unless ``client.id`` is given: brokers' logs and quotas name it."""

AHEAD_KB = 32_768
"""Fetched ahead at most, over all partitions."""


def shared_properties(kafka: KafkaSettings) -> dict[str, Any]:
    """Of every client: where the cluster is, and how to log in."""
    return {
        "client.id": CLIENT_ID,
        "bootstrap.servers": kafka.bootstrap,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 10_000,
        # Errors come as events; its own log lines would stand between a person's output.
        "log_level": 0,
        **kafka.client,
    }


def consumer_properties(kafka: KafkaSettings) -> dict[str, Any]:
    """Of the consumer. What exactly-once rests on is not a person's to change."""
    return {
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": AHEAD_KB,
        "partition.assignment.strategy": "cooperative-sticky",
        # New topics that match a pattern.
        "topic.metadata.refresh.interval.ms": 5_000,
        **shared_properties(kafka),
        # A group that nobody joins has to be called something.
        "group.id": kafka.group or CLIENT_ID,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
    }
