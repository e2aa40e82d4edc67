"""What the parts of the stores' conformance suite share: a store, and records for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.conformance.records import log, span

from clew.reconstruct.errors import StoreError
from clew.reconstruct.model import FlowFilter
from clew.reconstruct.store import Capability, Store

Open = Callable[..., Store]

ORDERS = [
    log(0, name="OrderPlaced", correlation_id="order-1", correlation_key="correlation_id", event_id="e1"),
    log(
        2, name="PaymentTaken", service="payment", correlation_id="order-1", correlation_key="correlation_id"
    ),
    log(1, name="OrderPlaced", correlation_id="order-2", correlation_key="correlation_id", event_id="e2"),
    log(9, name="OrderPlaced", correlation_id="order-3", correlation_key="correlation_id", severity="ERROR"),
]

TRACE = [
    span(20, 23, "trace-9", "span-1", name="GET /orders", service="gateway"),
    span(21, 22, "trace-9", "span-2", "span-1", name="lookup", keys='{"customer_id": "c-77"}'),
]


@contextmanager
def as_able(store: Store, capability: Capability) -> Iterator[None]:
    """The block works, or raises what the store declares."""
    reason = store.missing.get(capability)
    if reason is None:
        yield
        return
    with pytest.raises(StoreError) as error:
        yield
    assert reason in str(error.value)
    pytest.xfail(reason)


def ids(store: Store, which: FlowFilter | None = None) -> list[str]:
    return [flow.flow_id for flow in store.flows(which or FlowFilter(sort="started", descending=False))]


class StoreCase:
    """Derive, and override :meth:`open_store`."""

    @pytest.fixture
    def open_store(self) -> Iterator[Open]:
        """``open_store(settings=None)``: another Store object for one and the same new store."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: Open) -> Store:
        return open_store()
