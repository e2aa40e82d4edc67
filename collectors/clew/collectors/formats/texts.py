"""The SELECT for units that are not JSON: text by pattern, CSV, and logfmt as JSON."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace

from clew.collectors.formats.columns import COMPUTED, ColumnCompiler
from clew.collectors.formats.language import Format
from clew.collectors.formats.lines import taken_by
from clew.collectors.formats.lookup import NamedColumns
from clew.collectors.formats.output import TYPES, UNIT, Source, final, with_items
from clew.collectors.formats.paths import Steps, quoted
from clew.collectors.formats.settings import REDACTED, Settings
from clew.collectors.formats.shapes import Member, Shape
from clew.collectors.formats.templates import less

NO_MATCH = "does not match the format's pattern and continues no record"

_ENDS = "E'\\r\\n'"
_COLUMN = re.compile(r"[A-Za-z_@#][\w .:/@#\[\]()%*-]{0,79}")
_PAIR = r'[^\s"=]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)'
_ANSI = "\x1b\\[[0-9;?]*[A-Za-z]"


def compile_text(format: Format, settings: Settings, source: Source) -> str:
    """The SELECT of a format with patterns: the first pattern that matches gives the columns."""
    layer, named, hit = matched_columns(format, source.start())
    reject = f"CASE WHEN coalesce({hit}, false) THEN NULL ELSE {quoted(NO_MATCH)} END"
    return _compiled(format, settings, source, layer, named, reject)


def matched_columns(format: Format, layer: str) -> tuple[str, dict[str, str], str]:
    """(relation, group's name → column, SQL condition that a pattern matched)."""
    # Terminals' colours are no part of what was written.
    plain = f"CASE WHEN contains({UNIT}, chr(27)) THEN regexp_replace({UNIT}, {quoted(_ANSI)}, '', 'g') ELSE {UNIT} END"
    layer = with_items(layer, [f"rtrim({plain}, {_ENDS}) AS plain"])
    columns: dict[str, list[str]] = {}
    matched: list[str] = []
    for number, pattern in enumerate(format.patterns):
        compiled = re.compile(pattern)
        names = ", ".join(map(quoted, ["whole", *(f"g{group}" for group in range(1, compiled.groups + 1))]))
        extract = f"regexp_extract(plain, {quoted(f'(?s)^({pattern})$')}, [{names}])"
        if matched:
            earlier = " AND ".join(f"{before}.whole = ''" for before in matched)
            extract = f"CASE WHEN {earlier} THEN {extract} END"
        matched.append(f"m{number}")
        layer = with_items(layer, [f"{extract} AS m{number}"])
        for name, group in compiled.groupindex.items():
            columns.setdefault(name, []).append(f"nullif(m{number}.g{group}, '')")
    named = {name: f"t_{number}" for number, name in enumerate(columns)}
    layer = with_items(
        layer, [f"coalesce({', '.join(sql)}) AS {named[name]}" for name, sql in columns.items()]
    )
    return layer, named, " OR ".join(f"{struct}.whole <> ''" for struct in matched)


def compile_csv(format: Format, settings: Settings, source: Source, header: str) -> str:
    """The SELECT of CSV lines below the given header; the header itself, met again, is left out."""
    names = next(csv.reader([header.strip("\ufeff\r\n")], delimiter=format.delimiter))
    width = len(names)
    mark = re.escape(format.delimiter)
    layer = source.start()
    top = quoted(header.strip("\ufeff\r\n"))
    layer = f"SELECT * FROM ({layer}) WHERE ltrim(rtrim({UNIT}, {_ENDS}), chr(65279)) <> {top}"
    layer = with_items(layer, [f"rtrim({UNIT}, {_ENDS}) AS plain"])
    # Most rows need no quotes: for them a split is exact. The rest is cut by an expression
    # that must account for the whole row.
    cut = rf'(?:"(?:[^"]|"")*"|[^"{mark}]*)'
    before = f"(?s){cut}(?:{mark}{cut}){{{max(width - 2, 0)}}}{mark}"
    overwritten = before + r'"(?:[^"]|"")*"' + f"[^{mark}].*"
    # A match that is empty would make the search go on behind the next separator: no match is,
    # as one stands before the first field too.
    fields = (
        f"list_transform(regexp_extract_all({quoted(format.delimiter)} || plain, {quoted(f'(?s){mark}({cut})')}, 1),"
        """ lambda f: CASE WHEN f[1] = '"' THEN replace(f[2:-2], '""', '"') ELSE f END)"""
    )
    layer = with_items(
        layer,
        [
            (
                f"""CASE WHEN NOT contains(plain, '"') THEN string_split(plain, {quoted(format.delimiter)})"""
                f" WHEN regexp_full_match(plain, {quoted(f'(?s){cut}(?:{mark}{cut})*')}) THEN {fields}"
                # A writer that was cut off and written over leaves text behind its last quote:
                # such a row keeps its fields, and the last one is all that is left of it.
                f" WHEN regexp_full_match(plain, {quoted(overwritten)}) THEN list_append("
                f"{fields}[1:{width - 1}], regexp_extract(plain, {quoted(before + '(.*)')}, 1)) END AS f"
            ),
        ],
    )
    named = {name: f"t_{number}" for number, name in enumerate(names)}
    layer = with_items(
        layer, [f"nullif(f[{number}], '') AS {column}" for number, column in enumerate(named.values(), 1)]
    )
    reject = (
        "CASE WHEN f IS NULL THEN 'a quote that is never closed'"
        f" WHEN len(f) <> {width} THEN 'has ' || len(f) || ' fields where the header names {width}' END"
    )
    return _compiled(format, settings, source, layer, named, reject)


def _compiled(
    format: Format, settings: Settings, source: Source, layer: str, named: dict[str, str], reject: str
) -> str:
    hidden = {key.lower() for key in settings.redaction.keys}
    if hidden & {name.lower() for name in named}:
        hide = [
            f"CASE WHEN {sql} IS NOT NULL THEN {quoted(REDACTED)} END AS {sql}"
            for name, sql in named.items()
            if name.lower() in hidden
        ]
        layer = f"SELECT * REPLACE ({', '.join(hide)}) FROM ({layer})"
    columns = ColumnCompiler(format, NamedColumns(named), settings).compile()
    for items in (columns.texts, columns.values):
        layer = with_items(layer, [f"{sql} AS {name}" for name, sql in items.items()])
    layer = with_items(layer, [f"({columns.sql[name]})::{TYPES[name]} AS c_{name}" for name in COMPUTED])
    layer = with_items(layer, [f"{reject} AS reject"])
    shape = Shape([Member(name, (name,), quotes=True, escapes=True) for name in named], ":", ",", lines=1)
    condition = taken_by(columns)

    def text_at(steps: Steps) -> str:
        return named[str(steps[0])]

    given = format.record.get("attributes")
    attributes = less(shape, text_at, condition) if named else "NULL"
    if given and given.sql is not None:
        attributes = ColumnCompiler(format, NamedColumns(named), settings).expression(given.sql)
    return final(layer, columns.keys, attributes, source)


def logfmt_as_json(source: Source) -> Source:
    """Units of ``key=value`` pairs as JSON objects; words that belong to no pair stay as ``text``."""
    name, text = "substr(p, 1, strpos(p, '=') - 1)", "substr(p, strpos(p, '=') + 1)"
    go = _go_quoted(text)
    value = (
        f"""CASE WHEN starts_with({text}, '"') THEN CASE WHEN json_valid({text}) THEN {text} WHEN json_valid({go})"""
        f" THEN {go} ELSE to_json(substr({text}, 2, length({text}) - 2))::VARCHAR END"
        f" ELSE to_json({text})::VARCHAR END"
    )
    relation = f"SELECT *, line AS logfmt, regexp_extract_all(line, {quoted(_PAIR)}) AS pairs FROM ({source.relation})"
    members = f"array_to_string(list_transform(pairs, lambda p: to_json({name}) || ':' || {value}), ',')"
    # Pairs with a blank between them are the whole line, or else something stands among them.
    words = (
        "CASE WHEN strlen(array_to_string(pairs, ' ')) < strlen(line) THEN coalesce(',\"text\":' || to_json(nullif("
        f"trim(regexp_replace(regexp_replace(line, {quoted(_PAIR)}, '', 'g'), '\\s+', ' ', 'g')), '')), '') ELSE '' END"
    )
    relation = (
        f"SELECT * REPLACE (CASE WHEN len(pairs) > 0 THEN concat('{{', {members}, {words}, '}}') END AS line)"
        f" FROM ({relation})"
    )
    return replace(source, relation=relation, original=source.original or "logfmt")


def _go_quoted(text: str) -> str:
    """A text as Go quotes it (strconv.Quote), as JSON: the escapes that JSON does not know, and bare tabs."""
    sql = f"replace({text}, '\\\\', chr(1))"
    sql = f"regexp_replace({sql}, '\\\\x([0-9a-fA-F]{{2}})', '\\\\u00\\1', 'g')"
    for escape, code in (("'\\a'", "0007"), ("'\\v'", "000b"), ("chr(9)", "0009")):
        sql = f"replace({sql}, {escape}, '\\u{code}')"
    return f"replace({sql}, chr(1), '\\\\')"


def csv_header(sample: Sequence[str], delimiter: str) -> list[str] | None:
    """The header's names, when the sample looks like CSV below a header."""
    # Each line by itself, as it will be read: an open quote spoils no other line.
    header, *rows = [_csv_row(line, delimiter) for line in sample[:50]] or [None]
    if header is None or len(header) < 2:  # noqa: PLR2004  one column is no table
        return None
    read = [row for row in rows if row is not None]
    wide = [row for row in read if len(row) == len(header)]
    sane = len(set(header)) == len(header) and all(_COLUMN.fullmatch(name) for name in header)
    return header if sane and len(wide) * 2 >= len(read) else None


def _csv_row(line: str, delimiter: str) -> list[str] | None:
    """A line's fields; None where the csv module cannot tell, as with fields beyond its limit."""
    try:
        return next(csv.reader([line.strip("\ufeff\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return None
