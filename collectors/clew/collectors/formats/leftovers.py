"""``attributes``: an object less what other columns took from it, so that nothing vanishes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from clew.collectors.formats.columns import Claim, Columns
from clew.collectors.formats.lookup import Found
from clew.collectors.formats.paths import Steps, quoted


def patches(base: str, columns: Columns, name: str) -> dict[str, str]:
    """SQL of the patches that remove what was taken from ``base``: select items for a layer of their own.

    RFC 7396: null removes. Nested members go by patches of their own, as a patch must not
    name a member twice.
    """
    flat = [_taken(claim, base, nested=False) for claim in columns.claims] + _keys_taken(
        columns.key_claims, base
    )
    deep = [_taken(claim, base, nested=True) for claim in columns.claims]
    deep += [
        f"CASE WHEN {one.sql} <> '' THEN {quoted(_patch(one.steps))} END"
        for one in columns.key_claims
        if one.base == base and one.claimable and len(one.steps) > 1
    ]
    flat = [one for one in flat if one]
    items = {f"{name}_0": f"'{{' || concat_ws(',', {', '.join(flat)}) || '}}'" if flat else "'{}'"}
    items |= {f"{name}_{place}": one for place, one in enumerate((one for one in deep if one), 1)}
    return items


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


def _taken(claim: Claim, base: str, *, nested: bool) -> str:
    patches = [
        (_patch(one.steps) if nested else _patch(one.steps)[1:-1])
        if one.base == base and one.claimable and (len(one.steps) > 1) is nested and _named(one.steps)
        else None
        for one in claim.found
    ]
    if not any(patches):
        return ""
    items = [quoted(one) if one else "NULL" for one in patches]
    chosen = f"[{', '.join(items)}][{claim.index}]" if claim.index else items[0]
    return f"CASE WHEN {claim.condition} THEN {chosen} END"


def _keys_taken(found: Sequence[Found], base: str) -> list[str]:
    return [
        f"CASE WHEN {one.sql} <> '' THEN {quoted(_patch(one.steps)[1:-1])} END"
        for one in found
        if one.base == base and one.claimable and len(one.steps) == 1
    ]


def _named(steps: Steps) -> bool:
    return all(isinstance(step, str) for step in steps)


def _patch(steps: Steps) -> str:
    patch = "null"
    for step in reversed(steps):
        patch = f"{{{json.dumps(step, ensure_ascii=False)}:{patch}}}"
    return patch
