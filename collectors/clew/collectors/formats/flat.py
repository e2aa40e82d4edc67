"""Compiles formats whose rows carry one flat object of attributes: spans, and logs beside them.

A span may hold any of some 250 shared names, and to ask a JSON object for each costs more
than to decode the span (5 µs; measured). So the IDs are cut out of the attributes' text by
one regular expression, and the other shared names are asked for only where the text holds
one of them at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clew.collectors.formats.columns import ColumnCompiler
from clew.collectors.formats.compiler import RAW, _rows
from clew.collectors.formats.expressions import converted
from clew.collectors.formats.language import Field, Format
from clew.collectors.formats.lookup import JsonLists, column_name
from clew.collectors.formats.paths import Steps, alternatives, identifier, json_path, quoted
from clew.collectors.formats.settings import Settings
from clew.collectors.formats.vocabulary import DeadLetterNames, key_names, vocabulary
from clew.collectors.record import RECORD

SHARED = (
    "name", "event_id", "causation_id", "operation", "system", "destination", "partition", "offset",
    "consumer_group", "attempt", "schema_version", "error_type", "error_message",
)  # fmt: skip
"""Columns that attributes may fill. A span's own IDs and service never stand among them."""

_ATTRIBUTES_FIRST = {"operation"}
"""What a messaging attribute says outranks what the span's kind lets one guess."""

_DEAD_LETTER = "dead_letter"
_MESSAGING = "messaging."


def compile_rows(format: Format, settings: Settings, source: str = RAW) -> str:
    """The SELECT for a format whose ``rows`` are SQL, or that names a ``flat`` object of attributes.

    Its ``record`` maps whole columns of those rows. ``attributes`` is the column mapped to
    it, unchanged: nothing is taken out, so that it stays what was written. ``reject`` is
    the column mapped to ``reject``, NULL where the row is a Record.
    """
    relation, bases = _rows(format, source)
    columns = {base: column_name(base) for base in bases}
    lookup = JsonLists(columns, "w")
    own = ColumnCompiler(replace(format, vocabulary=()), lookup, settings)
    compiled = own.compile()
    sql = dict(compiled.sql)
    for column in ("reject", "attributes", "keys", "correlation_id", "correlation_key"):
        sql[column] = _own(own, format.record.get(column))
    found = _Attributes(columns[format.flat], settings) if format.flat else None
    layers = [
        [*lookup.lists(), *(found.lookups() if found else ())],
        [f"{value} AS {name}" for name, value in compiled.texts.items()],
        [f"{value} AS {name}" for name, value in compiled.values.items()],
        *(found.layers() if found else ()),
    ]
    for items in layers:
        if items:
            relation = f"SELECT *, {', '.join(items)} FROM ({relation})"
    if found:
        found.fill(sql)
    sql["position"] = "position"
    sql["body"] = f"CASE WHEN ({sql['reject']}) IS NULL THEN {sql['body']} ELSE {columns['line']} END"
    items = [f'({sql[column.name]})::{column.type} AS "{column.name}"' for column in RECORD]
    return f"SELECT {', '.join(items)}, ({sql['reject']})::VARCHAR AS reject FROM ({relation})"


@dataclass(slots=True)
class _Attributes:
    """What one flat object of attributes adds to a Record."""

    flat: str
    settings: Settings
    ids: _Ids = field(init=False)
    told: _Lookup = field(init=False)
    rest: _Lookup = field(init=False)
    messaging: _Names = field(init=False)
    envelope: _Names = field(init=False)
    dead: _DeadLetters = field(init=False)

    def __post_init__(self) -> None:
        self.ids = _Ids(*key_names(self.settings))
        names = {column: vocabulary().record.get(column, ()) for column in SHARED}
        self.told, self.rest = _Lookup("told"), _Lookup("rest")
        self.messaging = _Names(
            "messaging",
            self.told,
            {column: [one for one in of if one.startswith(_MESSAGING)] for column, of in names.items()},
        )
        self.envelope = _Names(
            "envelope",
            self.rest,
            {column: [one for one in of if not one.startswith(_MESSAGING)] for column, of in names.items()},
        )
        self.dead = _DeadLetters(self.rest)

    def lookups(self) -> list[str]:
        """Select items over the rows."""
        return [
            f"{self.ids.entries(self.flat)} AS ids",
            *(f"{one.texts(self.flat)} AS {one.name}" for one in (self.told, self.rest)),
        ]

    def layers(self) -> list[list[str]]:
        """Select items, each layer over the one before."""
        places = range(1, len(self.ids.names) + 1)
        return [
            [f"{self.ids.instance('ids')} AS instance", f"{self.dead.which()} AS dead"],
            [
                f"coalesce({', '.join(f'instance[{at}]' for at in places)}) AS correlation",
                *(f"{one.struct()} AS {one.name}" for one in (self.messaging, self.envelope, self.dead)),
            ],
            ["CASE WHEN correlation IS NOT NULL THEN list_position(instance, correlation) END AS taken"],
        ]

    def fill(self, sql: dict[str, str]) -> None:
        """Put what was found where the format's own fields give nothing."""
        for column in SHARED:
            parts = [
                sql[column],
                *(
                    f"{one.name}.{identifier(column)}"
                    for one in (self.envelope, self.messaging)
                    if column in one.members
                ),
            ]
            if column in _ATTRIBUTES_FIRST:
                parts.append(parts.pop(0))
            sql[column] = f"coalesce({', '.join(part for part in parts if part != 'NULL')})"
        for column in self.dead.members:
            sql[column] = f"coalesce({self.dead.name}.{identifier(column)}, {sql[column]})"
        sql["kind"] = f"CASE WHEN dead IS NOT NULL THEN {quoted(_DEAD_LETTER)} ELSE {sql['kind']} END"
        listed = ", ".join(quoted(name) for name in self.ids.names)
        sql["correlation_id"] = "correlation"
        sql["correlation_key"] = f"([{listed}])[taken]"
        sql["keys"] = self.ids.others("ids", "taken")


