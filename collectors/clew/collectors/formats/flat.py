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
    names: _Names = field(init=False)

    def __post_init__(self) -> None:
        self.ids = _Ids(*key_names(self.settings))
        self.names = _Names()

    def lookups(self) -> list[str]:
        """Select items over the rows."""
        return [f"{self.ids.entries(self.flat)} AS ids", *self.names.lookups(self.flat)]

    def layers(self) -> list[list[str]]:
        """Select items, each layer over the one before."""
        places = range(1, len(self.ids.names) + 1)
        return [
            [f"{self.ids.instance('ids')} AS instance", f"{self.names.shared()} AS shared"],
            [f"coalesce({', '.join(f'instance[{at}]' for at in places)}) AS correlation"],
            [
                "CASE WHEN correlation IS NOT NULL THEN list_position(instance, correlation) END AS correlation_at"
            ],
        ]

    def fill(self, sql: dict[str, str]) -> None:
        """Put what was found where the format's own fields give nothing."""
        for column in SHARED:
            parts = [sql[column], f"shared.{identifier(column)}"]
            if column in _ATTRIBUTES_FIRST:
                parts.reverse()
            sql[column] = f"coalesce({', '.join(part for part in parts if part != 'NULL')})"
        for column in self.names.overridden:
            sql[column] = f"coalesce(shared.{identifier('dead_' + column)}, {sql[column]})"
        sql["kind"] = f"CASE WHEN shared.dead THEN {quoted(_DEAD_LETTER)} ELSE {sql['kind']} END"
        listed = ", ".join(quoted(name) for name in self.ids.names)
        sql["correlation_id"] = "correlation"
        sql["correlation_key"] = f"([{listed}])[correlation_at]"
        sql["keys"] = self.ids.others("ids", "correlation_at")


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
        return (
            f"CASE WHEN len({entries}) > 0 THEN '{{' || nullif(array_to_string({kept}, ','), '') || '}}' END"
        )


@dataclass(slots=True)
class _Names:
    """The rest of the vocabulary: event envelope, messaging attributes, dead letters."""

    places: dict[Steps, int] = field(default_factory=dict)
    overridden: list[str] = field(default_factory=list)
    """Columns that a dead letter's own words replace, known after :meth:`struct`."""

    def lookups(self, flat: str) -> list[str]:
        """``found``: the texts of all names where there is any of them, else NULL: VARCHAR[]."""
        self.struct()
        heads = {str(steps[0]) for steps in self.places}
        words = sorted(name for name in heads if not name.startswith("messaging."))
        pattern = f'"messaging\\.|{_one_of(words)}:'
        paths = ", ".join(quoted(json_path(steps)) for steps in self.places)
        there = f"regexp_matches({flat}, {quoted(pattern)})"
        return [f"CASE WHEN {there} THEN json_extract_string({flat}, [{paths}]) END AS found"]

    def shared(self) -> str:
        """The struct, computed only where something was found."""
        return f"CASE WHEN found IS NOT NULL THEN {self.struct()} END"

    def struct(self) -> str:
        """One struct over ``found``, so that it is computed only where ``found`` is."""
        shared = vocabulary()
        members = {column: self._first(column, shared.record.get(column, ())) for column in SHARED}
        letters = shared.dead_letters
        flags = [self._flag(names) for names in letters]
        members["dead"] = " OR ".join(f"coalesce({flag}, false)" for flag in flags)
        replaced: dict[str, list[str]] = {}
        for names, flag in zip(letters, flags, strict=True):
            if names.system:
                replaced.setdefault("system", []).append(f"CASE WHEN {flag} THEN {quoted(names.system)} END")
            for column, paths in names.columns.items():
                replaced.setdefault(column, []).append(
                    f"CASE WHEN {flag} THEN {self._first(column, paths)} END"
                )
        for column, values in replaced.items():
            members[f"dead_{column}"] = f"coalesce({', '.join(values)})"
        self.overridden = list(replaced)
        return (
            "struct_pack(" + ", ".join(f"{identifier(name)} := {sql}" for name, sql in members.items()) + ")"
        )

    def _first(self, column: str, paths: Iterable[str]) -> str:
        texts = [converted(column, text, None, zone="UTC") for text in self._texts(paths)]
        return f"coalesce({', '.join(texts)})" if texts else "NULL"

    def _flag(self, names: DeadLetterNames) -> str:
        marks = f"coalesce({', '.join(self._texts(names.when))})"
        return f"({marks} <> {quoted(names.unless)})" if names.unless else f"({marks} IS NOT NULL)"

    def _texts(self, paths: Iterable[str]) -> list[str]:
        # Attribute names are never nested by their dots: only the first alternative.
        return [
            f"found[{self.places.setdefault(alternatives(path)[0], len(self.places) + 1)}]" for path in paths
        ]


def _one_of(names: Iterable[str]) -> str:
    return '"(?:' + "|".join(re.escape(_json(name)[1:-1]).replace("\\-", "-") for name in names) + ')"'


def _json(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
