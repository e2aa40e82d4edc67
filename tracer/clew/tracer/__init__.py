"""What a service uses to be traceable: envelope, context, headers, logs, spans.

Only the envelope and the context are imported at once; the names that need
OpenTelemetry or logging are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clew.tracer.context import Correlation, correlated, current, detached, next_event, working_on
from clew.tracer.errors import ContextError, EnvelopeError, TracerError
from clew.tracer.event import Event, new_id

if TYPE_CHECKING:
    from clew.tracer.headers import Incoming, continuing, extract, inject
    from clew.tracer.logs import JsonFormatter
    from clew.tracer.spans import Messaging, delivered
    from clew.tracer.threads import CarryingExecutor, carry

__all__ = [
    "CarryingExecutor",
    "ContextError",
    "Correlation",
    "EnvelopeError",
    "Event",
    "Incoming",
    "JsonFormatter",
    "Messaging",
    "TracerError",
    "carry",
    "continuing",
    "correlated",
    "current",
    "delivered",
    "detached",
    "extract",
    "inject",
    "new_id",
    "next_event",
    "working_on",
]

_LATER = {
    "CarryingExecutor": "threads",
    "carry": "threads",
    "Incoming": "headers",
    "continuing": "headers",
    "extract": "headers",
    "inject": "headers",
    "JsonFormatter": "logs",
    "Messaging": "spans",
    "delivered": "spans",
}


def __getattr__(name: str) -> Any:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
