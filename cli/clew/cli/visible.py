"""Text from outside is data: what a terminal would obey is made visible instead."""

from __future__ import annotations

import re

_OBEYED = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: cursor, colour, title, clipboard
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069"  # text that reads in another order
    "\u2028\u2029\ufeff\ufff9-\ufffb"  # line separators, marks without width
    "\ud800-\udfff"  # halves of a character, which cannot be encoded
    "\U000e0000-\U000e007f"  # invisible tags
    "]"
)
_JSON_OBEYED = re.compile(_OBEYED.pattern.replace("\x00-\x1f", "", 1))


def visible(text: str, encoding: str = "utf-8") -> str:
    r"""``text`` on one line without any character that a terminal obeys or cannot show.

    A control character becomes its picture (ESC is ``␛``), the others an escape
    such as ``\u202e``; where ``encoding`` has no such character, an escape too.
    """
    if text.isascii() and text.isprintable():
        return text
    unicode = encoding == "utf-8"
    shown = _OBEYED.sub(_picture if unicode else _escape, text)
    return shown if unicode else shown.encode(encoding, "backslashreplace").decode(encoding)


def visible_json(text: str) -> str:
    r"""JSON ``text`` in which those characters stand as ``\uXXXX``: it means the same."""
    return text if text.isascii() and "\x7f" not in text else _JSON_OBEYED.sub(_json_escape, text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:  # noqa: PLR2004
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else _escape(match)  # noqa: PLR2004


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
