"""From messages to the table that formats decode.

A message becomes one JSON object: what Kafka says of it, then the members of its value. So
every format finds both, under the names OpenTelemetry gives them, and a value is copied but
once and never made into Python objects. See ``formats/builtin/kafka.yaml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.collectors.kafka.headers import objects
from clew.collectors.kafka.json_text import joined, literals, one_literal, text, texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from clew.collectors.kafka.messages import Messages

COMPACT, SPACED = (":", ","), (": ", ", ")
_SAMPLE = 64
_LONGEST = 1 << 30
_SHORTEST = 16
"""Bytes of an object that may hold nothing but spaces; longer ones are not written so."""


def lines(
    messages: Messages, values: Sequence[bytes], identity: str, *, dead_letter: bool = False
) -> pa.Array[Any]:
    """One JSON object for each message of a partition.

    ``values`` hold the members: a JSON object each. ``identity`` is that of the partition.

    Raises:
        ArrowInvalid: a value is no UTF-8.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not values:
        return pa.array([], pa.string())
    colon, comma = style = style_of(values)

    def member(name: str) -> str:
        return f'{comma}"{name}"{colon}'

    topic = one_literal(messages.topic.encode())
    offsets = texts(messages.offsets)
    start = (
        f'{{"messaging.system"{colon}"kafka"{member("messaging.destination.name")}{topic}'
        f"{member('messaging.destination.partition.id')}{messages.partition}"
        f"{member('messaging.kafka.offset')}"
    )
    letter = f"{member('kafka.dead_letter_queue')}{topic}" if dead_letter else ""
    named = one_literal(f"{identity}@".encode())[:-1]
    pieces: list[pa.Array[Any] | str] = [
        start,
        offsets,
        f"{letter}{member('kafka.id')}{named}",
        offsets,
        f'"{member("kafka.timestamp")}',
        texts(messages.times),
    ]
    if any(key is not None for key in messages.keys):
        keyed = joined(member("messaging.kafka.message.key"), literals(messages.keys))
        missing = pa.array([key is None for key in messages.keys], pa.bool_())
        pieces.append(pc.if_else(missing, text(""), keyed) if pc.any(missing).as_py() else keyed)
    if any(messages.headers):
        pieces += [member("message_headers"), objects(messages.headers, style)]
    raw = pa.array(values, pa.binary())
    rest = pc.binary_slice(raw, 1, _LONGEST).cast(pa.string())
    if pc.min(pc.binary_length(raw)).as_py() < _SHORTEST:
        empty = pc.equal(pc.utf8_ltrim_whitespace(rest), text("}"))
        pieces.append(pc.if_else(empty, text(""), text(comma)))
    else:
        pieces.append(comma)
    return joined(*pieces, rest)


def style_of(values: Sequence[bytes]) -> tuple[str, str]:
    """How most of these objects are written: so the whole of one fits one template."""
    some = values[:_SAMPLE]
    spaced = sum(value[value.find(b'":') + 2 : value.find(b'":') + 3] == b" " for value in some)
    return SPACED if spaced * 2 > len(some) else COMPACT
