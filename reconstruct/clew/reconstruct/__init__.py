"""The store, the engine's passes, flow definitions and queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.reconstruct.model import Settings
    from clew.reconstruct.store import Store


def open_store(
    path: Path | str, *, create: bool = True, settings: Settings | None = None, timeout: float = 30.0
) -> Store:
    """A store at ``path``; nothing is opened before the first call of a method.

    ``settings`` None means those that the store keeps; others are applied to what is
    stored, and kept, at the next write. ``timeout`` is how long to wait for a turn, seconds.

    Raises:
        StoreMissing: by the first method, where there is none and ``create`` is false.
    """
    from clew.reconstruct.duckdb.store import DuckStore

    return DuckStore(Path(path), create_missing=create, settings=settings, timeout=timeout)
