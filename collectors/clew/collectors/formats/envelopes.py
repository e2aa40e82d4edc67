"""Opens envelopes: what a container runtime or a collector writes around another logger's line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from clew.collectors.formats.columns import ColumnCompiler, coalesce
from clew.collectors.formats.fields import JsonFields
from clew.collectors.formats.grouping import PARTIAL, STREAM
from clew.collectors.formats.language import Format, Inside, Shape
from clew.collectors.formats.lookup import Lookup, NamedColumns
from clew.collectors.formats.output import TYPES, UNIT, Source, fill, joined, with_items
from clew.collectors.formats.paths import identifier
from clew.collectors.formats.settings import Settings
from clew.collectors.formats.texts import matched_columns

_ATTRIBUTES = "o_attributes"

OPENED = "SELECT line, position FROM opened"
"""The units of :func:`rows_within`."""

_UNREAD = """SELECT position FROM opened WHERE line IS NULL UNION
    SELECT position FROM found GROUP BY position HAVING count(*) = count(reject)"""


def opened(format: Format, inside: Inside, settings: Settings, source: Source) -> Source:
    """The units within: ``line`` is the text inside, NULL where the envelope cannot be opened."""
    layer = source.start()
    lookup: Lookup
    if format.shape is Shape.JSON:
        lookup = fields = JsonFields(UNIT, "e")
        sql = _columns(format, inside, settings, lookup)
        for items in fields.layers():
            layer = with_items(layer, items)
    else:
        layer, named, matched = matched_columns(format, layer)
        sql = _columns(format, inside, settings, NamedColumns(named))
        # An empty text is a line all the same.
        sql["line"] = f"CASE WHEN {matched} THEN coalesce({sql['line']}, '') END"
    around = [name for name in (*source.outer.values(), source.outer_attributes) if name]
    # Of envelopes within each other the inner one knows more; what each says beside stays.
    sql |= {
        name: joined(name, sql[name]) if name == _ATTRIBUTES else f"coalesce({sql[name]}, {name})"
        for name in around
        if name in sql
    }
    items = [f"{value} AS {name}" for name, value in sql.items()]
    keep = [name for name in around if name not in sql]
    relation = (
        f"SELECT position, {source.original or UNIT} AS o_line, {', '.join([*keep, *items])} FROM ({layer})"
    )
    outer = {
        name.removeprefix("o_"): name
        for name in sql
        if name.removeprefix("o_") in TYPES and name != _ATTRIBUTES
    }
    return replace(
        source,
        relation=relation,
        original="o_line",
        outer={**source.outer, **outer},
        outer_attributes=_ATTRIBUTES if _ATTRIBUTES in sql else source.outer_attributes,
        lenient=True,
    )


def rows_within(rows: str, others: Callable[[Source], str], source: Source) -> str:
    """The SELECT for units that become rows, filled by their envelope.

    ``rows`` is the inner format's SELECT over :data:`OPENED`; ``others`` gives that for units
    of which it can read nothing: what else was written to the same stream.
    """
    sql = {name: identifier(name) for name in TYPES}
    fill(sql, source)
    items = [f"({sql[name]})::{type} AS {identifier(name)}" for name, type in TYPES.items()]
    rest = replace(source, relation="SELECT * FROM opened WHERE position IN (SELECT position FROM unread)")
    return (
        f"WITH opened AS MATERIALIZED ({source.relation}), found AS MATERIALIZED ({rows}),"
        f" unread AS MATERIALIZED ({_UNREAD})"
        f" SELECT {', '.join(items)}, reject FROM found JOIN (SELECT * EXCLUDE line FROM opened) USING (position)"
        f" WHERE position NOT IN (SELECT position FROM unread) UNION ALL {others(rest)}"
    )


def _columns(format: Format, inside: Inside, settings: Settings, lookup: Lookup) -> dict[str, str]:
    compiler = ColumnCompiler(replace(format, vocabulary=None), lookup, settings)
    columns = compiler.compile()
    sql = {
        f"o_{name}": f"({_inline(columns.sql[name], columns.values, columns.texts)})::{TYPES[name]}"
        for name in format.record
        if name not in {"attributes", "keys"}
    }
    sql["line"] = compiler.expression(f"{{{inside.path}}}")
    sql[PARTIAL] = compiler.expression(inside.partial) if inside.partial else "false"
    sql[STREAM] = coalesce([compiler.expression(f"{{{inside.stream}}}"), "''"]) if inside.stream else "''"
    attributes = format.record.get("attributes")
    if attributes and attributes.sql:
        sql[_ATTRIBUTES] = f"({compiler.expression(attributes.sql)})::VARCHAR"
    return sql


def _inline(sql: str, *layers: dict[str, str]) -> str:
    """An envelope has few columns: its layers are folded into one."""
    for layer in layers:
        sql = re.sub(r"\b[a-z]+[tv]_\d+i?\b", lambda name, layer=layer: layer.get(name[0], name[0]), sql)  # type: ignore[misc]
    return sql