def _own(compiler: ColumnCompiler, given: Field | None) -> str:
    if given is None:
        return "NULL"
    if given.value is not None:
        return quoted(given.value)
    if given.sql is not None:
        return compiler.expression(given.sql)
    return compiler.expression("coalesce(" + ", ".join(f"{{{path}}}" for path in given.paths) + ")")


@dataclass(slots=True)
class _Ids:
    """The names of :data:`~clew.collectors.record.KEY_NAMES` and the configured ones."""

    names: Sequence[str]
    """Those of class instance, in order of preference."""
    other: Sequence[str]

    def entries(self, flat: str) -> str:
        """``"name":"value"`` for each that is there and not empty, as written: VARCHAR[]."""
        pattern = _one_of(sorted({*self.names, *self.other})) + r':(?:"(?:[^"\\]|\\.)+"|-?[0-9][0-9.eE+-]*)'
        return f"regexp_extract_all({flat}, {quoted(pattern)})"

    def instance(self, entries: str) -> str:
        """The texts of the instance names, NULL where absent: VARCHAR[] or NULL."""
        paths = ", ".join(quoted(json_path((name,))) for name in self.names)
        return (
            f"CASE WHEN len({entries}) > 0 THEN json_extract_string("
            f"concat('{{', array_to_string({entries}, ','), '}}'), [{paths}]) END"
        )

    def others(self, entries: str, taken: str) -> str:
        """The object of all but the name that became ``correlation_key``."""
        starts = ", ".join(quoted(_json(name) + ":") for name in self.names)
        kept = f"list_filter({entries}, lambda entry: NOT starts_with(entry, ([{starts}])[{taken}]))"
        kept = f"CASE WHEN {taken} IS NULL THEN {entries} ELSE {kept} END"
        left = f"len({entries}) > CASE WHEN {taken} IS NULL THEN 0 ELSE 1 END"
        return f"CASE WHEN {left} THEN '{{' || nullif(array_to_string({kept}, ','), '') || '}}' END"


@dataclass(slots=True)
class _Lookup:
    """Places in the object of attributes, and the list of the texts found there."""

    name: str
    places: dict[Steps, int] = field(default_factory=dict)

    def texts(self, flat: str) -> str:
        """The texts of all names where there is any of them, else NULL: VARCHAR[]."""
        heads = sorted({str(steps[0]) for steps in self.places})
        there = f"regexp_matches({flat}, {quoted(_one_of(heads) + ':')})"
        if all(head.startswith(_MESSAGING) for head in heads):
            there = f"contains({flat}, {quoted(chr(34) + _MESSAGING)})"
        paths = ", ".join(quoted(json_path(steps)) for steps in self.places)
        return f"CASE WHEN {there} THEN json_extract_string({flat}, [{paths}]) END"

    def first(self, paths: Iterable[str]) -> str:
        """The first text that is there. Attribute names are never nested by their dots."""
        found = [
            f"{self.name}[{self.places.setdefault(alternatives(path)[0], len(self.places) + 1)}]"
            for path in paths
        ]
        return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


@dataclass(slots=True)
class _Names:
    """A part of the vocabulary: column → names in order of preference."""

    name: str
    lookup: _Lookup
    columns: Mapping[str, Sequence[str]]
    members: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.members = {
            column: converted(column, self.lookup.first(names), None, zone="UTC")
            for column, names in self.columns.items()
            if names
        }

    def struct(self) -> str:
        """The columns, computed only where a name is there."""
        return _struct(f"{self.lookup.name} IS NOT NULL", self.members)


@dataclass(slots=True)
class _DeadLetters:
    """How each broker and framework marks a dead letter."""

    lookup: _Lookup
    name: str = "buried"
    members: dict[str, str] = field(init=False)
    marks: list[str] = field(init=False)

    def __post_init__(self) -> None:
        letters = vocabulary().dead_letters
        self.marks = [self._mark(names) for names in letters]
        found: dict[str, list[str]] = {}
        for number, names in enumerate(letters, 1):
            if names.system:
                found.setdefault("system", []).append(f"WHEN {number} THEN {quoted(names.system)}")
            for column, paths in names.columns.items():
                found.setdefault(column, []).append(f"WHEN {number} THEN {self.lookup.first(paths)}")
        self.members = {
            column: converted(column, f"CASE dead {' '.join(whens)} END", None, zone="UTC")
            for column, whens in found.items()
        }

    def _mark(self, names: DeadLetterNames) -> str:
        mark = self.lookup.first(names.when)
        return f"{mark} <> {quoted(names.unless)}" if names.unless else f"{mark} IS NOT NULL"

    def which(self) -> str:
        """Whose marks they are: a number from 1, NULL for no dead letter."""
        whens = " ".join(f"WHEN {mark} THEN {number}" for number, mark in enumerate(self.marks, 1))
        return f"CASE WHEN {self.lookup.name} IS NOT NULL THEN CASE {whens} END END"

    def struct(self) -> str:
        """The columns that a dead letter's own words replace."""
        return _struct("dead IS NOT NULL", self.members)


def _struct(where: str, members: Mapping[str, str]) -> str:
    packed = ", ".join(f"{identifier(name)} := {sql}" for name, sql in members.items())
    return f"CASE WHEN {where} THEN struct_pack({packed}) END"


def _one_of(names: Iterable[str]) -> str:
    return '"(?:' + "|".join(re.escape(_json(name)[1:-1]).replace("\\-", "-") for name in names) + ')"'


def _json(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
