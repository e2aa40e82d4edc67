"""``clew steps``: where the time of a type's flows goes."""

from __future__ import annotations

from typing import Any

import click

from clew.cli.exits import Exit
from clew.cli.narrowing import Asked, of_type
from clew.cli.options import Context, at_most

SHOWN = 50
"""Steps that a person sees unless --limit says otherwise."""


@click.command()
@of_type("STEPS", "steps", SHOWN)
@click.pass_obj
def steps(context: Context, /, *, type_: str, limit: int | None, as_json: bool, **given: Any) -> int:
    """Show where the time of a TYPE goes: each step's waiting and work, the most first.

    WAIT is from sending an event to its first handling. WORK is told by the span;
    where there is none, by the first event that the handling publishes, by its
    lines, or from cause to effect. TIME is the step's share of all waiting and
    work; a span's work is without that of the spans right below it. IN is the
    share of flows that have the step.

    \b
      clew steps order-fulfilment
      clew steps order-fulfilment --service payment-service --since 1h --json
    """  # noqa: D301  click's mark for lines that it must not join
    terminal = context.terminal
    with context.store() as store:
        asked = Asked(store, given)
        with asked.joining():
            found = store.steps(asked.which((type_,)), asked.at)
        standing = asked.standing(terminal.look)
    shown = found[: at_most(limit, SHOWN, as_json=as_json)]
    if as_json:
        from clew.cli.report_json import report

        for one in shown:
            terminal.json(report(one))
        return Exit.FINE
    from clew.cli.report_tables import step_table

    look = terminal.look
    terminal.out(step_table(shown, look, several=False))
    terminal.out(look.line())
    if len(shown) < len(found):
        terminal.out(look.line(f"{len(shown)} of {len(found)} steps; --limit 0 lists all", "faint"))
    terminal.out(standing)
    return Exit.FINE
