"""Options: each names its environment variable, and ``clew.toml`` stands under both."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clew.cli import settings
from clew.cli.errors import UsageMistake
from clew.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from clew.reconstruct.answers import Continuation
    from clew.reconstruct.store import Store

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

DEFAULT_STORE = "clew.duckdb"


class Context:
    """What every command gets: the terminal, and a way to its store."""

    def __init__(self, terminal: Terminal, commands: set[str]) -> None:
        self.terminal = terminal
        self.commands = commands
        self.store_path = DEFAULT_STORE
        self.settings: dict[str, Any] = {}
        """What the settings file says, all of it."""
        self.settings_file = settings.FILE

    def store(self, *, create: bool = False, **more: Any) -> Store:
        """Open the store that ``--store`` names.

        Raises:
            StoreError: it cannot be opened, or there is none and it may not be made.
        """
        from clew.reconstruct import open_store

        return open_store(self.store_path, create=create, **more)


def option(*names: str, env: str, **more: Any) -> Callable[[Decorated], Decorated]:
    """A click option with the environment variable ``CLEW_<env>``, which its help names."""
    return click.option(*names, envvar=f"CLEW_{env}", show_envvar=True, **more)


def common(command: Decorated) -> Decorated:
    """Options of every command: the settings file, colour."""
    for decorate in (
        option(
            "--color",
            env="COLOR",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            expose_value=False,
            callback=_set_color,
            help="Colour: where a terminal shows it, always or never. NO_COLOR is respected.",
        ),
        option(
            "--config",
            env="CONFIG",
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            callback=_read_settings,
            help="Settings. Default: clew.toml in the current folder.",
        ),
    ):
        command = decorate(command)
    return command


def stored(command: Decorated) -> Decorated:
    """``--store``, and what every command has."""
    return option(
        "--store",
        env="STORE",
        metavar="FILE",
        default=DEFAULT_STORE,
        show_default=True,
        expose_value=False,
        callback=_set_store,
        help="The store.",
    )(common(command))


def scoped(command: Decorated) -> Decorated:
    """``--scope``."""
    return option(
        "--scope",
        env="SCOPE",
        metavar="NAME",
        help="Only this scope (environment, tenant or data set).",
    )(command)


def as_of(command: Decorated) -> Decorated:
    """``--as-of``."""
    return option(
        "--as-of",
        "as_of",
        env="AS_OF",
        metavar="TIME",
        type=MOMENT,
        help="Judge as if it were this time. Default: the newest plausible record.",
    )(command)


def inferring(command: Decorated) -> Decorated:
    """``--inferred`` and ``--likelihood``."""
    for decorate in (
        option(
            "--likelihood",
            env="LIKELIHOOD",
            type=click.FloatRange(0.5, 1, min_open=True),
            metavar="P",
            default=0.9,
            show_default=True,
            help="With --inferred: only what is at least so likely.",
        ),
        option(
            "--inferred",
            env="INFERRED",
            is_flag=True,
            help="Join flows with what they likely go on as under other IDs, where a service dropped theirs.",
        ),
    ):
        command = decorate(command)
    return command


@contextmanager
def joined(
    store: Store, least: float | None, as_of: datetime | None, around: datetime | None = None
) -> Iterator[list[Continuation]]:
    """Within the block the store joins what belongs together with a likelihood of ``least``; nothing for None."""
    if least is None:
        yield []
        return
    found = store.continuations(as_of, least, around)
    with store.joining(found, as_of):
        yield found


def as_json(command: Decorated) -> Decorated:
    """``--json``."""
    return option("--json", "as_json", env="JSON", is_flag=True, help="JSON for programs instead of text.")(
        command
    )


def limited(name: str, things: str, shown: int) -> Callable[[Decorated], Decorated]:
    """``--limit`` of the command ``name``: ``shown`` for a person unless given, and all for programs."""
    return option(
        "--limit",
        env=f"{name}_LIMIT",
        type=click.IntRange(min=0),
        metavar="N",
        help=f"At most so many {things}; 0 for all. Default: {shown}, with --json all.",
    )


def at_most(limit: int | None, shown: int, *, as_json: bool) -> int | None:
    """How many :func:`limited` allows; None for all."""
    if limit is None:
        return None if as_json else shown
    return limit or None


class Moment(click.ParamType[str]):
    """A time; one relative to now waits for :func:`moment` to learn what now is."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        from datetime import UTC, datetime

        from clew.cli.units import read_moment

        text = value.isoformat() if hasattr(value, "isoformat") else str(value)
        try:
            read_moment(text, lambda: datetime.now(UTC))
        except ValueError:
            self.fail(
                f"{text!r} is no time; write 2026-01-31T12:00:00Z, yesterday, or 15m, 2h, 3d for so long ago",
                param,
                ctx,
            )
        return text


class KeyValue(click.ParamType[tuple[str, str]]):
    """``name=value``."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split it."""
        if isinstance(value, tuple):
            return (str(value[0]), str(value[1]))
        name, equals, rest = str(value).partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is no name=value, such as order_id=4711", param, ctx)
        return name, rest


class Duration(click.ParamType[int]):
    """A duration in microseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        from clew.cli.units import read_duration

        if isinstance(value, int):
            return value
        try:
            return read_duration(str(value))
        except ValueError:
            self.fail(f"{value!r} is no duration; write 90s, 5m or 1h30m", param, ctx)


MOMENT = Moment()
KEY_VALUE = KeyValue()
DURATION = Duration()


def moment(text: str | None, now: Callable[[], datetime | None]) -> datetime | None:
    """The time that a :class:`Moment` names; ``now`` is asked only where it is relative."""
    if text is None:
        return None
    from datetime import UTC, datetime

    from clew.cli.units import read_moment

    return read_moment(text, lambda: now() or datetime.now(UTC))


def _context(ctx: click.Context) -> Context:
    found: Context = ctx.obj
    return found


def _set_color(ctx: click.Context, _param: click.Parameter, value: str) -> None:
    _context(ctx).terminal.color = value


def _set_store(ctx: click.Context, _param: click.Parameter, value: str) -> None:
    _context(ctx).store_path = value


def _read_settings(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    found = settings.read(value)
    if not found:
        return
    file = value or settings.FILE
    _context(ctx).settings, _context(ctx).settings_file = found, file
    name = ctx.command_path.split()[1]
    ctx.default_map = settings.defaults(
        found, file, ctx.command, name, _context(ctx).commands, _relatives(ctx)
    )


def _relatives(ctx: click.Context) -> list[click.Command]:
    """The commands that share a command's table of settings."""
    if isinstance(ctx.command, click.Group):
        return list(ctx.command.commands.values())
    above = ctx.parent
    return [above.command] if above is not None and above.parent is not None else []


__all__ = [
    "DURATION",
    "KEY_VALUE",
    "MOMENT",
    "Context",
    "UsageMistake",
    "as_json",
    "as_of",
    "at_most",
    "common",
    "inferring",
    "joined",
    "limited",
    "moment",
    "option",
    "scoped",
    "stored",
]
