"""The collector of files does what every collector must."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.conformance.collectors import CollectorConformance

from clew.collectors.files import FilesCollector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class TestLines(CollectorConformance):
    """One file of JSON lines."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.file = tmp_path / "service.jsonl"
        self.file.touch()

    def append(self, events: Sequence[str]) -> None:
        with self.file.open("a") as file:
            for event in events:
                line = {"time": "2026-01-05T12:00:00Z", "message": "påfyll " + 40 * "x", "event_id": event}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def append_broken(self) -> None:
        with self.file.open("ab") as file:
            file.write(b'{"event_id": "caf\xe9"}\n')

    def make(self, *, batch_bytes: int = 2048) -> FilesCollector:
        return FilesCollector([str(self.file)], batch_bytes=batch_bytes)

    def progress(self, position: str) -> int:
        return int(json.loads(position).get("offset", 0))


class TestDocuments(TestLines):
    """One file of JSON documents that span lines."""

    def append(self, events: Sequence[str]) -> None:
        with self.file.open("a") as file:
            for event in events:
                document = {"time": "2026-01-05T12:00:00Z", "message": 'a "{" ' + 40 * "x", "event_id": event}
                file.write(json.dumps(document, indent=2) + "\n")
