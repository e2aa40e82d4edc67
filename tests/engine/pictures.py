"""Everything that a store says of a set of records, in a form that can be compared.

A record is known by its ``label``, which the tests keep among its attributes, so that
neither record numbers nor sources are part of the picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tests.conformance.records import batch

from clew.reconstruct.detail import FlowDetail, Observation
from clew.reconstruct.model import FlowFilter
from clew.reconstruct.store import Store

Row = Mapping[str, Any]
"""Some of the Record's columns, ``label`` and perhaps ``scope``."""

JSON_COLUMNS = ("keys", "links")
ID_COLUMNS = ("event_id", "causation_id", "trace_id", "span_id", "parent_span_id", "correlation_id")


@dataclass(frozen=True, slots=True)
class Member:
    """One record of a flow."""

    label: str
    evidence: str
    shared: bool


def put(store: Store, batches: Iterable[Sequence[Row]], source: str = "s") -> None:
    """Write each batch; one of several scopes is written as one batch for each of them."""
    known: set[tuple[str, str]] = set()
    for number, rows in enumerate(batches):
        for scope in sorted({str(row.get("scope", "")) for row in rows}):
            mine = [columns(row) for row in rows if row.get("scope", "") == scope]
            name = f"{source}/{scope}"
            store.write(
                batch(
                    mine, source=name, position=str(number), first=(source, scope) not in known, scope=scope
                )
            )
            known.add((source, scope))


def columns(row: Row) -> dict[str, Any]:
    """A row as the Record's columns."""
    found: dict[str, Any] = {name: value for name, value in row.items() if name not in {"label", "scope"}}
    found.setdefault("kind", "log")
    found["attributes"] = json.dumps({"label": row["label"]})
    for name in JSON_COLUMNS:
        if name in found and not isinstance(found[name], str):
            found[name] = json.dumps(found[name], sort_keys=True)
    if found.get("correlation_id") is not None:
        found.setdefault("correlation_key", "correlation_id")
    return found


def observations(detail: FlowDetail) -> list[Observation]:
    """Every record of a flow, once each."""
    found = [one for step in detail.steps for one in (*step.observations, *step.logs)]
    return [*found, *detail.loose]


def label(record: Observation) -> str:
    """What the test calls this record."""
    return str(json.loads(record.fields["attributes"])["label"])


def members(detail: FlowDetail) -> list[Member]:
    """The records of a flow by label."""
    found = [Member(label(one), str(one.evidence), one.shared) for one in observations(detail)]
    return sorted(found, key=lambda member: member.label)


def tree(detail: FlowDetail) -> list[dict[str, Any]]:
    """The steps of a flow, each with its records' labels in place of the records."""
    shown = []
    for step in detail.steps:
        fields = {name: getattr(step, name) for name in type(step).__dataclass_fields__}
        fields["observations"] = [label(one) for one in step.observations]
        fields["logs"] = [label(one) for one in step.logs]
        shown.append(fields)
    return shown


def picture(store: Store, rows: Sequence[Row], as_of: datetime | None = None) -> dict[str, Any]:
    """What the store says: flows, members, links, trees, counts, and where each ID leads."""
    flows: dict[str, Any] = {}
    for flow in store.flows(FlowFilter(sort="type", descending=False), as_of):
        detail = store.flow(flow.flow_id, flow.scope, as_of)
        assert detail is not None, f"{flow.flow_id} is listed and cannot be shown"
        assert detail.flow == flow, f"{flow.flow_id} is listed otherwise than it is shown"
        assert len(observations(detail)) == flow.records, f"{flow.flow_id} shows not all its records"
        name = f"{flow.scope}/{flow.flow_id}"
        assert name not in flows, f"two flows are called {name}"
        flows[name] = {
            "flow": asdict(flow),
            "members": [asdict(member) for member in members(detail)],
            "links": [asdict(link) for link in detail.links],
            "tree": tree(detail),
            "loose": sorted(label(one) for one in detail.loose),
        }
    ids = sorted({str(row[name]) for row in rows for name in ID_COLUMNS if row.get(name) is not None})
    summary = asdict(store.summary(as_of))
    return {
        "flows": flows,
        "summary": summary,
        "find": {text: [asdict(match) for match in store.find(text)] for text in ids}
        if as_of is None
        else {},
    }
