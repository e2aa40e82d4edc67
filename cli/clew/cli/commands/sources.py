"""``clew sources``: what was read, how far, and what was rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clew.cli.errors import NothingFound, UsageMistake
from clew.cli.exits import Exit
from clew.cli.options import Context, as_json, option, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.cli.look import Line, Look
    from clew.cli.terminal import Terminal
    from clew.reconstruct.answers import SourceStatus, StoredReject
    from clew.reconstruct.running import RunningProcess

REJECTS = 20
"""Rejects that a person sees unless --limit says otherwise."""


@click.command()
@click.argument("source", required=False)
@option(
    "--rejects", "rejected", env="SOURCES_REJECTS", is_flag=True, help="What could not be decoded, and why."
)
@option(
    "--running",
    env="SOURCES_RUNNING",
    is_flag=True,
    help="Only what clew collect and clew receive do at this moment.",
)
@option(
    "--limit",
    env="SOURCES_LIMIT",
    type=click.IntRange(min=0),
    default=REJECTS,
    show_default=True,
    metavar="N",
    help="At most so many rejects; 0 for all.",
)
@as_json
@stored
@click.pass_obj
def sources(
    context: Context, *, source: str | None, rejected: bool, running: bool, limit: int, as_json: bool
) -> int:
    """List what was read: how far, how much, up to when; with --rejects what could not be.

    SOURCE is one of them, or the end of its name. What clew collect and clew
    receive do with the store at this moment stands above.
    """
    terminal = context.terminal
    if running and rejected:
        raise UsageMistake("--running and --rejects are two questions", help="ask one after the other")
    now = _running(context) if source is None and not rejected else []
    if running:
        _tell_running(terminal, now, as_json=as_json)
        return Exit.FINE
    with context.store() as store:
        found = _named(store.sources(), source)
        if rejected:
            names = [one.source for one in found] if source is not None else [None]
            bound = limit or 1_000_000_000
            rejects = [reject for name in names for reject in store.rejects(name, bound)][:bound]
    from clew.cli import flow_json

    if as_json:
        rows = map(flow_json.reject, rejects) if rejected else map(flow_json.source, found)
        for row in rows:
            terminal.json(row)
    elif rejected:
        total = sum(one.rejects for one in found)
        terminal.out(_rejects(rejects, total, terminal.look))
    else:
        from clew.cli.running_table import processes

        terminal.out(processes(now, terminal.look))
        terminal.out(_sources(found, terminal.look))
        if any(one.rejects for one in found):
            terminal.hint("clew sources --rejects shows what was rejected")
    return Exit.FINE


def _running(context: Context) -> list[RunningProcess]:
    from pathlib import Path

    from clew.reconstruct.running import running

    return running(Path(context.store_path))


def _tell_running(terminal: Terminal, found: list[RunningProcess], *, as_json: bool) -> None:
    if as_json:
        from clew.cli import flow_json

        for process in found:
            for row in flow_json.running(process):
                terminal.json(row)
        return
    from clew.cli.running_table import processes

    terminal.out(processes(found, terminal.look))
    if not found:
        terminal.out("nothing writes to the store; clew collect and clew receive do")


def _named(all_: list[SourceStatus], name: str | None) -> list[SourceStatus]:
    """Every source, or those of that name, or those whose name ends so.

    Raises:
        NothingFound: none is called so.
    """
    if name is None:
        return all_
    found = [one for one in all_ if one.source == name] or [one for one in all_ if one.source.endswith(name)]
    if not found:
        raise NothingFound(f"no source is called {name!r}", help="clew sources lists them")
    return found


def _sources(found: list[SourceStatus], look: Look) -> Iterator[Line]:
    from clew.cli.table import Column, table
    from clew.cli.units import count, moments

    if not found:
        yield look.line("nothing was read yet; clew ingest reads files into the store")
        return
    first, last = moments([one.first for one in found]), moments([one.last for one in found])
    marks = moments([one.watermark for one in found])
    columns = (
        Column("SOURCE", 1, 20, good=40),
        Column("FORMAT", 3, 8, most=24),
        Column("RECORDS", 2, 7, right=True),
        Column("DUPLICATES", 7, 10, right=True),
        Column("REJECTS", 4, 7, right=True),
        Column("FIRST", 8, 8),
        Column("LAST", 5, 8),
        Column("WATERMARK", 6, 9),
        Column("SCOPE", 9, 6, most=20),
        Column("POSITION", 10, 12, most=40),
    )
    rows = [
        [
            _tail(one.source, look),
            look.line(one.format),
            look.line(count(one.records)),
            look.line(count(one.duplicates) if one.duplicates else ""),
            look.line(count(one.rejects) if one.rejects else "", "warning"),
            look.line(begin),
            look.line(end),
            look.line(_mark(mark, one), "warning" if one.silent else ""),
            look.line(one.scope),
            look.line(one.position, "faint"),
        ]
        for one, begin, end, mark in zip(found, first, last, marks, strict=True)
    ]
    yield from table(columns, rows, look)
    yield look.line()
    records, rejects = sum(one.records for one in found), sum(one.rejects for one in found)
    said = look.line(f"{count(len(found), 'source')}, {count(records, 'record')}")
    yield said.add(f", {count(rejects, 'reject')}", "warning") if rejects else said


def _mark(mark: str, one: SourceStatus) -> str:
    if one.watermark is None:
        return ""
    return mark + ("" if one.watermark_exact else " (est.)") + (" silent" if one.silent else "")


def _tail(name: str, look: Look) -> Line:
    """A long path by its end, which tells more than its beginning."""
    room = max(look.width // 2, 20)
    whole = look.line(name, "name")
    return whole if whole.cells <= room else look.line(look.glyphs.cut + name[1 - room :], "name")


def _rejects(found: list[StoredReject], total: int, look: Look) -> Iterator[Line]:
    from clew.cli.units import count

    for reject in found:
        yield look.line(f"{reject.source}:{reject.position}", "name").add("  ").add(reject.reason, "warning")
        raw = reject.raw.decode("utf-8", "backslashreplace")
        yield look.line("  ").add(raw[: look.width * 4]).fit(look.width, look.glyphs.cut)
    if not found and total:
        yield look.line(f"{count(total, 'reject')}, none of which was kept")
    elif not found:
        yield look.line("nothing was rejected")
    elif total > len(found):
        yield look.line()
        yield look.line(
            f"{count(len(found))} of {count(total, 'reject')}; --limit 0 shows every one that was kept"
        )
