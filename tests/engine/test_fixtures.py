"""The engine does what ``fixtures/passes`` says, in whatever order the records come."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.cases import Case, cases, differences, settings_of
from tests.engine.pictures import put

from clew.reconstruct import open_store

ALL = cases("attribute", "fold", "instances", "judge", "order")


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_what_a_fixture_shows_holds(case: Case, tmp_path: Path) -> None:
    for number, batches in enumerate(case.arrivals()):
        chosen = settings_of(case.settings, tmp_path)
        with open_store(tmp_path / f"{number}.duckdb", settings=chosen) as store:
            put(store, batches)
            for expected in case.expect:
                found = [*differences(store, case.rows, expected)]
                assert not found, f"{case.shows}\n" + "\n".join(found)
            if case.then:
                store.rebuild(settings_of(case.then["settings"], tmp_path))
                found = [*differences(store, case.rows, case.then["expect"])]
                assert not found, f"{case.shows} (rebuilt)\n" + "\n".join(found)
