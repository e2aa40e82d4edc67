"""What one flat object of attributes tells: IDs, messaging, the event envelope, dead letters.

A span may hold any of some 250 shared names, and to ask a JSON object for each costs more
than to decode the span (5 µs; measured). So the names are kept apart by how they are
looked for: messaging attributes by one typed read, which costs little for names that are
not there; IDs by one regular expression that cuts them out of the text; the rest only in
rows that hold one of them at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from clew.collectors.formats.columns import BLANK_IS_NONE
from clew.collectors.formats.expressions import converted
from clew.collectors.formats.paths import Steps, alternatives, identifier, json_path, quoted
from clew.collectors.formats.settings import Settings
from clew.collectors.formats.vocabulary import DeadLetterNames, key_names, vocabulary

SHARED = (
    "name", "event_id", "causation_id", "operation", "system", "destination", "partition", "offset",
    "consumer_group", "attempt", "schema_version", "error_type", "error_message",
)  # fmt: skip
"""Columns that attributes may fill. A span's own IDs and service never stand among them."""

_ATTRIBUTES_FIRST = {"operation"}
"""What a messaging attribute says outranks what the span's kind lets one guess."""

_TYPE_FIRST = {"name"}
"""An event's type says more than the name of the span that sends or handles it; other attributes do not."""

_DEAD_LETTER = "dead_letter"
_MESSAGING = "messaging."
_CONVENTIONS = (_MESSAGING, "cloudevents.")
"""Prefixes of OpenTelemetry's conventions for messages; the second never comes without the first."""


@dataclass(slots=True)
class FlatAttributes:
    """SQL over the column ``flat``, the text of a JSON object without spaces."""

    flat: str
    settings: Settings
    messaging: _Messaging = field(init=False)
    ids: _Ids = field(init=False)
    rest: _Rest = field(init=False)
    envelope: _Struct = field(init=False)
    dead: _DeadLetters = field(init=False)

    def __post_init__(self) -> None:
        names = {column: vocabulary().record.get(column, ()) for column in SHARED}
        instance, other = key_names(self.settings)
        self.messaging = _Messaging([*instance, *other], names)
        self.ids = _Ids(instance, other, self.messaging)
        self.rest = _Rest()
        self.envelope = _Struct(
            "envelope",
            "rest IS NOT NULL",
            {
                column: converted(column, _named(column, self.rest.first(plain)), None, zone="UTC")
                for column, found in names.items()
                if (plain := [name for name in found if not name.startswith(_CONVENTIONS)])
            },
        )
        self.dead = _DeadLetters(self.rest)

    def lookups(self) -> list[str]:
        """Select items over the rows."""
        return [
            f"{self.messaging.read(self.flat)} AS told",
            f"{self.ids.entries(self.flat)} AS ids",
            f"{self.rest.texts(self.flat)} AS rest",
        ]

    def layers(self) -> list[list[str]]:
        """Select items, each layer over the one before."""
        return [
            [f"{self.ids.instance()} AS instance", f"{self.dead.which()} AS dead"],
            [
                f"{self.ids.correlation()} AS correlation",
                *(one.item() for one in (self.messaging.columns, self.envelope, self.dead.columns)),
            ],
            [f"{self.ids.taken()} AS taken"],
        ]

    def fill(self, sql: dict[str, str]) -> None:
        """Put what was found where the format's own fields give nothing."""
        for column in SHARED:
            parts = [
                sql[column],
                *(
                    one.member(column)
                    for one in (self.envelope, self.messaging.columns)
                    if column in one.members
                ),
            ]
            if column in _ATTRIBUTES_FIRST:
                parts.append(parts.pop(0))
            if column in _TYPE_FIRST:
                parts.insert(0, parts.pop())
            sql[column] = f"coalesce({', '.join(part for part in parts if part != 'NULL')})"
        for column in self.dead.columns.members:
            sql[column] = f"coalesce({self.dead.columns.member(column)}, {sql[column]})"
        sql["kind"] = f"CASE WHEN dead IS NOT NULL THEN {quoted(_DEAD_LETTER)} ELSE {sql['kind']} END"
        listed = ", ".join(quoted(name) for name in self.ids.instances)
        sql["correlation_id"] = "correlation"
        sql["correlation_key"] = f"([{listed}])[taken]"
        sql["keys"] = self.ids.others()


@dataclass(frozen=True, slots=True)
class _Struct:
    """Columns that are computed together, and only where there is something to compute them of."""

    name: str
    where: str
    members: Mapping[str, str]

    def item(self) -> str:
        packed = ", ".join(f"{identifier(name)} := {sql}" for name, sql in self.members.items())
        return f"CASE WHEN {self.where} THEN struct_pack({packed}) END AS {self.name}"

    def member(self, column: str) -> str:
        return f"{self.name}.{identifier(column)}"


@dataclass(slots=True)
class _Messaging:
    """Names of the conventions for messages, those of IDs too. Read into the struct ``told``."""

    keys: Sequence[str]
    names: Mapping[str, Sequence[str]]
    columns: _Struct = field(init=False)
    read_names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.keys, *(name for found in self.names.values() for name in found)):
            if name.startswith(_CONVENTIONS):
                # A struct's names differ by more than case: of two that do not, the first is known.
                self.read_names.setdefault(name.lower(), name)
        self.columns = _Struct(
            "messaging",
            "told IS NOT NULL",
            {
                column: converted(
                    column, _coalesce([_named(column, self.text(name)) for name in known]), None, zone="UTC"
                )
                for column, found in self.names.items()
                if (known := [name for name in found if self.knows(name)])
            },
        )

    def knows(self, name: str) -> bool:
        return self.read_names.get(name.lower()) == name

    def text(self, name: str) -> str:
        return f"told.{identifier(name)}"

    def read(self, flat: str) -> str:
        structure = json.dumps(dict.fromkeys(self.read_names.values(), "VARCHAR"), ensure_ascii=False)
        there = f"contains({flat}, {quoted(chr(34) + _MESSAGING)})"
        return f"CASE WHEN {there} THEN from_json({flat}, {quoted(structure)}) END"


