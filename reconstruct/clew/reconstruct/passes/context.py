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
    """One run of the engine, over one or more batches.

    ``connection`` shows the batches as the view ``stage`` (``record``, the Record's columns
    and the engine's) and the store's tables in the schema ``store``. Passes write
    temporary tables only; the store itself changes in one transaction after them.
    """

    connection: duckdb.DuckDBPyConnection
    scope: str
    scope_no: int
    base: int
    """Number of the last stored record."""
    names: KeyNames
    definitions: tuple[Definition, ...]
    arrival: datetime
    """When the batch arrived (UTC, naive): times a day beyond it are implausible."""

    def present(self, rows: str, source_no: str) -> None:
        """Make the view ``stage`` over the decoded table ``rows``: numbered, without rejects.

        ``source_no`` is SQL for the number of a row's source.
        """
        self.run(f"""
            CREATE OR REPLACE TEMP VIEW stage AS
            SELECT {self.base} + 1 + rowid AS record, {source_no} AS source_no, *
            FROM {rows} WHERE reject IS NULL
        """)
        self.run("CREATE OR REPLACE TEMP TABLE stage_copy AS SELECT 0 AS none")

    def own_stage(self) -> None:
        """Put a table, ``stage_copy``, under ``stage``: few batches need a change, and a copy costs."""
        columns = self.run("SELECT column_name FROM duckdb_columns() WHERE table_name = 'stage_copy'")
        if columns == [("none",)]:
            self.run("CREATE OR REPLACE TEMP TABLE stage_copy AS FROM stage")
            self.run("CREATE OR REPLACE TEMP VIEW stage AS FROM stage_copy")

    def run(
        self, sql: str, parameters: dict[str, object] | list[object] | None = None
    ) -> list[tuple[object, ...]]:
        """Execute one statement and return all its rows."""
        return self.connection.execute(sql, parameters).fetchall()

    def count(self, sql: str) -> int:
        """Execute one statement that gives one number; NULL counts as 0."""
        value = self.connection.execute(sql).fetchall()[0][0]
        return int(value or 0)
