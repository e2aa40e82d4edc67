"""Models in a store's file: older stores get a place for them."""

from __future__ import annotations

from pathlib import Path

import duckdb
from tests.conformance.records import batch, log
from tests.conformance.store_learning import FEW, by_id, filled

from clew.reconstruct import open_store
from clew.reconstruct.model import Status


def test_a_store_of_before_there_were_models_can_learn(tmp_path: Path) -> None:
    path = tmp_path / "clew.duckdb"
    with open_store(path) as store:
        filled(store)
        before = by_id(store)
    with duckdb.connect(path) as connection:
        connection.execute(
            "DROP TABLE lags; DROP TABLE models; DROP TABLE transitions; UPDATE clew SET version = 2"
        )
    with open_store(path) as store:
        assert store.models() == []
        assert by_id(store) == before
        store.learn(FEW)
        assert by_id(store)["stopped"].status is Status.STUCK


def test_a_model_stands_in_the_file_and_not_in_the_process(tmp_path: Path) -> None:
    path = tmp_path / "clew.duckdb"
    with open_store(path) as store:
        filled(store)
        model = store.learn(FEW)
        told = store.transitions()
    with open_store(path) as store:
        store.write(batch([log(900, name="Placed", correlation_id="x", correlation_key="correlation_id")]))
        store.release()
        assert store.model() == model
        assert store.transitions() == told
        assert by_id(store)["x"].status is Status.STUCK
