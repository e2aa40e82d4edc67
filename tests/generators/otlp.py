"""OTLP JSON traces in bulk: lines of 100 spans each, the same for the same seed.

Ten spans make a trace: a server span, then sends and handlings of five events by five
services, with the messaging attributes of today's conventions. Half of the messaging spans
carry ``messaging.message.conversation_id``; the others are joined by trace alone. A line
is one service's export, so a trace lies in ten lines.

    python tests/generators/otlp.py 1000000 spans.jsonl --seed 1
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random
from typing import IO, Final, NamedTuple

SPANS_PER_LINE: Final = 100
SPANS_PER_TRACE: Final = 10
_TRACES_AT_ONCE: Final = 1000
_START_NS: Final = 1_772_442_000_000_000_000
_BLOCK_NS: Final = 5_000_000_000
_STEP_NS: Final = 400_000_000
_HEX_PER_TRACE: Final = 32 + 32 + SPANS_PER_TRACE * 16
_WITH_ERROR: Final = 50
_ERROR_AT: Final = 5


class _Step(NamedTuple):
    service: str
    name: str
    kind: int
    """SpanKind of trace.proto: 2 server, 4 producer, 5 consumer"""
    destination: str
    event: str


_STEPS: Final = (
    _Step("order-service", "POST /orders", 2, "", ""),
    _Step("order-service", "send orders", 4, "orders", "OrderPlaced"),
    _Step("payment-service", "process orders", 5, "orders", "OrderPlaced"),
    _Step("payment-service", "send payments", 4, "payments", "PaymentSucceeded"),
    _Step("inventory-service", "process payments", 5, "payments", "PaymentSucceeded"),
    _Step("inventory-service", "send inventory", 4, "inventory", "InventoryReserved"),
    _Step("shipping-service", "process inventory", 5, "inventory", "InventoryReserved"),
    _Step("shipping-service", "send shipments", 4, "shipments", "ShipmentDispatched"),
    _Step("order-service", "process shipments", 5, "shipments", "ShipmentDispatched"),
    _Step("notification-service", "process shipments", 5, "shipments", "ShipmentDispatched"),
)


def _text(key: str, value: str) -> str:
    return f'{{"key":"{key}","value":{{"stringValue":"{value}"}}}}'


def _attributes(step: _Step) -> str:
    """Give a template of the attributes: message ID, conversation or nothing, partition, offset."""
    if not step.destination:
        method = f"{_text('http.request.method', 'POST')},{_text('http.route', '/orders')}"
        # Takes the same four values as the others and shows none of them.
        return f'{method},{{"key":"http.response.status_code","value":{{"intValue":"202"}}}}%.0s%.0s%.0s%.0s'
    operation = "send" if step.kind == 4 else "process"
    group = "" if operation == "send" else f",{_text('messaging.consumer.group.name', step.service)}"
    return (
        f"{_text('messaging.system', 'kafka')},{_text('messaging.operation.name', operation)},"
        f"{_text('messaging.operation.type', operation)},"
        f"{_text('messaging.destination.name', step.destination)},"
        f"{_text('cloudevents.event_type', step.event)},{_text('messaging.message.id', '%s')}%s{group},"
        f"{_text('messaging.destination.partition.id', '%s')},"
        f'{{"key":"messaging.kafka.offset","value":{{"intValue":"%s"}}}}'
    )


def _template(number: int, step: _Step) -> str:
    parent = '"parentSpanId":"%s",' if number else "%.0s"
    return (
        f'{{"traceId":"%s","spanId":"%s",{parent}"flags":257,"name":"{step.name}","kind":{step.kind},'
        f'"startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[{_attributes(step)}],"status":%s}}'
    )


_TEMPLATES: Final = tuple(_template(number, step) for number, step in enumerate(_STEPS))
_HEADS: Final = tuple(
    f'{{"resourceSpans":[{{"resource":{{"attributes":[{_text("service.name", step.service)},'
    f"{_text('service.version', '1.4.2')},{_text('host.name', step.service + '-6d5f7c9b8')}]}},"
    '"scopeSpans":[{"scope":{"name":"app","version":"1"},"spans":['
    for step in _STEPS
)
_TAIL: Final = "]}]}]}\n"
_FAILED: Final = '{"message":"no answer within 2000 ms","code":2}'


def write_spans(path: Path, count: int, seed: int = 1) -> int:
    """Write ``count`` spans; give the number of traces that have at least one."""
    chance = Random(seed)
    traces = 0
    with path.open("w", encoding="ascii", newline="\n", buffering=1 << 20) as file:
        while count > 0:
            # The last block may have fewer traces, some of which lack their last span.
            here = min(_TRACES_AT_ONCE, -(-count // SPANS_PER_TRACE))
            count -= _write_block(file, traces, here, count, chance)
            traces += here
    return traces


def _write_block(file: IO[str], first: int, traces: int, most: int, chance: Random) -> int:
    letters = chance.randbytes(_TRACES_AT_ONCE * _HEX_PER_TRACE // 2).hex()
    jitter = chance.randbytes(_TRACES_AT_ONCE)
    began_ns = _START_NS + first // _TRACES_AT_ONCE * _BLOCK_NS
    written = 0
    for number in range(SPANS_PER_TRACE):
        for start in range(0, traces, SPANS_PER_LINE):
            places = range(start, min(start + SPANS_PER_LINE, traces))
            spans = [
                _span(number, place, first, letters, began_ns + number * _STEP_NS + jitter[place] * 1_000_000)
                for place in places
            ][: most - written]
            if spans:
                file.write(f"{_HEADS[number]}{','.join(spans)}{_TAIL}")
            written += len(spans)
    return written


def _span(number: int, place: int, first: int, letters: str, start_ns: int) -> str:
    at = place * _HEX_PER_TRACE
    own = at + 64 + number * 16
    flow = first + place
    # The second handling of the last event hangs on the same send as the first.
    parent = own - 32 if number == SPANS_PER_TRACE - 1 else own - 16
    message = (min(number, SPANS_PER_TRACE - 2) + 1) // 2
    conversation = ""
    if flow % 2:
        conversation = "," + _text("messaging.message.conversation_id", letters[at + 32 : at + 64])
    failed = number == _ERROR_AT and flow % _WITH_ERROR == 1
    return _TEMPLATES[number] % (
        letters[at : at + 32],
        letters[own : own + 16],
        letters[parent : parent + 16],
        start_ns,
        start_ns + 40_000_000 + number * 7_000_000,
        f"{letters[at : at + 24]}{message:08x}",
        conversation,
        str(flow % 12),
        str(flow // 12 * 5 + message),
        _FAILED if failed else "{}",
    )


def main() -> None:
    """Write a file from the command line."""
    parser = argparse.ArgumentParser(description="Write OTLP JSON traces, a request per line.")
    parser.add_argument("count", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write_spans(given.path, given.count, given.seed)


if __name__ == "__main__":
    main()
