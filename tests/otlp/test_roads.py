"""An OTLP span or log record is the same Record by whatever road it comes."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.otlp.messages import REQUESTS, Message, decoded, otlp_json, records, signal_of

from clew.collectors.files.collector import FilesCollector
from clew.collectors.otlp.requests import Encoding
from clew.collectors.otlp.wire import to_json

# To shrink what was found would take minutes: a database decodes each example.
FEW = settings(
    max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@FEW
@given(st.lists(REQUESTS, min_size=6, max_size=9))
def test_protobuf_and_json_give_the_same_records(messages: list[Message]) -> None:
    """And so does a file of such lines."""
    wire = [(signal_of(message), message.SerializeToString()) for message in messages]
    text = [(signal_of(message), otlp_json(message).encode()) for message in messages]
    by_wire, by_text = decoded(Encoding.PROTOBUF, wire), decoded(Encoding.JSON, text)
    assert (by_wire.bad, by_text.bad) == ({}, {})
    assert records(by_wire) == records(by_text)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spans.jsonl"
        path.write_bytes(b"".join(line + b"\n" for _, line in text))
        collector = FilesCollector([str(path)])
        (batch,) = collector.batches({})
        collector.close()
        assert sorted(batch.records().to_pylist(), key=repr) == records(by_text)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(REQUESTS)
def test_the_json_of_a_message_is_what_protobuf_itself_makes_of_it(message: Message) -> None:
    assert json.loads(to_json(message.SerializeToString(), signal_of(message))) == _less(
        json.loads(otlp_json(message))
    )


def _less(value: object) -> object:
    """Without what no Record holds."""
    if isinstance(value, list):
        return [_less(one) for one in value]
    if isinstance(value, dict):
        return {name: _less(one) for name, one in value.items() if name != "flags"}
    return value
