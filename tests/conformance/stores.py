"""What every store does, whatever it keeps its records in.

A store's own test file derives from :class:`StoreConformance`, says how one is opened,
and adds nothing else. What a store cannot do it declares with a reason, and then the
test demands an error that says so.
"""

from __future__ import annotations

from tests.conformance.records import START
from tests.conformance.store_asking import AskingConformance
from tests.conformance.store_case import Open, as_able
from tests.conformance.store_changing import ChangingConformance
from tests.conformance.store_continuing import ContinuingConformance
from tests.conformance.store_grouping import GroupingConformance
from tests.conformance.store_learning import LearningConformance
from tests.conformance.store_reporting import EVERY, PAID, ReportingConformance
from tests.conformance.store_writing import WritingConformance

from clew.reconstruct.answers import GroupBy
from clew.reconstruct.model import FlowFilter, Settings, Status
from clew.reconstruct.reports import Comparison, Fitness, VariantReport, Window
from clew.reconstruct.store import Capability, Store

__all__ = ["Open", "StoreConformance"]


class StoreConformance(
    WritingConformance,
    AskingConformance,
    ChangingConformance,
    ReportingConformance,
    GroupingConformance,
    LearningConformance,
    ContinuingConformance,
):
    """Derive, and override :meth:`open_store`."""

    def test_everything_works_on_an_empty_store(self, store: Store) -> None:
        assert store.positions() == {}
        summary = store.summary()
        assert (summary.flows, summary.records, summary.unattributed, summary.rejects) == (0, 0, 0, 0)
        assert (summary.missing_parents, summary.undated, dict(summary.by_status)) == (0, 0, {})
        assert summary.as_of is None
        assert store.summary(START).as_of == START
        assert list(store.flows(FlowFilter())) == []
        assert (
            list(store.flows(FlowFilter(statuses=(Status.STUCK,), services=("a",), keys=(("b", "c"),)))) == []
        )
        assert [store.groups(FlowFilter(), by) for by in GroupBy] == [[], [], [], []]
        assert store.find("order-1") == []
        assert store.flow("order-1") is None
        assert store.flow("order-1", as_of=START) is None
        assert store.sources() == []
        assert store.rejects() == []
        assert store.keys() == []
        assert store.type_names() == []
        assert store.types(EVERY) == []
        assert store.variants(EVERY) == VariantReport(0, 0, ())
        assert store.steps(EVERY) == store.steps(EVERY, START) == []
        assert store.compare(Window(None, START), Window(START, None), EVERY) == Comparison(0, 0, ())
        assert store.continuations() == store.continuations(START, around=START) == []
        with store.joining([]):
            assert list(store.flows(FlowFilter())) == []
        assert store.fitness((), EVERY) == []
        assert store.fitness((PAID,), EVERY, START) == [Fitness("order", 0, 0, None, 0, (), 0)]
        assert store.settings() == Settings()
        assert (store.models(), store.transitions(), store.definitions()) == ([], [], ())
        with as_able(store, Capability.REBUILD):
            assert store.rebuild().flows == 0
        store.release()
        store.release()

    def test_what_a_store_cannot_do_has_a_reason(self, store: Store) -> None:
        assert all(
            isinstance(capability, Capability) and reason for capability, reason in store.missing.items()
        )
