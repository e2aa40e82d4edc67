"""``clew ingest``: read files, folders or stdin into the store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from clew.cli.errors import CommandError
from clew.cli.exits import Exit
from clew.cli.judging import changed, into_scope, judged_by, judging, reading, redacting, zoned
from clew.cli.options import Context, as_json, option, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.cli.look import Line, Look
    from clew.reconstruct.ingest import IngestReport
    from clew.reconstruct.model import Summary

_PERCENT = 100


class Threshold(NamedTuple):
    """How much may be rejected: a number, or a share of what was read."""

    number: int | None
    percent: float | None

    def crossed(self, rejects: int, records: int) -> bool:
        """Whether more was rejected."""
        if self.number is not None:
            return rejects > self.number
        return rejects * _PERCENT > (self.percent or 0.0) * (rejects + records)


class Rejects(click.ParamType[Threshold]):
    """``N`` or ``P%``."""

    name = "threshold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Threshold:
        """Read it."""
        if isinstance(value, Threshold):
            return value
        text = str(value).strip()
        percent = text.endswith("%")
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = -1.0
        if not 0 <= number <= (_PERCENT if percent else sys.maxsize) or not (percent or number.is_integer()):
            self.fail(
                f"{text!r} is no threshold; write a number such as 10, or a share such as 0.5%", param, ctx
            )
        return Threshold(None, number) if percent else Threshold(int(number), None)


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...", required=True)
@option(
    "--format",
    "format_",
    env="INGEST_FORMAT",
    metavar="NAME|FILE",
    help="The format, instead of recognising it by content: a name from clew formats, or a format file.",
)
@zoned("INGEST")
@redacting("INGEST")
@judging
@into_scope("read")
@option("--follow", env="INGEST_FOLLOW", is_flag=True, help="Go on as files grow and rotate, until Ctrl-C.")
@option(
    "--max-rejects",
    env="INGEST_MAX_REJECTS",
    type=Rejects(),
    metavar="N|P%",
    help="Exit with status 5 when more than so many, or so large a share, were rejected.",
)
@option(
    "--strict",
    env="INGEST_STRICT",
    is_flag=True,
    help="Exit with status 4 when any source could not be read.",
)
@option("--no-progress", env="INGEST_NO_PROGRESS", is_flag=True, help="No progress on stderr.")
@as_json
@stored
@click.pass_obj
def ingest(
    context: Context, /, *, paths: tuple[str, ...], as_json: bool, no_progress: bool, **given: Any
) -> int:
    """Read files, folders, globs, or - for stdin into the store, and put the flows together.

    Compressed files (gz, zst, bz2, xz) are read as they are. Reading the same
    input again adds nothing; a file that has grown adds what is new.
    """
    from clew.cli.progress import shown
    from clew.collectors.files.collector import FilesCollector
    from clew.reconstruct.ingest import ingest as join

    terminal = context.terminal
    now = judged_by(context)
    wanted = changed(now, given)
    collector = FilesCollector(
        paths,
        format=given["format_"],
        settings=reading(wanted, given["redact_keys"], given["redact_patterns"], zone=given["zone"]),
        follow=given["follow"],
        scope=given["scope"],
    )
    try:
        with context.store(create=True, settings=None if wanted == now else wanted) as store:
            with shown(terminal, wanted=not no_progress) as progress:
                report = join(store, collector, progress=progress)
            summary = store.summary()
    finally:
        collector.close()
    for problem in report.problems:
        terminal.warn(problem)
    if as_json:
        terminal.json(in_json(report))
    else:
        terminal.out(told(report, summary, terminal.look))
    return _status(report, given)


def _status(report: IngestReport, given: dict[str, Any]) -> int:
    nothing = not report.records and not report.rejects
    if report.problems and (given["strict"] or (nothing and not report.by_source)):
        return Exit.UNREACHABLE
    threshold: Threshold | None = given["max_rejects"]
    if threshold is not None and threshold.crossed(report.rejects, report.records):
        whole = report.rejects + report.records
        raise CommandError(
            f"{report.rejects:,} of {whole:,} were rejected, more than --max-rejects allows",
            help="clew sources --rejects shows them",
            status=Exit.REJECTS,
        )
    if report.stopped_by and not given["follow"]:
        return Exit.INTERRUPTED
    return Exit.FINE


def told(report: IngestReport, summary: Summary, look: Look) -> Iterator[Line]:
    """What was read, how the store stands now, and what to try next."""
    from clew.cli.flow_table import standing
    from clew.cli.units import count

    rate = f", {count(round(report.records / report.seconds))}/s" if report.seconds > 0 else ""
    sources = count(len(report.by_source), "source")
    yield look.line(f"{count(report.records, 'record')} read from {sources} in {report.seconds:.1f} s{rate}")
    parts = [f"{count(number, kind.replace('_', ' '))}" for kind, number in report.by_kind.items() if number]
    new = look.line(f"{count(report.new)} new" + (f" ({', '.join(parts)})" if parts else ""))
    if report.duplicates:
        new.add(f", {count(report.duplicates)} already stored")
    if report.rejects:
        new.add(", ").add(count(report.rejects, "reject"), "warning")
    yield new
    if report.stopped_by:
        yield look.line(f"stopped by {report.stopped_by}; the same command goes on from there", "warning")
    yield look.line()
    yield from standing(summary, look)
    yield from look.wrap(", ".join(_next(summary)), first=look.line("next: ", "help"))


def _next(summary: Summary) -> Iterator[str]:
    if not summary.flows:
        yield "clew formats test FILE shows what a line becomes"
        return
    yield "clew flows"
    for status, command in (
        ("stuck", "clew stuck"),
        ("failed", "clew failed"),
        ("dead_lettered", "clew dead"),
    ):
        if summary.by_status.get(status):
            yield command
    yield "clew show ID"


def in_json(report: IngestReport) -> dict[str, Any]:
    """The report for programs."""
    from clew.cli.flow_json import SCHEMA

    return {
        "schema": SCHEMA,
        "records": report.records,
        "new": report.new,
        "duplicates": report.duplicates,
        "rejects": report.rejects,
        "unattributed": report.unattributed,
        "flows": report.flows,
        "by_kind": dict(report.by_kind),
        "seconds": round(report.seconds, 3),
        "by_source": {
            name: {
                "records": written.records,
                "new": written.new,
                "duplicates": written.duplicates,
                "rejects": written.rejects,
            }
            for name, written in report.by_source.items()
        },
        "problems": list(report.problems),
        "stopped_by": report.stopped_by,
    }
