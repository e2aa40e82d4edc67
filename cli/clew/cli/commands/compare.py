"""``clew compare``: what changed between two windows of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clew.cli.errors import UsageMistake
from clew.cli.exits import Exit
from clew.cli.narrowing import Asked, narrowing
from clew.cli.options import MOMENT, Context, as_json, at_most, limited, option, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.cli.look import Line, Look
    from clew.reconstruct.reports import Comparison, Window

SHOWN = 50
"""Changes that a person sees unless --limit says otherwise."""


class Period(click.ParamType[tuple[str, str]]):
    """``A..B``: two times, of which one may be missing."""

    name = "from..to"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split it and check both."""
        if isinstance(value, tuple):
            return (str(value[0]), str(value[1]))
        since, dots, until = str(value).partition("..")
        if not dots or not (since.strip() or until.strip()):
            self.fail(f"{value!r} is no A..B, such as 2h..1h or 2026-01-31T12:00Z..", param, ctx)
        return tuple(MOMENT.convert(end, param, ctx) if end.strip() else "" for end in (since, until))  # type: ignore[return-value]


@click.command()
@option(
    "--at",
    env="COMPARE_AT",
    type=MOMENT,
    metavar="TIME",
    help="Compare what started before with what started then or later.",
)
@option(
    "--before",
    env="COMPARE_BEFORE",
    type=Period(),
    metavar="A..B",
    help="The first window, by the start of flows: from A to before B.",
)
@option(
    "--after",
    env="COMPARE_AFTER",
    type=Period(),
    metavar="C..D",
    help="The second window. An end left out is open.",
)
@option(
    "--all", "everything", env="COMPARE_ALL", is_flag=True, help="What did not change significantly, too."
)
@limited("COMPARE", "changes", SHOWN)
@narrowing("COMPARE", types=True, period=False)
@option(
    "--exit-code",
    env="COMPARE_EXIT_CODE",
    is_flag=True,
    help="Exit with status 1 when a change is significant.",
)
@as_json
@stored
@click.pass_obj
def compare(
    context: Context,
    /,
    *,
    types: tuple[str, ...],
    everything: bool,
    limit: int | None,
    exit_code: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Say what changed between two windows: success, time, steps, errors, versions.

    A change is significant when each window has 30 flows (or steps) of it, when it
    is 3 standard errors from none, and when it is not tiny. Shares are compared by
    the two-proportion z-test, durations by a rank test. A step, an error type or a
    schema version that was not there before is new.

    \b
      clew compare --at 2026-01-31T12:00Z
      clew compare --before 3h..2h --after 1h.. --type order-fulfilment --all
    """  # noqa: D301  click's mark for lines that it must not join
    terminal = context.terminal
    with context.store() as store:
        asked = Asked(store, given)
        before, after = _windows(asked, given)
        with asked.joining():
            found = store.compare(before, after, asked.which(types), asked.at)
        standing = asked.standing(terminal.look)
    significant = [change for change in found.changes if change.significant]
    most = at_most(limit, SHOWN, as_json=as_json)
    shown = (found.changes if everything or as_json else significant)[:most]
    if as_json:
        from clew.cli.report_json import report

        for one in shown:
            terminal.json(report(one))
    else:
        from clew.cli.change_table import change_table

        terminal.out(change_table(found, shown, terminal.look))
        terminal.out(_rest(found, len(significant), len(shown), terminal.look))
        terminal.out(standing)
    return Exit.FOUND if exit_code and significant else Exit.FINE


def _windows(asked: Asked, given: dict[str, Any]) -> tuple[Window, Window]:
    """The windows that the options name.

    Raises:
        UsageMistake: they name none, or both ways, or windows that overlap.
    """
    from clew.reconstruct.reports import Window

    at, before, after = given["at"], given["before"], given["after"]
    how = "give --at TIME, or both --before A..B and --after C..D"
    if (at is None) == (before is None and after is None):
        raise UsageMistake("two windows are needed to compare", help=how)
    if at is not None:
        split = asked.moment(at)
        return Window(None, split), Window(split, None)
    if before is None or after is None:
        raise UsageMistake("one window is named, two are needed", help=how)
    first, second = (Window(*(asked.moment(end or None) for end in one)) for one in (before, after))
    if _reaches(first, second) and _reaches(second, first):
        raise UsageMistake("the two windows overlap", help="each flow can be in one of them only; " + how)
    return first, second


def _reaches(one: Window, other: Window) -> bool:
    """Whether ``one`` begins before ``other`` ends."""
    return one.since is None or other.until is None or one.since < other.until


def _rest(found: Comparison, significant: int, shown: int, look: Look) -> Iterator[Line]:
    """What is not listed, and why nothing may be."""
    from clew.cli.units import count
    from clew.reconstruct.significance import SUPPORT

    yield look.line()
    if not found.before_flows or not found.after_flows:
        side = "before" if not found.before_flows else "after"
        yield from look.wrap(f"no flow {side}: nothing to compare", "warning", first=look.line())
        return
    said = f"{count(significant, 'significant change')} of {count(len(found.changes), 'measure')}"
    if shown < significant:
        said += f"; {count(shown)} shown, --limit 0 lists all"
    elif shown < len(found.changes):
        said += "; --all lists the others"
    yield from look.wrap(said, "faint", first=look.line())
    if min(found.before_flows, found.after_flows) < SUPPORT:
        yield from look.wrap(
            f"fewer than {SUPPORT} flows in a window: no difference can be told from chance",
            "warning",
            first=look.line(),
        )
