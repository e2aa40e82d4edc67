"""``clew flows``, and ``stuck``, ``failed``, ``dead`` for short: which flows there are, how they stand."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from clew.cli.errors import UsageMistake
from clew.cli.exits import Exit
from clew.cli.options import (
    KEY_VALUE,
    MOMENT,
    Context,
    as_json,
    as_of,
    at_most,
    inferring,
    joined,
    limited,
    moment,
    option,
    scoped,
    stored,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from clew.cli.look import Line
    from clew.cli.terminal import Terminal
    from clew.reconstruct.model import Flow, FlowFilter, Summary
    from clew.reconstruct.store import Store

STATUSES = (
    "cancelled",
    "dead_lettered",
    "failed",
    "compensated",
    "compensating",
    "stuck",
    "in_progress",
    "completed",
)
SORTS = ("started", "last", "records", "errors", "duration", "type", "status", "owed")
ASCENDING = frozenset({"type", "status", "owed"})
"""Orders whose first is the least: what is owed for longest has been owed since the earliest time."""
MARKS = ("late", "duplicates")
GROUPINGS = ("cause", "step", "service", "type")
PAGE = 50
"""Flows that a person sees unless --limit says otherwise."""


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in reversed(
        (
            option(
                "--type",
                "types",
                env="FLOWS_TYPE",
                multiple=True,
                metavar="TYPE",
                help="Only flows of this type.",
            ),
            option(
                "--service",
                "services",
                env="FLOWS_SERVICE",
                multiple=True,
                metavar="NAME",
                help="Only flows that this service took part in.",
            ),
            option(
                "--since",
                env="FLOWS_SINCE",
                type=MOMENT,
                metavar="TIME",
                help="Only flows with a record at or after: ISO 8601, or 15m, 2h, 3d before as-of.",
            ),
            option(
                "--until",
                env="FLOWS_UNTIL",
                type=MOMENT,
                metavar="TIME",
                help="Only flows that started before.",
            ),
            option(
                "--key",
                "keys",
                env="FLOWS_KEY",
                multiple=True,
                type=KEY_VALUE,
                metavar="NAME=VALUE",
                help="Only flows with this key, e.g. order_id=4711.",
            ),
            option(
                "--with",
                "marks",
                env="FLOWS_WITH",
                multiple=True,
                type=click.Choice(MARKS),
                metavar="WHAT",
                help="Only flows that completed late, or with duplicates: an event that one consumer handled twice, "
                "each time with effects.",
            ),
            scoped,
            option(
                "--sort",
                env="FLOWS_SORT",
                type=click.Choice(SORTS),
                metavar="BY",
                default="last",
                show_default=True,
                help=f"By {', '.join(SORTS)}: the newest, the most, the longest come first.",
            ),
            option(
                "--by",
                env="FLOWS_BY",
                type=click.Choice(GROUPINGS),
                metavar="WHAT",
                help=f"Group them instead, by {', '.join(GROUPINGS)}: how many, since when, what changed before.",
            ),
            option("--reverse", env="FLOWS_REVERSE", is_flag=True, help="The other way round."),
            limited("FLOWS", "flows", PAGE),
            option(
                "--follow",
                env="FLOWS_FOLLOW",
                is_flag=True,
                help="Go on with each flow as it changes, until Ctrl-C.",
            ),
            inferring,
            as_of,
            as_json,
            option(
                "--exit-code",
                env="FLOWS_EXIT_CODE",
                is_flag=True,
                help="Exit with status 1 when any flow matches.",
            ),
            option(
                "--fail-on",
                env="FLOWS_FAIL_ON",
                multiple=True,
                type=click.Choice(STATUSES),
                metavar="STATUS",
                help="Exit with status 1 when any matching flow has this status.",
            ),
            stored,
            click.pass_obj,
        )
    ):
        command = decorate(command)
    return command


@click.command()
@option(
    "--status",
    "statuses",
    env="FLOWS_STATUS",
    multiple=True,
    type=click.Choice(STATUSES),
    metavar="STATUS",
    help=f"Only flows of this status; may be given several times. One of {', '.join(STATUSES)}.",
)
@_filters
def flows(context: Context, statuses: tuple[str, ...], **given: Any) -> int:
    """List flows: status, type, why, when.

    Conditions hold together; several of one kind are alternatives.
    """
    return _list(context, statuses, given)


@click.command()
@_filters
def stuck(context: Context, **given: Any) -> int:
    """List the flows that wait for something overdue: clew flows --status stuck."""
    return _list(context, ("stuck",), given)


@click.command()
@_filters
def failed(context: Context, **given: Any) -> int:
    """List the flows that failed: clew flows --status failed."""
    return _list(context, ("failed",), given)


@click.command()
@_filters
def dead(context: Context, **given: Any) -> int:
    """List the flows with a message in a dead-letter queue: clew flows --status dead_lettered."""
    return _list(context, ("dead_lettered",), given)


def _list(context: Context, statuses: tuple[str, ...], given: dict[str, Any]) -> int:
    from dataclasses import replace

    terminal = context.terminal
    _agree(given)
    with context.store() as store:
        if given["follow"]:
            from clew.cli.following import follow

            which = _which(statuses, given, None, lambda: store.summary().as_of)
            follow(terminal, store, which, partial(_table, terminal, store), as_json=given["as_json"])
            return Exit.FINE
        summary: Summary | None = None

        def newest() -> datetime | None:
            nonlocal summary
            summary = summary or store.summary()
            return summary.as_of

        at = moment(given["as_of"], newest)
        which = _which(statuses, given, at, newest)
        with joined(store, given["likelihood"] if given["inferred"] else None, at) as continued:
            if given["by"]:
                listed = _group(terminal, store, which, given, at)
            elif given["as_json"]:
                from clew.cli import flow_json

                listed = 0
                for listed, found in enumerate(store.flows(which, at), 1):  # noqa: B007  the last number counts
                    terminal.json(flow_json.flow(found))
            else:
                from clew.cli.flow_table import inference

                told = inference(continued, given["likelihood"], terminal.look) if given["inferred"] else ()
                listed = len(_table(terminal, store, which, at, told=told))
            if given["exit_code"] and listed:
                return Exit.FOUND
            wanted = [status for status in given["fail_on"] if not statuses or status in statuses]
            if wanted and any(store.flows(replace(which, statuses=_statuses(wanted), limit=1), at)):
                return Exit.FOUND
    return Exit.FINE


def _table(
    terminal: Terminal,
    store: Store,
    which: FlowFilter,
    at: datetime | None = None,
    *,
    hint: bool = True,
    told: Iterable[Line] = (),
) -> list[Flow]:
    """Print the flows as a table, what is ``told`` of it, and how the store stands; give what was listed."""
    from dataclasses import replace

    from clew.cli.flow_table import flow_table, matched, standing

    most = which.limit
    # Both are of one state; an earlier one, or one that is joined, is made for each.
    with store.held() if at is None and not told else nullcontext():
        page = list(store.flows(replace(which, limit=None if most is None else most + 1), at))
        summary = store.summary(at)
    more = most is not None and len(page) > most
    page = page[:most]
    terminal.out(flow_table(page, terminal.look))
    terminal.out(matched(summary, len(page), terminal.look, more=more))
    terminal.out(told)
    terminal.out(standing(summary, terminal.look))
    if page and hint:
        terminal.hint(f"clew show {_word(page[0].flow_id)} draws the first; clew why says why it is so")
    return page


def _agree(given: dict[str, Any]) -> None:
    """Refuse what ``--follow`` cannot go with."""
    others = {
        "by": "--by",
        "as_of": "--as-of",
        "exit_code": "--exit-code",
        "fail_on": "--fail-on",
        "inferred": "--inferred",
    }
    for name, flag in others.items():
        if given["follow"] and given[name]:
            raise UsageMistake(
                f"--follow shows flows as they change now, and has no use for {flag}",
                help="clew wait ID waits for one flow, and its exit status says how it went",
            )


def _group(
    terminal: Terminal, store: Store, which: FlowFilter, given: dict[str, Any], at: datetime | None
) -> int:
    """Print the groups; give how many there are."""
    from clew.reconstruct.answers import GroupBy

    # Both are of one state, as in a table of flows.
    with store.held() if at is None and not given["inferred"] else nullcontext():
        groups = store.groups(which, GroupBy(given["by"]), at)
        summary = store.summary(at) if not given["as_json"] else None
    if summary is None:
        from clew.cli import flow_json

        for found in groups:
            terminal.json(flow_json.group(found, given["by"]))
        return len(groups)
    from clew.cli.flow_table import matched, standing
    from clew.cli.group_table import group_table

    terminal.out(group_table(groups, given["by"], summary.as_of, terminal.look))
    if groups:
        terminal.out(terminal.look.line())
    else:
        terminal.out(matched(summary, 0, terminal.look, more=False))
    terminal.out(standing(summary, terminal.look))
    if groups:
        terminal.hint(f"clew why {_word(groups[0].example)} explains the first of the largest group")
    return len(groups)


def _which(
    statuses: tuple[str, ...],
    given: dict[str, Any],
    at: datetime | None,
    newest: Callable[[], datetime | None],
) -> FlowFilter:
    from clew.reconstruct.model import FlowFilter, Mark

    return FlowFilter(
        statuses=_statuses(statuses),
        types=given["types"],
        services=given["services"],
        since=moment(given["since"], lambda: at or newest()),
        until=moment(given["until"], lambda: at or newest()),
        keys=given["keys"],
        marks=tuple(Mark(mark) for mark in given["marks"]),
        scope=given["scope"],
        sort=given["sort"],
        descending=(given["sort"] not in ASCENDING) is not given["reverse"],
        limit=at_most(given["limit"], PAGE, as_json=given["as_json"]),
    )


def _statuses(names: Any) -> tuple[Any, ...]:
    from clew.reconstruct.model import Status

    return tuple(Status(name) for name in names)


def _word(text: str) -> str:
    import shlex

    return shlex.quote(text)
