"""Third-party recordings, read into a store of their own; the truth is in their README's table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

from clew.collectors.files import FilesCollector
from clew.reconstruct import open_store
from clew.reconstruct.ingest import IngestReport, ingest
from clew.reconstruct.model import Flow, FlowFilter
from clew.reconstruct.store import Store

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@dataclass
class Reading:
    """What was read, and the flows that came of it."""

    report: IngestReport
    store: Store
    flows: list[Flow]

    @property
    def services(self) -> set[str]:
        return {service for flow in self.flows for service in flow.services}

    @property
    def orphans(self) -> int:
        return sum(flow.missing_parents for flow in self.flows)

    @property
    def flows_with_errors(self) -> int:
        return sum(flow.errors > 0 for flow in self.flows)

    @property
    def statuses(self) -> Counter[str]:
        return Counter(str(flow.status) for flow in self.flows)


Read = Callable[..., Reading]


@pytest.fixture
def recordings() -> Path:
    """The folder of the recordings."""
    if not DATA.is_dir():
        pytest.skip(f"the third-party recordings are not there: {DATA}")
    return DATA


@pytest.fixture
def read(tmp_path: Path, recordings: Path) -> Read:
    """Ingest paths below the recordings, twice to show that the second time changes nothing."""

    def read(*paths: str | Path, formats: tuple[str, ...] = (), scope_each: bool = False) -> Reading:
        store = open_store(tmp_path / "clew.duckdb")

        def once() -> list[IngestReport]:
            if not formats and not scope_each:
                return [_ingest(store, [recordings / path for path in paths])]
            return [
                _ingest(store, [recordings / path], by, str(path) if scope_each else "")
                for path, by in zip_longest(paths, formats)
            ]

        reports = once()
        flows = list(store.flows(FlowFilter(sort="started")))
        assert sum(report.new for report in once()) == 0
        assert list(store.flows(FlowFilter(sort="started"))) == flows
        return Reading(_sum(reports), store, flows)

    return read


def _sum(reports: list[IngestReport]) -> IngestReport:
    by_kind: Counter[str] = Counter()
    for report in reports:
        by_kind.update(report.by_kind)
    last = reports[-1]
    return IngestReport(
        records=sum(report.records for report in reports),
        new=sum(report.new for report in reports),
        duplicates=sum(report.duplicates for report in reports),
        rejects=sum(report.rejects for report in reports),
        unattributed=last.unattributed,
        flows=last.flows,
        by_kind=dict(by_kind),
        seconds=sum(report.seconds for report in reports),
        by_source={},
        problems=tuple(problem for report in reports for problem in report.problems),
    )


def _ingest(store: Store, paths: list[Path], format: str | None = None, scope: str = "") -> IngestReport:
    collector = FilesCollector([str(path) for path in paths], format=format, scope=scope)
    return ingest(store, collector, signals=False)
