"""What was learned, as tables that fit the width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clew.cli.report_tables import percent
from clew.cli.table import Column, table
from clew.cli.units import count, duration, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clew.cli.look import Line, Look
    from clew.reconstruct.learned import LearnedType, Model

SILENT = 10
"""Types without a definition that are listed."""

TYPE_COLUMNS = (
    Column("TYPE", 1, 12, good=24, most=48),
    Column("FLOWS", 3, 5, right=True),
    Column("LEARNED FROM", 4, 12, right=True),
    Column("EXPLAINED", 2, 9, right=True),
    Column("OWED", 5, 4, right=True),
    Column("MAY COME", 6, 8, right=True),
    Column("ENDS", 7, 4, right=True),
    Column("LIMIT", 8, 6, right=True),
    Column("NEW", 4, 8, good=20, most=60),
)
STEP_COLUMNS = (
    Column("STEP", 1, 20, good=36, most=72),
    Column("FLOWS", 4, 5, right=True),
    Column("FOLLOWS", 2, 7, right=True),
    Column("AT LEAST", 5, 8, right=True),
    Column("OWED", 3, 4),
    Column("TOOK P50", 7, 8, right=True),
    Column("TOOK P99", 6, 8, right=True),
    Column("LIMIT", 4, 6, right=True),
)
MODEL_COLUMNS = (
    Column("MODEL", 1, 5, right=True),
    Column("LEARNED", 2, 20),
    Column("TYPES", 3, 5, right=True),
    Column("SILENT", 6, 6, right=True),
    Column("FLOWS", 4, 5, right=True),
    Column("SUPPORT", 7, 7, right=True),
    Column("BY", 8, 8),
    Column("IN USE", 2, 6),
)


def told(
    model: Model, new: Mapping[str, tuple[str, ...]], written: Sequence[str], look: Look, *, kept: bool
) -> Iterator[Line]:
    """What was just learned, and what is to be done with it; ``written`` are the types that a team defined."""
    yield from type_table(model.types, new, look)
    if written:
        said = (
            f"{'has a definition' if len(written) == 1 else 'have definitions'} that the team wrote, which "
        )
        said += "wins" if len(written) == 1 else "win"
        yield look.line()
        yield from look.wrap(f"{', '.join(written)} {said}", first=look.line())
    yield from _silent(model, look)
    gone = [name for name in new if name not in {one.type for one in model.types}]
    if gone:
        yield from look.wrap(", ".join(gone), first=look.line("no more there: ", "faint"))
    yield look.line()
    if not kept:
        yield look.line("nothing is kept: without --dry-run flows are judged by it", "faint")
        return
    if not any(one.definition for one in model.types):
        yield look.line(f"model {model.number} is in use, and judges no flow", "faint")
        return
    yield look.line(f"model {model.number} is in use: flows are judged by it from now on", "faint")
    yield look.line("next: ", "help").add("clew learn --show, clew stuck")


def type_table(
    types: Sequence[LearnedType], new: Mapping[str, tuple[str, ...]], look: Look
) -> Iterator[Line]:
    """A line for each type of which something was learned."""
    spoken = [one for one in types if one.definition is not None]
    if not spoken:
        yield look.line("nothing was learned")
        return
    rows = [
        [
            look.line(one.type, "name"),
            look.line(count(one.flows)),
            look.line(count(one.settled)),
            look.line(percent(one.explained)),
            look.line(count(sum(step.owed for step in one.steps))),
            look.line(count(sum(not step.owed for step in one.steps))),
            look.line(count(len(one.ends))),
            look.line(duration(one.definition.limit_us if one.definition else None)),
            look.line(", ".join(new.get(one.type, ())) or "same", "faint"),
        ]
        for one in spoken
    ]
    yield from table(TYPE_COLUMNS, rows, look)


def _silent(model: Model, look: Look) -> Iterator[Line]:
    silent = [one for one in model.types if one.definition is None]
    if silent:
        yield look.line()
        yield look.line("nothing is said of these:", "faint")
    for one in silent[:SILENT]:
        yield from look.wrap(one.silent, first=look.line(f"  {one.type}: ", "name"))
    if len(silent) > SILENT:
        yield look.line(f"  and {len(silent) - SILENT} more: clew learn --show lists them", "faint")


def shown(model: Model, types: tuple[str, ...], look: Look) -> Iterator[Line]:
    """A model, or some of its types, step by step."""
    yield look.line(f"model {model.number}, learned {moment(model.learned)}", "faint")
    for one in model.types:
        if types and one.type not in types:
            continue
        yield look.line()
        yield look.line(one.type, "name").add(
            f", begins with {one.start}: learned from {count(one.settled, 'flow')} of {count(one.flows)}",
            "faint",
        )
        if one.definition is None:
            yield from look.wrap(one.silent, first=look.line("nothing is said: ", "warning"))
            continue
        yield from _steps(one, look)
        for end in one.ends:
            yield (
                look.line(f"ends {end.outcome} with ", "faint")
                .add(end.event, "name")
                .add(f" ({count(end.flows, 'flow')}; nothing after it in {percent(end.share)})", "faint")
            )


def _steps(one: LearnedType, look: Look) -> Iterator[Line]:
    rows = [
        [
            look.line(step.event, "name").add(f" {step.service}" if step.service else "", "service"),
            look.line(count(step.flows)),
            look.line(percent(step.share)),
            look.line(percent(step.at_least)),
            look.line("yes" if step.owed else ""),
            look.line(duration(step.took.p50_us if step.took else None)),
            look.line(duration(step.took.p99_us if step.took else None)),
            look.line(duration(step.limit_us)),
        ]
        for step in one.steps
    ]
    yield from table(STEP_COLUMNS, rows, look)


def model_table(models: Sequence[Model], look: Look) -> Iterator[Line]:
    """A line for each model, the newest first."""
    if not models:
        yield look.line("nothing was learned yet; clew learn does")
        return
    rows = [
        [
            look.line(str(model.number)),
            look.line(moment(model.learned)),
            look.line(count(len(model.definitions))),
            look.line(count(len(model.types) - len(model.definitions))),
            look.line(count(sum(one.flows for one in model.types))),
            look.line(count(model.asked.support)),
            look.line(f"clew {model.made_by}"),
            look.line("yes" if model.current else ""),
        ]
        for model in models
    ]
    yield from table(MODEL_COLUMNS, rows, look)
