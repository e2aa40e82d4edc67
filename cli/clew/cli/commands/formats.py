"""``clew formats``: which formats there are, and what a line of input becomes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clew.cli.errors import UsageMistake
from clew.cli.exits import Exit
from clew.cli.options import Context, as_json, common, option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.cli.look import Line, Look
    from clew.collectors.formats.language import Format, Recognise

SHOWN = 3
_SAMPLE_ROWS = 256
_NAME = 16


@click.group(invoke_without_command=True)
@as_json
@common
@click.pass_context
def formats(ctx: click.Context, *, as_json: bool) -> int:
    """List the formats that clew reads, and how each is recognised.

    clew formats test FILE shows what the lines of a file become.
    """
    if ctx.invoked_subcommand is not None:
        return Exit.FINE
    from clew.collectors.formats import catalogue

    terminal = ctx.obj.terminal
    found = catalogue()
    if as_json:
        from clew.cli.flow_json import SCHEMA

        for one in found:
            terminal.json(
                {
                    "schema": SCHEMA,
                    "format": one.name,
                    "title": one.title,
                    "description": one.description,
                    "shape": one.shape,
                    "kind": one.kind,
                }
            )
        return Exit.FINE
    terminal.out(_listed(found, terminal.look))
    terminal.hint("clew formats test FILE shows what the lines of a file become")
    return Exit.FINE


@formats.command("test")
@click.argument("file")
@option(
    "--format",
    "format_",
    env="INGEST_FORMAT",
    metavar="NAME|FILE",
    help="The format, instead of recognising it by content.",
)
@option(
    "--lines",
    "-n",
    env="FORMATS_LINES",
    type=click.IntRange(min=1, max=_SAMPLE_ROWS),
    default=SHOWN,
    show_default=True,
    metavar="N",
    help="How many records to show.",
)
@option(
    "--zone", env="INGEST_ZONE", default="UTC", show_default=True, metavar="ZONE", help="As for clew ingest."
)
@as_json
@common
@click.pass_obj
def test(context: Context, /, *, file: str, format_: str | None, lines: int, zone: str, as_json: bool) -> int:
    """Show what the first lines of FILE become, and store nothing.

    FILE is input as clew ingest reads it. A format file (YAML) is checked instead,
    and its own sample lines are shown.
    """
    from clew.collectors.formats import Settings, load

    terminal = context.terminal
    settings = Settings(zone=zone)
    if format_ is None and Path(file).suffix in {".yaml", ".yml"}:
        format_, rows = file, _samples(load(Path(file)), file, settings)
    else:
        format_, rows = _read(file, format_, settings)
    records = [row for row in rows if row["reject"] is None]
    rejects = [row for row in rows if row["reject"] is not None]
    if as_json:
        for row in rows[:lines]:
            terminal.json(_json(row, format_))
    else:
        terminal.out(_told(format_, records, rejects, lines, terminal.look))
    return Exit.REJECTS if rejects and not records else Exit.FINE


def _read(file: str, format_: str | None, settings: Any) -> tuple[str, list[dict[str, Any]]]:
    """The format found and the first records of an input.

    Raises:
        SourceUnavailable: it cannot be opened.
        UnknownFormat: no such format.
        UsageMistake: there is nothing in it.
    """
    from clew.collectors.files.collector import FilesCollector

    collector = FilesCollector([file], format=format_, settings=settings, batch_rows=_SAMPLE_ROWS)
    name, rows = "", []
    try:
        for batch in collector.batches({}):
            name = name or batch.format
            rows.extend(batch.records().slice(0, _SAMPLE_ROWS).to_pylist())
            rows.extend(
                {
                    "reject": reject.reason,
                    "body": reject.raw.decode("utf-8", "backslashreplace"),
                    "position": reject.position,
                }
                for reject in batch.rejects
            )
            if rows:
                break
    finally:
        collector.close()
    if not rows:
        raise UsageMistake(f"there is nothing to read in {file}")
    return name, rows


def _samples(format_: Format, file: str, settings: Any) -> list[dict[str, Any]]:
    """What the sample lines of a format file become; loading it has checked them."""
    import duckdb
    import pyarrow as pa

    from clew.collectors.formats import plan

    lines = [sample.line for sample in format_.samples]
    if not lines:
        raise UsageMistake("the format has no samples", file=file, help="give it some: loading checks them")
    positions = pa.array(range(1, len(lines) + 1), pa.int64())
    with duckdb.connect() as connection:
        connection.register("raw", pa.table({"line": pa.array(lines, pa.string()), "position": positions}))
        select = plan(file, lines, settings=settings).select
        rows: list[dict[str, Any]] = connection.sql(select).to_arrow_table().to_pylist()
    return rows


def _told(
    name: str, records: Sequence[dict[str, Any]], rejects: Sequence[dict[str, Any]], most: int, look: Look
) -> Iterator[Line]:
    from clew.cli.units import count

    first = look.line("format ", "faint").add(name or "unknown", "strong")
    said = f": {count(len(records), 'record')} and {count(len(rejects), 'reject')} in what was looked at"
    yield first.add(said)
    for row in records[:most]:
        yield look.line()
        yield look.line(f"record at {row['position']}", "heading")
        for column, value in row.items():
            if value is not None and column != "position":
                label = look.line("  " + column.ljust(_NAME) + " ", "name")
                yield from look.wrap(_value(value), first=label)
    for row in rejects[:most]:
        yield look.line()
        yield look.line(f"reject at {row['position']}: ", "heading").add(row["reject"], "warning")
        yield (
            look.line("  ").add(str(row.get("body") or "")[: look.width * 2]).fit(look.width, look.glyphs.cut)
        )


def _value(value: Any) -> str:
    from datetime import datetime

    if isinstance(value, datetime):
        from clew.cli.flow_json import time

        return time(value) or ""
    return str(value)


def _json(row: dict[str, Any], name: str) -> dict[str, Any]:
    from clew.cli.flow_json import SCHEMA, plain

    reject = row.get("reject")
    record = {key: value for key, value in row.items() if key != "reject" and value is not None}
    return {"schema": SCHEMA, "format": name, "reject": reject, "record": plain(record)}


def _listed(found: Sequence[Format], look: Look) -> Iterator[Line]:
    from clew.cli.table import Column, table

    columns = (
        Column("FORMAT", 1, 8, most=28),
        Column("TITLE", 2, 20, most=60),
        Column("SHAPE", 3, 5),
        Column("RECOGNISED BY", 4, 20, most=80),
    )
    rows = [
        [
            look.line(one.name, "name"),
            look.line(one.title),
            look.line(one.shape),
            look.line(_recognised(one), "faint"),
        ]
        for one in found
    ]
    yield from table(columns, rows, look)


def _recognised(one: Format) -> str:
    return " or ".join(_rule(rule) for rule in (one.recognise, *one.recognise.others))


def _rule(by: Recognise) -> str:
    parts = [" + ".join(by.all)] if by.all else []
    if by.any:
        parts.append("one of " + ", ".join(by.any))
    parts.extend(f"{path} like {pattern}" for path, pattern in by.where.items())
    if by.none:
        parts.append("without " + ", ".join(by.none))
    return "; ".join(parts)
