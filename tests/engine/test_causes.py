"""Causes are what ``fixtures/causes`` says: which hold, in which order, by which records.

An expected flow gives what is compared of it: the stored ``cause``, the ``sentence``, and
its ``status`` where that is what the case is about, and all of ``causes`` in their order, each
with its ``said``, its ``clues`` (``label: text``) and what to do ``next``. With ``continued`` it
is asked where flows likely go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.records import batch
from tests.engine.cases import FIXTURES, Case, cases, settings_of, when
from tests.engine.pictures import columns

from clew.collectors.record import Watermark
from clew.reconstruct import open_store
from clew.reconstruct.answers import GroupBy
from clew.reconstruct.causes import MEANINGS, REFINES, RULES
from clew.reconstruct.causes.cause import Cause, Clue
from clew.reconstruct.causes.why import Why, why
from clew.reconstruct.model import OWED_CAUSES, FlowFilter, Mark
from clew.reconstruct.store import Store

FOLDERS = sorted(folder.name for folder in (FIXTURES / "causes").iterdir())
ALL = cases(*FOLDERS, under="causes")


def put(store: Store, case: Case) -> None:
    """Write the records of each source, with its watermark; a record's position is its place in the case."""
    rows = [{**row, "position": number} for number, row in enumerate(case.rows, 1)]
    for source in dict.fromkeys(row.get("from", "s") for row in rows):
        mine = [
            columns({k: v for k, v in row.items() if k != "from"})
            for row in rows
            if row.get("from", "s") == source
        ]
        until = when(case.watermarks.get(source))
        mark = None if until is None else Watermark(int(until.timestamp() * 1_000_000), exact=True)
        store.write(batch(mine, source=source, watermark=mark))


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_a_cause_holds_as_its_fixture_shows(case: Case, tmp_path: Path) -> None:
    with open_store(tmp_path / "clew.duckdb", settings=settings_of(case.settings, tmp_path)) as store:
        put(store, case)
        for expected in case.expect:
            at = when(expected["at"])
            continued = store.continuations(at) if expected.get("continued") else []
            assert grouped(store, at) == explained(store, at)
            assert listed(store, at) == twice(store, at)
            for entry in expected["flows"]:
                told = why(store, entry["flow"], "", at, continued=continued)
                assert told is not None, entry["flow"]
                found = [*differences(told, entry, case)]
                assert not found, f"{case.shows}\n{entry['flow']}\n" + "\n".join(found)


def grouped(store: Store, at: datetime | None) -> dict[str | None, int]:
    """How many flows each cause has, as their groups say; and the example of each has it."""
    groups = store.groups(FlowFilter(), GroupBy.CAUSE, at)
    for group in groups:
        told = why(store, group.example, group.scope, at)
        assert told is not None
        assert told.cause == group.value, group.example
    return {group.value: group.flows for group in groups}


def explained(store: Store, at: datetime | None) -> dict[str | None, int]:
    """The same as each flow is explained."""
    told = [why(store, flow.flow_id, flow.scope, at) for flow in store.flows(FlowFilter(), at)]
    return dict(Counter(one.cause for one in told if one is not None))


def listed(store: Store, at: datetime | None) -> set[str]:
    """The flows that are listed as having handled an event twice; their types count them."""
    found = {flow.flow_id for flow in store.flows(FlowFilter(marks=(Mark.DUPLICATES,)), at)}
    assert sum(one.duplicates for one in store.types(FlowFilter(), at)) == len(found)
    return found


def twice(store: Store, at: datetime | None) -> set[str]:
    """Those of which the rule says so."""
    told = [why(store, flow.flow_id, flow.scope, at) for flow in store.flows(FlowFilter(), at)]
    return {
        one.detail.flow.flow_id
        for one in told
        if one is not None and any(cause.name == "duplicate_processing" for cause in one.causes)
    }


def differences(told: Why, entry: Mapping[str, Any], case: Case) -> Iterator[str]:
    """Where a flow is explained otherwise than expected, a line each."""
    assert set(entry) >= {"flow", "cause", "causes", "sentence"}, "a fixture says all of it"
    if told.detail.flow.cause != entry["cause"]:
        yield f"the stored cause is {told.detail.flow.cause}"
    if told.detail.flow.status != entry.get("status", told.detail.flow.status):
        yield f"the status is {told.detail.flow.status}"
    if told.sentence != entry["sentence"]:
        yield f"sentence: {told.sentence}"
    wanted = entry["causes"]
    if [cause.name for cause in told.causes] != [one["cause"] for one in wanted]:
        yield f"causes: {[cause.name for cause in told.causes]}"
        return
    for cause, one in zip(told.causes, wanted, strict=True):
        found = shown(cause, case)
        for name, value in one.items():
            if found[name] != value:
                yield f"{cause.name} {name}: {found[name]} instead of {value}"


def shown(cause: Cause, case: Case) -> dict[str, Any]:
    """A cause as the fixtures write it."""
    return {
        "cause": cause.name,
        "explains": cause.explains,
        "said": cause.said,
        "clues": [_clue(clue, case) for clue in cause.clues],
        "next": [" ".join(("clew", *one.command)) if one.command else one.do for one in cause.next],
    }


def _clue(clue: Clue, case: Case) -> str:
    label = clue.source if clue.position is None else case.rows[clue.position - 1]["label"]
    return f"{label}: {clue.said}" if label else clue.said


def test_every_rule_has_fixtures_in_which_it_holds_and_in_which_it_does_not() -> None:
    for rule in RULES:
        entries = [
            entry
            for case in ALL
            if case.name.startswith(f"{rule.name}/")
            for expected in case.expect
            for entry in expected["flows"]
        ]
        holds = {any(one["cause"] == rule.name for one in entry["causes"]) for entry in entries}
        assert holds == {True, False}, rule.name


def test_every_stored_cause_is_refined_by_known_rules_and_by_itself() -> None:
    assert set(REFINES) == {
        *OWED_CAUSES.values(),
        "dead_lettered",
        "retrying",
        "unknown_end",
        "compensation_incomplete",
        "source_behind",
    }
    for stored, refined in REFINES.items():
        assert stored in refined
        assert [name for name in refined if name not in MEANINGS] == []
        assert list(refined) == [rule.name for rule in RULES if rule.name in refined], "in the order of ranks"


def test_a_rules_file_is_named_as_its_cause_and_tells_its_meaning_in_a_sentence() -> None:
    folder = Path(__file__).resolve().parents[2] / "reconstruct" / "clew" / "reconstruct" / "causes"
    for rule in RULES:
        assert (folder / f"{rule.name}.py").exists()
        assert rule.meaning.endswith(".")
