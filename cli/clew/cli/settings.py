"""``clew.toml``: settings under flags and environment variables.

store = "clew.duckdb"      # any option that several commands share

[ingest]                   # a command's own options, under their long names
zone = "Europe/Berlin"
redact-key = ["password"]

[source.shop]              # what clew collect runs
collector = "kafka"
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from clew.cli.errors import UsageMistake

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

FILE = "clew.toml"
SHARED = ("store", "scope", "color")
"""Options that may stand outside of a command's table."""
SOURCES = "source"
"""The table of ``clew collect``'s sources (see :mod:`clew.cli.source_tables`)."""


def read(path: str | None) -> dict[str, Any]:
    """The settings of ``path``, or of ``clew.toml`` in the current folder; {} where there is none.

    Raises:
        UsageMistake: the file named is not there, or is no TOML.
    """
    if path is None and not os.path.exists(FILE):  # noqa: PTH110  pathlib costs a light command its start
        return {}
    import tomllib

    file = path or FILE
    try:
        with open(file, "rb") as opened:  # noqa: PTH123  likewise
            raw = opened.read()
        return tomllib.loads(raw.decode())
    except OSError as error:
        raise UsageMistake(f"cannot read the settings: {error.strerror}", file=file) from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UsageMistake("the settings are not UTF-8", file=file, line=line) from error
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (0, 0)
        lines = raw.decode().splitlines()
        text = lines[line - 1] if 0 < line <= len(lines) else ""
        what = str(error).split(" (at ")[0]
        raise UsageMistake(
            f"the settings are not TOML: {what}", file=file, line=line, column=column, text=text
        ) from error


def defaults(
    settings: dict[str, Any],
    file: str,
    command: click.Command,
    name: str,
    known: set[str],
    relatives: Iterable[click.Command] = (),
) -> dict[str, Any]:
    """What ``settings`` say about ``command``: parameter name → value.

    ``known`` names every command, so that a table of another one is no mistake. ``relatives``
    have the same table: the commands below ``command``, or the one above it.

    Raises:
        UsageMistake: a name that no option has, or a table of no command.
    """
    options = _options(command)
    others = {long for one in relatives for long in _options(one)}
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            if key not in known and key != SOURCES:
                raise unknown(f"no command is called {key!r}", file, key, sorted(known))
        elif key not in SHARED:
            raise unknown(f"{key!r} is no setting that commands share", file, key, list(SHARED))
        elif key in options:
            found[str(options[key])] = value
    for key, value in settings.get(name, {}).items():
        if key in options:
            found[str(options[key])] = list(value.items()) if isinstance(value, dict) else value
        elif key not in others:
            raise unknown(f"clew {name} has no option --{key}", file, key, sorted({*options, *others}))
    return found


def _options(command: click.Command) -> dict[str, str]:
    """Long name → parameter name."""
    return {
        long.removeprefix("--"): parameter.name
        for parameter in command.params
        for long in (*parameter.opts, *parameter.secondary_opts)
        if long.startswith("--") and parameter.name
    }


def unknown(what: str, file: str, key: str, instead: list[str]) -> UsageMistake:
    """The mistake of a key that nobody knows: where it stands, and which ones are near."""
    import difflib

    close = difflib.get_close_matches(key, instead, n=3)
    line = 0
    try:
        with open(file, encoding="utf-8") as lines:  # noqa: PTH123
            pattern = re.compile(rf"^\s*\[?\s*\"?{re.escape(key)}\"?\s*[\]=]")
            line = next((number for number, text in enumerate(lines, 1) if pattern.match(text)), 0)
    except OSError:
        line = 0
    help_ = f"did you mean {' or '.join(close)}?" if close else f"known are: {', '.join(instead)}"
    return UsageMistake(what, file=file, line=line, text=key, help=help_)
