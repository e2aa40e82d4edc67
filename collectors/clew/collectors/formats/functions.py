"""Functions that the SQL of a format's ``rows`` may use besides DuckDB's own.

Each takes the name of a column, expands to SQL text, and works on JSON as DuckDB writes
it: without spaces. They rewrite text instead of walking values, because a walk costs
several times more per attribute (measured on OTLP JSON with eight attributes a span).
What makes it safe: in JSON text an unescaped double quote is never inside a string, and
every pattern here begins and ends at such quotes or outside of strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from clew.collectors.formats.paths import quoted

STRING = r'"(?:[^"\\]|\\.)*"'
"""RE2: one JSON string."""

_ATOM = rf'(?:{STRING}|[^"{{}}\[\]])'
"""RE2: a string, or one character that opens or closes nothing."""

_DEPTH = 3
"""Lists and maps within each other up to this depth are made plain; deeper ones stay as OTLP writes them."""

_CALL = re.compile(
    r"\b(otlp_attributes_quickly|otlp_attributes|otlp_plain|otlp_id|tag_object|holds_nothing|member)\("
)


def expand(sql: str) -> str:
    """SQL with every call of these functions replaced by what it stands for.

    An argument may be any expression; it is evaluated more than once, so a column is best.
    """
    expanded = []
    done = 0
    for call in _CALL.finditer(sql):
        if call.start() >= done:
            end = _closing(sql, call.end())
            expanded += [sql[done : call.start()], _FUNCTIONS[call[1]](f"({expand(sql[call.end() : end])})")]
            done = end + 1
    return "".join([*expanded, sql[done:]])


def _closing(sql: str, at: int) -> int:
    """Where the parenthesis that is open at ``at`` closes; quoted ones do not count."""
    depth = 1
    for token in re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|[()]").finditer(sql, at):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
    return len(sql)


def otlp_attributes_quickly(column: str) -> str:
    """``[{"key":"a","value":{"stringValue":"b"}}]`` as ``{"a":"b"}`` by literal replacement.

    Right where the result is valid JSON: a list, a map, a missing value, another order of
    members, all leave something that is not. Integers stay the strings that OTLP JSON writes.
    """
    inner = f"substr({column}, 9, length({column}) - 11)"
    for old, new in (
        (',"value":{"stringValue":', ":"),
        ('}},{"key":', ","),
        (',"value":{"intValue":', ":"),
        (',"value":{"boolValue":', ":"),
    ):
        inner = f"replace({inner}, {quoted(old)}, {quoted(new)})"
    return f"concat('{{', {inner}, '}}')"


def otlp_plain(column: str) -> str:
    """JSON in which every AnyValue and every list of key-values has become the plain JSON it means.

    https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding

    Where what is no AnyValue makes that impossible, it stays as it is written.
    """
    return f"coalesce(TRY(({_plain(column)})::JSON::VARCHAR), ({column})::VARCHAR)"


def _plain(column: str) -> str:
    sql = f"{column}::VARCHAR"
    for empty, plain in (
        ('"value":{}', '"value":null'),
        ('{"arrayValue":{}}', "\x01\x02"),
        ('{"kvlistValue":{}}', "\x03\x04"),
        ('{"kvlistValue":{"values":[]}}', "\x03\x04"),
    ):
        sql = f"replace({sql}, {quoted(empty)}, {quoted(plain)})"
    sql = _replaced(sql, rf'\{{"(?:string|int|double|bool|bytes)Value":({STRING}|[^{{}}\[\],"]+)\}}', r"\1")
    # Control characters cannot stand in JSON text: they mark what is already plain, so
    # that the next round sees brackets of what is not.
    for _ in range(_DEPTH):
        sql = _replaced(sql, rf'\{{"key":({STRING}),"value":({_ATOM}+)\}}', "\x05\\1:\\2")
        sql = _replaced(sql, rf"\[(\x05{_ATOM}*)\]", "\x03\\1\x04")
        sql = _replaced(sql, rf'\{{"kvlistValue":\{{"values":(\x03{_ATOM}*\x04)\}}\}}', r"\1")
        sql = _replaced(sql, rf'\{{"arrayValue":\{{"values":\[({_ATOM}*)\]\}}\}}', "\x01\\1\x02")
    return f"replace(translate({sql}, '\x01\x02\x03\x04', '[]{{}}'), '\x05', '')"


_NAME = (
    """CASE WHEN starts_with(kv_entry.key, '"') THEN kv_entry.key"""
    " WHEN kv_entry.key IS NOT NULL THEN to_json(kv_entry.key::VARCHAR) END"
)
"""SQL of a key as a member's name: a string, whatever was written; NULL where there is none."""


