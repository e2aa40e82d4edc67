"""Compiles formats whose rows are SQL of their own: spans and histories."""

from __future__ import annotations

from dataclasses import replace

from clew.collectors.formats.attributes import FlatAttributes
from clew.collectors.formats.columns import ColumnCompiler
from clew.collectors.formats.compiler import RAW, _rows
from clew.collectors.formats.language import Field, Format
from clew.collectors.formats.lookup import JsonLists, column_name
from clew.collectors.formats.paths import quoted
from clew.collectors.formats.settings import Settings
from clew.collectors.record import RECORD


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
    found = FlatAttributes(columns[format.flat], settings) if format.flat else None
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


def _own(compiler: ColumnCompiler, given: Field | None) -> str:
    if given is None:
        return "NULL"
    if given.value is not None:
        return quoted(given.value)
    if given.sql is not None:
        return compiler.expression(given.sql)
    return compiler.expression("coalesce(" + ", ".join(f"{{{path}}}" for path in given.paths) + ")")
