"""Reports as JSON: the fields of :mod:`clew.reconstruct.reports` under their names, times as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from clew.cli.flow_json import SCHEMA, time


def report(found: Any) -> dict[str, Any]:
    """One line: a dataclass and what it holds, with the schema's number first."""
    return {"schema": SCHEMA, **{one.name: plain(getattr(found, one.name)) for one in fields(found)}}


def plain(value: Any) -> Any:
    """A dataclass, time, mapping or number as JSON has it."""
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, datetime):
        return time(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value
