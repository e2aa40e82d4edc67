"""Writing to a store: counts, positions, de-duplication, rejects."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest
from tests.conformance.records import at, batch, log
from tests.conformance.store_case import ORDERS, TRACE, Open, StoreCase, as_able, ids

from clew.collectors.record import Batch, Outcome, Reject, Rejected, Watermark
from clew.reconstruct.errors import StoreError
from clew.reconstruct.model import FlowFilter
from clew.reconstruct.store import Capability, Store


class WritingConformance(StoreCase):
    """A batch and its position are one; nothing is lost, and nothing is there twice."""

    def test_a_batch_is_counted_and_its_position_committed(self, store: Store, open_store: Open) -> None:
        written = store.write(batch([*ORDERS, *TRACE], position="4711"))
        assert (written.records, written.new, written.duplicates, written.rejects) == (6, 6, 0, 0)
        assert dict(written.by_kind) == {"log": 4, "span": 2}
        store.release()
        other = open_store()
        assert other.positions() == {"a.log": "4711"}
        assert other.summary().records == 6
        assert ids(other) == ["order-1", "order-2", "order-3", "trace-9"]

    def test_an_empty_batch_moves_the_position_only(self, store: Store) -> None:
        store.write(batch(ORDERS, position="1"))
        written = store.write(batch([], position="2", first=False))
        assert (written.records, written.new, dict(written.by_kind)) == (0, 0, {})
        assert store.positions() == {"a.log": "2"}
        assert store.summary().records == 4

    def test_a_batch_that_fails_leaves_neither_records_nor_position(
        self, store: Store, open_store: Open
    ) -> None:
        store.write(batch(ORDERS, position="1"))
        broken = batch([log(30, name="Late", correlation_id="order-4")], position="2", first=False)
        with pytest.raises(StoreError) as error:
            store.write(replace(broken, select=broken.select.replace('"body"', "error('spoilt') AS body")))
        assert "spoilt" in str(error.value)
        assert error.value.help
        with as_able(store, Capability.TRANSACTIONS):
            for each in (store, open_store()):
                assert each.positions() == {"a.log": "1"}
                assert ids(each) == ["order-1", "order-2", "order-3"]
        store.write(broken)
        assert ids(store) == ["order-1", "order-2", "order-3", "order-4"]

    def test_the_same_input_again_adds_nothing(self, store: Store) -> None:
        store.write(batch([*ORDERS, *TRACE]))
        before = list(store.flows(FlowFilter()))
        again = store.write(batch([*ORDERS, *TRACE]))
        assert (again.records, again.new, again.duplicates) == (6, 0, 6)
        assert dict(again.by_kind) == {}
        copy = store.write(batch([*ORDERS, *TRACE], source="copy of a.log"))
        assert (copy.new, copy.duplicates) == (0, 6)
        assert list(store.flows(FlowFilter())) == before
        assert store.summary().records == 6

    def test_identical_lines_of_one_input_stay_and_those_of_copies_collapse(self, store: Store) -> None:
        line = ORDERS[0]
        assert store.write(batch([line, line, ORDERS[1]])).new == 3
        assert store.write(batch([line, line], source="b.log")).new == 0
        assert store.write(batch([line, line, line], source="c.log")).new == 1
        assert store.write(batch([line, line, line, ORDERS[1]])).new == 0
        assert store.summary().records == 4

    def test_an_identical_line_further_on_in_an_input_stays(self, store: Store) -> None:
        line = ORDERS[0]
        assert store.write(batch([line], position="1")).new == 1
        assert store.write(batch([line], position="2", first=False)).new == 1
        assert store.write(batch([line, line, line])).new == 1
        assert store.summary().records == 3

    def test_spans_are_a_set(self, store: Store) -> None:
        written = store.write(batch([*TRACE, TRACE[0]]))
        assert (written.records, written.new, written.duplicates) == (3, 2, 1)
        assert store.write(batch(TRACE[:1], source="window-2", position="9")).new == 0

    def test_what_has_an_identity_of_its_own_is_known_by_it(self, store: Store) -> None:
        message = {
            "kind": "message", "time": at(1), "name": "OrderPlaced", "correlation_id": "order-1",
            "identity": "cluster/topic/0/812",
        }  # fmt: skip
        assert store.write(batch([message])).new == 1
        assert store.write(batch([message | {"body": "read anew"}], source="b")).new == 0
        assert store.write(batch([message | {"identity": "cluster/topic/0/813"}], source="b")).new == 1

    def test_nothing_is_joined_across_scopes(self, store: Store) -> None:
        store.write(batch(ORDERS, source="here", scope="staging"))
        assert store.write(batch(ORDERS, source="there", scope="live")).new == 4
        assert store.summary().flows == 6
        assert [match.scope for match in store.find("order-1", scope="live")] == ["live"]
        assert sorted(match.scope for match in store.find("order-1")) == ["live", "staging"]
        assert ids(store, FlowFilter(scope="live", sort="started", descending=False)) == [
            "order-1",
            "order-2",
            "order-3",
        ]
        detail = store.flow("order-1", scope="live")
        assert detail is not None
        assert detail.flow.records == 2
        assert store.flow("order-1") is None

    def test_rejects_are_counted_kept_and_bounded(self, store: Store) -> None:
        written = store.write(
            batch(
                [
                    ORDERS[0],
                    {"reject": "not JSON", "body": "x" * 9000, "position": 2},
                    ORDERS[1] | {"position": 7},
                ],
                rejects=(Reject(5, "not UTF-8", b"\xff\xfe" + b"y" * 9000),),
            )
        )
        assert (written.records, written.new, written.rejects) == (2, 2, 2)
        store.write(batch([{"reject": "no time", "body": "z\x00z"}], source="Z.log"))
        kept = store.rejects()
        assert [(each.source, each.position, each.reason) for each in kept] == [
            ("Z.log", 1, "no time"),
            ("a.log", 2, "not JSON"),
            ("a.log", 5, "not UTF-8"),
        ]
        assert kept[0].raw == b"z\x00z"
        assert kept[1].raw == b"x" * 4096
        assert kept[2].raw == b"\xff\xfe" + b"y" * 4094
        assert len(store.rejects("a.log")) == 2
        assert len(store.rejects(limit=1)) == 1
        assert store.rejects("none") == []
        assert store.summary().rejects == 3

    def test_sources_tell_what_was_read_and_how_far(self, store: Store) -> None:
        store.write(batch(ORDERS[:2], source="b.log", position="2"))
        mark = Watermark(int(at(60).timestamp() * 1_000_000), exact=True)
        store.write(batch(ORDERS[1:], source="b.log", position="5", first=False, watermark=mark))
        store.write(batch(TRACE, source="a.log", position="7"))
        assert [one.watermark for one in store.sources() if one.source == "b.log"] == [at(60)]
        store.write(batch(ORDERS[:2], source="b.log", position="2", watermark=mark))
        first, second = store.sources()
        assert (first.source, first.format, first.position, first.records) == ("a.log", "by hand", "7", 2)
        assert (first.first, first.last) == (at(20), at(23))
        assert first.watermark is None
        assert second.source == "b.log"
        assert (second.position, second.records, second.duplicates, second.rejects) == ("2", 5, 2, 0)
        assert (second.first, second.last) == (at(0), at(9))
        assert (second.watermark, second.watermark_exact) == (at(60), True)
        assert second.updated is not None
        assert store.positions() == {"a.log": "7", "b.log": "2"}

    def test_a_source_that_is_read_to_its_end_is_not_behind_and_one_that_has_more_is(
        self, store: Store
    ) -> None:
        """Up to when it has told all is the newest time that it told, until no more is left of it."""
        estimated = Watermark(int(at(30).timestamp() * 1_000_000), exact=False)

        def mark() -> tuple[datetime | None, bool]:
            (source,) = store.sources()
            return source.watermark, source.watermark_exact

        store.write(replace(batch(ORDERS[:2], position="2"), more=True))
        assert mark() == (at(2), False)
        store.write(batch(ORDERS[2:], position="4", first=False))
        assert mark() == (None, False)
        store.write(batch([], position="5", first=False, watermark=estimated))
        store.write(batch([], position="5", first=False, watermark=replace(estimated, time_us=1)))
        assert mark() == (at(30), False)
        store.write(replace(batch([log(40)], position="6", first=False), more=True))
        assert mark() == (at(40), False)
        store.write(batch([], position="6", first=False))
        assert mark() == (None, False)
        store.write(batch([], position="7", first=False, watermark=replace(estimated, exact=True)))
        store.write(batch([], position="8", first=False))
        assert mark() == (at(30), True)

    def test_batches_written_on_end_are_each_told_for_themselves(self, store: Store) -> None:
        """Ten of one input and three of another, one of which is a copy: as if written one by one."""
        one = [
            batch([log(number, name="A", correlation_id=f"f{number}"), *([{"reject": "no"}] * (number % 2))],
                  source="one", position=str(number), first=not number)
            for number in range(10)
        ]  # fmt: skip
        other = [
            replace(one[0], source="other", position="0"),
            *(replace(each, source="new") for each in one[8:]),
        ]
        done = list(store.write_all(iter([*one[:5], other[0], *one[5:8], other[1], *one[8:], other[2]])))
        told = {(given.source, given.position): written for given, written in done}
        assert [given.position for given, _ in done if given.source == "one"] == [str(n) for n in range(10)]
        assert {key: (each.records, each.rejects) for key, each in told.items()} == {
            **{("one", str(number)): (1, number % 2) for number in range(10)},
            ("other", "0"): (1, 0),
            ("new", "8"): (1, 0),
            ("new", "9"): (1, 1),
        }
        assert sum(written.new for _, written in done) == 10
        assert sum(written.duplicates for _, written in done) == 3
        kinds = [dict(written.by_kind) for _, written in done]
        assert kinds == [{"log": 1} if written.new else {} for _, written in done]
        assert store.positions() == {"one": "9", "other": "0", "new": "9"}
        assert {each.source: (each.records + each.duplicates, each.rejects) for each in store.sources()} == {
            "new": (2, 1),
            "one": (10, 5),
            "other": (1, 0),
        }
        assert sum(each.records for each in store.sources()) == store.summary().records == 10
        assert [(each.source, each.position) for each in store.rejects("new")] == [("new", 2)]
        assert store.find("f3")[0].flow_id == "f3"

    def test_what_fails_among_batches_on_end_ends_them(self, store: Store) -> None:
        good = [
            batch(
                [log(number, name="A", correlation_id=f"f{number}")], position=str(number), first=not number
            )
            for number in range(6)
        ]
        bad = replace(good[3], select=good[3].select.replace('"body"', "error('spoilt') AS body"))
        with pytest.raises(StoreError, match="spoilt"):
            list(store.write_all(iter([*good[:3], bad, *good[4:]])))
        kept = store.positions().get("a.log")
        assert kept in {None, "0", "1", "2"}
        assert store.summary().records == (0 if kept is None else int(kept) + 1)
        rest = good[len(ids(store)) :]
        assert [written.new for _, written in store.write_all(iter(rest))] == [1] * len(rest)
        assert ids(store) == [f"f{number}" for number in range(6)]

    def test_what_was_pulled_is_committed_while_more_is_waited_for(
        self, store: Store, open_store: Open
    ) -> None:
        other = open_store()

        def waiting() -> Iterator[Batch]:
            yield batch(ORDERS[:1])
            deadline = time.monotonic() + 20
            while other.summary().records != 1:
                assert time.monotonic() < deadline, "the first batch was never committed"
                time.sleep(0.01)
            yield batch(ORDERS[1:], position="2", first=False)

        assert sum(written.new for _, written in store.write_all(waiting())) == 4
        assert other.positions() == {"a.log": "2"}

    def test_who_waits_for_a_batch_is_told_when_it_is_committed(self, store: Store, open_store: Open) -> None:
        """Once, after the commit, although the next batch is still waited for; and what was rejected."""
        other = open_store()
        told: list[Outcome] = []
        settled = threading.Event()

        def settle(outcome: Outcome) -> None:
            told.append(outcome)
            settled.set()

        rows = [
            {**ORDERS[0], "position": 1},
            {"reject": "no ID", "position": 1},
            {"reject": "no JSON", "position": 2},
        ]

        def waiting() -> Iterator[Batch]:
            yield replace(batch([*rows, *({**each, "position": 3} for each in ORDERS[1:])]), settle=settle)
            assert settled.wait(20), "nobody was told"
            assert other.summary().records == 4
            yield batch([], position="2", first=False)

        list(store.write_all(waiting()))
        rejected = {1: Rejected(1, "no ID", stored=1), 2: Rejected(1, "no JSON", stored=0)}
        assert told == [Outcome(committed=True, records=4, rejected=rejected)]

    def test_who_waits_for_a_batch_is_told_when_it_failed(self, store: Store) -> None:
        told: list[tuple[str, bool]] = []
        good, bad, after = (
            replace(
                batch(
                    [log(number, name="A", correlation_id=f"f{number}")],
                    position=str(number),
                    first=not number,
                ),
                settle=lambda outcome, number=number: told.append((f"f{number}", outcome.committed)),  # type: ignore[misc]
            )
            for number in range(3)
        )
        bad = replace(bad, select=bad.select.replace('"body"', "error('spoilt') AS body"))
        with pytest.raises(StoreError, match="spoilt"):
            list(store.write_all(iter([good, bad, after])))
        assert ("f1", False) in told
        assert dict(told).get("f2") in {None, False}
        stored = [name for name, committed in told if committed]
        assert ids(store) == stored
        assert len(told) == len(dict(told))

    def test_a_row_that_is_an_input_of_its_own_may_come_again(self, store: Store) -> None:
        """Twice within one request is twice; the request sent again, alone or among others, adds nothing."""
        twice = [{**log(1, name="A", correlation_id="f1"), "position": 1}] * 2
        once = [{**log(2, name="A", correlation_id="f1"), "position": 2}]
        again = [{**row, "position": 3} for row in twice]
        first = store.write(replace(batch([*twice, *once, *again]), apart=True))
        assert (first.new, first.duplicates) == (3, 2)
        second = store.write(replace(batch([*again, *once], position="2", first=False), apart=True))
        assert (second.new, second.duplicates) == (0, 3)
        third = store.write(replace(batch([*twice, twice[0]], position="3", first=False), apart=True))
        assert (third.new, third.duplicates) == (1, 2)

    def test_what_a_source_gives_again_is_known_by_its_identity_whatever_the_time(self, store: Store) -> None:
        """A source that tells no time has another one each time it gives the same."""
        row = {**log(1, name="A", correlation_id="f1"), "identity": "queue/1"}
        later = {**log(2, name="A", correlation_id="f1"), "identity": "queue/1"}
        assert store.write(batch([row])).new == 1
        again = store.write(replace(batch([later, later], position="2", first=False), again=True))
        assert (again.new, again.duplicates) == (0, 2)
        nameless = {**later, "identity": None}
        fresh = store.write(replace(batch([nameless], position="3", first=False), again=True))
        assert (fresh.new, fresh.duplicates) == (1, 0)

    def test_a_position_does_not_lose_a_byte(self, store: Store) -> None:
        position = '{"offset": 18446744073709551615, "name": "žluť\\u0000\'\\"; DROP TABLE records"}'
        source = 'dir/it\'s "quoted"; -- and\ttabbed.log'
        store.write(batch(ORDERS, source=source, position=position))
        assert store.positions() == {source: position}
        assert store.sources()[0].source == source

    def test_two_stores_at_one_place_write_in_turn(self, open_store: Open) -> None:
        one, other = open_store(), open_store()
        for number in range(5):
            one.write(
                batch([log(number, name="A", correlation_id=f"one-{number}")], source="one", first=not number)
            )
            other.write(
                batch([log(number, name="A", correlation_id=f"two-{number}")], source="two", first=not number)
            )
            one.release()
        other.release()
        assert sorted(ids(one)) == sorted(
            f"{name}-{number}" for name in ("one", "two") for number in range(5)
        )
        assert one.summary() == other.summary()

    def test_a_closed_store_may_be_closed_again_and_left_by_with(self, open_store: Open) -> None:
        with open_store() as store:
            store.write(batch(ORDERS))
        store.close()
        assert len(ids(open_store())) == 3

    def test_a_write_is_there_for_others_without_being_released(self, open_store: Open) -> None:
        writer, reader = open_store(), open_store()
        writer.write(batch(ORDERS[:1]))
        assert reader.summary().records == 1
        writer.write(batch(ORDERS[1:], position="2", first=False))
        assert reader.summary().records == 4
