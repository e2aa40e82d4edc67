"""Compiles a format to one SELECT over ``raw(line, position)``."""

from __future__ import annotations

from collections.abc import Sequence

from clew.collectors.formats.columns import COMPUTED, PLACEHOLDER, ColumnCompiler, Columns
from clew.collectors.formats.functions import expand
from clew.collectors.formats.language import Format, Row
from clew.collectors.formats.leftovers import patches, rest_of
from clew.collectors.formats.lookup import JsonLists, column_name
from clew.collectors.formats.paths import Steps, alternatives, json_path, quoted
from clew.collectors.formats.settings import Settings
from clew.collectors.formats.vocabulary import vocabulary
from clew.collectors.record import RECORD

RAW = "SELECT line, position FROM raw"
NOT_JSON = "not valid JSON"
NOT_OBJECT = "valid JSON, but not an object"


def compile_json(format: Format, settings: Settings, source: str = RAW) -> str:
    """The SELECT for units that are JSON objects, whatever they hold."""
    relation, bases = _rows(format, source)
    lookup = JsonLists(_columns(bases), "w")
    if not format.rows and format.vocabulary is not None:
        lookup.shared_column = "shared"
        relation = _containers(relation, None)
    columns = ColumnCompiler(format, lookup, settings).compile()
    layer = f"SELECT *, {', '.join([*lookup.lists(), '0 AS shape'])} FROM ({relation})"
    for items in (columns.texts, columns.values):
        if items:
            layer = f"SELECT *, {', '.join(f'{sql} AS {name}' for name, sql in items.items())} FROM ({layer})"
    computed = ", ".join(f"({columns.sql[name]})::{_TYPES[name]} AS c_{name}" for name in COMPUTED)
    layer = f"SELECT *, {computed} FROM ({layer})"
    layer = f"SELECT *, {_reject(format)} AS reject FROM ({layer})"
    return _final(layer, columns.keys, _attributes(format, columns, lookup))


def _columns(bases: Sequence[str]) -> dict[str, str]:
    return {base: column_name(base) for base in bases}


def _containers(relation: str, when: str | None) -> str:
    """Adds ``shared``: the unit with the objects in which shared names hide merged below it."""
    names = vocabulary().containers
    listed = ", ".join(quoted(json_path((name,))) for name in names)
    extract = f"TRY(json_extract({column_name('line')}, [{listed}]))"
    if when:
        extract = f"CASE WHEN {when} THEN {extract} END"
    objects = [
        f"CASE WHEN starts_with(cj[{place}], '{{') THEN cj[{place}] END" for place in range(len(names), 0, -1)
    ]
    unit = column_name("line")
    merged = (
        "CASE WHEN list_any_value(cj) IS NOT NULL THEN TRY(json_merge_patch("
        + ", ".join(f"coalesce({one}, '{{}}')" for one in objects)
        + f", {unit}))::VARCHAR ELSE {unit} END"
    )
    return f"SELECT *, {merged} AS shared FROM (SELECT *, {extract} AS cj FROM ({relation}))"


def _reject(format: Format) -> str:
    unit = column_name("line")
    first = next((row for row in format.rows if row.each), None)
    if first:
        return (
            f"CASE WHEN {column_name(first.name)} IS NULL THEN CASE WHEN json_valid({unit})"
            f" THEN {quoted(f'no {first.each} in it')} ELSE {quoted(NOT_JSON)} END END"
        )
    return (
        f"CASE WHEN json_valid({unit}) THEN CASE WHEN ltrim({unit}, E' \\t\\r\\n')[1] <> '{{'"
        f" THEN {quoted(NOT_OBJECT)} END ELSE {quoted(NOT_JSON)} END"
    )


_TYPES = {column.name: column.type for column in RECORD}


def _final(layer: str, keys: str, attributes: str) -> str:
    special = {"keys": keys, "attributes": attributes, "position": "position"}
    items = []
    for column in RECORD:
        sql = special.get(column.name, f"c_{column.name}")
        if column.name == "body":
            sql = f"CASE WHEN reject IS NULL THEN {sql} ELSE {column_name('line')} END"
        items.append(f'({sql})::{column.type} AS "{column.name}"')
    return f"SELECT {', '.join(items)}, reject::VARCHAR AS reject FROM ({layer})"


def _attributes(format: Format, columns: Columns, lookup: JsonLists) -> str:
    given = format.record.get("attributes")
    if given is None or given.sql is None:
        return _rest(lookup, lookup.default, columns)
    return PLACEHOLDER.sub(
        lambda match: _rest(lookup, match[1], columns) if match[2] == "rest" else match[0],
        given.sql,
    )


def _rest(lookup: JsonLists, base: str, columns: Columns) -> str:
    return rest_of(lookup.columns[base], list(patches(base, columns, "p", f"({columns.keys})").values()))


def _rows(format: Format, source: str) -> tuple[str, list[str]]:
    """The relation of rows, and the bases that paths may start from; the last is the default."""
    unit = column_name("line")
    relation = f"SELECT line AS {unit}, position FROM ({source})"
    bases = ["line"]
    for row in format.rows:
        if row.sql is not None:
            # A materialised CTE would copy the input and give it all to one thread.
            units = f"SELECT {unit} AS line, * EXCLUDE {unit} FROM ({relation})"
            relation = f"WITH units AS NOT MATERIALIZED ({units}) SELECT * FROM ({expand(row.sql)})"
            named = [f"{name} AS {column_name(name)}" for name in ("line", *row.names)]
            relation = f"SELECT position, {', '.join(named)} FROM ({relation})"
            bases = ["line", *row.names]
            continue
        if row.each is not None:
            relation = (
                f"SELECT *, unnest({_elements(row, bases)}) AS {column_name(row.name)} FROM ({relation})"
            )
            bases.append(row.name)
        if row.let:
            lookup = JsonLists(_columns(bases), f"l{len(bases)}")
            compiler = ColumnCompiler(format, lookup, Settings())
            items = [f"{compiler.expression(sql)} AS {column_name(name)}" for name, sql in row.let.items()]
            lists = lookup.lists()
            inner = f"SELECT *, {', '.join(lists)} FROM ({relation})" if lists else relation
            relation = f"SELECT *, {', '.join(items)} FROM ({inner})"
            bases[-1:-1] = list(row.let)
    return relation, bases


def _elements(row: Row, bases: list[str]) -> str:
    lookup = JsonLists(_columns(bases), "")
    base, rest = lookup.resolve(row.each or "")
    column = lookup.columns[base]
    steps: Steps = alternatives(rest)[0] if rest else ()
    path = json_path(steps)
    listed = f"TRY(json_extract({column}, {quoted(path + '[*]')}))"
    if row.optional:
        return f"coalesce(nullif({listed}, []), [NULL])"
    if bases == ["line"]:
        return (
            f"CASE WHEN len({listed}) > 0 THEN {listed}"
            f" WHEN TRY(json_exists({column}, {quoted(path)})) THEN [] ELSE [NULL] END"
        )
    # What was rejected above stays one row.
    return f"CASE WHEN {column_name(bases[1])} IS NULL THEN [NULL] ELSE {listed} END"
