"""SQL that writes an object of a shape again: whole, to compare, or less what was taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from clew.collectors.formats.paths import Steps, quoted
from clew.collectors.formats.shapes import Member, Shape, values_in

TextAt = Callable[[Steps], str]
"""SQL of the text at a leaf."""

NEVER_LEFT = "true"
"""The condition of what is always taken."""


def whole(shape: Shape, text_at: TextAt) -> str:
    """The line as it must be if it is of this shape and holds nothing else."""
    return _concat(_object(shape.members, shape.lines, shape, text_at))


def _object(members: Sequence[Member], lines: int, shape: Shape, text_at: TextAt) -> list[str]:
    if members[0].seen < lines:
        pieces = [_concat(_member(one, "", shape, text_at)) for one in members]
        pieces = [
            piece if one.seen == lines or one.null else _present(one, piece, text_at)
            for one, piece in zip(members, pieces, strict=True)
        ]
        return ["'{'", f"concat_ws({quoted(shape.comma)}, {', '.join(pieces)})", "'}'"]
    args = ["'{'"]
    for place, one in enumerate(members):
        own = _member(one, shape.comma if place else "", shape, text_at)
        args += own if one.seen == lines or one.null else [_present(one, _concat(own), text_at)]
    return [*args, "'}'"]


def _member(one: Member, before: str, shape: Shape, text_at: TextAt) -> list[str]:
    label = quoted(before + json.dumps(one.name, ensure_ascii=False) + shape.colon)
    if one.members is not None:
        return [label, *_object(one.members, one.seen, shape, text_at)]
    return [label, *_value(one, text_at(one.steps), shape)]


def _value(one: Member, text: str, shape: Shape) -> list[str]:
    if one.quotes and not one.escapes:
        args = ["'\"'", text, "'\"'"]
    elif one.quotes or one.quotes is None:
        args = [f"to_json({text})::VARCHAR"]
    elif (one.object or one.array) and shape.comma == ", ":
        # Right unless a string within holds a comma or what looks like a name: then it differs from the line.
        args = [f"""replace(replace({text}, ',', ', '), '":', '": ')"""]
    else:
        args = [text]
    return [f"CASE WHEN {text} IS NULL THEN 'null' ELSE {_concat(args)} END"] if one.null else args


def _present(one: Member, piece: str, text_at: TextAt) -> str:
    return f"CASE WHEN {_exists(one, text_at)} THEN {piece} END"


def _exists(one: Member, text_at: TextAt) -> str:
    if one.members is None:
        return f"{text_at(one.steps)} IS NOT NULL"
    return " OR ".join(_exists(inner, text_at) for inner in one.members)


def _concat(args: Sequence[str]) -> str:
    """``concat`` with neighbouring literals made one."""
    merged: list[str] = []
    for arg in args:
        if merged and _literal(arg) and _literal(merged[-1]):
            merged[-1] = merged[-1][:-1] + arg[1:]
        else:
            merged.append(arg)
    return merged[0] if len(merged) == 1 else f"concat({', '.join(merged)})"


def _literal(sql: str) -> bool:
    return sql.startswith("'") and sql.endswith("'") and "'" not in sql[1:-1].replace("''", "")


def less(shape: Shape, text_at: TextAt, taken: Callable[[Steps], str | None]) -> str:
    """The object without what ``taken`` (SQL condition at a leaf) says; NULL when nothing is left.

    In nearly every line all that can be taken is, and then only the rest is written; member
    by member only in the others.
    """
    compact = Shape(shape.members, ":", ",", shape.lines)

    def written(of: Callable[[Steps], str | None]) -> str:
        pieces = _left(compact.members, shape.lines, compact, text_at, of)
        return (
            f"nullif(concat('{{', concat_ws(',', {', '.join(pieces)}), '}}'), '{{}}')" if pieces else "NULL"
        )

    conditions = [
        f"(({condition}) OR {text_at(leaf.steps)} IS NULL)" if not leaf.null else f"({condition})"
        for leaf in values_in(compact.members)
        if (condition := taken(leaf.steps)) not in {None, NEVER_LEFT}
    ]
    if not conditions:
        return written(taken)
    rest = written(lambda steps: NEVER_LEFT if taken(steps) is not None else None)
    return f"CASE WHEN {' AND '.join(conditions)} THEN {rest} ELSE {written(taken)} END"


def _left(
    members: Sequence[Member], lines: int, shape: Shape, text_at: TextAt, taken: Callable[[Steps], str | None]
) -> list[str]:
    """Arguments for concat_ws. Members that are always there run together in one argument."""
    pieces: list[str] = []
    run: list[str] = []
    for one in members:
        condition = taken(one.steps) if one.members is None else None
        if condition == NEVER_LEFT:
            continue
        if one.members is not None:
            inner = _left(one.members, one.seen, shape, text_at, taken)
            label = quoted(json.dumps(one.name, ensure_ascii=False) + ":{")
            args = [label, f"concat_ws(',', {', '.join(inner)})" if inner else "''", "'}'"]
        else:
            args = _member(one, "", shape, text_at)
        always = one.seen == lines or (one.null and one.members is None)
        if condition is None and always:
            run += [quoted(","), *args] if run else args
            continue
        if run:
            pieces.append(_concat(run))
            run = []
        piece = _concat(args)
        if condition is not None:
            piece = f"CASE WHEN {condition} THEN NULL ELSE {piece} END"
        if not always:
            piece = _present(one, piece, text_at)
        pieces.append(piece)
    if run:
        pieces.append(_concat(run))
    return pieces
