"""Batches made by hand, for whatever is tested without a collector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from clew.collectors.record import RECORD, Batch, Reject, Watermark

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

_ARROW: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "TIMESTAMP": pa.timestamp("us"),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
}
_SCHEMA = pa.schema([*((column.name, _ARROW[column.type]) for column in RECORD), ("reject", pa.string())])
SELECT = "SELECT " + ", ".join(f'"{name}"' for name in _SCHEMA.names) + " FROM raw"


def at(seconds: float) -> datetime:
    """``seconds`` after the time at which everything here begins."""
    return START + timedelta(seconds=seconds)


def log(second: float, /, **fields: Any) -> dict[str, Any]:
    """One log record."""
    return {"kind": "log", "time": at(second), "service": "orders", **fields}


def span(
    second: float, end: float | None, trace: str, span: str, parent: str | None = None, **fields: Any
) -> dict[str, Any]:
    """One span."""
    return {
        "kind": "span",
        "time": at(second),
        "end_time": None if end is None else at(end),
        "service": "orders",
        "name": "work",
        "trace_id": trace,
        "span_id": span,
        "parent_span_id": parent,
        "status": "unset",
        **fields,
    }


def batch(
    rows: Sequence[Mapping[str, Any]],
    *,
    source: str = "a.log",
    position: str = "1",
    first: bool = True,
    scope: str = "",
    rejects: tuple[Reject, ...] = (),
    watermark: Watermark | None = None,
    select: str = SELECT,
) -> Batch:
    """A batch of ``rows``; each gives some of the Record's columns, or ``reject``."""
    unknown = {name for row in rows for name in row} - set(_SCHEMA.names)
    if unknown:
        raise ValueError(f"no columns of the Record: {sorted(unknown)}")
    columns = {name: [_plain(row.get(name)) for row in rows] for name in _SCHEMA.names}
    columns["position"] = [row.get("position", number) for number, row in enumerate(rows, 1)]
    return Batch(
        source=source,
        raw=pa.table(columns, schema=_SCHEMA) if rows else None,
        select=select,
        position=position,
        rejects=rejects,
        watermark=watermark,
        scope=scope,
        format="by hand",
        first=first,
    )


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
