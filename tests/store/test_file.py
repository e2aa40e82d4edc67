"""The store's file: made whole, opened for a turn, and the owner's alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from tests.store.files import KILLED, add, counts, elsewhere

from clew.reconstruct.duckdb.file import DuckFile
from clew.reconstruct.errors import StoreBusy, StoreError, StoreMissing


def test_an_absent_store_is_made_and_empty(path: Path, opened: Callable[..., DuckFile]) -> None:
    assert counts(opened()) == {}
    assert path.is_file()


def test_an_empty_file_counts_as_absent(path: Path, opened: Callable[..., DuckFile]) -> None:
    path.touch()
    add(opened(), 1)
    assert counts(opened()) == {1: 1}


def test_a_missing_store_is_said_to_be_missing_and_leaves_nothing(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    for use in (counts, lambda file: add(file, 1)):
        with pytest.raises(StoreMissing, match="there is no store at") as missing:
            use(opened(create=False))
        assert "clew ingest" in missing.value.help
    assert list(path.parent.iterdir()) == []


def test_nobody_else_may_read_what_is_written(path: Path, opened: Callable[..., DuckFile]) -> None:
    before = os.umask(0)
    try:
        file = opened()
        add(file, 1, rows=1000)
        during = {each.name: each.stat().st_mode & 0o077 for each in path.parent.iterdir()}
        add(file, 2)
        file.release()
        after = {each.name: each.stat().st_mode & 0o077 for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.name + ".wal" in during
    assert path.name + ".tmp" in during
    assert set(during.values()) == {0}
    assert set(after.values()) == {0}


def test_what_fails_within_a_write_leaves_nothing_of_it(opened: Callable[..., DuckFile]) -> None:
    file = opened()
    add(file, 1)

    def fail() -> None:
        with file.writing() as connection:
            connection.execute("INSERT INTO store.records VALUES (2, '')")
            connection.execute("SELECT no_such_column")

    with pytest.raises(StoreError, match="no_such_column"):
        fail()
    assert counts(opened()) == {1: 1}
    add(file, 3)
    assert counts(file) == {1: 1, 3: 1}


def test_what_is_shown_instead_of_the_file_goes_with_its_block_however_that_ends(
    opened: Callable[..., DuckFile],
) -> None:
    file = opened()
    add(file, 1)

    def twice(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE VIEW store.records AS FROM kept.records UNION ALL FROM kept.records")

    with file.reading_through(twice) as connection:
        assert connection.execute("SELECT count(*) FROM store.records").fetchall() == [(2,)]
    with file.reading(), file.reading_through(twice):
        assert counts(file) == {1: 2}
    assert counts(file) == {1: 1}

    def fail() -> None:
        with file.reading(), file.reading_through(twice) as connection:
            connection.execute("SELECT no_such_column")

    with pytest.raises(StoreError, match="no_such_column"):
        fail()
    add(file, 2)
    assert counts(file) == counts(opened()) == {1: 1, 2: 1}


def test_a_block_within_a_block_sees_the_same_and_a_write_may_not_be_nested(
    opened: Callable[..., DuckFile],
) -> None:
    file = opened()
    with file.writing() as connection:
        connection.execute("INSERT INTO store.records VALUES (1, '')")
        assert counts(file) == {1: 1}
        with pytest.raises(RuntimeError, match="writing within"):
            add(file, 2)
    assert counts(file) == {1: 1}


def test_a_write_that_keeps_its_turn_lets_go_when_somebody_waits(opened: Callable[..., DuckFile]) -> None:
    writer, reader = opened(), opened()
    for n in range(3):
        add(writer, n)
        assert counts(reader) == dict.fromkeys(range(n + 1), 1)


def test_an_idle_writer_closes_the_file_for_programs_that_cannot_wait(
    path: Path, opened: Callable[..., DuckFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.reconstruct.duckdb.file._IDLE_SECONDS", 0.05)
    add(opened(), 1)
    deadline = time.monotonic() + 20
    while path.with_name(path.name + ".wal").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)


def test_threads_share_one_file(opened: Callable[..., DuckFile]) -> None:
    file = opened()
    failures: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for _ in range(5):
                add(file, n)
                assert counts(file)[n] > 0
        except BaseException as error:  # noqa: BLE001  told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert counts(file) == dict.fromkeys(range(4), 5)


def test_two_names_of_a_store_are_one(path: Path, opened: Callable[..., DuckFile]) -> None:
    alias = path.parent / "alias"
    alias.symlink_to(path)
    one, other = opened(), opened(alias, timeout=0.1)
    with one.writing() as connection:
        connection.execute("INSERT INTO store.records VALUES (1, '')")
        with pytest.raises(StoreBusy):
            counts(other)
    other.timeout = 10
    assert counts(opened(alias)) == {1: 1}


def test_a_store_removed_while_written_to_ends_the_writing(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    file = opened()
    add(file, 1)
    path.unlink()
    with pytest.raises(StoreMissing, match="removed or replaced while") as missing:
        add(file, 2)
    assert "run the same command again" in missing.value.help
    add(file, 3)
    assert counts(file) == {3: 1}


def test_a_killed_writers_commits_are_there_and_its_last_batch_is_not(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    assert elsewhere(KILLED, path).returncode == -signal.SIGKILL
    assert path.with_name(path.name + ".wal").exists()
    whole = {0: 1000, 1: 1000, 2: 1000}
    assert counts(opened()) == whole, "read over its log"
    add(opened(), 3)
    for file in (opened(), opened()):
        assert counts(file) == whole | {3: 1}


def test_nothing_of_a_killed_process_stays_once_the_store_was_used(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    elsewhere(KILLED, path)
    leftover = path.with_name(path.name + ".tmp") / "duckdb_temp_1_0_storage"
    leftover.write_text("spilt")
    file = opened()
    add(file, 3)
    file.close()
    assert {each.name.removeprefix(path.name) for each in path.parent.iterdir()} == {"", ".lock", ".queue"}


def test_a_log_without_its_store_does_not_stop_a_new_one(path: Path, opened: Callable[..., DuckFile]) -> None:
    elsewhere(KILLED, path)
    path.unlink()
    add(opened(), 1)
    assert counts(opened()) == {1: 1}


@pytest.mark.parametrize("limit", [600_000, 3_000_000], ids=["log", "file"])
@pytest.mark.parametrize("rows", [3_000, 150_000], ids=["small batches", "large batches"])
def test_a_full_disk_is_told_and_costs_nothing_that_was_committed(
    path: Path, opened: Callable[..., DuckFile], limit: int, rows: int
) -> None:
    """A limit on the size of files fails writes as a full disk does."""
    done = elsewhere(
        """
        file = DuckFile(Path(sys.argv[1]), layout=LAYOUT)
        counts(file)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
        n = 0
        try:
            while n < 200:
                add(file, n, int(sys.argv[3]))
                n += 1
            file.release()
        except StoreFull as error:
            print(n, error, "|", error.help)
        print(sum(counts(file).values()) // int(sys.argv[3]))
        """,
        path,
        limit,
        rows,
    )
    assert done.stderr == ""
    told, committed = done.stdout.splitlines()
    assert told.startswith(f"{committed} ")
    assert "no room left on its disk" in told
    assert "goes on where this one stopped" in told
    assert counts(opened()) == dict.fromkeys(range(int(committed)), rows)
    add(opened(), 1000)


def test_a_program_that_takes_no_turns_is_waited_for_and_named(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    counts(opened())
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()",
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        for use in (counts, lambda file: add(file, 1)):
            with pytest.raises(StoreBusy, match=rf"process {holder.pid} \(.*python.*\); waited 0.1 s"):
                use(opened(timeout=0.1))
        threading.Timer(0.2, holder.kill).start()
        assert counts(opened(timeout=20)) == {}
    finally:
        holder.kill()
        holder.communicate()


def test_another_connection_of_this_process_is_told_as_such(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    counts(opened())
    with (
        duckdb.connect(str(path)) as _,
        pytest.raises(StoreBusy, match="another connection of this process"),
    ):
        add(opened(timeout=0.1), 1)


def test_a_forked_child_opens_anew_and_does_not_touch_its_parents_database(
    path: Path, opened: Callable[..., DuckFile]
) -> None:
    """In its own process, as the child ends by running the interpreter down."""
    done = elsewhere(
        """
        file = DuckFile(Path(sys.argv[1]), layout=LAYOUT)
        add(file, 1)
        child = os.fork()
        if child == 0:
            add(file, 2)
            sys.exit(0)
        add(file, 3)
        file.release()
        assert os.waitpid(child, 0)[1] == 0
        add(file, 4)
        """,
        path,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0
    assert counts(opened()) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_an_interrupted_query_is_a_keyboard_interrupt_and_loses_only_its_own(
    opened: Callable[..., DuckFile],
) -> None:
    file = opened()
    add(file, 1)
    # What a script starts in its background ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    def run() -> None:
        with file.writing() as connection:
            connection.execute("INSERT INTO store.records VALUES (2, '')")
            while True:
                connection.execute("SELECT count(DISTINCT hash(range)) FROM range(1000000)").fetchall()

    try:
        with pytest.raises(KeyboardInterrupt):
            run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert counts(file) == {1: 1}


def test_the_workbench_reaches_no_file_but_the_store(
    path: Path, tmp_path: Path, opened: Callable[..., DuckFile]
) -> None:
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    file = opened()
    for query in (
        f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/other.duckdb' AS other",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SELECT * FROM path",
    ):
        with pytest.raises(StoreError), file.reading() as connection:
            connection.execute(query)
    assert not (tmp_path / "out.csv").exists()
    assert path.is_file()


def test_zoned_times_become_utc_wherever_the_machine_stands(path: Path) -> None:
    done = elsewhere(
        """
        query = "SELECT '2026-07-01T12:00:00Z'::TIMESTAMPTZ::TIMESTAMP::VARCHAR"
        with DuckFile(Path(sys.argv[1]), layout=LAYOUT).reading() as connection:
            print(connection.execute(query).fetchone())
        """,
        path,
        TZ="Asia/Tokyo",
    )
    assert done.stdout.strip() == "('2026-07-01 12:00:00',)"


def test_long_queries_draw_nothing(opened: Callable[..., DuckFile]) -> None:
    with opened().reading() as connection:
        assert connection.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (False,)


def test_temporary_tables_outlast_a_turn(opened: Callable[..., DuckFile]) -> None:
    file = opened()
    with file.reading() as connection:
        connection.execute("CREATE TEMP TABLE found AS SELECT 7 AS n")
    with file.writing() as connection:
        connection.execute("INSERT INTO store.records SELECT n, '' FROM found")
    file.release()
    assert counts(file) == {7: 1}


def test_closing_twice_is_fine_and_the_file_may_be_used_again(opened: Callable[..., DuckFile]) -> None:
    file = opened()
    add(file, 1)
    file.close()
    file.close()
    assert counts(file) == {1: 1}