@dataclass(slots=True)
class _Ids:
    """The names of :data:`~clew.collectors.record.KEY_NAMES` and the configured ones."""

    instances: Sequence[str]
    """In order of preference."""
    other: Sequence[str]
    messaging: _Messaging

    def entries(self, flat: str) -> str:
        """``"name":"value"`` for each that is there and not empty, as written: VARCHAR[]."""
        names = sorted({name for name in (*self.instances, *self.other) if not self.messaging.knows(name)})
        pattern = _one_of(names) + r':(?:"(?:[^"\\]|\\.)+"|-?[0-9][0-9.eE+-]*)'
        return f"regexp_extract_all({flat}, {quoted(pattern)})"

    def instance(self) -> str:
        """The texts of the instance names, NULL where absent: VARCHAR[] or NULL."""
        paths = ", ".join(quoted(json_path((name,))) for name in self.instances)
        return (
            "CASE WHEN len(ids) > 0 THEN json_extract_string("
            f"concat('{{', array_to_string(ids, ','), '}}'), [{paths}]) END"
        )

    def correlation(self) -> str:
        """The first instance key's text."""
        return _coalesce(
            [
                f"nullif({self.messaging.text(name)}, '')"
                if self.messaging.knows(name)
                else f"instance[{place}]"
                for place, name in enumerate(self.instances, 1)
            ]
        )

    def taken(self) -> str:
        """The place of that key among the instance names, from 1."""
        told = " ".join(
            f"WHEN {self.messaging.text(name)} = correlation THEN {place}"
            for place, name in enumerate(self.instances, 1)
            if self.messaging.knows(name)
        )
        found = "list_position(instance, correlation)"
        return f"CASE WHEN correlation IS NOT NULL THEN coalesce({found}, CASE {told} END) END"

    def others(self) -> str:
        """The object of all but the name that became ``correlation_key``."""
        starts = ", ".join(quoted(_json(name) + ":") for name in self.instances)
        kept = f"list_filter(ids, lambda entry: NOT starts_with(entry, ([{starts}])[taken]))"
        kept = f"CASE WHEN taken IS NULL THEN ids ELSE {kept} END"
        pieces = [f"CASE WHEN len(ids) > 0 THEN nullif(array_to_string({kept}, ','), '') END"]
        for name in (*self.instances, *self.other):
            if self.messaging.knows(name):
                text = self.messaging.text(name)
                place = self.instances.index(name) + 1 if name in self.instances else 0
                pieces.append(
                    f"CASE WHEN {text} <> '' AND taken IS DISTINCT FROM {place}"
                    f" THEN concat({quoted(_json(name) + ':')}, to_json({text})) END"
                )
        return f"'{{' || nullif(concat_ws(',', {', '.join(pieces)}), '') || '}}'"


@dataclass(slots=True)
class _Rest:
    """Places looked up only in rows that hold one of their names: the list ``rest``."""

    places: dict[Steps, int] = field(default_factory=dict)

    def texts(self, flat: str) -> str:
        """The texts of all names where there is any of them, else NULL: VARCHAR[]."""
        heads = sorted({str(steps[0]) for steps in self.places})
        paths = ", ".join(quoted(json_path(steps)) for steps in self.places)
        there = f"regexp_matches({flat}, {quoted(_one_of(heads) + ':')})"
        return f"CASE WHEN {there} THEN json_extract_string({flat}, [{paths}]) END"

    def first(self, paths: Iterable[str]) -> str:
        """The first text that is there. Attribute names are never nested by their dots."""
        return _coalesce(
            [f"rest[{self.places.setdefault(alternatives(path)[0], len(self.places) + 1)}]" for path in paths]
        )


@dataclass(slots=True)
class _DeadLetters:
    """How each broker and framework marks a dead letter."""

    rest: _Rest
    columns: _Struct = field(init=False)
    marks: list[str] = field(init=False)

    def __post_init__(self) -> None:
        letters = vocabulary().dead_letters
        self.marks = [self._mark(names) for names in letters]
        found: dict[str, list[str]] = {}
        for number, names in enumerate(letters, 1):
            if names.system:
                found.setdefault("system", []).append(f"WHEN {number} THEN {quoted(names.system)}")
            for column, paths in names.columns.items():
                found.setdefault(column, []).append(f"WHEN {number} THEN {self.rest.first(paths)}")
        self.columns = _Struct(
            "buried",
            "dead IS NOT NULL",
            {
                column: converted(column, f"CASE dead {' '.join(whens)} END", None, zone="UTC")
                for column, whens in found.items()
            },
        )

    def _mark(self, names: DeadLetterNames) -> str:
        mark = self.rest.first(names.when)
        return f"{mark} <> {quoted(names.unless)}" if names.unless else f"{mark} IS NOT NULL"

    def which(self) -> str:
        """Whose marks they are: a number from 1, NULL for no dead letter."""
        whens = " ".join(f"WHEN {mark} THEN {number}" for number, mark in enumerate(self.marks, 1))
        return f"CASE WHEN rest IS NOT NULL THEN CASE {whens} END END"


def _named(column: str, text: str) -> str:
    return f"nullif({text}, '')" if column in BLANK_IS_NONE else text


def _coalesce(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"


def _one_of(names: Iterable[str]) -> str:
    return '"(?:' + "|".join(re.escape(_json(name)[1:-1]).replace("\\-", "-") for name in names) + ')"'


def _json(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
