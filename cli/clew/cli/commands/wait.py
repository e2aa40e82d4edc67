"""``clew wait``: for scripts that go on when a flow has got somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clew.cli.commands.flows import STATUSES
from clew.cli.errors import NothingFound
from clew.cli.exits import Exit
from clew.cli.options import DURATION, Context, as_json, option, scoped, stored

if TYPE_CHECKING:
    from clew.reconstruct.answers import Match
    from clew.reconstruct.model import Flow
    from clew.reconstruct.store import Store

ENDED = frozenset({"completed", "cancelled", "compensated", "failed", "dead_lettered"})
"""Where a flow stays unless something new happens to it: waiting for another status is over then."""


@click.command()
@click.argument("id_", metavar="ID")
@option(
    "--until",
    env="WAIT_UNTIL",
    multiple=True,
    type=click.Choice(STATUSES),
    metavar="STATUS",
    default=("completed",),
    show_default=True,
    help=f"Status to wait for; any of several. One of {', '.join(STATUSES)}.",
)
@option(
    "--timeout",
    env="WAIT_TIMEOUT",
    type=DURATION,
    default="60s",
    show_default=True,
    metavar="DURATION",
    help="Give up after so long: 90s, 5m; 0s looks once.",
)
@scoped
@as_json
@stored
@click.pass_obj
def wait(
    context: Context, *, id_: str, until: tuple[str, ...], timeout: int, scope: str | None, as_json: bool
) -> int:
    """Wait until a flow has a status, and print it. It need not be there yet.

    Exit status 0: it has. 1: it ended otherwise, or the time is over. 3: nothing of
    that ID came.
    """
    from clew.cli.finding import only

    terminal = context.terminal
    with context.store() as store:
        found, flow = _wait(store, id_, scope, until, timeout / 1_000_000)
    if not found:
        raise NothingFound(
            f"nothing of the ID {id_!r} came", help="clew sources says what was read, and up to when"
        )
    if only(found, id_, "wait", terminal) is None or flow is None:
        return Exit.USAGE
    if as_json:
        from clew.cli import flow_json

        terminal.json(flow_json.flow(flow))
    else:
        from clew.cli.flow_table import flow_table

        terminal.out(flow_table([flow], terminal.look))
    if flow.status in until:
        return Exit.FINE
    wanted = " or ".join(until)
    ended = flow.status in ENDED
    terminal.warn(f"waited for {wanted}, {'and it ended otherwise' if ended else 'and the time is over'}")
    return Exit.FOUND


def _wait(
    store: Store, text: str, scope: str | None, until: tuple[str, ...], seconds: float
) -> tuple[list[Match], Flow | None]:
    """What ``text`` leads to, and the one flow when it has one of the statuses, or ended, or the time is over."""
    from clew.cli.finding import matches
    from clew.cli.following import changes

    found: list[Match] = []
    flow: Flow | None = None
    for _ in changes(store, seconds=seconds):
        with store.held():
            try:
                found = matches(store, text, scope)
            except NothingFound:
                continue
            if len(found) > 1:
                break
            detail = store.flow(found[0].flow_id, found[0].scope, limit=1)
        flow = detail.flow if detail is not None else flow
        if flow is not None and (flow.status in until or flow.status in ENDED):
            break
    return found, flow
