"""``clew collect rabbitmq`` as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.rabbitmq.publishing import Publisher
from tests.servers.rabbitmq import RabbitMQ

CLEW = [sys.executable, "-m", "clew.cli.main"]
WITHOUT_PIKA = (
    "import sys; sys.modules['pika'] = None; from clew.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


def clew(
    folder: Path, *arguments: str, command: list[str] | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("CLEW_")}
    return subprocess.run(
        [*(command or CLEW), *arguments],
        cwd=folder,
        env=environment | more,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_is_there_is_read_told_and_left_as_it_was(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    publisher.queue(f"{name}.stream", queue_type="stream")
    publisher.queue(f"{name}.dead")
    publisher.publish_all("", f"{name}.stream", range(10))
    publisher.publish_all("", f"{name}.dead", range(10, 15))
    publisher.exchange(name)
    asked = ["collect", "rabbitmq", "--exchange", name, "--tap-name", name, "--stream", f"{name}.stream"]
    asked += ["--dead-letters", f"{name}.dead", "--once", "--json"]
    url = broker.url.replace("guest:guest", "guest:${SECRET}")
    done = clew(tmp_path, *asked, CLEW_RABBITMQ_URL=url, SECRET="guest")  # noqa: S106  the broker's own first user
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["new"], told["rejects"], told["by_kind"]) == (15, 0, {"dead_letter": 5, "message": 10})
    assert [source.split("/")[-2:] for source in sorted(told["by_source"])] == [
        ["%2F", f"{name}.dead"],
        ["%2F", f"{name}.stream"],
    ]
    removed = clew(
        tmp_path, "collect", "rabbitmq", "--tap-name", name, "--remove-tap", CLEW_RABBITMQ_URL=broker.url
    )
    assert (removed.returncode, removed.stdout, removed.stderr) == (0, "", "")
    assert f"clew.tap.{name}" not in broker.ctl("list_queues", "name")


def test_tls_is_spoken_with_a_broker_whose_certificate_is_known_and_with_no_other(
    broker: RabbitMQ, publisher: Publisher, name: str, tmp_path: Path
) -> None:
    publisher.queue(f"{name}.stream", queue_type="stream")
    publisher.publish_all("", f"{name}.stream", range(3))
    asked = ["collect", "rabbitmq", "--stream", f"{name}.stream", "--once", "--json"]
    asked += ["--url", broker.url_with_tls]
    done = clew(tmp_path, *asked, "--tls-ca", str(broker.ca))
    assert (done.returncode, done.stderr, json.loads(done.stdout)["new"]) == (0, "", 3)
    refused = clew(tmp_path, *asked)
    assert refused.returncode == 4
    assert "TLS: CERTIFICATE_VERIFY_FAILED" in refused.stderr


def test_a_broker_that_cannot_be_reached_is_told_without_its_password(tmp_path: Path) -> None:
    url = "amqp://clew:s3cret@127.0.0.1:1/shop"
    done = clew(tmp_path, "collect", "rabbitmq", "--url", url, "--exchange", "orders", "--once")
    assert done.returncode == 4
    assert "amqp://127.0.0.1:1/shop: reading the tap clew.tap.clew: Connection refused" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--exchange, --firehose, --stream or --dead-letters"),
        (["--exchange", "a", "--tap-bytes", "much"], "'much' is no bound; write 1GiB, or none"),
        (["--exchange", "a", "--tap-messages", "1k"], "'1k' is no bound; write 1000000, or none"),
        (["--exchange", "a", "--tap-name", "a/b"], "--tap-name shop"),
        (["--exchange", "a", "--url", "rabbit"], "amqp://USER:PASSWORD@HOST:PORT/VHOST"),
        (["--exchange", "a", "--tls-ca", "ca.pem"], "the URL is not amqps://"),
        (
            ["--exchange", "a", "--url", "amqps://b/", "--tls-ca", "none.pem"],
            "the files for TLS cannot be used",
        ),
    ],
)
def test_wrong_use_says_what_is_right(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = clew(tmp_path, "collect", "rabbitmq", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_without_the_extra_the_line_that_installs_it_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_PIKA]
    done = clew(tmp_path, "collect", "rabbitmq", "--exchange", "a", command=command)
    assert done.returncode == 2
    assert "pip install 'clew[rabbitmq]'" in done.stderr
