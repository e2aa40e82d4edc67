"""Cases written as data: records, and what the engine makes of them.

A file of ``fixtures/passes`` holds one case or more, as YAML documents:

```yaml
shows: One sentence that says what this case shows.
settings: {limit: 5m, keys: {x-request-id: hop}, flows: {…as in a definitions file…}}
records:
  - {as: placed, time: "12:00:00", service: shop, name: OrderPlaced, correlation_id: c1}
  - {each: 50, as: "paid-{i}", time: "12:00:{i}", correlation_id: "c{i}"}    # i = 1 … 50
arrive: [[paid-1], [placed]]      # batches; absent: in one batch, and in three that come backwards
expect:                           # or a list, each at another time
  at: "12:06:00"                  # as_of
  flows:                          # all flows, in the order of their IDs; what is not named is not compared
    - {flow: c1, status: completed, members: {placed: correlation, paid-1: trace (shared)}}
  unattributed: [noise]
  find: {e1: [c1]}
then: {settings: …, expect: …}    # after a rebuild by other settings
watermarks: {a.log: "12:03:00"}   # up to when a source has told all, for records `from: a.log`
```

A record gives columns of the Record; ``as`` is its label and a log its usual kind. A time
is of 1 March 2026 (``day 3 12:00:00`` of the third), and may say ``+ 90s``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from tests.engine.pictures import Row, label, members

from clew.reconstruct.definitions import duration_us, load
from clew.reconstruct.detail import FlowDetail, Step
from clew.reconstruct.model import Flow, FlowFilter, KeyClass, Settings
from clew.reconstruct.store import Store

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
DAY = datetime(2026, 3, 1, tzinfo=UTC)
DAY_FIELDS = {"time", "end_time", "at", "since", "deadline", "started", "last"}


@dataclass(frozen=True, slots=True)
class Case:
    """One document of a fixture file."""

    name: str
    shows: str
    settings: Mapping[str, Any]
    rows: list[Row]
    arrive: list[list[str]] | None
    expect: list[Mapping[str, Any]]
    then: Mapping[str, Any] = field(default_factory=dict)
    watermarks: Mapping[str, Any] = field(default_factory=dict)

    def arrivals(self) -> list[list[list[Row]]]:
        """The ways in which the records come: batches of each."""
        if self.arrive is not None:
            by_label = {str(row["label"]): row for row in self.rows}
            return [[[by_label[name] for name in batch] for batch in self.arrive]]
        backwards = self.rows[::-1]
        third = max(1, (len(backwards) + 2) // 3)
        thirds = [backwards[start : start + third] for start in range(0, len(backwards), third)]
        return [[self.rows], thirds]


def cases(*folders: str, under: str = "passes") -> list[Case]:
    """Every case below these folders of ``fixtures/passes``, or of another."""
    found = []
    for folder in folders:
        for path in sorted((FIXTURES / under / folder).glob("*.yaml")):
            for number, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8")), 1):
                found.append(case(f"{folder}/{path.stem}-{number}", document))
    return found


def case(name: str, document: Mapping[str, Any]) -> Case:
    """One document of a fixture file, checked."""
    unknown = set(document) - {"shows", "settings", "records", "arrive", "expect", "then", "watermarks"}
    if unknown or not document.get("shows"):
        raise ValueError(f"{name}: unknown entries {sorted(unknown)}, or it does not say what it shows")
    expect = document["expect"]
    return Case(
        name=name,
        shows=document["shows"],
        settings=document.get("settings") or {},
        rows=[_row(record) for record in _expanded(document["records"])],
        arrive=document.get("arrive"),
        expect=expect if isinstance(expect, list) else [expect],
        then=document.get("then") or {},
        watermarks=document.get("watermarks") or {},
    )


def _expanded(entries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        plain = {name: value for name, value in entry.items() if name != "each"}
        for i in range(1, entry.get("each", 1) + 1):
            yield {name: _filled(value, i) for name, value in plain.items()}


def _filled(value: Any, i: int) -> Any:
    if isinstance(value, str):
        return value.replace("{i}", str(i))
    if isinstance(value, Mapping):
        return {_filled(name, i): _filled(one, i) for name, one in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[0], Mapping) and "each" in value[0]:
            return list(_expanded(value))
        return [_filled(one, i) for one in value]
    return value


def _row(record: dict[str, Any]) -> Row:
    row = {name: value for name, value in record.items() if name != "as"}
    row["label"] = record["as"]
    for name in DAY_FIELDS & set(row):
        row[name] = when(row[name])
    if "offset" in row:
        row["offset"] = int(row["offset"])
    return row


def when(text: Any) -> datetime | None:
    """A time of the fixtures' own day, or in full."""
    if text is None or isinstance(text, datetime):
        return text
    point, _, later = str(text).partition("+")
    found = re.fullmatch(r"(?:day (\d+) )?(\d\d?):(\d\d?):(\d\d?(?:\.\d+)?)", point.strip())
    if found is None:
        return datetime.fromisoformat(point.strip()).replace(tzinfo=UTC)
    day, hour, minute, second = found.groups()
    moment = DAY + timedelta(
        days=int(day or 1) - 1, hours=int(hour), minutes=int(minute), seconds=float(second)
    )
    return moment + timedelta(microseconds=duration_us(later.strip()) if later else 0)


