"""Looks into JSON lines: members become columns by one typed read.

A struct is the cheapest way to many members, and columns the cheapest names to plan
with. Two kinds of places cannot be in it and are asked for by path: names that differ
from another's only in case (a struct's fields do not), and what lies inside of a member
that is asked for as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from clew.collectors.formats.lookup import Found
from clew.collectors.formats.paths import Steps, alternatives, identifier, json_path, quoted
from clew.collectors.formats.vocabulary import passages


@dataclass(slots=True)
class JsonFields:
    """A lookup into the JSON object of one SQL column."""

    column: str
    prefix: str
    known: Callable[[Steps], bool] | None = None
    """Whether anything can be there at all; None where it can."""
    containers: tuple[str, ...] = ()
    """Members in which shared names are looked for too, in order; needs ``known``."""
    shared_column: str | None = None
    """Or: the SQL column of the object with its containers merged into it."""
    asked: dict[str, dict[Steps, str]] = field(default_factory=dict)
    """SQL column → place → name of its text's column."""
    _json: dict[Steps, str] = field(default_factory=dict)

    def ask(self, column: str, steps: Steps) -> str:
        """The name of the column that will hold the text at ``steps``."""
        places = self.asked.setdefault(column, {})
        count = sum(map(len, self.asked.values()))
        return places.setdefault(steps, f"{self.prefix}{count}")

    def find(self, paths: Sequence[str], *, shared: bool = False, exact: bool = False) -> list[Found]:
        """Every place where the paths may lie, in order of preference."""
        found: list[Found] = []
        taken: set[Steps] = set()
        where = self.shared_column if shared and self.shared_column else self.column
        for path in paths:
            ways = alternatives(path)[: 1 if exact else None]
            places = [(steps, not shared or len(steps) == 1) for steps in ways]
            if shared:
                # What lies deeper under a shared name is copied, not moved: patches stay short.
                places += [((outer, *steps), False) for steps in ways for outer in self.containers]
            for steps, claimable in places:
                if steps not in taken and (self.known is None or self.known(steps)):
                    taken.add(steps)
                    scalar = steps[-1] in passages()
                    found.append(Found(path, "line", steps, self.ask(where, steps), 0, claimable, scalar))
        return found

    def json(self, path: str) -> str:
        """The JSON found there; NULL where there is none."""
        found = [
            self._json.setdefault(steps, f"{self.prefix}j{len(self._json)}")
            for steps in alternatives(path)
            if self.known is None or self.known(steps)
        ]
        return f"coalesce({', '.join(found)})" if found else "NULL::JSON"

    def layers(self) -> list[list[str]]:
        """Select items, layer by layer, that give all the columns asked for."""
        first: list[str] = []
        shared: list[str] = []
        second: list[str] = []
        third: list[str] = []
        for number, (column, places) in enumerate(self.asked.items()):
            struct = f"{self.prefix}s_{number}"
            structure, inside, outside = _split(places)
            read = f"from_json({column}, {quoted(json.dumps(structure, ensure_ascii=False))})"
            if column == self.shared_column:
                # What is merged from valid JSON is valid: TRY costs as much again.
                shared.append(f"CASE WHEN {self.read()} IS NOT NULL THEN {read} END AS {struct}")
            else:
                first.append(f"TRY({read}) AS {struct}")
            second += [
                f"{struct}.{'.'.join(identifier(str(step)) for step in steps)} AS {places[steps]}"
                for steps in inside
            ]
            plain = [steps for steps in outside if len(steps) == 1]
            deep = [steps for steps in outside if len(steps) > 1]
            for name, some, guard in (
                (f"{struct}p", plain, None),
                (f"{struct}d", deep, _any_of(struct, structure, deep)),
            ):
                if some:
                    listed = ", ".join(quoted(json_path(steps)) for steps in some)
                    extract = f"TRY(json_extract_string({column}, [{listed}]))"
                    second.append(
                        f"CASE WHEN {guard} THEN {extract} END AS {name}" if guard else f"{extract} AS {name}"
                    )
                    third += [f"{name}[{index}] AS {places[steps]}" for index, steps in enumerate(some, 1)]
        for steps, name in self._json.items():
            first.append(f"TRY(json_extract({self.column}, {quoted(json_path(steps))})) AS {name}")
        return [first, shared, second, third]

    def names(self) -> list[str]:
        """All columns that :meth:`layers` gives."""
        return [*(name for places in self.asked.values() for name in places.values()), *self._json.values()]

    def read(self) -> str:
        """SQL over :meth:`layers`: NULL where the column is not valid JSON, or was not looked at."""
        return f"{self.prefix}s_0"


def _split(places: dict[Steps, str]) -> tuple[dict[str, Any], list[Steps], list[Steps]]:
    """(structure, places in it, places that it cannot hold)."""
    structure: dict[str, Any] = {}
    inside: list[Steps] = []
    outside: list[Steps] = []
    for steps in sorted(places, key=len):
        node: Any = structure
        for depth, step in enumerate(steps):
            if not isinstance(node, dict) or not isinstance(step, str) or '"' in step:
                break
            if step not in node and any(step.lower() == other.lower() for other in node):
                break
            last = depth == len(steps) - 1
            if (
                not last
                and step not in node
                and any(other[: depth + 1] == steps[: depth + 1] for other in inside)
            ):
                break
            if last and isinstance(node.get(step), dict):
                break
            node = node.setdefault(step, "VARCHAR" if last else {})
        else:
            inside.append(steps)
            continue
        outside.append(steps)
    structure = _pruned(structure)
    lowered = {name.lower() for name in structure}
    for steps in outside:
        # So that a glance tells whether there is anything to look into.
        if len(steps) > 1 and str(steps[0]).lower() not in lowered:
            structure[str(steps[0])] = "VARCHAR"
            lowered.add(str(steps[0]).lower())
    return structure, inside, outside


def _pruned(structure: dict[str, Any]) -> dict[str, Any]:
    """Without objects left empty by places that turned out not to fit."""
    kept = {name: _pruned(inner) if isinstance(inner, dict) else inner for name, inner in structure.items()}
    return {name: inner for name, inner in kept.items() if inner != {}}


def _any_of(struct: str, structure: dict[str, Any], deep: list[Steps]) -> str | None:
    """SQL that holds where one of the members is there in which ``deep`` lie; None where that cannot be told."""
    tops = dict.fromkeys(str(steps[0]) for steps in deep)
    if not all(top in structure for top in tops):
        return None
    return " OR ".join(f"{struct}.{identifier(top)} IS NOT NULL" for top in tops)
