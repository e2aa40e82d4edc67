"""What every pass is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.schema import TOKENS

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from clew.reconstruct.definitions import Definition
    from clew.reconstruct.keys import KeyNames


@dataclass(frozen=True, slots=True)
class Context:
    """One run of the engine, over one or more batches, within the transaction that stores them.

    ``connection`` shows the store's tables in the schema ``store``. The batches' records
    stand in ``store.records`` already, those from ``first`` on; :meth:`present` makes two
    relations for the passes: ``stage``, a table of the narrow columns of the batches'
    records (identities, tokens and times), and ``older``, the records before them.
    """

    connection: duckdb.DuckDBPyConnection
    scope: str
    scope_no: int
    first: int
    """Number of the first batch of this run; it and all after it are new."""
    names: KeyNames
    definitions: tuple[Definition, ...]
    limit_us: int
    """The store's default limit, for what cannot wait for a question: see :mod:`.rules`."""
    arrival: datetime
    """When the batch arrived (UTC, naive): times a day beyond it are implausible."""

    def present(self) -> None:
        """Make ``stage`` and ``older``."""
        self.run(f"""
            CREATE OR REPLACE TEMP TABLE stage AS
            SELECT record, batch, source_no, series, flow, evidence, {", ".join(TOKENS)}, time, end_time
            FROM store.records WHERE batch >= {self.first}
        """)
        self.run(
            f"CREATE OR REPLACE TEMP VIEW older AS SELECT * FROM store.records WHERE batch < {self.first}"
        )

    def run(
        self, sql: str, parameters: dict[str, object] | list[object] | None = None
    ) -> list[tuple[object, ...]]:
        """Execute one statement and return all its rows."""
        return self.connection.execute(sql, parameters).fetchall()

    def count(self, sql: str) -> int:
        """Execute one statement that gives one number; NULL counts as 0."""
        value = self.connection.execute(sql).fetchall()[0][0]
        return int(value or 0)
