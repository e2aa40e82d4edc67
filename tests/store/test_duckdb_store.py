"""The store on DuckDB keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.stores import Open, StoreConformance

from clew.reconstruct import open_store as open_path
from clew.reconstruct.model import Settings
from clew.reconstruct.store import Store


class TestDuckStore(StoreConformance):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[Open]:
        opened: list[Store] = []

        def another(settings: Settings | None = None) -> Store:
            opened.append(open_path(tmp_path / "clew.duckdb", settings=settings))
            return opened[-1]

        yield another
        for store in opened:
            store.close()
