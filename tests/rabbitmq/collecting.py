"""A collector joined to a store as the command joins them, and what the store holds then."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb

from clew.collectors.rabbitmq.collector import RabbitCollector
from clew.collectors.rabbitmq.reader import Limits, Pace
from clew.collectors.rabbitmq.settings import RabbitSettings
from clew.reconstruct import open_store
from clew.reconstruct.ingest import IngestReport, ingest

PACE = Pace(latency=0.1, quiet=0.15, look=0.2, losses=0.2, patience=20.0, retry=0.5, farewell=0.3)


def collect(store: Path, rabbit: RabbitSettings, **more: Any) -> IngestReport:
    """Read what there is now into the store."""
    more.setdefault("limits", Limits())
    collector = RabbitCollector(rabbit, pace=PACE, **more)
    try:
        with open_store(str(store), create=True) as opened:
            return ingest(opened, collector)
    finally:
        collector.close()


def rows(store: Path, sql: str) -> list[tuple[Any, ...]]:
    """What SQL over the store's tables gives."""
    with duckdb.connect(str(store), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def events(store: Path) -> Counter[str]:
    """Event IDs that the store holds."""
    return Counter(str(row[0]) for row in rows(store, "SELECT event_id FROM records"))


def rejects(store: Path) -> list[str]:
    """The reasons of what was rejected."""
    return [str(row[0]) for row in rows(store, "SELECT reason FROM rejects ORDER BY ALL")]