def settings_of(written: Mapping[str, Any], folder: Path) -> Settings:
    """A case's settings; flow definitions go through a file, as a user's do."""
    definitions: tuple[Any, ...] = ()
    if written.get("flows"):
        path = folder / "flows.yaml"
        path.write_text(yaml.safe_dump({"flows": written["flows"]}, sort_keys=False), encoding="utf-8")
        definitions = load(path)
    return Settings(
        key_classes={name: KeyClass(kind) for name, kind in (written.get("keys") or {}).items()},
        definitions=definitions,
        limit_us=duration_us(written.get("limit", "5m")),
    )


def differences(store: Store, rows: Sequence[Row], expected: Mapping[str, Any]) -> Iterator[str]:
    """Where the store says something else than expected, a line each."""
    as_of = when(expected.get("at"))
    found = {
        f"{flow.scope}/{flow.flow_id}" if flow.scope else flow.flow_id: flow
        for flow in store.flows(FlowFilter(), as_of)
    }
    wanted = list(_expanded(expected["flows"]))
    named = [entry["flow"] for entry in wanted]
    if sorted(named) != sorted(found):
        yield f"flows: {sorted(found)} instead of {sorted(named)}"
    attributed: set[str] = set()
    for entry in wanted:
        flow = found.get(entry["flow"])
        if flow is not None:
            detail = store.flow(flow.flow_id, flow.scope, as_of)
            assert detail is not None
            attributed |= {member.label for member in members(detail)}
            for line in _flow_differences(flow, detail, entry):
                yield f"{flow.flow_id}: {line}"
    if as_of is None:
        rest = sorted({str(row["label"]) for row in rows} - attributed)
        if rest != sorted(expected.get("unattributed", [])):
            yield f"unattributed: {rest}"
        if store.summary().unattributed != len(rest):
            yield f"{store.summary().unattributed} are counted as unattributed instead of {len(rest)}"
    if "as_of" in expected and store.summary().as_of != when(expected["as_of"]):
        yield f"as_of {store.summary().as_of}"
    for text, flows in (expected.get("find") or {}).items():
        leads = [match.flow_id for match in store.find(str(text))]
        if leads != flows:
            yield f"find {text}: {leads} instead of {flows}"
    reports = {report.name: report for report in store.keys()} if "keys" in expected else {}  # noqa: SIM118  a store is no dict
    for name, says in expected.get("keys", {}).items():
        suspect = reports[name].suspect
        if (says is None and suspect is not None) or (says is not None and says not in str(suspect)):
            yield f"key {name}: {suspect}"


def _flow_differences(flow: Flow, detail: FlowDetail, entry: Mapping[str, Any]) -> Iterator[str]:
    for name, value in entry.items():
        if name == "flow":
            continue
        if name == "members":
            found: Any = {
                one.label: one.evidence + (" (shared)" if one.shared else "") for one in members(detail)
            }
        elif name == "links":
            found = [f"{link.kind} {link.flow_id} by {link.via}" for link in detail.links]
        elif name == "tree":
            found, value = drawn(detail), value.rstrip("\n").splitlines()
        elif name == "loose":
            found = sorted(label(one) for one in detail.loose)
        elif name == "owed":
            found = (
                None if flow.owed is None else {key: getattr(flow.owed, key) for key in value or {"kind": 0}}
            )
            value = value and {key: when(one) if key in DAY_FIELDS else one for key, one in value.items()}
        else:
            found = getattr(flow, name)
            found = _plain(found)
            value = when(value) if name in DAY_FIELDS else value
        if found != value:
            yield f"{name} is {found} instead of {value}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    return [str(one) for one in value] if isinstance(value, tuple) else value


def drawn(detail: FlowDetail) -> list[str]:
    """The steps of a flow, one line each, indented by what caused them."""
    depth: dict[int, int] = {}
    lines = []
    for step in detail.steps:
        depth[step.id] = 0 if step.parent is None else depth[step.parent] + 1
        lines.append("  " * depth[step.id] + " ".join(_marks(step)))
    return lines


def _marks(step: Step) -> Iterator[str]:
    yield f"{step.kind} {step.name}"
    if step.service:
        yield f"@{step.service}"
    yield "=" + "+".join(label(one) for one in step.observations)
    if step.logs:
        yield f"({', '.join(label(one) for one in step.logs)})"
    if step.via:
        yield f"by {step.via}"
    if step.queue_wait_us is not None:
        yield f"waited {step.queue_wait_us / 1e6:g}s"
    if step.skew_us:
        yield f"skewed {step.skew_us / 1e6:g}s"
    if step.attempt > 1:
        yield f"attempt {step.attempt}"
    if step.status == "error":
        yield "failed"
    if step.open:
        yield "open"
    if step.dead_letter:
        yield f"dead: {step.dead_letter}"
    if step.missing_parent:
        yield f"lacks {step.missing_parent}"
    if step.shared:
        yield "shared"
