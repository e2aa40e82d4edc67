"""A broker for all tests of this folder, started once, and a topic for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from tests.kafka.topics import Topics
from tests.servers.fetching import Unavailable, skip
from tests.servers.kafka import Kafka, kafka
from tests.servers.registry import Registry, started
from tests.servers.sharing import common_folder, shared

if TYPE_CHECKING:
    from pytest import TempPathFactory  # noqa: PT013

_numbers = count(1)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: TempPathFactory) -> Iterator[Kafka]:
    folder = common_folder(tmp_path_factory) / "kafka"

    def start() -> dict[str, Any]:
        made = Kafka.made(folder)
        made.start()
        return made.state

    try:
        with shared(folder, start) as state:
            yield Kafka.of(folder, state)
    except Unavailable as error:
        skip(error)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: TempPathFactory) -> Iterator[Registry]:
    folder = common_folder(tmp_path_factory) / "registry"
    try:
        with shared(folder, lambda: started(folder)) as state:
            yield Registry(state["url"])
    except Unavailable as error:
        skip(error)


@pytest.fixture(scope="session")
def alone(tmp_path_factory: TempPathFactory) -> Iterator[Kafka]:
    """A broker that nobody else uses, to be stopped."""
    try:
        with kafka(tmp_path_factory.mktemp("alone")) as running:
            yield running
    except Unavailable as error:
        skip(error)


@pytest.fixture
def topics(broker: Kafka) -> Iterator[Topics]:
    """Makes topics and writes to them."""
    made = Topics(broker.bootstrap)
    yield made
    made.close()


@pytest.fixture
def topic() -> str:
    """A name that no other test has."""
    return f"orders-{os.environ.get('PYTEST_XDIST_WORKER', 'gw')}-{next(_numbers)}"
