"""The columns of a Record as SQL over what a lookup finds, in layers.

``texts`` are evaluated first (``<prefix>t_3``: the text of the third part), ``values``
over them (``<prefix>v_3``: converted), ``sql`` over both (one expression per column).
Layers keep the statement short: no expression is ever repeated inside another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from clew.collectors.formats.expressions import converted, mapped
from clew.collectors.formats.language import Field, Format
from clew.collectors.formats.lookup import First, Found, Lookup
from clew.collectors.formats.paths import Steps, quoted
from clew.collectors.formats.settings import Settings
from clew.collectors.formats.vocabulary import key_names, vocabulary
from clew.collectors.record import RECORD_COLUMNS

PLACEHOLDER = re.compile(r"\{([A-Za-z_@$][^{}'\":\s]*)(?::(json|rest))?\}")
"""``{path}``, ``{path:json}`` or ``{base:rest}`` in an expression."""

_FEW = 12
"""More keys than these are put together as one object."""

COMPUTED = tuple(name for name in RECORD_COLUMNS if name not in {"position", "keys", "attributes"})
BLANK_IS_NONE = {
    "name", "service", "event_id", "causation_id", "correlation_id", "destination", "consumer_group", "system",
}  # fmt: skip
"""Columns in which an empty text names nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A column took what stands at one of ``found`` when ``condition`` holds: the one equal to ``text``."""

    found: tuple[Found, ...]
    condition: str
    text: str

    def of(self, one: Found) -> str:
        """SQL that holds where the column took this one: the first with the text."""
        if len(self.found) == 1:
            return self.condition
        before = [other.sql for other in self.found[: self.found.index(one)]]
        earlier = "".join(f" AND {sql} IS DISTINCT FROM {self.text}" for sql in before)
        return f"{self.condition} AND {one.sql} = {self.text}{earlier}"


@dataclass(slots=True)
class Columns:
    """SQL by layer. In ``keys`` and claims, computed columns are named ``c_<column>``."""

    texts: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    sql: dict[str, str] = field(default_factory=dict)
    keys: str = "NULL::VARCHAR"
    blank_keys: bool = False
    """``keys`` may hold empty texts, which name nothing."""
    claims: list[Claim] = field(default_factory=list)
    key_claims: list[Found] = field(default_factory=list)
    """Taken into keys or correlation_id wherever they hold something."""

    def leave_whole(self, asked: Collection[Steps]) -> None:
        """Take nothing out of an object that is itself asked for as a whole."""

        def kept(one: Found) -> Found:
            inside = any(one.steps[:end] in asked for end in range(1, len(one.steps)))
            return replace(one, claimable=one.claimable and not inside)

        self.claims = [replace(claim, found=tuple(map(kept, claim.found))) for claim in self.claims]
        self.key_claims = [kept(one) for one in self.key_claims]


@dataclass(slots=True)
class ColumnCompiler:
    """Compiles a format's fields against one lookup.

    ``plain`` tells of a found text that it needs no escaping in JSON.
    """

    format: Format
    lookup: Lookup
    settings: Settings
    prefix: str = "s"
    plain: Callable[[Found], bool] = lambda _: False
    result: Columns = field(default_factory=Columns)

    def compile(self) -> Columns:
        """All columns."""
        shared = vocabulary()
        scopes = self.format.vocabulary or ()
        for column in COMPUTED:
            if column in {"kind", "correlation_id", "correlation_key"}:
                continue
            parts: list[str] = []
            own = self.format.record.get(column)
            if own:
                self._field(column, own, parts)
            taken = set(own.paths) if own else set()
            names = [_within(scope, name) for scope in scopes for name in shared.record.get(column, ())]
            self._field(
                column, Field(paths=tuple(name for name in names if name not in taken)), parts, shared=True
            )
            self.result.sql[column] = coalesce(parts)
        own_kind: list[str] = []
        if "kind" in self.format.record:
            self._field("kind", self.format.record["kind"], own_kind)
        self.result.sql["kind"] = coalesce([*own_kind, quoted(self.format.kind)])
        self._correlation()
        self._dead_letters()
        return self.result

    def _field(self, column: str, given: Field, parts: list[str], *, shared: bool = False) -> None:
        """Append the field's expressions to ``parts``, and its claims to the result."""
        for inner in given.first:
            self._field(column, inner, parts, shared=shared)
        if given.value is not None:
            parts.append(quoted(given.value))
        if given.sql is not None:
            value = f"({self.expression(given.sql)})"
            if given.claims:
                name = f"{self.prefix}v_{len(self.result.values)}"
                self.result.values[name] = value
                value = name
                condition = _first_of(value, parts)
                claimed = self.lookup.find(given.claims)
                self.result.claims += [Claim((one,), condition, "") for one in claimed]
            parts.append(value)
        found = tuple(self.lookup.find(given.paths, shared=shared))
        if not found:
            return
        first = First(found, blank=column not in BLANK_IS_NONE)
        text = self._named(first)
        value = self._value(column, given, text)
        if value != text:
            name = f"{self.prefix}v_{len(self.result.values)}"
            self.result.values[name] = value
            value = name
        condition = _first_of(value, parts)
        # What a match took a piece of stays whole in attributes.
        if any(one.claimable for one in found) and not given.match:
            self.result.claims.append(Claim(found, condition, text))
        parts.append(value)

    def _named(self, first: First) -> str:
        """The text, as a column of the first layer where it is more than a reference."""
        if len(first.found) == 1 and first.blank and not first.found[0].scalar:
            return first.text
        return self._text(first.text)

    def _text(self, sql: str) -> str:
        name = f"{self.prefix}t_{len(self.result.texts)}"
        self.result.texts[name] = sql
        return name

    def _value(self, column: str, given: Field, text: str) -> str:
        if given.match:
            group = 1 if re.compile(given.match).groups else 0
            text = f"nullif(regexp_extract({text}, {quoted(given.match)}, {group}), '')"
        value = converted(
            column,
            text,
            given.convert,
            zone=self.settings.zone,
            formats=given.time_formats,
            year=self.settings.year,
        )
        if given.map:
            plain_text = given.convert is None and column not in {"severity", "time", "end_time"}
            value = mapped(text, dict(given.map), text if plain_text else value)
        return value

    def expression(self, sql: str) -> str:
        """An expression of the format file with its placeholders filled, but for ``:rest``."""

        def fill(match: re.Match[str]) -> str:
            path, form = match[1], match[2]
            if form == "rest":
                return match[0]
            if form == "json":
                return self.lookup.json(path)
            found = self.lookup.find([path])
            return coalesce([one.sql for one in found]) if found else "NULL::VARCHAR"

        return PLACEHOLDER.sub(fill, sql)

    def _correlation(self) -> None:
        own = self.format.record.get("correlation_id")
        own_key = self.format.record.get("correlation_key")
        instance, other = key_names(self.settings)
        elsewhere = {path for column, given in self.format.record.items() for path in _paths(given)}
        scopes = self.format.vocabulary or ()
        values: list[str] = []
        keys: list[str] = []
        if own and own.sql is not None:
            values.append(f"({self.expression(own.sql)})")
            keys.append(quoted(own_key.value) if own_key and own_key.value else "NULL")
        names = [_within(scope, name) for scope in scopes for name in instance if name not in elsewhere]
        places: list[Found] = []
        for found in (
            tuple(self.lookup.find(own.paths)) if own else (),
            tuple(self.lookup.find(names, shared=True)),
        ):
            if found:
                first = First(found, blank=False)
                text = self._named(first)
                listed = [quoted(self._leaf(one.name)) for one in found]
                key = f"[{', '.join(listed)}][{self._text(first.index)}]" if first.index else listed[0]
                condition = _first_of(text, values)
                self.result.claims.append(Claim(found, condition, text))
                values.append(text)
                keys.append(key)
                places += found
        self.result.sql["correlation_id"] = coalesce(values)
        whens = " ".join(
            f"WHEN {value} IS NOT NULL THEN {key}" for value, key in zip(values, keys, strict=True)
        )
        self.result.sql["correlation_key"] = f"CASE {whens} END" if whens else "NULL"
        names = [_within(scope, name) for scope in scopes for name in other if name not in elsewhere]
        others = self.lookup.find(names, shared=True)
        if "keys" in self.format.record:
            self.result.blank_keys = True
            self.result.keys = self.expression(self.format.record["keys"].sql or "NULL")
        elif len(places) + len(others) > _FEW:
            self.result.keys = self._keys_object([*places, *others])
            self.result.blank_keys = True
        elif pieces := [*self._pieces(places, instance=True), *self._pieces(others, instance=False)]:
            self.result.keys = f"'{{' || nullif(concat_ws(',', {', '.join(pieces)}), '') || '}}'"
        self.result.key_claims = [*places, *others]

    def _keys_object(self, places: Sequence[Found]) -> str:
        """The keys object from many names: quick to plan. Merging removes what is NULL; blanks stay."""
        by_name: dict[str, list[str]] = {}
        for one in places:
            by_name.setdefault(self._leaf(one.name), []).append(one.sql)
        members = ", ".join(f"{quoted(name)}, {coalesce(sql)}" for name, sql in by_name.items())
        made = (
            f"json_merge_patch('{{}}', json_object({members}),"
            " json_object(coalesce(c_correlation_key, ''), NULL))::VARCHAR"
        )
        return f"CASE WHEN coalesce({', '.join(one.sql for one in places)}) IS NOT NULL THEN {made} END"

    def _pieces(self, places: Sequence[Found], *, instance: bool) -> list[str]:
        """Members of the keys object: every name but the one in correlation_key, each once."""
        names = [self._leaf(one.name) for one in places]
        pieces = []
        for place, (name, one) in enumerate(zip(names, places, strict=True)):
            text = f"nullif({one.sql}, '')"
            value = f"{quoted(_label(name))} || to_json({text})"
            if self.plain(one):
                value = f"{quoted(_label(name) + chr(34))} || {text} || '\"'"
            guards = [f"{places[before].sql} IS NULL" for before in range(place) if names[before] == name]
            if instance and len(set(names)) > 1:
                guards.append(f"c_correlation_key <> {quoted(name)}")
            elif instance:
                continue
            pieces.append(f"CASE WHEN {' AND '.join(guards)} THEN {value} END" if guards else value)
        return pieces

    def _dead_letters(self) -> None:
        """Kind and columns of what carries a broker's or framework's dead-letter headers."""
        letters = vocabulary().dead_letters
        flags: list[str] = []
        systems: list[str] = []
        for unless in sorted({one.unless or "" for one in letters}):
            alike = [one for one in letters if (one.unless or "") == unless]
            marks = [(path, one.system) for one in alike for path in one.when]
            found = self._find([path for path, _ in marks])
            if not found:
                continue
            first = First(found, blank=True)
            text = self._named(first)
            index = self._text(first.index) if first.index else None
            flags.append(f"{text} <> {quoted(unless)}" if unless else f"{text} IS NOT NULL")
            of = dict(marks)
            named = [self._bare(one.name) for one in found]
            listed = ", ".join(quoted(told) if (told := of[name]) else "NULL" for name in named)
            systems.append(f"[{listed}][{index}]" if index else f"CASE WHEN {flags[-1]} THEN {listed} END")
        if not flags:
            return
        dead = f"coalesce({' OR '.join(flags)}, false)"
        sql = self.result.sql
        sql["kind"] = f"CASE WHEN {dead} THEN 'dead_letter' ELSE {sql['kind']} END"
        sql["system"] = (
            f"CASE WHEN {dead} THEN {coalesce([*systems, sql['system']])} ELSE {sql['system']} END"
        )
        for column in dict.fromkeys(column for one in letters for column in one.columns):
            found = self._find([path for one in letters for path in one.columns.get(column, ())])
            if found:
                text = self._named(First(found, blank=True))
                value = converted(column, text, None, zone="UTC")
                both = value if sql[column] == "NULL" else f"coalesce({value}, {sql[column]})"
                sql[column] = f"CASE WHEN {dead} THEN {both} ELSE {sql[column]} END"

    def _find(self, paths: Sequence[str]) -> tuple[Found, ...]:
        scopes = self.format.vocabulary or ()
        return tuple(
            self.lookup.find(
                [_within(scope, path) for scope in scopes for path in paths], shared=True, exact=True
            )
        )

    def _leaf(self, path: str) -> str:
        """The name as written."""
        return self._bare(path).rpartition("/")[2]

    def _bare(self, path: str) -> str:
        """A path without the scope in which it was looked for."""
        for scope in self.format.vocabulary or ():
            if scope and path.startswith(f"{scope}/"):
                return path[len(scope) + 1 :]
        return path


def _first_of(value: str, before: Sequence[str]) -> str:
    return " AND ".join([f"{value} IS NOT NULL", *(f"{one} IS NULL" for one in before)])


def _paths(given: Field) -> list[str]:
    return [*given.paths, *given.claims, *(path for inner in given.first for path in _paths(inner))]


def _within(scope: str, path: str) -> str:
    return f"{scope}/{path}" if scope else path


def _label(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) + ":"


def coalesce(parts: Sequence[str]) -> str:
    """The first that is not NULL."""
    if not parts:
        return "NULL"
    return parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"
