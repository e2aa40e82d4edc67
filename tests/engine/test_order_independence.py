"""What the engine makes of records is a function of their set, never of when or how they came."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.records import at
from tests.engine.pictures import Row, picture, put
from tests.engine.test_owed_properties import definition_of

from clew.reconstruct import open_store
from clew.reconstruct.model import Settings

FEW = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TRACES, SPANS, EVENTS = ("T1", "T2", "T3"), ("s1", "s2", "s3"), ("e1", "e2", "e3")
GROUPS, SERVICES = ("g1", "g2"), ("pay", "ship")


def _maybe(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from((None, None, *values))


TIMES = st.one_of(
    st.none(),
    st.sampled_from([at(0), at(1), at(1), at(2), at(400), at(0).replace(year=1), at(0).replace(year=9999)]),
)

RECORDS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(("log", "log", "span", "span", "message", "dead_letter", "history")),
        "time": TIMES,
        "end_time": _maybe(at(3), at(5)),
        "service": _maybe(*SERVICES),
        "name": _maybe("Placed", "Paid", "Done"),
        "operation": _maybe("send", "process", "send", "process", "create"),
        "event_id": _maybe(*EVENTS),
        "causation_id": _maybe(*EVENTS),
        "correlation_id": _maybe("c1", "c2", None, None),
        "trace_id": _maybe(*TRACES, *TRACES),
        "span_id": _maybe(*SPANS, *SPANS),
        "parent_span_id": _maybe(*SPANS),
        "links": st.one_of(
            st.none(),
            st.lists(
                st.fixed_dictionaries(
                    {"trace_id": st.sampled_from(TRACES), "span_id": st.sampled_from(SPANS)}
                ),
                max_size=2,
            ),
        ),
        "destination": _maybe("orders"),
        "partition": st.none(),
        "offset": _maybe(1, 2),
        "consumer_group": _maybe(*GROUPS),
        "severity": _maybe("ERROR", "INFO"),
        "status": _maybe("error", "ok"),
        "outcome": _maybe(None, None, None, None, "completed", "failed"),
        "keys": st.one_of(
            st.none(),
            st.none(),
            st.dictionaries(
                st.sampled_from(("order_id", "request_id", "tenant_id")),
                st.sampled_from(("7", "8")),
                max_size=2,
            ),
        ),
    }
)


def _plain(record: dict[str, Any], number: int) -> Row:
    row = {name: value for name, value in record.items() if value is not None}
    if row["kind"] == "span":
        row.setdefault("trace_id", TRACES[0])
        row.setdefault("span_id", SPANS[0])
    return row | {"label": f"r{number}"}


GRAPHS = st.lists(RECORDS, min_size=2, max_size=9).map(
    lambda records: [_plain(record, number) for number, record in enumerate(records)]
)


def told(
    batches: Sequence[Sequence[Row]],
    rows: Sequence[Row],
    judged_by: Settings | None = None,
    *,
    twice: bool = False,
) -> list[dict[str, Any]]:
    """The picture after these batches, then after each thing that must change nothing."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder) / "s.duckdb", settings=judged_by) as store,
    ):
        put(store, batches)
        found = [picture(store, rows)]
        if twice:
            put(store, batches)
            found.append(picture(store, rows))
            store.rebuild()
            found.append(picture(store, rows))
        return found


def cut(rows: Sequence[Row], chances: random.Random) -> list[list[Row]]:
    """``rows`` shuffled, and cut into batches at random."""
    shuffled = list(rows)
    chances.shuffle(shuffled)
    batches: list[list[Row]] = [[]]
    for row in shuffled:
        if batches[-1] and chances.random() < 0.5:
            batches.append([])
        batches[-1].append(row)
    return batches


@FEW
@given(rows=GRAPHS, chances=st.randoms(use_true_random=False))
def test_any_order_and_any_batches_give_the_same_flows(rows: list[Row], chances: random.Random) -> None:
    (whole,) = told([rows], rows)
    (other,) = told(cut(rows, chances), rows)
    assert other == whole


@settings(FEW, max_examples=20)
@given(rows=GRAPHS, chances=st.randoms(use_true_random=False))
def test_reading_again_and_rebuilding_change_nothing(rows: list[Row], chances: random.Random) -> None:
    once, again, rebuilt = told(cut(rows, chances), rows, twice=True)
    assert again == once
    assert rebuilt == once


@settings(FEW, max_examples=30)
@given(
    rows=GRAPHS,
    chances=st.randoms(use_true_random=False),
    flow=st.sampled_from(
        [
            {"start": "Placed", "steps": [{"event": "Paid", "service": "pay", "repeats": 2}, "Done"]},
            {"start": "Placed", "steps": ["Paid"], "compensations": {"Done": "Paid"}, "limit": "1m"},
            {"start": "Placed", "steps": [{"optional": ["Paid"]}], "ends": {"failed": "Done"}, "reuse": True},
        ]
    ),
)
def test_any_order_and_any_batches_give_written_flows_the_same(
    rows: list[Row], chances: random.Random, flow: dict[str, Any]
) -> None:
    judged_by = Settings(definitions=(definition_of(flow),))
    (whole,) = told([rows], rows, judged_by)
    (other,) = told(cut(rows, chances), rows, judged_by)
    assert other == whole
