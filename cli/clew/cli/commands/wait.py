"""``clew wait``: for scripts that go on when a flow has got somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clew.cli.commands.flows import STATUSES
from clew.cli.errors import NothingFound
from clew.cli.exits import Exit
from clew.cli.options import DURATION, Context, as_json, option, scoped, stored

if TYPE_CHECKING:
    from clew.cli.terminal import Terminal
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
    with context.store() as store:
        flow = _wait(store, id_, scope, until, timeout / 1_000_000)
    terminal = context.terminal
    if flow is None:
        raise NothingFound(
            f"nothing of the ID {id_!r} came", help="clew sources says what was read, and up to when"
        )
    if as_json:
        from clew.cli import flow_json

        terminal.json(flow_json.flow(flow))
    else:
        _tell(terminal, flow)
    if flow.status in until:
        return Exit.FINE
    wanted = " or ".join(until)
    ended = flow.status in ENDED
    terminal.warn(f"waited for {wanted}, {'and it ended otherwise' if ended else 'and the time is over'}")
    return Exit.FOUND


def _tell(terminal: Terminal, flow: Flow) -> None:
    from clew.cli.flow_table import flow_table

    terminal.out(flow_table([flow], terminal.look))


def _wait(store: Store, text: str, scope: str | None, until: tuple[str, ...], seconds: float) -> Flow | None:
    """The flow when it has one of the statuses, or has ended, or as it is when the time is over."""
    from clew.cli.finding import matches
    from clew.cli.following import changes

    flow: Flow | None = None
    for _ in changes(store, seconds=seconds):
        with store.held():
            try:
                found = matches(store, text, scope)
            except NothingFound:
                continue
            flows = [store.flow(match.flow_id, match.scope, limit=1) for match in found]
        standing = [detail.flow for detail in flows if detail is not None]
        if len(standing) > 1:
            raise NothingFound(
                f"{text!r} leads to {len(standing)} flows",
                help="clew show lists them; wait for one by its own ID",
                status=Exit.USAGE,
            )
        flow = standing[0] if standing else flow
        if flow is not None and (flow.status in until or flow.status in ENDED):
            break
    return flow