def otlp_attributes(column: str) -> str:
    """A list of key-values as an object, whatever they hold; ``{}`` for NULL.

    Members may come in any order. What is no such list stays as it is written, as
    ``attributes``. ``column`` is of type JSON.
    """
    entries = f"""from_json({column}, '[{{"key":"JSON","value":"JSON"}}]')"""
    value = (
        "CASE WHEN kv_entry.value IS NULL OR kv_entry.value = '{}' THEN 'null'"
        """ WHEN regexp_matches(kv_entry.value, '^.(?:"arrayValue"|"kvlistValue")') THEN """
        f"{_plain('kv_entry.value')}"
        " ELSE substr(kv_entry.value, strpos(kv_entry.value, ':') + 1,"
        " length(kv_entry.value) - strpos(kv_entry.value, ':') - 1) END"
    )
    listed = f"list_transform({entries}, lambda kv_entry: concat({_NAME}, ':', {value}))"
    made = f"TRY(('{{' || array_to_string({listed}, ',') || '}}')::JSON::VARCHAR)"
    whole = f"json_object('attributes', {column})::VARCHAR"
    return f"CASE WHEN {column} IS NULL THEN '{{}}' ELSE coalesce({made}, {whole}) END"


def otlp_id(column: str) -> str:
    """An ID in lower case, from base64 where it is written so: 16 or 8 bytes end in = and nothing hexadecimal does.

    https://protobuf.dev/programming-guides/json/ has bytes in base64, OTLP's own mapping in hexadecimal.
    """
    return (
        f"CASE WHEN ends_with({column}, '=') AND regexp_full_match({column}, '[A-Za-z0-9+/]{{22}}==|[A-Za-z0-9+/]{{11}}=')"
        f" THEN lower(hex(from_base64({column}))) ELSE lower({column}) END"
    )


def tag_object(column: str) -> str:
    """``[{"key":"a","type":"int64","value":1}]`` as ``{"a":1}``: Jaeger's tags.

    What is no such list stays as it is written, as ``tags``. ``column`` is of type JSON.
    """
    entries = f"""from_json({column}, '[{{"key":"JSON","value":"JSON"}}]')"""
    tag = f"concat(coalesce({_NAME}, '\"\"'), ':', coalesce(kv_entry.value, 'null'))"
    listed = f"list_transform({entries}, lambda kv_entry: {tag})"
    whole = f"json_object('tags', {column})::VARCHAR"
    return (
        f"CASE WHEN {column} IS NULL THEN '{{}}'"
        f" ELSE coalesce('{{' || array_to_string({listed}, ',') || '}}', {whole}) END"
    )


def holds_nothing(column: str) -> str:
    """Whether JSON is nothing but objects and arrays within each other: it says of itself that it is empty."""
    pattern = rf"(?:{STRING}\s*:|[\[\]{{}},\s])*"
    return f"regexp_full_match({column}, {quoted(pattern)})"


def member(arguments: str) -> str:
    """``member(object, name)``: the JSON of a member whose name is a value: it may hold what a path cannot."""
    column, name = arguments[1:-1].split(",", 1)
    return f"""({column} -> concat('$."', replace({name}, '"', ''), '"'))"""


def _replaced(sql: str, pattern: str, by: str) -> str:
    return f"regexp_replace({sql}, {quoted(pattern)}, {quoted(by)}, 'g')"


_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "otlp_attributes_quickly": otlp_attributes_quickly,
    "otlp_attributes": otlp_attributes,
    "otlp_plain": otlp_plain,
    "otlp_id": otlp_id,
    "tag_object": tag_object,
    "holds_nothing": holds_nothing,
    "member": member,
}
