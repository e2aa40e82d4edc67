"""What can go wrong with an event's envelope or its context.

Exception
└── TracerError
    ├── EnvelopeError   not a CloudEvents 1.0 event: says which attribute and why
    └── ContextError    an ID that cannot travel in headers and logs
"""

from __future__ import annotations


class TracerError(Exception):
    """Base of all."""


class EnvelopeError(TracerError, ValueError):
    """Not a CloudEvents 1.0 event. ``attribute`` names the offending part (empty for the whole)."""

    def __init__(self, message: str, *, attribute: str = "") -> None:
        super().__init__(f"{attribute}: {message}" if attribute else message)
        self.attribute = attribute


class ContextError(TracerError, ValueError):
    """An ID that cannot travel in headers and logs."""
