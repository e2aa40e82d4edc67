"""The correlation context follows the code that works for a flow, wherever it runs."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from clew.tracer import (
    CarryingExecutor,
    ContextError,
    Event,
    carry,
    correlated,
    current,
    detached,
    next_event,
    working_on,
)


def test_outside_of_any_flow_nothing_is_known_and_an_event_starts_one() -> None:
    assert current().correlation_id is None
    event = next_event("OrderPlaced", source="/orders")
    assert event.correlation_id == event.id
    assert event.causation_id is None


def test_an_event_made_while_handling_another_was_caused_by_it() -> None:
    placed = Event(type="OrderPlaced", source="/orders", correlation_id="c-1")
    with working_on(placed, operation="process", destination="orders") as context:
        assert context == current()
        paid = next_event("PaymentSucceeded", source="/payments")
        with working_on(paid, operation="send"):
            assert current().causation_id == placed.id
    assert (paid.correlation_id, paid.causation_id) == ("c-1", placed.id)
    assert current().correlation_id is None


def test_a_flow_is_the_given_one_then_the_current_one_then_a_new_one() -> None:
    with correlated() as outer:
        with correlated() as inner:
            assert inner.correlation_id == outer.correlation_id
        with correlated("c-2", causation_id="e-9"):
            event = next_event("t", source="/s")
            assert (event.correlation_id, event.causation_id) == ("c-2", "e-9")
        with detached():
            assert current().correlation_id is None


@pytest.mark.parametrize("bad", ["", "a\r\nx-evil: 1", "\x00", "\ud800"])
def test_an_id_that_would_break_headers_is_refused(bad: str) -> None:
    with pytest.raises(ContextError), correlated(bad):
        pass
    with pytest.raises(ContextError), correlated("c", causation_id=bad):
        pass


def test_the_context_is_restored_after_an_exception() -> None:
    def fail() -> None:
        with correlated("c-1"):
            raise ValueError("handler")

    with pytest.raises(ValueError, match="handler"):
        fail()
    assert current().correlation_id is None


def test_concurrent_async_tasks_keep_their_own_flow() -> None:
    async def work(name: str, barrier: asyncio.Barrier) -> str | None:
        with correlated(name):
            await barrier.wait()
            inner = asyncio.create_task(ask())
            await barrier.wait()
            return await inner

    async def ask() -> str | None:
        await asyncio.sleep(0)
        return current().correlation_id

    async def main() -> list[str | None]:
        barrier = asyncio.Barrier(8)
        return await asyncio.gather(*(work(f"c-{number}", barrier) for number in range(8)))

    assert asyncio.run(main()) == [f"c-{number}" for number in range(8)]


def test_a_thread_has_no_context_unless_it_is_carried_there() -> None:
    seen: list[str | None] = []

    def look() -> None:
        seen.append(current().correlation_id)

    with correlated("c-1"):
        threads = [threading.Thread(target=target) for target in (look, carry(look), carry(look))]
    for thread in threads:
        thread.start()
        thread.join()
    assert seen == [None, "c-1", "c-1"]


def test_a_carried_function_may_run_in_several_threads_at_once() -> None:
    barrier = threading.Barrier(4)

    def meet() -> str | None:
        barrier.wait(timeout=30)
        return current().correlation_id

    with correlated("c-1"):
        carried = carry(meet)
    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(carried) for _ in range(4)]]
    assert found == ["c-1"] * 4


def test_an_executor_runs_each_task_in_the_context_of_who_submitted_it() -> None:
    def look(suffix: str) -> str:
        return f"{current().correlation_id}{suffix}"

    with CarryingExecutor(ThreadPoolExecutor(2)) as pool:
        futures = []
        for name in ("c-1", "c-2", "c-3"):
            with correlated(name):
                futures.append(pool.submit(look, "!"))
        with correlated("c-4"):
            mapped = list(pool.map(look, "ab"))
    assert [future.result() for future in futures] == ["c-1!", "c-2!", "c-3!"]
    assert mapped == ["c-4a", "c-4b"]
    with pytest.raises(RuntimeError):
        pool.submit(look, "")
