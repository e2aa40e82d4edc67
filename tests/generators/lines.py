"""Realistic JSON log lines of about 600 bytes, in bulk, the same for the same seed.

Ten lines make a flow: five events, each as the publisher's line and the consumer's. A
thousand flows run at once, so a flow's lines lie thousands of lines apart. One flow in a
hundred ends after its sixth line; one in fifty has an ERROR line on its way.

    python tests/generators/lines.py 1000000 lines.jsonl --seed 1
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

LINES_PER_FLOW: Final = 10
FLOWS_AT_ONCE: Final = 1000
_START: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_LINE_US: Final = 500
_UNFINISHED: Final = 100
_CUT_AFTER: Final = 6
_WITH_ERROR: Final = 50
_ERROR_AT: Final = 3
_HEX_PER_FLOW: Final = 5 * 32 + 32 + 32 + 10 * 16


class _Step(NamedTuple):
    service: str
    event: str
    destination: str
    operation: str
    message: str


_STEPS: Final = (
    _Step("order-service", "OrderPlaced", "orders", "send", "order accepted and published, awaiting payment"),
    _Step(
        "payment-service",
        "OrderPlaced",
        "orders",
        "process",
        "charging the customer's card with the provider",
    ),
    _Step(
        "payment-service",
        "PaymentSucceeded",
        "payments",
        "send",
        "payment captured and confirmed by provider",
    ),
    _Step(
        "inventory-service",
        "PaymentSucceeded",
        "payments",
        "process",
        "reserving stock in the nearest warehouse",
    ),
    _Step(
        "inventory-service",
        "InventoryReserved",
        "inventory",
        "send",
        "stock reserved until the parcel is packed",
    ),
    _Step(
        "shipping-service",
        "InventoryReserved",
        "inventory",
        "process",
        "printing the pick list for the packers",
    ),
    _Step(
        "shipping-service",
        "ShipmentDispatched",
        "shipments",
        "send",
        "parcel handed over to the carrier today",
    ),
    _Step(
        "order-service",
        "ShipmentDispatched",
        "shipments",
        "process",
        "closing the order and its open documents",
    ),
    _Step("order-service", "OrderCompleted", "orders", "send", "order completed, nothing is left to be done"),
    _Step(
        "notification-service", "OrderCompleted", "orders", "process", "mailing the customer that all is done"
    ),
)


def _template(step: _Step, *, failed: bool) -> str:
    error = (
        '"error.type":"app.gateway.UpstreamTimeout","error.message":"no answer within 2000 ms",'
        if failed
        else ""
    )
    group = f'"consumer_group":"{step.service}",' if step.operation == "process" else ""
    severity = "ERROR" if failed else "INFO"
    return (
        f'{{"timestamp":"%sZ","severity":"{severity}","service":"{step.service}",'
        f'"logger":"{step.service.removesuffix("-service")}.handlers","message":"{step.message}",'
        f'"event_type":"{step.event}","event_id":"%s","correlation_id":"%s",%s'
        f'"trace_id":"%s","span_id":"%s","operation":"{step.operation}","destination":"{step.destination}",'
        f'"schema_version":"2",{group}{error}"partition":%d,"offset":%d,"order_id":"ord-%s",'
        f'"customer_id":"cus-%s","host":"node-%s","duration_ms":%d}}\n'
    )


_FINE: Final = tuple(_template(step, failed=False) for step in _STEPS)
_FAILED: Final = tuple(_template(step, failed=True) for step in _STEPS)


def write_lines(path: Path, count: int, seed: int = 1) -> int:
    """Write ``count`` lines; give the number of flows that have at least one."""
    written = flows = 0
    with path.open("w", encoding="ascii", newline="\n", buffering=1 << 20) as file:
        for number, (lines, started) in enumerate(_blocks(seed)):
            if written + len(lines) >= count:
                file.writelines(lines[: count - written])
                # The first lines of a block are its flows' first lines, one each.
                return flows + min(started, count - written)
            file.writelines(lines)
            written += len(lines)
            flows = (number + 1) * FLOWS_AT_ONCE
    raise AssertionError("blocks never end")


def _blocks(seed: int) -> Iterator[tuple[list[str], int]]:
    chance = Random(seed)
    number = 0
    while True:
        yield _block(number, chance), FLOWS_AT_ONCE
        number += 1


def _block(number: int, chance: Random) -> list[str]:
    """Give the lines of a thousand flows, in order of time."""
    first = number * FLOWS_AT_ONCE
    letters = chance.randbytes(FLOWS_AT_ONCE * _HEX_PER_FLOW // 2).hex()
    jitter = chance.randbytes(FLOWS_AT_ONCE * LINES_PER_FLOW)
    began = _START + timedelta(microseconds=number * FLOWS_AT_ONCE * LINES_PER_FLOW * _LINE_US)
    lines: list[str] = []
    for at in range(LINES_PER_FLOW):
        stamps = _stamps(began + timedelta(microseconds=at * FLOWS_AT_ONCE * _LINE_US))
        for place in range(FLOWS_AT_ONCE):
            flow = first + place
            if at >= _CUT_AFTER and flow % _UNFINISHED == 0:
                continue
            ids = letters[place * _HEX_PER_FLOW : (place + 1) * _HEX_PER_FLOW]
            event = at // 2 * 32
            cause = f'"causation_id":"{_uuid(ids, event - 32)}",' if event else ""
            failed = at == _ERROR_AT and flow % _WITH_ERROR == 1
            lines.append(
                (_FAILED if failed else _FINE)[at]
                % (
                    stamps[place],
                    _uuid(ids, event),
                    _uuid(ids, 160),
                    cause,
                    ids[192:224],
                    ids[224 + at * 16 : 240 + at * 16],
                    flow % 12,
                    flow // 12 * 5 + at // 2,
                    ids[162:172],
                    ids[194:202],
                    ids[:2],
                    jitter[at * FLOWS_AT_ONCE + place],
                )
            )
    return lines


def _stamps(began: datetime) -> list[str]:
    """Give the times of a row of lines, as text without the zone."""
    second = began.replace(microsecond=0)
    micros = began.microsecond
    texts = [(second + timedelta(seconds=ahead)).strftime("%Y-%m-%dT%H:%M:%S") for ahead in range(2)]
    return [
        f"{texts[(micros + place * _LINE_US) // 1_000_000]}.{(micros + place * _LINE_US) % 1_000_000:06d}"
        for place in range(FLOWS_AT_ONCE)
    ]


def _uuid(ids: str, at: int) -> str:
    text = ids[at : at + 32]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def main() -> None:
    """Write a file from the command line."""
    parser = argparse.ArgumentParser(description="Write realistic JSON log lines.")
    parser.add_argument("count", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write_lines(given.path, given.count, given.seed)


if __name__ == "__main__":
    main()
