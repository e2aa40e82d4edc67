"""What every pass is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from clew.reconstruct.definitions import Definition
    from clew.reconstruct.keys import KeyNames


@dataclass(frozen=True, slots=True)
class Context:
    """One batch's run of the engine.

    ``connection`` holds the batch as the temporary table ``stage`` (the Record's columns
    and the engine's) and the store's tables in the schema ``store``. Passes write
    temporary tables only; the store itself changes in one transaction after them.
    """

    connection: duckdb.DuckDBPyConnection
    scope: str
    scope_no: int
    source_no: int
    base: int
    """Number of the last stored record: ``stage`` row ``n`` becomes ``base + 1 + n``."""
    names: KeyNames
    definitions: tuple[Definition, ...]
    arrival: datetime
    """When the batch arrived (UTC, naive): times a day beyond it are implausible."""

    def run(
        self, sql: str, parameters: dict[str, object] | list[object] | None = None
    ) -> list[tuple[object, ...]]:
        """Execute one statement and return all its rows."""
        return self.connection.execute(sql, parameters).fetchall()

    def count(self, sql: str) -> int:
        """Execute one statement that gives one number; NULL counts as 0."""
        value = self.connection.execute(sql).fetchall()[0][0]
        return int(value or 0)
