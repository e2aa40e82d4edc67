"""JSON written for whole columns at once: Arrow's functions instead of an object for each record."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

ESCAPED = '["\\\\\\x00-\\x1f\\x7f]'
"""RE2: what a JSON string cannot hold as it is, and what nobody writes in a text."""


def joined(*pieces: Any) -> pa.Array[Any]:
    """Arrays of texts end to end, row by row; a ``str`` among them stands in each row."""
    import pyarrow.compute as pc

    written: list[Any] = [text(piece) if isinstance(piece, str) else piece for piece in pieces]
    made: pa.Array[Any] = pc.binary_join_element_wise(*written, text(""))
    return made


def text(value: str) -> pa.StringScalar:
    """The same for each row. Arrow, where it has to guess a scalar's type, looks for modules on the disk each time."""
    import pyarrow as pa

    return pa.scalar(value, pa.string())


def texts(numbers: Sequence[int]) -> pa.Array[Any]:
    """Whole numbers as texts."""
    import pyarrow as pa

    return pa.array(numbers, pa.int64()).cast(pa.string())


def literals(values: Sequence[bytes | None]) -> pa.Array[Any]:
    """Each as a JSON value: a string, ``null``, or an object with ``base64`` for what is no text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    raw = pa.array(values, pa.binary())
    try:
        strings = raw.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([one_literal(value) for value in values], pa.string())
    made = joined('"', strings, '"')
    special: Any = pc.match_substring_regex(strings, ESCAPED)
    special = pc.fill_null(special, pa.scalar(True, pa.bool_()))  # noqa: FBT003  an Arrow value
    if pc.any(special).as_py():
        written = [one_literal(value) for value in raw.filter(special).to_pylist()]
        made = pc.replace_with_mask(made, special, pa.array(written, pa.string()))
    return made


def one_literal(text: bytes | None) -> str:
    """As :func:`literals`, for one."""
    if text is None:
        return "null"
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        decoded = "\x00"
    if "\x00" in decoded:
        return json.dumps({"base64": base64.b64encode(text).decode()})
    return json.dumps(decoded, ensure_ascii=False)
