"""``clew demo --live kafka``: what clew tells of it is what happened, and nothing is left in the cluster."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from confluent_kafka.admin import AdminClient
from tests.live import live_demo
from tests.servers.kafka import Kafka

PREFIX = "clew-demo-"


def ours(broker: Kafka) -> list[str]:
    """Topics and groups that a demo made."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    groups = [one.group_id for one in admin.list_consumer_groups().result(20).valid]
    return [name for name in (*admin.list_topics(timeout=20).topics, *groups) if name.startswith(PREFIX)]


def test_its_flows_are_those_of_its_truth_and_the_cluster_is_as_it_was(broker: Kafka, tmp_path: Path) -> None:
    told = live_demo.ran(tmp_path / "demo", "--live", "kafka", "--bootstrap", broker.bootstrap)
    assert live_demo.differences(tmp_path / "demo") == []
    assert live_demo.dead_letters(tmp_path / "demo") >= 1
    assert ours(broker) == []
    changes = re.findall(r"^\d\d:\d\d:\d\d . (completed|stuck|failed|dead_lettered) ", told, re.MULTILINE)
    assert set(changes) == {"completed", "stuck", "failed", "dead_lettered"}
    assert re.search(
        r"^[\d,]+ log records and [\d,]+ spans exported, \d+ messages sent through \d+ topics",
        told,
        re.MULTILINE,
    )
    store = re.search(r"export CLEW_STORE=(.*)", told)
    assert store is not None
    tries = [shlex.split(line)[1:] for line in told.splitlines() if line.startswith("  clew ")]
    for words in (tries[1], tries[3]):
        done = subprocess.run(
            [sys.executable, "-m", "clew.cli.main", *words, "--store", shlex.split(store[1])[0]],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_it_in_good_order_and_what_was_sent_is_read(broker: Kafka, tmp_path: Path) -> None:
    told = live_demo.interrupted(tmp_path / "demo", "--live", "kafka", "--bootstrap", broker.bootstrap)
    assert live_demo.differences(tmp_path / "demo", ended=False) == []
    assert " flows in all: " in told
    assert ours(broker) == []
