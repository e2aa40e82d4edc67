"""``attributes``: an object less what other columns took from it, so that nothing vanishes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from clew.collectors.formats.columns import Claim, Columns
from clew.collectors.formats.lookup import Found
from clew.collectors.formats.paths import Steps, quoted


def patches(base: str, columns: Columns, name: str, keys: str) -> dict[str, str]:
    """SQL of the patches that remove what was taken from ``base``: select items for a layer of their own.

    RFC 7396: null removes. Nested members go by patches of their own, as a patch must not
    name a member twice. ``keys`` is the column with the keys object: what is in it was
    taken, and its text makes the patch.
    """
    deep = [one for claim in columns.claims if (one := _taken(claim, base, nested=True))]
    flat = [one for claim in columns.claims if (one := _taken(claim, base, nested=False))]
    if any(one.base == base and _movable(one) for one in columns.key_claims):
        deep.append(f"""regexp_replace({keys}, ':"(?:[^"\\\\]|\\\\.)*"', ':null', 'g')""")
    items = {f"{name}_0": f"'{{' || concat_ws(',', {', '.join(flat)}) || '}}'" if flat else "'{}'"}
    return items | {f"{name}_{place}": one for place, one in enumerate(deep, 1)}


def _taken(claim: Claim, base: str, *, nested: bool) -> str | None:
    """SQL of the patch for what the column took; NULL for nothing."""
    patches = [
        quoted(_patch(one.steps) if nested else _patch(one.steps)[1:-1])
        if one.base == base and _movable(one) and (len(one.steps) > 1) is nested
        else "NULL"
        for one in claim.found
    ]
    if not any(patch != "NULL" for patch in patches):
        return None
    if len(patches) == 1:
        return f"CASE WHEN {claim.condition} THEN {patches[0]} END"
    places = ", ".join(one.sql for one in claim.found)
    return f"CASE WHEN {claim.condition} THEN [{', '.join(patches)}][list_position([{places}], {claim.text})] END"


def _movable(one: Found) -> bool:
    return one.claimable and all(isinstance(step, str) for step in one.steps)


def rest_of(column: str, patched_by: Sequence[str]) -> str:
    """SQL of the JSON object in ``column`` less what was taken; NULL when nothing is left."""
    flat, *deep = patched_by
    merged = f"TRY(json_merge_patch({column}, {flat}))"
    if deep:
        used = ", ".join(f"coalesce({one}, '{{}}')" for one in deep)
        merged = (
            f"CASE WHEN coalesce({', '.join(deep)}) IS NULL THEN {merged}"
            f" ELSE TRY(json_merge_patch({column}, {flat}, {used})) END"
        )
    return f"nullif({merged}, '{{}}')"


def _patch(steps: Steps) -> str:
    patch = "null"
    for step in reversed(steps):
        patch = f"{{{json.dumps(step, ensure_ascii=False)}:{patch}}}"
    return patch
