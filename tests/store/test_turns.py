"""Turns at a store: who may go, who waits, and what a killed process leaves."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from clew.reconstruct.duckdb.turns import Turns
from clew.reconstruct.errors import StoreBusy, StoreUnusable

HOLDER = """
import sys, time
from pathlib import Path
from clew.reconstruct.duckdb.turns import Turns
turns = Turns(Path(sys.argv[1]), timeout=30)
turns.begin(alone=sys.argv[2] == "alone")
print("in", flush=True)
sys.stdin.readline()
turns.end()
print("out", flush=True)
sys.stdin.readline()
"""


class Process:
    """Another process that takes one turn and ends it when told."""

    def __init__(self, store: Path, how: str, *, wait: bool = True) -> None:
        self.run = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(store), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if wait:
            self.expect("in")

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def expect(self, word: str) -> None:
        assert self._pipe(self.run.stdout).readline().strip() == word

    def end(self) -> None:
        self._pipe(self.run.stdin).write("\n")
        self._pipe(self.run.stdin).flush()
        self.expect("out")

    def close(self) -> None:
        self.run.kill()
        self.run.communicate()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make(how: str, *, wait: bool = True) -> Process:
        made.append(Process(tmp_path / "store", how, wait=wait))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def eventually(condition: Callable[[], bool]) -> None:
    """Wait, bounded, until ``condition`` holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def somebody_waits(store: Path) -> bool:
    with store.with_name("store.queue").open("r+b") as queue:
        try:
            fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_readers_go_in_together(store: Path, process: Callable[..., Process]) -> None:
    process("shared")
    process("shared")
    turns = Turns(store, timeout=5)
    assert turns.begin(alone=False)
    assert turns.held
    assert not turns.alone
    turns.end()


@pytest.mark.parametrize(("theirs", "ours"), [("alone", False), ("alone", True), ("shared", True)])
def test_a_writer_excludes_everybody_and_the_error_names_who_is_in(
    store: Path,
    process: Callable[..., Process],
    theirs: str,
    ours: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    holder = process(theirs)
    turns = Turns(store, timeout=0.1)
    with pytest.raises(
        StoreBusy, match=rf"in use by process {holder.run.pid} \(.*python.*waited 0.1 s"
    ) as busy:
        turns.begin(alone=ours)
    assert "Try again" in busy.value.help
    assert not turns.held
    holder.end()
    assert turns.begin(alone=ours)
    turns.end()


def test_two_stores_of_one_process_exclude_each_other(store: Path) -> None:
    one, other = Turns(store, timeout=5), Turns(store, timeout=0.05)
    one.begin(alone=True)
    with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
        other.begin(alone=False)
    one.end()
    other.begin(alone=True)
    other.end()


def test_threads_take_turns(store: Path) -> None:
    inside = 0
    most = 0
    turns_taken = []

    def work() -> None:
        nonlocal inside, most
        turns = Turns(store, timeout=30)
        for _ in range(25):
            turns.begin(alone=True)
            inside += 1
            most = max(most, inside)
            time.sleep(0)
            inside -= 1
            turns_taken.append(1)
            turns.end()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(turns_taken) == 100


def test_a_turn_ends_with_its_process_however_it_dies(store: Path, process: Callable[..., Process]) -> None:
    holder = process("alone")
    os.kill(holder.run.pid, signal.SIGKILL)
    holder.run.wait()
    turns = Turns(store, timeout=10)
    assert turns.begin(alone=True)
    turns.end()


def test_a_waiting_writer_goes_before_later_readers(store: Path, process: Callable[..., Process]) -> None:
    first = process("shared")
    writer = process("alone", wait=False)
    eventually(lambda: somebody_waits(store))
    later = Turns(store, timeout=0.1)
    with pytest.raises(StoreBusy):
        later.begin(alone=False)
    first.end()
    writer.expect("in")
    writer.end()
    later.timeout = 10
    assert later.begin(alone=False)
    later.end()


def test_a_writer_learns_that_somebody_waits(store: Path, process: Callable[..., Process]) -> None:
    turns = Turns(store, timeout=10)
    turns.begin(alone=True)
    time.sleep(0.3)
    assert not turns.wanted()
    reader = process("shared", wait=False)
    eventually(turns.wanted)
    turns.end()
    reader.expect("in")


def test_who_waits_is_not_overtaken_time_and_again_by_busy_writers(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers that never pause: a reader waits for one or two turns, not for ten."""
    monkeypatch.setattr("clew.reconstruct.duckdb.turns.SLICE_SECONDS", 0.01)
    done = threading.Event()
    turns_taken = []

    def write() -> None:
        turns = Turns(store, timeout=30)
        while not done.is_set():
            if not turns.held:
                turns.begin(alone=True)
                turns_taken.append(1)
            time.sleep(0.02)
            if turns.wanted():
                turns.end()
        turns.end()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    waited_for = 0
    try:
        reader = Turns(store, timeout=30)
        for _ in range(20):
            before = len(turns_taken)
            assert reader.begin(alone=False)
            waited_for += len(turns_taken) - before
            reader.end()
            time.sleep(0.03)
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert waited_for <= 20 * 1.5


def test_removed_lock_files_let_nobody_in_twice(store: Path) -> None:
    one = Turns(store, timeout=5)
    one.begin(alone=True)
    one.queue_path.unlink()
    one.lock_path.unlink()
    other = Turns(store, timeout=5)
    assert other.begin(alone=True), "the files are new, and so is the turn"
    third = Turns(store, timeout=0.05)
    with pytest.raises(StoreBusy):
        third.begin(alone=True)
    one.end()
    other.end()


def test_a_forked_child_neither_holds_nor_ends_its_parents_turn(store: Path) -> None:
    turns = Turns(store, timeout=5)
    turns.begin(alone=True)
    release, told = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        if not turns.held:
            turns.end()
            os.read(release, 1)
            status = 0
        os._exit(status)
    other = Turns(store, timeout=0.05)
    with pytest.raises(StoreBusy):
        other.begin(alone=False)
    turns.end()
    assert other.begin(alone=False), "the child lives, but the turn has ended"
    other.end()
    os.write(told, b"x")
    os.close(told)
    os.close(release)
    assert os.waitpid(child, 0)[1] == 0


def test_lock_files_are_their_owners_alone(store: Path) -> None:
    before = os.umask(0)
    try:
        turns = Turns(store, timeout=5)
        turns.begin(alone=True)
        turns.end()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (turns.lock_path, turns.queue_path)} == {0o600}


def test_without_a_folder_the_error_says_so(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "none" / "store", timeout=1)
    with pytest.raises(StoreUnusable, match="there is no folder") as unusable:
        turns.begin(alone=True)
    assert "--store" in unusable.value.help


def test_a_link_in_place_of_a_lock_file_is_not_followed(store: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    store.with_name("store.lock").symlink_to(victim)
    with pytest.raises(StoreUnusable):
        Turns(store, timeout=1).begin(alone=True)
    assert victim.read_text() == "precious"


def test_the_note_names_the_writer_where_the_kernel_does_not(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(store, timeout=5)
    turns.begin(alone=True)
    monkeypatch.setattr("clew.reconstruct.duckdb.turns._lock_owners", lambda _path: [])
    assert turns.holders()[0].startswith(f"process {os.getpid()} (")
    turns.end()
    assert turns.holders() == []
