"""What a person may set for reading: zone, redaction, more key names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

KeyClassName = Literal["instance", "entity", "group", "hop"]

REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class Redaction:
    """What must never be stored.

    ``keys`` are names, compared without regard to case at any depth, whose values
    are replaced. ``patterns`` are RE2 expressions whose matches are replaced in
    every text of a Record.
    """

    keys: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """How raw input is read. The defaults read UTC and redact nothing."""

    zone: str = "UTC"
    """IANA name of the zone that times without one are in."""
    redaction: Redaction = field(default_factory=Redaction)
    keys: Mapping[str, KeyClassName] = field(default_factory=dict)
    """More names of IDs and the class of each, besides :data:`clew.collectors.record.KEY_NAMES`."""
    year: int | None = None
    """Year of times that state none; None means the current one."""
