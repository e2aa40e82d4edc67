"""``attributes``: an object less what other columns took from it, so that nothing vanishes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from clew.collectors.formats.columns import Claim, Columns
from clew.collectors.formats.lookup import Found
from clew.collectors.formats.paths import Steps, quoted


def rest_of(column: str, base: str, columns: Columns) -> str:
    """SQL of the JSON object in ``column`` less what was taken; NULL when nothing is left.

    A patch is put together from what this row's columns took, and merged (RFC 7396: null
    removes). Nested members go by patches of their own, as a patch must not name a member twice.
    """
    flat = [_taken(claim, base, nested=False) for claim in columns.claims]
    flat += _keys_taken(columns.key_claims, base)
    nested = [_taken(claim, base, nested=True) for claim in columns.claims]
    nested += [
        f"CASE WHEN {one.sql} <> '' THEN {quoted(_patch(one.steps))} END"
        for one in columns.key_claims
        if one.base == base and one.claimable and len(one.steps) > 1
    ]
    flat = [one for one in flat if one]
    deep = [one for one in nested if one]
    patch = f"'{{' || concat_ws(',', {', '.join(flat)}) || '}}'" if flat else "'{}'"
    merged = f"TRY(json_merge_patch({column}, {patch}))"
    if deep:
        used = ", ".join(f"coalesce({one}, '{{}}')" for one in deep)
        merged = (
            f"CASE WHEN coalesce({', '.join(deep)}) IS NULL THEN {merged}"
            f" ELSE TRY(json_merge_patch({column}, {patch}, {used})) END"
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
    """Patches for the ID-like members, by one pass over the list in which they lie side by side."""
    runs: list[list[Found]] = []
    for one in found:
        if one.base != base or not one.claimable or len(one.steps) != 1:
            continue
        if runs and runs[-1][0].source == one.source and runs[-1][-1].index + 1 == one.index:
            runs[-1].append(one)
        else:
            runs.append([one])
    pieces = []
    for run in runs:
        patches = [quoted(_patch(one.steps)[1:-1]) for one in run]
        if len(run) == 1 or not run[0].index:
            pieces += [
                f"CASE WHEN {one.sql} <> '' THEN {patch} END" for one, patch in zip(run, patches, strict=True)
            ]
            continue
        at = f"{run[0].source}[{run[0].index - 1} + i]"
        pieces.append(
            f"array_to_string(list_transform([{', '.join(patches)}], lambda n, i: CASE WHEN {at} <> '' THEN n END), ',')"
        )
    return [f"nullif({piece}, '')" for piece in pieces]


def _named(steps: Steps) -> bool:
    return all(isinstance(step, str) for step in steps)


def _patch(steps: Steps) -> str:
    patch = "null"
    for step in reversed(steps):
        patch = f"{{{json.dumps(step, ensure_ascii=False)}:{patch}}}"
    return patch
