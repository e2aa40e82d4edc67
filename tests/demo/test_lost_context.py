"""What services that drop the IDs break, clew puts together again: with which precision and recall.

The figures stand in docs/lost-context.md; ``pytest -s`` prints them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.demo.losing import Losing, lose

from clew.cli import demo
from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.answers import Continuation
from clew.reconstruct.causes.why import why
from clew.reconstruct.definitions import load
from clew.reconstruct.ingest import ingest
from clew.reconstruct.model import LIKELY, FlowFilter, Settings
from clew.reconstruct.store import Store


class Measured(NamedTuple):
    """How good the suggestions of one run are."""

    suggested: int
    right: int
    lost: int
    said: float
    """What the suggestions say of themselves: the mean of their likelihoods."""

    @property
    def precision(self) -> float:
        return self.right / max(self.suggested, 1)

    @property
    def recall(self) -> float:
        return self.right / self.lost


def measure(found: Sequence[Continuation], pairs: set[tuple[str, str]], least: float = LIKELY) -> Measured:
    likely = [one for one in found if one.likelihood >= least]
    right = pairs & {(one.flow_id, one.continued) for one in likely}
    return Measured(
        len(likely), len(right), len(pairs), sum(one.likelihood for one in likely) / max(len(likely), 1)
    )


def put(folder: Path, definitions: Path) -> Store:
    """A store of what stands in ``folder``."""
    store = open_store(folder / "s.duckdb", settings=Settings(definitions=load(definitions)))
    ingest(store, FilesCollector([str(folder / "logs"), str(folder / "spans")]), signals=False)
    return store


def run(made: Path, folder: Path, how: Losing) -> Measured:
    lost = lose(made, folder, how)
    with put(folder, made / "definitions.yaml") as store:
        found = measure(store.continuations(), lost.pairs)
    what = "keys stay" if how.keys else "handlings tell nothing" if how.quiet else "no IDs, no keys"
    print(  # noqa: T201 - the figures of docs/lost-context.md
        f"\n{how.share:4.0%} of {lost.hops:,} hops lost, {what}: {found.lost:,} continuations, "
        f"{found.suggested:,} suggested, precision {found.precision:.4f} (said {found.said:.4f}), "
        f"recall {found.recall:.4f}"
    )
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo.run(folder, flows=300, seed=5)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    demo.run(folder, flows=3_000, seed=5)
    return folder


def test_continuations_are_found_without_ids_and_keys_and_joined_they_are_what_they_were(
    made: Path, tmp_path: Path
) -> None:
    """A fifth of all hops lose their context, with 200 flows on their way at a time."""
    lost = lose(made, tmp_path, Losing(share=0.2))
    with put(tmp_path, made / "definitions.yaml") as store:
        found = store.continuations()
        measured = measure(found, lost.pairs)
        assert (measured.precision >= 0.98, measured.recall >= 0.9) == (True, True), measured
        apart = store.summary()
        with store.joining(found):
            joined = store.summary()
            marked = [flow for flow in store.flows(FlowFilter()) if flow.inferred is not None]
        assert joined.flows == apart.flows - len(found)
        assert joined.records == apart.records
        assert joined.by_status["stuck"] < apart.by_status["stuck"] / 4
        assert 0 < len(marked) <= len(found)
        assert all(LIKELY**9 <= (flow.inferred or 0) < 1 for flow in marked)
        assert store.summary() == apart


def test_why_names_the_service_that_lost_a_flow_of_the_demo(made: Path) -> None:
    truth = json.loads((made / "truth.json").read_text(encoding="utf-8"))
    lost = {
        (flow["correlation_id"], other["correlation_id"])
        for flow in truth["flows"]
        for other in flow["continuations"]
    }
    assert len(lost) >= 2
    with put(made, made / "definitions.yaml") as store:
        found = store.continuations()
        assert {(one.flow_id, one.continued) for one in found} == lost
        for flow_id, _ in lost:
            told = why(store, flow_id, continued=found)
            assert told is not None
            assert told.cause == "lost_context"
            assert "inventory-service lost the context of PaymentSucceeded" in told.sentence
            assert told.sentence.endswith("(inferred 0.99).")
            assert all(cause.likelihood is None for cause in told.causes if cause.name != "lost_context")


@pytest.mark.soak
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("kind", ["plain", "keys", "quiet"])
def test_the_figures_hold_for_thousands_of_flows(many: Path, tmp_path: Path, share: float, kind: str) -> None:
    found = run(many, tmp_path, Losing(share=share, keys=kind == "keys", quiet=kind == "quiet"))
    assert found.precision >= 0.98
    assert found.recall >= (0.6 if kind == "quiet" else 0.9)
    assert abs(found.precision - found.said) < 0.02, "a likelihood is what it says"
