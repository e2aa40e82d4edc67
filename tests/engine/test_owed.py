"""What a flow is owed by its definition: each rule by examples written as data."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.engine.cases import FIXTURES

from clew.reconstruct.definitions import Definition, load
from clew.reconstruct.owed import Due, Event, Standing, owed

DAY = datetime(2026, 3, 1, tzinfo=UTC)
EXAMPLES = sorted((FIXTURES / "definitions" / "owed").glob("*.yaml"))


def at(seconds: float) -> datetime:
    return DAY + timedelta(seconds=seconds)


def event(text: str) -> Event:
    """``5 Paid by bank v2``."""
    found = re.fullmatch(r"(\d+) (\w+)(?: by (\w+))?(?: v(\w+))?", text)
    assert found, text
    second, name, service, version = found.groups()
    return Event(name, at(int(second)), service, version)


def seconds(time: datetime) -> str:
    return f"{(time - DAY).total_seconds():.0f}"


def name(definition: Definition, rule: int) -> str:
    return definition.rules[rule - 1].events[0]


def told(definition: Definition, due: Due) -> str:
    """``2 of A B since 3 until 9 overdue``."""
    names = " ".join(name(definition, rule) for rule in due.rules)
    few = names if len(due.rules) == 1 else f"{due.needs} of {names}"
    until = f" until {seconds(due.deadline)}" if due.deadline else ""
    return f"{few} since {seconds(due.since)}{until}{' overdue' if due.overdue else ''}"


def facts(definition: Definition, standing: Standing) -> dict[str, Any]:
    """All but the dues, as an example tells it; what is not there is left out."""
    ended, undoing = standing.ended, standing.undoing
    end = ""
    if ended:
        by = f" by {ended.event}" if ended.event else ""
        end = f"{ended.outcome} at {seconds(ended.time)}{by}{' late' if standing.late else ''}"
    all_told = {
        "ended": end,
        "unknown": [f"{seconds(one.time)} {one.name}" for one in standing.unknown],
        "exceeded": [name(definition, rule) for rule in standing.exceeded],
        "contradicted": bool(standing.contradicted),
        "undoing": undoing
        and {
            "since": int(seconds(undoing.since)),
            "last": int(seconds(undoing.last)),
            "undone": [name(definition, rule) for rule in undoing.undone],
            "left": [name(definition, rule) for rule in undoing.left],
        },
    }
    return {key: value for key, value in all_told.items() if value}


def examples() -> Iterator[Any]:
    for path in EXAMPLES:
        for number, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8")), 1):
            for nth, case in enumerate(document["cases"], 1):
                yield pytest.param(document, case, id=f"{path.stem}-{number}-{nth}")


def written(flow: Mapping[str, Any], folder: Path) -> Definition:
    path = folder / "flows.yaml"
    path.write_text(yaml.safe_dump({"flows": {"flow": flow}}, sort_keys=False), encoding="utf-8")
    (definition,) = load(path)
    return definition


@pytest.mark.parametrize(("document", "case"), list(examples()))
def test_what_is_owed_is_what_the_example_says(
    document: Mapping[str, Any], case: Mapping[str, Any], tmp_path: Path
) -> None:
    definition = written(document["flow"], tmp_path)
    default = document.get("default_limit")
    events = [event(text) for text in case["events"]]
    random.shuffle(events)
    for second, dues in case["as_of"].items():
        standing = owed(definition, events, at(second), default and default * 1_000_000)
        assert [told(definition, due) for due in standing.owed] == dues
        assert facts(definition, standing) == {
            key: value for key, value in case.items() if key not in {"events", "as_of"}
        }


def test_a_step_says_how_often_and_when_it_was_seen(tmp_path: Path) -> None:
    definition = written({"start": "Placed", "steps": [{"event": "Paid", "repeats": 3}, "Packed"]}, tmp_path)
    events = [event(text) for text in ("0 Placed", "2 Paid", "4 Paid")]
    (paid,) = owed(definition, events, at(9)).seen
    assert (paid.rule, paid.count, paid.first, paid.last, paid.done) == (1, 2, at(2), at(4), None)
    (paid,) = owed(definition, [*events, event("7 Paid")], at(9)).seen
    assert (paid.count, paid.last, paid.done) == (3, at(7), at(7))


def test_a_limit_beyond_the_calendar_is_no_deadline(tmp_path: Path) -> None:
    definition = written({"start": "Placed", "steps": [{"event": "Paid", "limit": "30000d"}]}, tmp_path)
    late = datetime(9999, 1, 1, tzinfo=UTC)
    (due,) = owed(definition, [Event("Placed", late)], late).owed
    assert (due.deadline, due.overdue) == (None, False)
