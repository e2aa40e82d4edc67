"""What the file reader gets: a SELECT, and where a chunk may be cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Grouping:
    """Lines that belong together. ``begins`` is SQL over ``line``: a record begins here."""

    begins: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How to decode one source. ``select`` runs over ``raw(line VARCHAR, position BIGINT)``."""

    format: str
    """The format's name, inner formats after a slash: ``docker/pino``."""
    select: str
    multiline: Grouping | None = None
    """None where every unit is a record of its own."""

    def complete(self, lines: pa.StringArray | pa.LargeStringArray | pa.ChunkedArray) -> int:
        """How many of ``lines`` form records that no later line can continue.

        The rest must be given again, in front of the lines that follow; at the end of the
        input all that is left is decoded as it is.
        """
        if self.multiline is None:
            return len(lines)
        import duckdb
        import pyarrow

        table = pyarrow.table({"line": lines, "position": pyarrow.array(range(len(lines)), pyarrow.int64())})
        with duckdb.connect() as connection:
            connection.register("raw", table)
            last = connection.sql(f"SELECT max(position) FROM raw WHERE {self.multiline.begins}").fetchall()
        return int(last[0][0] or 0)
