"""Stores of other versions: brought up to date, or told how to go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from tests.store.files import add, counts, make

from clew.reconstruct.duckdb.file import DuckFile
from clew.reconstruct.duckdb.versions import Layout
from clew.reconstruct.errors import StoreError, StoreUnusable


def _set_version(path: Path, assignment: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"UPDATE clew SET {assignment}")


def test_a_store_of_a_newer_clew_names_it(path: Path, opened: Callable[..., DuckFile]) -> None:
    counts(opened())
    _set_version(path, "version = 7, made_by = '9.1'")
    for use in (counts, lambda file: add(file, 1)):
        with pytest.raises(StoreUnusable, match=r"written by clew 9\.1 \(store version 7") as unusable:
            use(opened())
        assert "pip install --upgrade clew" in unusable.value.help


@pytest.mark.parametrize("use", [counts, lambda file: add(file, 1)], ids=["read", "write"])
def test_an_older_store_is_brought_up_to_date_by_whoever_opens_it(
    opened: Callable[..., DuckFile], use: Callable[[DuckFile], object]
) -> None:
    add(opened(), 1)

    def second(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("ALTER TABLE store.records ADD COLUMN more BIGINT DEFAULT 5")
        connection.execute("ALTER TABLE store.records DROP COLUMN more")

    def third(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("UPDATE store.records SET n = n + 10")

    newer = Layout(3, make, migrate={1: second, 2: third})
    use(opened(layout=newer))
    assert set(counts(opened(layout=newer))) <= {11, 1}
    assert 11 in counts(opened(layout=newer)), "and not twice"


def test_a_migration_that_fails_leaves_the_store_as_it_was(opened: Callable[..., DuckFile]) -> None:
    add(opened(), 1)

    def broken(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("UPDATE store.records SET n = 99")
        connection.execute("SELECT no_such_column")

    with pytest.raises(StoreError):
        counts(opened(layout=Layout(2, make, migrate={1: broken})))
    assert counts(opened()) == {1: 1}


def test_an_older_store_without_a_way_forward_says_which_clew_opens_it(
    opened: Callable[..., DuckFile],
) -> None:
    add(opened(), 1)
    with pytest.raises(StoreUnusable, match="store version 1, which this clew") as unusable:
        counts(opened(layout=Layout(2, make)))
    assert "Open it with clew" in unusable.value.help


def test_identities_of_another_hash_are_made_anew_or_the_way_is_told(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    add(opened(), 1)
    counts(opened())
    _set_version(path, "fingerprint = 1, duckdb = 'v1.0.0'")
    with pytest.raises(StoreUnusable, match="hash\\(\\) gave other identities") as unusable:
        counts(opened())
    assert "pip install duckdb==1.0.0" in unusable.value.help

    def rehash(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("UPDATE store.records SET n = n + 1")

    assert counts(opened(layout=Layout(1, make, rehash=rehash))) == {2: 1}
    assert counts(opened()) == {2: 1}
