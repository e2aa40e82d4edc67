"""Where a path's text comes from: members of JSON values, or named columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clew.collectors.formats.paths import Steps, alternatives, identifier, json_path, quoted


@dataclass(frozen=True, slots=True)
class Found:
    """One place where a path may lie."""

    name: str
    """The path as written."""
    base: str
    steps: Steps
    source: str
    """The list of extracted texts and the index in it, or an expression when index is 0."""
    index: int = 0
    claimable: bool = True
    """What a column takes from here disappears from attributes."""
    scalar: bool = False
    """Other paths lead through this name: an object here is no value of it."""

    @property
    def sql(self) -> str:
        """The text found there, VARCHAR, NULL where there is none."""
        return f"{self.source}[{self.index}]" if self.index else self.source


@dataclass(slots=True)
class JsonLists:
    """Looks into JSON columns.

    All members of one column are extracted by one call, so that the column is parsed once.
    """

    columns: dict[str, str]
    """Base → SQL column. A path that names no base starts from the last one."""
    prefix: str
    known: Callable[[str, Steps], bool] | None = None
    """Whether (base, steps) can be there at all; None where anything can."""
    containers: tuple[str, ...] = ()
    """Members of the last base in which shared names are looked for too, in order; needs ``known``."""
    shared_column: str | None = None
    """Or: the SQL column that holds the last base with all its containers merged into it."""
    texts: dict[str, list[Steps]] = field(default_factory=dict)
    values: dict[str, list[Steps]] = field(default_factory=dict)

    def resolve(self, path: str) -> tuple[str, str]:
        """A path as (base, rest)."""
        for end, character in enumerate(path):
            if character in "./" and path[:end] in self.columns:
                return path[:end], path[end + 1 :]
        return (path, "") if path in self.columns else (self.default, path)

    @property
    def default(self) -> str:
        """The base from which a path starts that names none."""
        return next(reversed(self.columns))

    def find(self, paths: Sequence[str], *, shared: bool = False, exact: bool = False) -> list[Found]:
        """Every place where the paths may lie, in order of preference, side by side in one list."""
        found: list[Found] = []
        taken: set[tuple[str, Steps]] = set()
        for path in paths:
            base, rest = self.resolve(path)
            if not rest:
                found.append(Found(path, base, (), self.columns[base], claimable=False))
                continue
            where = "@" if shared and base == self.default and self.shared_column else base
            ways = alternatives(rest)[: 1 if exact else None]
            places = [(steps, True) for steps in ways]
            if shared and base == self.default and self.containers:
                places += [((outer, *steps), False) for steps in ways for outer in self.containers]
            if shared:
                # What lies deeper under a shared name is copied, not moved: patches stay short.
                places = [(steps, claimable and len(steps) == 1) for steps, claimable in places]
            for steps, claimable in places:
                if (base, steps) in taken or (self.known is not None and not self.known(base, steps)):
                    continue
                taken.add((base, steps))
                order = self.texts.setdefault(where, [])
                if steps not in order:
                    order.append(steps)
                index = order.index(steps) + 1
                found.append(Found(path, base, steps, self._list("t", where), index, claimable))
        return found

    def json(self, path: str) -> str:
        """The JSON found there; NULL where there is none."""
        base, rest = self.resolve(path)
        if not rest:
            return self.columns[base]
        found = []
        for steps in alternatives(rest):
            if self.known is None or self.known(base, steps):
                order = self.values.setdefault(base, [])
                order.append(steps)
                found.append(f"{self._list('j', base)}[{len(order)}]")
        return f"coalesce({', '.join(found)})" if found else "NULL::JSON"

    def _list(self, kind: str, base: str) -> str:
        return f"{self.prefix}{kind}{'s' if base == '@' else list(self.columns).index(base)}"

    def lists(self, when: str | None = None) -> list[str]:
        """The extractions that :meth:`find` and :meth:`json` asked for, as select items."""
        items = []
        for kind, function, asked in (
            ("t", "json_extract_string", self.texts),
            ("j", "json_extract", self.values),
        ):
            for base, order in asked.items():
                listed = ", ".join(quoted(json_path(steps)) for steps in order)
                column = self.shared_column if base == "@" else self.columns[base]
                extract = f"TRY({function}({column}, [{listed}]))"
                if when:
                    extract = f"CASE WHEN {when} THEN {extract} END"
                items.append(f"{extract} AS {self._list(kind, base)}")
        return items


@dataclass(slots=True)
class NamedColumns:
    """Looks into columns that are texts: CSV fields, groups of a pattern."""

    columns: Mapping[str, str]
    """Name → SQL expression, VARCHAR, NULL where empty."""

    def find(self, paths: Sequence[str], *, shared: bool = False, exact: bool = False) -> list[Found]:
        """The columns of those names, or members of the JSON in the column before a slash."""
        del shared, exact
        found: list[Found] = []
        for path in paths:
            if path in self.columns:
                found.append(Found(path, "", (path,), self.columns[path]))
                continue
            column, _, inner = path.partition("/")
            if inner and column in self.columns:
                found += [
                    Found(
                        path,
                        column,
                        steps,
                        f"TRY(json_extract_string({self.columns[column]}, {_path(steps)}))",
                    )
                    for steps in alternatives(inner)
                ]
        return found

    def json(self, path: str) -> str:
        """The text there as a JSON string, or the JSON in the column before the slash."""
        column, _, inner = path.partition("/")
        if inner and column in self.columns:
            return f"TRY(json_extract({self.columns[column]}, {_path(alternatives(inner)[0])}))"
        return f"to_json({self.columns[path]})" if path in self.columns else "NULL::JSON"


class Lookup(Protocol):
    """What the compiler of columns needs of a source of texts."""

    def find(self, paths: Sequence[str], *, shared: bool = False, exact: bool = False) -> list[Found]:
        """Every place where the paths may lie, in order of preference.

        ``shared`` names hide in containers too; ``exact`` ones are never nested by their dots.
        """
        ...

    def json(self, path: str) -> str:
        """SQL of the JSON found at a path; NULL where there is none."""
        ...


def _path(steps: Steps) -> str:
    return quoted(json_path(steps))


def column_name(base: str) -> str:
    """The SQL column in which a base travels through the SELECT."""
    return identifier(f"b_{base}")


@dataclass(frozen=True, slots=True)
class First:
    """The first of several places that holds something."""

    found: tuple[Found, ...]
    blank: bool
    """Whether an empty text counts as something."""

    @property
    def index(self) -> str | None:
        """SQL of which place it is, from 1; NULL for none of them; None when there is only one place."""
        if len(self.found) == 1:
            return None
        tests = " ".join(f"WHEN {self._test(one)} THEN {place}" for place, one in enumerate(self.found, 1))
        return f"CASE {tests} END"

    @property
    def text(self) -> str:
        """SQL of the text that it holds."""
        if self.blank:
            texts = [
                f"CASE WHEN {self._test(one)} THEN {one.sql} END" if one.scalar else one.sql
                for one in self.found
            ]
            return texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"
        return f"CASE {' '.join(f'WHEN {self._test(one)} THEN {one.sql}' for one in self.found)} END"

    def _test(self, one: Found) -> str:
        there = f"{one.sql} IS NOT NULL" if self.blank else f"{one.sql} <> ''"
        return (
            f"""{there} AND NOT starts_with({one.sql}, '{{"') AND {one.sql} <> '{{}}'"""
            if one.scalar
            else there
        )
