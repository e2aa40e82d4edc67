"""The last layer of every SELECT: the columns of a Record in their order, then ``reject``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clew.collectors.formats.lookup import column_name
from clew.collectors.formats.paths import quoted
from clew.collectors.record import RECORD

UNIT = column_name("line")
NO_ENVELOPE = "not the envelope that the lines around it have"
TYPES = {column.name: column.type for column in RECORD}


@dataclass(frozen=True, slots=True)
class Source:
    """A relation of units: ``line`` and ``position``, and what an envelope around them says."""

    relation: str = "SELECT line, position FROM raw"
    original: str | None = None
    """SQL column of the text as it was read, where ``line`` is not that."""
    outer: Mapping[str, str] = field(default_factory=dict)
    """Record column → SQL column of the envelope's value, taken where the unit has none."""
    outer_attributes: str | None = None
    """SQL column of a JSON object that joins ``attributes``."""
    lenient: bool = False
    """A unit that its format rejects is a log line of plain text all the same."""

    def carried(self) -> list[str]:
        """The columns beside ``line`` and ``position`` that the last layer needs."""
        return [name for name in (self.original, *self.outer.values(), self.outer_attributes) if name]

    def start(self) -> str:
        """The first layer."""
        return f"SELECT *, line AS {UNIT} FROM ({self.relation})"


def with_items(relation: str, items: Sequence[str]) -> str:
    """A relation with more columns."""
    return f"SELECT *, {', '.join(items)} FROM ({relation})" if items else relation


def final(layer: str, keys: str, attributes: str, source: Source) -> str:
    """Over ``c_<column>`` of every computed column, ``reject`` and ``position``.

    A reject has its raw text as body. In an envelope, a unit that its format rejects is a
    log line of plain text: the envelope still tells when and where it was written.
    """
    sql = {column.name: f"c_{column.name}" for column in RECORD}
    sql |= {"keys": keys, "attributes": attributes, "position": "position"}
    raw = f"coalesce({source.original}, {UNIT})" if source.original else UNIT
    reject = "reject"
    body = f"CASE WHEN reject IS NULL THEN c_body ELSE {raw} END"
    if source.lenient:
        reject = f"CASE WHEN {UNIT} IS NULL THEN {quoted(NO_ENVELOPE)} END"
        body = f"CASE WHEN reject IS NULL THEN c_body ELSE coalesce(rtrim({UNIT}, E'\\r\\n'), {raw}) END"
    fill(sql, source)
    sql["body"] = body
    items = [f'({sql[column.name]})::{column.type} AS "{column.name}"' for column in RECORD]
    return f"SELECT {', '.join(items)}, ({reject})::VARCHAR AS reject FROM ({layer})"


def fill(sql: dict[str, str], source: Source) -> None:
    """Add to the SQL of a unit's columns what the envelope says where the unit says nothing."""
    for column, outer in source.outer.items():
        sql[column] = f"coalesce({sql[column]}, {outer})"
    if source.outer_attributes:
        sql["attributes"] = joined(source.outer_attributes, sql["attributes"])


def joined(outer: str, inner: str) -> str:
    """SQL of one object of two, each NULL or the text of one that holds something."""
    return (
        f"CASE WHEN {outer} IS NULL THEN {inner} WHEN ({inner}) IS NULL THEN {outer}"
        f" ELSE concat(substr({outer}, 1, length({outer}) - 1), ',', substr(({inner})::VARCHAR, 2)) END"
    )
