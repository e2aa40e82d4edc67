"""Whether an input is lines or JSON documents, by what it begins with."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal, Protocol

from clew.collectors.files.documents import DocumentFramer
from clew.collectors.files.inputs import BEGINNING_BYTES
from clew.collectors.files.lines import BOM, LineFramer

if TYPE_CHECKING:
    from clew.collectors.files.position import Position
    from clew.collectors.files.slabs import Bytes
    from clew.collectors.files.units import Units

Framing = Literal["lines", "documents"]

JSON_START = re.compile(rb'(\xef\xbb\xbf)?[\s\x1e]*(\{\s*["}]|\[\s*[\[{"\]]|[\[{]\s*$)')
LOOK = 20
"""Lines that are looked at."""


class Framer(Protocol):
    """Cuts a stream into units, buffer by buffer; each call starts where ``consumed`` was."""

    def frame(self, data: Bytes, *, final: bool) -> Units:
        """Find the units of ``data``; with ``final`` nothing follows."""
        ...

    def back(self, units: Units) -> None:
        """Go on at the ``resume`` of ``units``, which was set back."""
        ...


def framing(beginning: bytes) -> Framing:
    """How an input that begins so (a MiB, or all of it) is cut into units.

    What does not begin as a JSON object or array does is lines. What does is lines too
    where the first, or half of the first ones, are a JSON object each; else (arrays,
    documents that span lines, or several in one line) it is documents.
    """
    if not JSON_START.match(beginning):
        return "lines"
    lines = [line for line in beginning.removeprefix(BOM).split(b"\n", LOOK)[:LOOK] if line.strip()]
    objects = [_is_object(line) for line in lines]
    # A single line that is not all there yet says nothing else: it may be the first of many.
    one_begun = len(objects) == 1 and objects[0] is None and len(beginning) < BEGINNING_BYTES
    return "lines" if objects[0] or one_begun or sum(map(bool, objects)) * 2 >= len(objects) else "documents"


def _is_object(line: bytes) -> bool | None:
    """Whether a line is one JSON object; None where it is perhaps the beginning of one."""
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError as error:
        return None if line.lstrip().startswith(b"{") and error.msg != "Extra data" else False
    except (ValueError, RecursionError):
        return False


def framer(kind: str, position: Position, *, line_bytes: int, document_bytes: int) -> Framer:
    """A framer that goes on at ``position``."""
    if kind == "documents":
        return DocumentFramer(document_bytes=document_bytes, number=position.number, within=position.within)
    return LineFramer(
        line_bytes=line_bytes,
        number=position.number,
        at_start=position.offset == 0,
        unended=position.unended,
    )
