"""The language of formats: what a format file says, as types.

A format is a YAML mapping. ``loader`` reads it, ``recognition`` matches it to input,
``compiler`` makes one SELECT of it. ``docs/formats.md`` is the manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Shape(StrEnum):
    """How one unit of input (a line, an element, a document) is written."""

    JSON = "json"
    LOGFMT = "logfmt"
    CSV = "csv"
    TEXT = "text"


class Convert(StrEnum):
    """How a found text becomes a column's value."""

    TEXT = "text"
    INTEGER = "integer"
    TIME = "time"
    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"
    EPOCH_US = "epoch_us"
    EPOCH_NS = "epoch_ns"
    SEVERITY = "severity"
    HEX = "hex"
    OPERATION = "operation"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a format file, for messages."""

    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    """Where one column of the Record is found. Exactly one of the first four is set."""

    paths: tuple[str, ...] = ()
    """Alternatives in order of preference: the first that is there is taken."""
    value: str | None = None
    """A constant."""
    sql: str | None = None
    """An SQL expression in which ``{path}`` stands for the text found there, ``{path:json}``
    for its JSON and ``{base:rest}`` for an object less what other columns took from it."""
    first: tuple[Field, ...] = ()
    """Fields tried in order."""
    convert: Convert | None = None
    """None takes the column's own: times are times, IDs are hexadecimal, and so on."""
    time_formats: tuple[str, ...] = ()
    """strptime formats, tried before ISO 8601 and epochs."""
    match: str | None = None
    """RE2 expression; its first group (or all of it) is taken from the text found."""
    map: Mapping[str, str] = field(default_factory=dict)
    """Text found → value; what is not listed goes through ``convert``."""
    claims: tuple[str, ...] = ()
    """Paths that an ``sql`` field uses up: they do not appear in attributes again."""
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Row:
    """One step from a unit to rows: an array to unnest, or names for expressions."""

    each: str | None = None
    """Path of an array; each element becomes a row."""
    name: str = ""
    """Under which the element is known in paths: ``name.member`` or ``name/member``."""
    let: Mapping[str, str] = field(default_factory=dict)
    """Name → SQL expression with ``{path}`` in it, computed once per row of this step."""
    optional: bool = False
    """Keep a row (with a NULL element) where the array is missing or empty."""
    sql: str | None = None
    """Instead: a SELECT over ``units(line, position)`` that gives ``line``, ``position`` and ``names``."""
    names: tuple[str, ...] = ()
    """The columns that ``sql`` gives, under which paths find them; the last is the default."""
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Recognise:
    """How input is recognised, by content. All that is given must hold for a unit."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    """Path → regular expression that its text must match somewhere."""
    rank: int = 50
    """Which of several that fit is taken: the highest. 0 is a last resort."""
    others: tuple[Recognise, ...] = ()
    """Or all of what one of these gives; their ranks count for nothing."""


@dataclass(frozen=True, slots=True)
class Multiline:
    """Which lines belong to the record that an earlier line began."""

    starts: str | None = None
    """A line that matches begins a record; any other continues the one before."""
    continues: str | None = None
    """Or: a line that matches continues; any other begins a record."""


@dataclass(frozen=True, slots=True)
class Inside:
    """An envelope: the text at ``path`` is a line of another format, recognised in turn."""

    path: str
    format: str | None = None
    """Always this one; None recognises."""
    partial: str | None = None
    """SQL condition with ``{path}`` in it: this line's text goes on in the next of its stream."""
    stream: str | None = None
    """Path of the stream to which partial lines belong."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A line, or lines that belong together, and what must become of it."""

    line: str
    records: tuple[Mapping[str, Any], ...] = ()
    """The Records: columns not named must be NULL. None of them where it must be rejected."""
    reject: str | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class Format:
    """One format file."""

    name: str
    title: str
    shape: Shape
    file: str
    description: str = ""
    kind: str = "log"
    recognise: Recognise = Recognise()
    rows: tuple[Row, ...] = ()
    record: Mapping[str, Field] = field(default_factory=dict)
    vocabulary: tuple[str, ...] | None = ("",)
    """JSON objects in which the shared names are looked for; "" is the unit itself."""
    flat: str | None = None
    """Name of the rows' one flat object of attributes, in which the shared names are looked for."""
    patterns: tuple[str, ...] = ()
    """For text: RE2 expressions with named groups, tried in order."""
    delimiter: str = ","
    """For CSV."""
    multiline: Multiline | None = None
    inside: Inside | None = None
    samples: tuple[Sample, ...] = ()
