"""A receiver that is killed loses no span that an exporter with retries sends, and doubles none."""

from __future__ import annotations

from pathlib import Path

from tests.otlp.sending import BATCH, killed


def test_no_span_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    sent, found = killed(tmp_path / "clew.duckdb", 2, seed=1, least=BATCH)
    for sender, count in enumerate(sent):
        assert {flow: found[flow] for number in range(count) if (flow := f"{sender}-{number}")} == {
            f"{sender}-{number}": 1 for number in range(count)
        }
    # The answer to the last request of each may have been lost with the receiver, never more.
    assert sum(found.values()) == len(found) == sum(sent)
