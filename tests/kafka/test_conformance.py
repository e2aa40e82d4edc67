"""The collector of Kafka topics does what every collector must."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.conformance.collectors import CollectorConformance

from clew.collectors.kafka.collector import KafkaCollector
from clew.collectors.kafka.settings import KafkaSettings, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.kafka.topics import Topics


class TestJson(CollectorConformance):
    """One topic of one partition, with JSON in it."""

    @pytest.fixture(autouse=True)
    def _topic(self, topics: Topics, topic: str) -> None:
        self.topics, self.topic = topics, topic
        topics.make(topic)

    def append(self, events: Sequence[str]) -> None:
        values = ({"event_id": event, "note": "påfyll " + 40 * "x"} for event in events)
        self.topics.write(self.topic, values)

    def append_broken(self) -> None:
        self.topics.write(self.topic, [b'{"event_id": "caf\xe9"}'])

    def make(self, *, batch_bytes: int = 2048) -> KafkaCollector:
        kafka = KafkaSettings(self.topics.bootstrap, (self.topic,), values=Values.JSON)
        return KafkaCollector(kafka, follow=False, batch_bytes=batch_bytes)

    def progress(self, position: str) -> int:
        return int(json.loads(position)["kafka"]["offset"])
