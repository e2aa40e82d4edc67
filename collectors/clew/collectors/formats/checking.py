"""Shows what lines become, and holds a format to its samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clew.collectors.errors import FormatError
from clew.collectors.formats.columns import PLACEHOLDER
from clew.collectors.formats.language import Field, Format, Place, Sample, Shape
from clew.collectors.formats.paths import quoted
from clew.collectors.record import decoded

if TYPE_CHECKING:
    from clew.collectors.formats.plans import Plan

_JSON_COLUMNS = {"links", "keys", "attributes"}


@dataclass(frozen=True, slots=True)
class Explained:
    """What one unit became."""

    position: int
    record: dict[str, Any] | None
    """Non-null columns; JSON columns as objects. None where the unit was rejected."""
    reject: str | None
    raw: str | None
    """The rejected text."""


def explained(plan: Plan, lines: Sequence[str]) -> list[Explained]:
    """What the lines become: one entry for each Record and each reject, in their order."""
    import duckdb
    import pyarrow as pa

    table = pa.table({"line": pa.array(lines, pa.string()), "position": range(1, len(lines) + 1)})
    with duckdb.connect() as connection:
        connection.register("found", decoded(connection, table, plan.select, plan.short))
        found = connection.execute("FROM found")
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    entries = []
    for row in sorted(rows, key=lambda row: row["position"]):
        position, reject, raw = row.pop("position"), row.pop("reject"), row["body"]
        if reject is not None:
            entries.append(Explained(position, None, reject, raw))
            continue
        record = {
            name: _parsed(value) if name in _JSON_COLUMNS else value
            for name, value in row.items()
            if value is not None
        }
        entries.append(Explained(position, record, None, None))
    return entries


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        return text


def check_language(format: Format) -> None:
    """Hold a format's expressions to what DuckDB understands: SQL, RE2, strptime.

    Raises:
        FormatError: one is not, with the place of its field.
    """
    import duckdb

    with duckdb.connect() as connection:

        def understood(sql: str, place: Place, what: str, text: str, help: str) -> None:
            try:
                connection.execute(sql).fetchall()
            except duckdb.Error as error:
                reason = str(error).split("\n", 1)[0].partition(": ")[2] or str(error)
                raise FormatError(
                    f"{what}: {reason}",
                    file=format.file,
                    line=place.line,
                    column=place.column,
                    text=text,
                    help=help,
                ) from None

        for pattern, place in [*_patterns(format)]:
            help = "DuckDB reads RE2 expressions: no look-around, no back-references"
            understood(
                f"SELECT regexp_matches('', {quoted(pattern)})", place, "not an RE2 expression", pattern, help
            )
        for column, field in _fields(format.record):
            for one in field.time_formats:
                understood(
                    f"SELECT TRY_STRPTIME('', {quoted(one)})",
                    field.place,
                    "not a time format",
                    one,
                    "as strptime",
                )
            if field.sql is not None:
                bare = PLACEHOLDER.sub(lambda match: "NULL::JSON" if match[2] else "NULL::VARCHAR", field.sql)
                # Only the syntax: names of columns are the rows' own.
                wrong = connection.execute(
                    f"SELECT json_serialize_sql({quoted(f'SELECT {bare}')})->>'error_message'"
                ).fetchall()[0][0]
                if wrong:
                    raise FormatError(
                        f"the SQL of {column} cannot be read: {wrong}",
                        file=format.file,
                        line=field.place.line,
                        column=field.place.column,
                        text=field.sql,
                        help="any DuckDB expression; {path} stands for a text",
                    )


def _patterns(format: Format) -> Iterator[tuple[str, Place]]:
    for pattern in format.patterns:
        yield pattern, Place()
    if format.multiline:
        yield format.multiline.starts or format.multiline.continues or "", Place()
    for _, field in _fields(format.record):
        if field.match:
            yield field.match, field.place


def _fields(record: Mapping[str, Field]) -> Iterator[tuple[str, Field]]:
    for column, field in record.items():
        yield column, field
        for inner in field.first:
            yield from _fields({column: inner})


def check_samples(format: Format) -> None:
    """Hold a format to its samples: with the short way that they teach, and without.

    A sample of several lines is decoded as such. CSV samples are rows below the first
    sample's first line, the header.

    Raises:
        FormatError: a sample does not become the Record that it must.
    """
    from clew.collectors.formats.assembly import assembled
    from clew.collectors.formats.settings import Settings

    for sample in format.samples:
        lines = sample.line.removesuffix("\n").split("\n")
        seen = lines if format.shape is Shape.CSV or format.inside else []
        for learned in (lines, seen):
            _check(format, sample, explained(assembled(format, learned, Settings(), learn=True), lines))


def _check(format: Format, sample: Sample, found: Sequence[Explained]) -> None:
    if sample.reject is not None:
        if len(found) == 1 and found[0].reject == sample.reject:
            return
        _fail(format, sample, f"the sample must be rejected as {sample.reject!r}, but it {_became(found)}")
    wanted = sample.records
    if len(found) != len(wanted) or any(one.record is None for one in found):
        _fail(format, sample, f"the sample must become {len(wanted)} record(s), but it {_became(found)}")
    for one, record in zip(found, wanted, strict=True):
        for column in dict.fromkeys((*record, *(one.record or {}))):
            is_there, must_be = (one.record or {}).get(column), record.get(column)
            if not _same(column, is_there, must_be):
                _fail(
                    format,
                    sample,
                    f"{column} of the sample must be {_shown(must_be)}, but is {_shown(is_there)}",
                    "columns that the sample does not name must be empty",
                )


def _became(found: Sequence[Explained]) -> str:
    rejects = [one.reject for one in found if one.reject]
    if rejects:
        return f"was rejected: {rejects[0]}"
    return f"became {len(found)} record(s)"


def _same(column: str, found: Any, wanted: Any) -> bool:
    if found is None or wanted is None:
        return found is wanted
    if column in {"time", "end_time"}:
        return _time(str(found)) == _time(str(wanted))
    if column in _JSON_COLUMNS:
        return bool(found == (json.loads(wanted) if isinstance(wanted, str) else wanted))
    return str(found) == str(wanted)


def _time(text: str) -> str:
    text = text.replace("T", " ").removesuffix("Z")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else repr(str(value))


def _fail(format: Format, sample: Sample, message: str, help: str = "") -> None:
    raise FormatError(
        message,
        file=format.file,
        line=sample.place.line,
        column=sample.place.column,
        text=sample.line.split("\n", 1)[0],
        help=help,
    )
