"""Options that say what a store judges by: key classes, flow definitions, the default limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clew.cli.options import DURATION, KEY_VALUE, option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clew.cli.options import Context
    from clew.collectors.formats.settings import Settings as Reading
    from clew.reconstruct.model import Settings

CLASSES = ("instance", "entity", "group", "hop")


class KeyClassOf(click.ParamType[tuple[str, str]]):
    """``NAME=CLASS``."""

    name = "name=class"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split it and check the class."""
        name, class_ = KEY_VALUE.convert(value, param, ctx)
        if class_ not in CLASSES:
            self.fail(f"{class_!r} is no class of {name}; write one of {', '.join(CLASSES)}", param, ctx)
        return name, class_


def judging(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--key``, ``--definitions``, ``--owed-limit`` and ``--silent-after``."""
    for decorate in (
        option(
            "--silent-after",
            env="SILENT_AFTER",
            type=DURATION,
            metavar="TIME",
            help="How long a source may lag behind until it is silent, 15m unless given. Kept in the store.",
        ),
        option(
            "--owed-limit",
            env="OWED_LIMIT",
            type=DURATION,
            metavar="TIME",
            help="How long a thing may be owed where no definition says, e.g. 90s or 5m. Kept in the store.",
        ),
        option(
            "--definitions",
            env="DEFINITIONS",
            metavar="FILE",
            help="Flow definitions: start, steps, ends, limits (YAML). Kept in the store.",
        ),
        option(
            "--key",
            "keys",
            env="KEY",
            multiple=True,
            type=KeyClassOf(),
            metavar="NAME=CLASS",
            help="What an ID's name means: instance, entity, group or hop. Kept in the store.",
        ),
    ):
        command = decorate(command)
    return command


def zoned(name: str) -> Callable[..., Any]:
    """``--zone`` of the command ``name``."""
    return option(
        "--zone",
        env=f"{name}_ZONE",
        default="UTC",
        show_default=True,
        metavar="ZONE",
        help="The zone of times that name none, e.g. Europe/Berlin.",
    )


def redacting(name: str) -> Callable[..., Any]:
    """``--redact-key`` and ``--redact-pattern`` of the command ``name``: what :func:`reading` is given."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in (
            option(
                "--redact-pattern",
                "redact_patterns",
                env=f"{name}_REDACT_PATTERN",
                multiple=True,
                metavar="REGEX",
                help="Never store what this RE2 expression matches; may be given several times.",
            ),
            option(
                "--redact-key",
                "redact_keys",
                env=f"{name}_REDACT_KEY",
                multiple=True,
                metavar="NAME",
                help="Never store the values of this key, at any depth; may be given several times.",
            ),
        ):
            command = one(command)
        return command

    return decorate


def lateness(env: str, what: str) -> Callable[..., Any]:
    """``--lateness`` of ``what`` comes to a command by itself: sent or published."""
    return option(
        "--lateness",
        env=env,
        type=DURATION,
        default="30s",
        show_default=True,
        metavar="DURATION",
        help=f"What was {what} has come after so long at the latest: nothing is called stuck before.",
    )


def into_scope(what: str) -> Callable[..., Any]:
    """``--scope`` of ``what`` a command stores: read or received."""
    return option(
        "--scope",
        env="SCOPE",
        metavar="NAME",
        default="",
        help=f"Scope of what is {what}: nothing is joined across scopes.",
    )


def changed(now: Settings, given: Mapping[str, Any]) -> Settings:
    """``now`` with what the options of :func:`judging` say; equal to ``now`` where they say nothing new.

    Raises:
        DefinitionError: the definitions file is wrong.
    """
    from clew.reconstruct.model import KeyClass

    if given["keys"]:
        told = {name: KeyClass(class_) for name, class_ in given["keys"]}
        now = replace(now, key_classes={**now.key_classes, **told})
    if given["definitions"] is not None:
        from clew.reconstruct.definitions import load

        now = replace(now, definitions=load(Path(given["definitions"])))
    if given["owed_limit"] is not None:
        now = replace(now, limit_us=given["owed_limit"])
    if given["silent_after"] is not None:
        now = replace(now, silent_us=given["silent_after"])
    return now


def judged_by(context: Context) -> Settings:
    """The settings of the store, or those of a new one."""
    from clew.reconstruct.errors import StoreMissing
    from clew.reconstruct.model import Settings

    try:
        with context.store() as store:
            return store.settings()
    except StoreMissing:
        return Settings()


def reading(
    judging: Settings, redact_keys: tuple[str, ...], redact_patterns: tuple[str, ...], *, zone: str = "UTC"
) -> Reading:
    """How to read: names of IDs that the store knows are looked for, too."""
    from clew.collectors.formats.settings import Redaction
    from clew.collectors.formats.settings import Settings as Reading

    return Reading(
        zone=zone,
        redaction=Redaction(keys=redact_keys, patterns=redact_patterns),
        keys={name: class_.value for name, class_ in judging.key_classes.items()},
    )
