"""Redaction: what must never be stored is replaced within the SELECT, before and after decoding."""

from __future__ import annotations

import re

from clew.collectors.errors import FormatError
from clew.collectors.formats.paths import quoted
from clew.collectors.formats.settings import REDACTED, Redaction

_STRING = r'"(?:[^"\\]|\\.)*"'
_DEPTH = 6
_TEXTS = ("body", "error_message", "keys", "attributes")
_JSON = ("keys", "attributes")


def redacted(select: str, redaction: Redaction) -> str:
    """The SELECT with the rules applied to ``raw.line`` and to the texts that come out.

    Names are matched before decoding, so that no column gets their values, and after it,
    because some formats make names of what were values (OTLP's list of key-values).
    Patterns are matched in texts only: in raw JSON they could break it.

    Raises:
        FormatError: a pattern is no regular expression.
    """
    if not redaction.keys and not redaction.patterns:
        return select
    for pattern in redaction.patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise FormatError(
                f"not a regular expression: {error}",
                file="redaction",
                text=pattern,
                help="redaction patterns are RE2",
            ) from error
    if redaction.keys:
        line = _named("line", redaction.keys)
        select = f"WITH raw AS (SELECT {line} AS line, position FROM raw) SELECT * FROM ({select})"
    items = []
    for column in _TEXTS:
        sql = f'"{column}"'
        if redaction.keys:
            sql = _named(sql, redaction.keys)
        for pattern in redaction.patterns:
            sql = f"regexp_replace({sql}, {quoted(pattern)}, {quoted(REDACTED)}, 'g')"
        if column in _JSON:
            # A pattern may have torn the object: then all of it goes.
            sql = f'CASE WHEN json_valid({sql}) THEN {sql} WHEN "{column}" IS NOT NULL THEN \'{{"{REDACTED}":true}}\' END'
        items.append(f'{sql} AS "{column}"')
    return f"SELECT * REPLACE ({', '.join(items)}) FROM ({select})"


def _named(text: str, keys: tuple[str, ...]) -> str:
    """``text`` with the values of these names replaced, however they are written."""
    names = "(?i:" + "|".join(re.escape(key) for key in keys) + ")"
    value = rf'(?:{_STRING}|{_nested()}|[^\s,}}\]"{{\[]+)'
    for pattern, by in (
        # "name": value, at any depth
        (rf'("{names}"\s*:\s*){value}', rf'\1"{REDACTED}"'),
        # what nests deeper than an expression follows is cut off with all behind it
        (rf'("{names}"\s*:\s*)[{{\[].*', rf'\1"{REDACTED}"'),
        # {"key": "name", …, "value": value}, as OTLP and Jaeger write attributes
        (
            rf'("key"\s*:\s*"{names}"\s*,(?:\s*"type"\s*:\s*"\w+"\s*,)?\s*"value"\s*:\s*){value}',
            rf'\1{{"stringValue":"{REDACTED}"}}',
        ),
        # JSON within a JSON string
        (rf'(\\"{names}\\"\s*:\s*\\")(?:[^"\\]|\\[^"])*', rf"\1{REDACTED}"),
        # name=value and name: value in a text
        (rf"({_words(keys)}\s*[=:]\s*)(?:{_STRING}|[^\s,;&\"\\{{}}\[\]]+)", rf"\1{REDACTED}"),
    ):
        text = f"regexp_replace({text}, {quoted('(?s)' + pattern)}, {quoted(by)}, 'g')"
    return text


def _words(keys: tuple[str, ...]) -> str:
    """RE2: one of these names in a text, not as the end of another; RE2 knows word boundaries of ASCII only."""
    bounded = [rf"\b{re.escape(key)}" if re.match(r"\w", key, re.ASCII) else re.escape(key) for key in keys]
    return "(?i:" + "|".join(bounded) + ")"


def _nested() -> str:
    """RE2: an object or array up to a depth."""
    atom = rf'(?:{_STRING}|[^"{{}}\[\]])'
    inner = rf"[{{\[]{atom}*[}}\]]"
    for _ in range(_DEPTH - 1):
        inner = rf"[{{\[](?:{atom}|{inner})*[}}\]]"
    return inner
