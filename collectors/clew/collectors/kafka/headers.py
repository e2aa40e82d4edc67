"""Headers of many messages as JSON objects."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from clew.collectors.kafka.json_text import joined, literals, one_literal, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

Headers = list[tuple[str, bytes | None]]

NUMBERS = frozenset(
    {
        "kafka_dlt-original-partition",
        "kafka_dlt-original-offset",
        "kafka_dlt-original-timestamp",
        "kafka_original-partition",
        "kafka_original-offset",
        "kafka_original-timestamp",
        "kafka_deliveryAttempt",
        "retry_topic-attempts",
        "retry_topic-backoff-timestamp",
        "retry_topic-original-timestamp",
    }
)
"""Headers that hold big-endian integers of 4 or 8 bytes (Spring Kafka,
DeadLetterPublishingRecoverer and RetryTopicHeaders; BigInteger, which some are, is as long or shorter)."""
LONGEST = 8


def objects(headers: Sequence[Headers | None], style: tuple[str, str]) -> pa.Array[Any]:
    """A JSON object for each message, ``{}`` where it has no header. ``style`` is (colon, comma).

    Of a name that comes more than once the last counts (Kafka's ``Headers.lastHeader``).
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    flat: list[Any] = list(chain.from_iterable(chain.from_iterable(one for one in headers if one)))
    if not flat:
        return pa.array(["{}"] * len(headers), pa.string())
    names, values = flat[0::2], flat[1::2]
    each = len(headers[0] or ())
    # Messages of one producer have the same headers in the same order.
    if each and len(set(names[:each])) == each and names == names[:each] * len(headers):
        return _alike(names[:each], values, style)
    counts = np.fromiter((len(one) if one else 0 for one in headers), np.int32, len(headers))
    offsets = np.concatenate(([0], np.cumsum(counts, dtype=np.int32))).astype(np.int32)
    coded = pa.array(names, pa.string()).dictionary_encode()
    colon, comma = style
    known = [one_literal(str(name).encode()) + colon for name in coded.dictionary.to_pylist()]
    members = joined(pa.array(known, pa.string()).take(coded.indices), _values(names, values))
    codes = np.asarray(coded.indices)
    last = _last(codes, offsets, len(known))
    if last is not None:
        members = members.filter(pa.array(last))
        kept = np.concatenate(([0], np.cumsum(last, dtype=np.int32))).astype(np.int32)
        offsets = kept[offsets]
    starts = pa.array(offsets, pa.int32())
    return joined("{", pc.binary_join(pa.ListArray.from_arrays(starts, members), text(comma)), "}")


def _alike(names: Sequence[str], values: Sequence[bytes | None], style: tuple[str, str]) -> pa.Array[Any]:
    """Objects of messages that all have these headers."""
    colon, comma = style
    pieces: list[Any] = []
    for place, name in enumerate(names):
        start = comma if place else "{"
        pieces += [f"{start}{one_literal(name.encode())}{colon}"]
        column = values[place :: len(names)]
        pieces += [_values([name] * len(column) if name in NUMBERS else (), column)]
    return joined(*pieces, "}")


def _values(names: Sequence[str], values: Sequence[bytes | None]) -> pa.Array[Any]:
    if NUMBERS.isdisjoint(names):
        return literals(values)
    return literals(
        [
            str(int.from_bytes(value, signed=True)).encode()
            if value is not None and name in NUMBERS and 0 < len(value) <= LONGEST and not value.isdigit()
            else value
            for name, value in zip(names, values, strict=True)
        ]
    )


def _last(
    codes: npt.NDArray[np.int32], offsets: npt.NDArray[np.int32], names: int
) -> npt.NDArray[np.bool_] | None:
    """Which headers are the last of their name in their message; None where all are."""
    import numpy as np

    counts = np.diff(offsets)
    owner = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    pairs = owner * names + codes
    _, first_from_behind = np.unique(pairs[::-1], return_index=True)
    if len(first_from_behind) == len(pairs):
        return None
    last = np.zeros(len(pairs), np.bool_)
    last[len(pairs) - 1 - first_from_behind] = True
    return last
