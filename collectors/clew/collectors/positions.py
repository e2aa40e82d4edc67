"""Positions of brokers as text: which kind they are of, and the fields that say something.

A store keeps the positions of all sources side by side, so that each kind must know its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    P = TypeVar("P", bound=DataclassInstance)

VERSION = 1


def as_text(kind: str, position: DataclassInstance) -> str:
    """A position for :func:`from_text`; a field that has its default is left out."""
    defaults = {field.name: field.default for field in fields(position) if field.default is not MISSING}
    said = {
        name: value
        for name, value in asdict(position).items()
        if name not in defaults or value != defaults[name]
    }
    return json.dumps({"v": VERSION, kind: said}, separators=(",", ":"))


def from_text(kind: str, of: type[P], text: str) -> P | None:
    """What :func:`as_text` wrote; None for a position of another kind, or of another version."""
    try:
        found = json.loads(text)
        if not isinstance(found, Mapping) or found.get("v") != VERSION:
            return None
        said: dict[str, Any] = found[kind]
        return of(**said)
    except (ValueError, KeyError, TypeError):
        return None
