"""Store files for a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.store.files import LAYOUT

from clew.reconstruct.duckdb.file import DuckFile
from clew.reconstruct.duckdb.versions import Layout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "it's a store.duckdb"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., DuckFile]]:
    files: list[DuckFile] = []

    def open_one(
        where: Path = path, *, layout: Layout = LAYOUT, create: bool = True, timeout: float = 10.0
    ) -> DuckFile:
        files.append(DuckFile(where, layout=layout, create=create, timeout=timeout))
        return files[-1]

    yield open_one
    for file in files:
        file.close()
