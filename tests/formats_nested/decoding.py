"""Decodes units by a built-in format, as a store does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from clew.collectors import formats

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures" / "nested"
RECORDINGS = ROOT.parent / "shared" / "data"

Row = dict[str, Any]
JSON_COLUMNS = {"links", "keys", "attributes"}


def recording(name: str) -> Path:
    """A third-party recording; skips where it is absent."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"the third-party recording is not there: {path}")
    return path


def decode(name: str, units: Sequence[str], *, settings: formats.Settings | None = None) -> list[Row]:
    """Every row that the units become: its non-null columns, JSON columns as objects."""
    plan = formats.plan(name, units, settings=settings)
    table = pa.table({"line": pa.array(units, pa.string()), "position": range(1, len(units) + 1)})
    with duckdb.connect() as connection:
        connection.register("raw", table)
        found = connection.execute(plan.select)
        columns = [column[0] for column in found.description or ()]
        rows = found.fetchall()
    return [
        {
            column: json.loads(value) if column in JSON_COLUMNS else value
            for column, value in zip(columns, row, strict=True)
            if value is not None
        }
        for row in rows
    ]


def units_of(path: Path) -> list[str]:
    """A file's units: the elements of an array, or the whole document."""
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    return [json.dumps(one) for one in document] if isinstance(document, list) else [text]


def decode_file(name: str, path: Path) -> list[Row]:
    """Decode a file, none of which may be rejected."""
    rows = decode(name, units_of(path))
    assert not [row["reject"] for row in rows if "reject" in row]
    return rows


def roots(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if "parent_span_id" not in row]


def ids(rows: Iterable[Row]) -> set[tuple[str, str]]:
    return {(row["trace_id"], row["span_id"]) for row in rows}


def orphans(rows: Sequence[Row]) -> list[Row]:
    """Spans whose parent is not among the rows."""
    known = ids(rows)
    return [row for row in rows if (row["trace_id"], row.get("parent_span_id", row["span_id"])) not in known]


def errors(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.get("status") == "error"]


def links(rows: Iterable[Row]) -> list[dict[str, str]]:
    return [link for row in rows for link in row.get("links", ())]
