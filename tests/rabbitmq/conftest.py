"""One RabbitMQ for all tests of this folder, and ways to write to it and to read what a store holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from tests.rabbitmq.publishing import Publisher
from tests.servers.fetching import Unavailable, skip
from tests.servers.rabbitmq import RabbitMQ, rabbitmq


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node of its own on a free port; its log is kept as pytest keeps folders."""
    try:
        with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as server:
            yield server
    except Unavailable as error:
        skip(error)


@pytest.fixture
def name() -> str:
    """A name that no other test uses, for queues and exchanges."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def publisher(broker: RabbitMQ) -> Iterator[Publisher]:
    """Publishes with confirms: what returned is in the broker."""
    with Publisher(broker.url) as made:
        yield made
