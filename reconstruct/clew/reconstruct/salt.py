"""64-bit salts that keep hashes of different classes and scopes apart."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=1024)
def salt(kind: str, scope: str = "") -> int:
    """A number for a class of identity within a scope, to be XORed with a value's hash."""
    digest = blake2b(f"{kind}\x1f{scope}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def salted(expression: str, kind: str, scope: str = "") -> str:
    """SQL that hashes a text expression; NULL stays NULL."""
    return (
        f"CASE WHEN {expression} IS NOT NULL THEN xor(hash({expression}), {salt(kind, scope)}::UBIGINT) END"
    )
