"""From a format, a sample and settings to a Plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from clew.collectors.errors import CollectError, FormatError, UnknownFormat
from clew.collectors.formats.caching import cached
from clew.collectors.formats.compiler import compile_json
from clew.collectors.formats.envelopes import OPENED, opened, rows_within
from clew.collectors.formats.flat import compile_rows
from clew.collectors.formats.grouping import complete_count, joined_lines, joined_parts
from clew.collectors.formats.language import Field, Format, Multiline, Shape
from clew.collectors.formats.lines import compile_lines
from clew.collectors.formats.loader import built_in
from clew.collectors.formats.output import Source
from clew.collectors.formats.plans import Grouping, Plan, Selects
from clew.collectors.formats.recognition import best
from clew.collectors.formats.redaction import redacted
from clew.collectors.formats.settings import Settings
from clew.collectors.formats.texts import compile_csv, compile_text, csv_header, logfmt_as_json

LEARN_UNITS, LEARN_BYTES = 150, 256 * 1024
"""A sample with less teaches no short way: small inputs gain nothing from one, and inputs of
one format then share one SELECT."""

_DEPTH = 4
"""Envelopes within envelopes: compose around docker around CRI around a logger is enough."""


def assembled(
    format: Format, sample: Sequence[str], settings: Settings, *, learn: bool | None = None
) -> Plan:
    """The Plan of a format for an input that begins with the sample.

    ``learn`` says whether to take a short way for lines like the sample's; by default a
    sample of some size decides.

    Raises:
        FormatError: the format cannot read it at all (CSV without a header).
    """
    if learn is None:
        learn = len(sample) >= LEARN_UNITS or sum(map(len, sample)) >= LEARN_BYTES
    _check_zone(settings.zone)
    source = unjoined = Source()
    names = [format.name]
    inner = list(sample)
    while format.inside is not None and len(names) <= _DEPTH:
        source = opened(format, format.inside, settings, source)
        partial = format.inside.partial is not None
        parts = joined_parts(source) if partial else source
        inner = _texts(parts, sample)
        format = _named(format.inside.format) if format.inside.format else _inner(inner)
        names.append(format.name)
        unjoined = source
        source = parts
    multiline = _multiline(format, inner)
    count = complete_count(unjoined, multiline)
    if multiline is not None:
        source = joined_lines(source, multiline)
    selects = _selects(format, inner, settings, source, learn=learn, apart=count is None)
    return Plan(
        "/".join(names),
        redacted(selects.select, settings.redaction),
        redacted(selects.short, settings.redaction) if selects.short else None,
        Grouping(count) if count else None,
    )


def _multiline(format: Format, sample: Sequence[str]) -> Multiline | None:
    """How units go on in others; whole documents, as the sample shows, do not, and decode row by row."""
    multiline = format.multiline
    if multiline is None or not format.rows:
        return multiline
    continues = re.compile(multiline.continues or "", re.ASCII)
    return multiline if any(continues.search(unit) for unit in sample) else None


def _check_zone(zone: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise CollectError(
            f"no time zone {zone!r}", help="an IANA name, such as Europe/Berlin or UTC"
        ) from None


def _selects(
    format: Format, sample: Sequence[str], settings: Settings, source: Source, *, learn: bool, apart: bool
) -> Selects:
    match format.shape:
        case Shape.JSON if format.rows:
            compile_them = compile_rows if any(row.sql for row in format.rows) else compile_json
            relation = OPENED if source.lenient else source.relation
            select = cached(
                lambda: compile_them(format, settings, relation), "rows", format, settings, relation
            )
            if source.lenient:
                select = rows_within(
                    select, lambda rest: compile_lines(_named("json"), settings, (), rest).select, source
                )
        case Shape.JSON:
            learned = sample if learn else ()
            return compile_lines(_with_usual_names(format), settings, learned, source, apart=apart)
        case Shape.LOGFMT:
            source = logfmt_as_json(source)
            learned = _texts(source, sample) if learn else ()
            return compile_lines(_with_usual_names(format), settings, learned, source, apart=apart)
        case Shape.TEXT:
            select = cached(lambda: compile_text(format, settings, source), "text", format, settings, source)
        case Shape.CSV:
            header = _header(format, sample)
            usual = _with_usual_names(format)
            select = cached(
                lambda: compile_csv(usual, settings, source, header), "csv", usual, settings, source, header
            )
    return Selects(select)


def _header(format: Format, sample: Sequence[str]) -> str:
    if not sample or csv_header(sample[:1], format.delimiter) is None:
        raise FormatError(
            "the input does not begin with a CSV header",
            file=format.file,
            help="its first line must name the columns",
        )
    return sample[0]


def _with_usual_names(format: Format) -> Format:
    """So that lines of other loggers in the same input are read too."""
    usual = _named("json")
    if format.vocabulary is None or format.name == usual.name:
        return format
    record = dict(format.record)
    for column, given in usual.record.items():
        own = record.get(column)
        record[column] = _either(own, given) if own else given
    return replace(format, record=record)


def _either(own: Field, usual: Field) -> Field:
    """One field for both; where both only name paths, one conversion serves them."""
    first, *others = usual.first or (usual,)
    if own == Field(paths=own.paths, place=own.place) and first == Field(
        paths=first.paths, place=first.place
    ):
        merged = replace(own, paths=tuple(dict.fromkeys((*own.paths, *first.paths))))
        return Field(first=(merged, *others), place=own.place) if others else merged
    return Field(first=(own, usual), place=own.place)


def _named(name: str) -> Format:
    for one in built_in():
        if one.name == name:
            return one
    raise UnknownFormat(f"no format {name!r}", help=f"one of: {', '.join(one.name for one in built_in())}")


def _inner(texts: Sequence[str]) -> Format:
    try:
        return best([one for one in built_in() if one.recognise.rank >= 0], texts)
    except UnknownFormat:
        return _named("plain")


def _texts(source: Source, sample: Sequence[str]) -> list[str]:
    """What the sampled units are once a source has worked on them."""
    import duckdb
    import pyarrow as pa

    table = pa.table({"line": pa.array(sample, pa.string()), "position": range(len(sample))})
    with duckdb.connect() as connection:
        connection.register("raw", table)
        rows = connection.execute(f"SELECT line FROM ({source.relation}) ORDER BY position").fetchall()
    return [row[0] for row in rows if row[0] is not None]
