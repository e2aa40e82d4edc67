"""``clew learn``: learn what flows owe from what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clew.cli.errors import NothingFound, UsageMistake
from clew.cli.exits import Exit
from clew.cli.options import DURATION, MOMENT, Context, as_json, moment, option, stored

if TYPE_CHECKING:
    from clew.cli.terminal import Terminal
    from clew.reconstruct.learned import Asked
    from clew.reconstruct.store import Store


@click.command()
@option(
    "--type",
    "types",
    env="LEARN_TYPE",
    multiple=True,
    metavar="TYPE",
    help="Learn this type only, and keep the rest of the model; may be given several times.",
)
@option(
    "--since",
    env="LEARN_SINCE",
    type=MOMENT,
    metavar="TIME",
    help="Learn from flows that started at or after: ISO 8601, or 15m, 2h, 3d before the newest record.",
)
@option(
    "--until",
    env="LEARN_UNTIL",
    type=MOMENT,
    metavar="TIME",
    help="Learn from flows that started before.",
)
@option(
    "--support",
    env="LEARN_SUPPORT",
    type=click.IntRange(min=2),
    default=300,
    show_default=True,
    metavar="N",
    help="Flows that did a thing before it is owed or has a limit.",
)
@option(
    "--floor",
    "floor_us",
    env="LEARN_FLOOR",
    type=DURATION,
    default="30s",
    show_default=True,
    metavar="TIME",
    help="No learned limit is shorter.",
)
@option(
    "--sample",
    env="LEARN_SAMPLE",
    type=click.IntRange(min=100),
    default=50_000,
    show_default=True,
    metavar="N",
    help="Flows of one type to look at, at most.",
)
@option("--dry-run", env="LEARN_DRY_RUN", is_flag=True, help="Only show what would be learned.")
@option("--show", env="LEARN_SHOW", is_flag=True, help="Learn nothing; show the model in use, step by step.")
@option("--list", "listed", env="LEARN_LIST", is_flag=True, help="Learn nothing; list every model.")
@option(
    "--use",
    env="LEARN_USE",
    type=click.IntRange(min=0),
    metavar="N",
    help="Learn nothing; judge by this model from now on, by none with 0.",
)
@as_json
@stored
@click.pass_obj
def learn(context: Context, /, *, as_json: bool, **given: Any) -> int:
    """Learn what flows owe from what they did, and judge by it from now on.

    For each flow type: which event follows which and how often, what comes
    side by side, what is a choice, where it ends, how long each step takes. A
    limit is three times the 99th percentile. What fewer than --support flows
    did is neither owed nor limited. Written definitions win over learned ones.

    \b
      clew learn --dry-run
      clew learn --since 7d --support 1000
      clew learn --show --type order-fulfilment
    """  # noqa: D301  click's mark for lines that it must not join
    from clew.reconstruct.learned import changes

    if sum([given["show"], given["listed"], given["use"] is not None, given["dry_run"]]) > 1:
        raise UsageMistake("--show, --list, --use and --dry-run are asked for one at a time")
    with context.store() as store:
        if given["listed"]:
            return _list(store, context.terminal, as_json=as_json)
        if given["show"]:
            return _show(store, context.terminal, given["types"], as_json=as_json)
        if given["use"] is not None:
            return _use(store, context.terminal, given["use"])
        before = store.model()
        model = store.learn(_asked(store, given), keep=not given["dry_run"])
        written = [one.name for one in store.settings().definitions]
    new = changes(before, model)
    if as_json:
        from clew.cli.learn_json import learned

        context.terminal.json(learned(model, new, kept=not given["dry_run"]))
        return Exit.FINE
    from clew.cli.learn_tables import told

    look = context.terminal.look
    context.terminal.out(told(model, new, written, look, kept=not given["dry_run"]))
    return Exit.FINE


def _asked(store: Store, given: dict[str, Any]) -> Asked:
    from clew.reconstruct.learned import Asked

    return Asked(
        types=given["types"],
        since=moment(given["since"], lambda: store.summary().as_of),
        until=moment(given["until"], lambda: store.summary().as_of),
        support=given["support"],
        floor_us=given["floor_us"],
        sample=given["sample"],
    )


def _show(store: Store, terminal: Terminal, types: tuple[str, ...], *, as_json: bool) -> int:
    model = store.model()
    if model is None:
        raise NothingFound("no model is in use", help="clew learn makes one")
    for wanted in types:
        if wanted not in {one.type for one in model.types}:
            raise NothingFound(
                f"model {model.number} says nothing of {wanted!r}", help="clew learn --show lists its types"
            )
    if as_json:
        from clew.cli.learn_json import learned

        terminal.json(learned(model, {}, kept=True))
        return Exit.FINE
    from clew.cli.learn_tables import shown

    terminal.out(shown(model, types, terminal.look))
    return Exit.FINE


def _list(store: Store, terminal: Terminal, *, as_json: bool) -> int:
    models = store.models()
    if as_json:
        from clew.cli.learn_json import listed

        for model in models:
            terminal.json(listed(model))
        return Exit.FINE
    from clew.cli.learn_tables import model_table

    terminal.out(model_table(models, terminal.look))
    return Exit.FINE


def _use(store: Store, terminal: Terminal, number: int) -> int:
    if not store.use_model(number):
        raise NothingFound(f"there is no model {number}", help="clew learn --list lists them")
    terminal.out([terminal.look.line(f"judged by {f'model {number}' if number else 'no model'} from now on")])
    return Exit.FINE
