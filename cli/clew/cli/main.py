"""The ``clew`` command. A command's module is imported only when that command runs."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from clew.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence


# numpy's linear algebra, which nothing here uses, starts a thread for each core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

GARBAGE: Final = 50_000
"""New objects between two looks for garbage in cycles, of which a command makes hardly any. Python's
own 700 cost each start some milliseconds, since what is imported is looked through again and again,
and the reading of messages a quarter of its time (measured)."""


class Entry(NamedTuple):
    """One command as ``clew --help`` lists it, without importing it."""

    name: str
    module: str
    section: str
    help: str


COMMANDS: tuple[Entry, ...] = (
    Entry("demo", "demo", "Start", "Run four bundled workflows and look at what they wrote."),
    Entry("ingest", "ingest", "Start", "Read files, folders or stdin into the store."),
    Entry(
        "collect", "collect", "Start", "Read what brokers hold, and go on as more comes (Kafka, RabbitMQ)."
    ),
    Entry("receive", "receive", "Start", "Take traces and logs that services push (OTLP, Zipkin)."),
    Entry("flows", "flows", "Ask", "List flows: completed, stuck, failed, and why."),
    Entry("stuck", "flows", "Ask", "List the flows that wait for something overdue."),
    Entry("failed", "flows", "Ask", "List the flows that failed."),
    Entry("dead", "flows", "Ask", "List the flows with a message in a dead-letter queue."),
    Entry("why", "why", "Ask", "Say why a flow is as it is, by which records, and what to do."),
    Entry("show", "show", "Ask", "Draw one flow, found by any ID you hold."),
    Entry("wait", "wait", "Ask", "Wait until a flow has a status, for scripts."),
    Entry("types", "types", "Ask", "List flow types: success, durations, variants."),
    Entry("variants", "variants", "Ask", "List the ways that flows of a type go."),
    Entry("steps", "steps", "Ask", "Show where the time of a type's flows goes."),
    Entry("compare", "compare", "Ask", "Say what changed between two windows of time."),
    Entry("define", "define", "Look after", "Write a flow definition, or say how well one fits."),
    Entry("sources", "sources", "Look after", "List what was read, how far, and what was rejected."),
    Entry("keys", "keys", "Look after", "List ID-like names, their classes, and suspects."),
    Entry("learn", "learn", "Look after", "Learn what flows owe from what they did, and judge by it."),
    Entry("rebuild", "rebuild", "Look after", "Run the engine anew over what is stored."),
    Entry("formats", "formats", "Look after", "List formats, or show what a line becomes."),
)


class Commands(click.Group):
    """Finds commands in the table and imports the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, as the table orders them."""
        del ctx
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of ``cmd_name``; None where there is no such command."""
        del ctx
        for entry in COMMANDS:
            if entry.name == cmd_name:
                from importlib import import_module

                command: click.Command = getattr(import_module(f"clew.cli.commands.{entry.module}"), cmd_name)
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which ones are near."""
        if args and self.get_command(ctx, args[0]) is None:
            import difflib

            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2, cutoff=0.5)
            instead = f"Did you mean {' or '.join(close)}?" if close else "clew --help lists them."
            ctx.fail(f"No command {args[0]!r}. {instead}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the table by section, without importing any command."""
        del ctx
        for section in dict.fromkeys(entry.section for entry in COMMANDS):
            with formatter.section(section):
                formatter.write_dl(
                    [(entry.name, entry.help) for entry in COMMANDS if entry.section == section]
                )


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001  click's signature
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"clew {version('clew')}")
    ctx.exit()


@click.group(
    cls=Commands,
    name="clew",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
@click.pass_context
def clew(ctx: click.Context) -> None:
    """Put every workflow instance of an event-driven system back together.

    Says which are stuck, failed or dead-lettered, and why. Begin with

    \b
      clew demo
      clew ingest LOGS... && clew flows

    Every option can also be set by the environment variable that its help names,
    or in clew.toml.
    """  # noqa: D301  click's mark for lines that it must not join
    from clew.cli.options import Context
    from clew.cli.terminal import Terminal

    ctx.obj = Context(Terminal(), {entry.name for entry in COMMANDS})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run clew and give its exit status, a member of :class:`clew.cli.exits.Exit`. Never a traceback."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        gc.set_threshold(GARBAGE)
    if "_CLEW_COMPLETE" in os.environ:
        clew.main(args, prog_name="clew")
    try:
        status = _run(args)
    except BrokenPipeError:
        status = Exit.BROKEN_PIPE
    try:
        sys.stdout.flush()
    except OSError:
        _close_quietly()
    return status


def _run(args: list[str]) -> int:
    try:
        with clew.make_context("clew", args) as ctx:
            given = clew.invoke(ctx)
        sys.stdout.flush()
        return int(given) if isinstance(given, int) else Exit.FINE
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.ClickException as error:
        _tell_usage(error)
        return Exit.USAGE
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write(
            "\nclew: interrupted; what was committed stays, and the same command goes on from there\n"
        )
        return Exit.INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  the last place: a message instead of a traceback
        return _tell(error)


def _tell(error: Exception) -> int:
    from clew.cli.errors import message, render
    from clew.cli.terminal import Terminal

    told = message(error)
    if os.environ.get("CLEW_DEBUG"):
        import traceback

        sys.stderr.write("".join(traceback.format_exception(error)))
    terminal = Terminal()
    terminal.say(render(told, terminal.look))
    return told.status


def _tell_usage(error: click.ClickException) -> None:
    from clew.cli.errors import Message, render
    from clew.cli.terminal import Terminal

    ctx = getattr(error, "ctx", None)
    help_ = f"{ctx.command_path} --help" if ctx is not None else "clew --help"
    terminal = Terminal()
    what = error.format_message()
    terminal.say(render(Message(what=what, status=Exit.USAGE, help=help_), terminal.look))


def _close_quietly() -> None:
    """What is left cannot be written: Python must not complain about that when it closes stdout."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
