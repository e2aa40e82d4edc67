"""Options that say which flows a report is about, and the type that it is asked for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from clew.cli.errors import NothingFound
from clew.cli.options import (
    MOMENT,
    as_json,
    as_of,
    inferring,
    joined,
    limited,
    moment,
    option,
    scoped,
    stored,
)
from clew.cli.units import moment as written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from clew.cli.look import Line, Look
    from clew.reconstruct.answers import Continuation
    from clew.reconstruct.model import FlowFilter
    from clew.reconstruct.store import Store


def narrowing(name: str, *, types: bool, period: bool = True, joins: bool = True) -> Callable[..., Any]:
    """``--type``, ``--service``, ``--since``, ``--until``, ``--scope`` and ``--as-of`` of the command ``name``.

    With ``joins`` ``--inferred`` and ``--likelihood``, too.
    """
    wanted: list[Callable[..., Any]] = []
    if types:
        wanted.append(
            option(
                "--type",
                "types",
                env=f"{name}_TYPE",
                multiple=True,
                metavar="TYPE",
                help="Only flows of this type; may be given several times.",
            )
        )
    wanted.append(
        option(
            "--service",
            "services",
            env=f"{name}_SERVICE",
            multiple=True,
            metavar="NAME",
            help="Only flows that this service took part in.",
        )
    )
    if period:
        wanted += [
            option(
                "--since",
                env=f"{name}_SINCE",
                type=MOMENT,
                metavar="TIME",
                help="Only flows with a record at or after: ISO 8601, or 15m, 2h, 3d before as-of.",
            ),
            option(
                "--until",
                env=f"{name}_UNTIL",
                type=MOMENT,
                metavar="TIME",
                help="Only flows that started before.",
            ),
        ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed((*wanted, scoped, *([inferring] if joins else []), as_of)):
            command = one(command)
        return command

    return decorate


def of_type(name: str, things: str, shown: int) -> Callable[..., Any]:
    """``TYPE`` and the options of the command ``name``, which lists ``things`` of one flow type."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in (
            stored,
            as_json,
            narrowing(name, types=False),
            limited(name, things, shown),
            click.argument("type_", metavar="TYPE"),
        ):
            command = one(command)
        return command

    return decorate


class Asked:
    """What the options say, once the store is there to say what is known."""

    def __init__(self, store: Store, given: dict[str, Any]) -> None:
        self._store = store
        self._given = given
        self._newest: datetime | None = None
        self.at = moment(given["as_of"], self._now)
        """``--as-of``."""
        self._joined: Sequence[Continuation] = ()

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Within the block the store joins what likely belongs together, where ``--inferred`` asks for it."""
        least = self._given["likelihood"] if self._given["inferred"] else None
        with joined(self._store, least, self.at) as self._joined:
            yield

    def moment(self, text: str | None) -> datetime | None:
        """A time, relative to as-of."""
        return moment(text, lambda: self.at or self._now())

    def which(self, types: tuple[str, ...]) -> FlowFilter:
        """The flows asked for.

        Raises:
            NothingFound: no flow is of one of ``types``; says which are near.
        """
        from clew.reconstruct.model import FlowFilter

        if types:
            self._check(types)
        return FlowFilter(
            types=types,
            services=self._given["services"],
            since=self.moment(self._given.get("since")),
            until=self.moment(self._given.get("until")),
            scope=self._given["scope"],
        )

    def standing(self, look: Look) -> list[Line]:
        """What was joined, where that was asked for, and the time that the flows were judged by."""
        told: list[Line] = []
        if self._given.get("inferred"):
            from clew.cli.flow_table import inference

            told.extend(inference(self._joined, self._given["likelihood"], look))
        return [*told, look.line(f"as of {written(self.at or self._now())}", "faint")]

    def _now(self) -> datetime | None:
        if self._newest is None:
            self._newest = self._store.summary().as_of
        return self._newest

    def _check(self, types: tuple[str, ...]) -> None:
        known = self._store.type_names()
        for wanted in types:
            if wanted in known:
                continue
            import difflib
            import shlex

            folded = {name.casefold(): name for name in reversed(known)}
            near = [
                folded[one] for one in difflib.get_close_matches(wanted.casefold(), folded, n=3, cutoff=0.5)
            ]
            if near:
                help_ = f"did you mean {' or '.join(map(shlex.quote, near))}?"
            elif known:
                help_ = "clew types lists the types that there are"
            else:
                help_ = "there are no flows yet; clew ingest reads files into the store"
            raise NothingFound(f"no flow is of type {wanted!r}", help=help_)
