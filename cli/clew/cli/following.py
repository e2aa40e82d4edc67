"""Looking again whenever something was committed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeAlias

from clew.reconstruct.errors import StoreBusy, StoreMissing
from clew.reconstruct.model import FlowFilter

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Iterator
    from datetime import datetime

    from clew.cli.look import Line, Look
    from clew.cli.terminal import Terminal
    from clew.reconstruct.answers import Changed
    from clew.reconstruct.model import Flow
    from clew.reconstruct.store import Store

INTERVAL = 0.25
"""Seconds between two looks at whether something was committed: each costs two calls of ``stat``."""
REMEMBERED = 100_000
"""Flows whose last state is kept, so that a record that changes nothing prints nothing."""
ANY = FlowFilter(limit=0)
"""No flow: asks only whether something was committed."""


def changes(
    store: Store, which: FlowFilter = ANY, *, since: str | None = None, seconds: float = float("inf")
) -> Iterator[Changed]:
    """What changed since a mark, each time something was committed, for as long as ``seconds``.

    Without a mark the first has no flows: it is where the looking begins. A store that is
    not there yet, or that a writer holds for too long, is waited for.
    """
    end = time.monotonic() + seconds
    mark = since
    while True:
        try:
            seen = store.changed(which, mark)
        except (StoreMissing, StoreBusy):
            seen = None
        if seen is not None and seen.mark != mark:
            mark = seen.mark
            yield seen
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(INTERVAL, left))


Known: TypeAlias = "OrderedDict[tuple[str, str], object]"
"""How each flow stood when it was told last."""


class Listing(Protocol):
    """Prints flows as a table and gives what was listed."""

    def __call__(self, which: FlowFilter, *, hint: bool) -> list[Flow]: ...  # noqa: D102


def follow(terminal: Terminal, store: Store, which: FlowFilter, listing: Listing, *, as_json: bool) -> None:
    """List flows, then print each as it changes, and each that was printed as it leaves, until Ctrl-C.

    What is committed while the list is made is news, too: the mark is older than the list.
    """
    from collections import OrderedDict
    from dataclasses import replace

    try:
        every = replace(which, statuses=(), limit=None, sort="last", descending=False)
        begin = store.changed(every).mark
        if as_json:
            page = list(store.flows(which))
            for flow in page:
                _print(terminal, flow, None, as_json=True)
        else:
            page = listing(which, hint=False)
        known: Known = OrderedDict((_id(flow), _state(flow)) for flow in page)
        for seen in changes(store, every, since=begin):
            for flow in news(seen, which, known):
                _print(terminal, flow, seen.as_of, as_json=as_json)
    except KeyboardInterrupt:
        return


def news(seen: Changed, which: FlowFilter, known: Known) -> Iterator[Flow]:
    """Of what changed: flows of ``which`` that stand otherwise than when they were told, and told ones that left it."""
    for flow in seen.flows:
        among = not which.statuses or flow.status in which.statuses
        if _news(known, flow, among=among):
            yield flow


def change_line(flow: Flow, as_of: datetime | None, look: Look) -> Line:
    """One change: when, how the flow stands now, which, and why."""
    from clew.cli.flow_table import why

    line = look.line(f"{as_of:%H:%M:%S} " if as_of else "", "faint")
    line.extend(look.line(look.status(flow.status), str(flow.status)).pad(16)).add(flow.flow_id, "name")
    for text in (flow.type, why(flow)):
        if text:
            line.add("  ").add(text)
    return line.fit(look.width, look.glyphs.cut)


def _print(terminal: Terminal, flow: Flow, as_of: datetime | None, *, as_json: bool) -> None:
    import sys

    if as_json:
        from clew.cli import flow_json

        terminal.json(flow_json.flow(flow))
    else:
        terminal.out(change_line(flow, as_of, terminal.look))
    sys.stdout.flush()


def _news(known: Known, flow: Flow, *, among: bool) -> bool:
    """Whether ``flow`` is to be printed; remembers how it stands."""
    key, state = _id(flow), _state(flow)
    if not among:
        return known.pop(key, None) is not None
    told = known.get(key) != state
    known[key] = state
    known.move_to_end(key)
    if len(known) > REMEMBERED:
        known.popitem(last=False)
    return told


def _id(flow: Flow) -> tuple[str, str]:
    return flow.scope, flow.flow_id


def _state(flow: Flow) -> object:
    owed = (flow.owed.kind, flow.owed.name, flow.owed.since) if flow.owed else None
    return flow.status, flow.also, flow.cause, flow.late, flow.type, flow.errors, flow.dead_letters, owed
