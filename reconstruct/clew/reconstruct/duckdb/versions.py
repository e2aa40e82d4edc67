"""Which version a store is of, and how an older one becomes one of today."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clew.reconstruct.duckdb.faults import not_a_store
from clew.reconstruct.errors import StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection

_META = """
CREATE TABLE store.clew (
    version INTEGER NOT NULL, made_by VARCHAR NOT NULL, duckdb VARCHAR NOT NULL, fingerprint UBIGINT NOT NULL
)
"""

_FINGERPRINT = "xor(hash('clew'), hash(1::BIGINT))"
"""Identities are made with DuckDB's ``hash()``, which another DuckDB may define otherwise."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a store of this version looks like, and how an older one becomes one.

    Each function gets a connection within a transaction, the file attached as ``store``.
    """

    version: int
    create: Callable[[DuckDBPyConnection], None]
    """Makes the tables."""
    migrate: Mapping[int, Callable[[DuckDBPyConnection], None]] = field(default_factory=dict)
    """Version → what makes the next version of it."""
    rehash: Callable[[DuckDBPyConnection], None] | None = None
    """Computes anew whatever was made with ``hash()`` by a DuckDB that hashes otherwise."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a store says of itself."""

    version: int
    made_by: str
    duckdb: str
    same_hash: bool


def create(connection: DuckDBPyConnection, layout: Layout) -> None:
    """Make the tables of an empty store, in one transaction."""
    connection.execute("BEGIN")
    connection.execute(_META)
    layout.create(connection)
    connection.execute(
        f"INSERT INTO store.clew SELECT ?, ?, version(), {_FINGERPRINT}", [layout.version, this_clew()]
    )
    connection.execute("COMMIT")


def is_outdated(connection: DuckDBPyConnection, layout: Layout, store: Path) -> bool:
    """Whether the attached store needs :func:`update` before use.

    Raises:
        StoreUnusable: it is none of ours, or of a version that cannot be read.
    """
    import duckdb

    found = _found(connection, store)
    if found.version > layout.version:
        raise StoreUnusable(
            f"{store} was written by clew {found.made_by} (store version {found.version}; "
            f"this clew knows versions up to {layout.version})",
            help="Upgrade: pip install --upgrade clew",
        )
    steps = range(found.version, layout.version)
    if any(step not in layout.migrate for step in steps):
        raise StoreUnusable(
            f"{store} is of store version {found.version}, which this clew "
            f"(store version {layout.version}) cannot turn into its own",
            help=f"Open it with clew {found.made_by}, or move it away and ingest the same input again.",
        )
    if not found.same_hash and layout.rehash is None:
        raise StoreUnusable(
            f"{store} was written with DuckDB {found.duckdb}, whose hash() gave other identities than "
            f"that of DuckDB {duckdb.__version__}",
            help=f"Use that version: pip install duckdb=={found.duckdb.lstrip('v')}. Or move the store away "
            "and ingest the same input again.",
        )
    return bool(steps) or not found.same_hash


def update(connection: DuckDBPyConnection, layout: Layout, store: Path) -> None:
    """Bring an older store up to ``layout``, in one transaction."""
    connection.execute("BEGIN")
    found = _found(connection, store)
    for step in range(found.version, layout.version):
        layout.migrate[step](connection)
    if not found.same_hash and layout.rehash is not None:
        layout.rehash(connection)
    connection.execute(
        f"UPDATE store.clew SET version = ?, made_by = ?, duckdb = version(), fingerprint = {_FINGERPRINT}",
        [layout.version, this_clew()],
    )
    connection.execute("COMMIT")


def _found(connection: DuckDBPyConnection, store: Path) -> Found:
    import duckdb

    try:
        row = connection.execute(
            f"SELECT version, made_by, duckdb, fingerprint = {_FINGERPRINT} FROM store.clew"
        ).fetchone()
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise not_a_store(store, "it is a DuckDB database of something else") from error
    if row is None:
        raise not_a_store(store, "it does not say of which version it is")
    return Found(*row)


def this_clew() -> str:
    """Which clew this is."""
    from importlib.metadata import version

    return version("clew")
