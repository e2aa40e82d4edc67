"""Fields of AMQP as JSON."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from math import isfinite
from typing import Any


def plain(value: Any) -> Any:
    """A field (AMQP 0-9-1, 4.2.5) as JSON can hold it."""
    match value:
        case dict():
            return {str(plain(name)): plain(one) for name, one in value.items()}
        case list():
            return [plain(one) for one in value]
        case bytes() | bytearray():
            return text_or_base64(bytes(value))
        case str():
            return value if "\x00" not in value else _base64(value.encode())
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    simple = value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value))
    return value if simple else str(value)


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=plain)


def encoded(value: Any) -> str:
    """As JSON, whatever fields it holds."""
    try:
        made = _JSON.encode(value)
    except TypeError:
        # A field's name that is no UTF-8.
        return _JSON.encode(plain(value))
    if "\\u0000" in made or "NaN" in made or "Infinity" in made:
        # What JSON has no place for; or a text with such a word, for which it costs nothing but time.
        made = _JSON.encode(plain(value))
    return made


def text_or_base64(value: bytes) -> Any:
    """A text, or ``{"base64": …}`` for what is none."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _base64(value)
    return text if "\x00" not in text else _base64(value)


def _base64(value: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(value).decode()}
