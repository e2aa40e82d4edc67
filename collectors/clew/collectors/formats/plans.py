"""What the file reader gets: a SELECT, and where a chunk may be cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Grouping:
    """Lines belong together.

    ``count`` is SQL over ``raw(line, position)``, positions from 0: how many lines form
    records that no later line can continue.
    """

    count: str


@dataclass(frozen=True, slots=True)
class Selects:
    """One SELECT that decodes every unit, and perhaps a cheaper one that decodes some of them."""

    select: str
    short: str | None = None
    """Gives the same rows for the units it knows, and one with a ``reject`` for any other."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to decode one source. ``select`` runs over ``raw(line VARCHAR, position BIGINT)``."""

    format: str
    """The format's name; inner formats follow after a slash: ``docker/pino``."""
    select: str
    short: str | None = None
    """See :class:`Selects`; None also where a unit is not a record of its own."""
    multiline: Grouping | None = None
    """None where every unit is a record of its own."""

    def complete(self, lines: pa.StringArray | pa.LargeStringArray | pa.ChunkedArray[Any]) -> int:
        """How many of ``lines`` form records that no later line can continue.

        The rest must be given again, in front of the lines that follow; at the end of the
        input all that is left is decoded as it is.
        """
        if self.multiline is None:
            return len(lines)
        import duckdb
        import pyarrow as pa

        table = pa.table({"line": lines, "position": pa.array(range(len(lines)), pa.int64())})
        with duckdb.connect() as connection:
            connection.register("raw", table)
            found = connection.execute(self.multiline.count).fetchall()
        return int(found[0][0])
