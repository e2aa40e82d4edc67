"""``clew demo --live rabbitmq``: what clew tells of it is what happened, and nothing is left in the broker."""

from __future__ import annotations

from pathlib import Path

from tests.live import live_demo
from tests.servers.rabbitmq import RabbitMQ


def ours(broker: RabbitMQ) -> list[str]:
    """Exchanges and queues that a demo made."""
    found = broker.ctl("list_exchanges", "name") + broker.ctl("list_queues", "name")
    return [name for name in found.split() if "clew-demo-" in name]


def test_its_flows_are_those_of_its_truth_and_the_broker_is_as_it_was(
    broker: RabbitMQ, tmp_path: Path
) -> None:
    before = ours(broker)
    live_demo.ran(tmp_path / "demo", "--live", "rabbitmq", "--url", broker.url)
    assert live_demo.differences(tmp_path / "demo") == []
    assert live_demo.dead_letters(tmp_path / "demo") >= 1
    assert sorted(ours(broker)) == sorted(before)


def test_what_is_to_be_kept_stays(broker: RabbitMQ, tmp_path: Path) -> None:
    live_demo.interrupted(tmp_path / "demo", "--live", "rabbitmq", "--url", broker.url, "--keep")
    assert live_demo.differences(tmp_path / "demo", ended=False) == []
    left = ours(broker)
    assert [name for name in left if name.endswith(".orders-dlt")] != []
    assert [name for name in left if name.startswith("clew.tap")] == []
