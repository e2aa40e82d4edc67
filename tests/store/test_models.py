"""Models in a store's file: older stores get a place for them."""

from __future__ import annotations

from pathlib import Path

import duckdb
from tests.conformance.records import batch, log, span
from tests.conformance.store_learning import FEW, by_id, filled

from clew.reconstruct import open_store
from clew.reconstruct.model import Status

OLDER = """
    DROP TABLE lags; DROP TABLE models; DROP TABLE transitions; ALTER TABLE flows DROP COLUMN shape;
    UPDATE clew SET version = 2
"""


def test_a_store_of_before_there_were_models_can_learn(tmp_path: Path) -> None:
    path = tmp_path / "clew.duckdb"
    with open_store(path) as store:
        filled(store)
        before = by_id(store)
    with duckdb.connect(path) as connection:
        connection.execute(OLDER)
    with open_store(path) as store:
        assert store.models() == []
        assert by_id(store) == before
        store.learn(FEW)
        assert by_id(store)["stopped"].status is Status.STUCK


def test_flows_of_an_older_store_get_the_shapes_that_a_new_one_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "clew.duckdb"
    links = '[{"trace_id": "t-a", "span_id": "s-a"}, {"trace_id": "t-b", "span_id": "s-b"}]'
    with open_store(path) as store:
        filled(store)
        store.write(
            batch(
                [
                    span(0, 1, "t-a", "s-a", correlation_id="a"),
                    span(0, 1, "t-b", "s-b", correlation_id="b"),
                    span(2, 3, "t-x", "s-x", links=links),
                ],
                source="shared.log",
            )
        )

    def shapes() -> list[tuple[int, int]]:
        with duckdb.connect(path, read_only=True) as connection:
            return connection.execute("SELECT flow, shape FROM flows ORDER BY flow").fetchall()

    new = shapes()
    assert len({shape for _, shape in new}) > 1
    assert None not in {shape for _, shape in new}
    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM shared").fetchall() == [(2,)]
        connection.execute(OLDER)
    with open_store(path) as store:
        store.summary()
    assert shapes() == new


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
