"""``clew demo --live``: the workflows over a real broker, with clew's own commands beside them."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from clew.cli.ending import until_asked_to_end
from clew.cli.errors import CommandError
from clew.cli.extras import extra
from clew.cli.kafka_source import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from clew.cli.demo import DemoRun
    from clew.cli.demo.live.broker import Broker, Plan
    from clew.cli.terminal import Terminal
    from clew.reconstruct.model import Summary
    from clew.reconstruct.store import Store

KAFKA = "kafka"
_START_S, _DRAIN_S, _END_S, _LOOK_S = 60.0, 90.0, 60.0, 0.2
_HTTP = re.compile(r"OTLP/HTTP.*?(http://\S+)")


class Watched(NamedTuple):
    """What a live demo did, and what clew made of it."""

    ran: DemoRun
    messages: int
    topics: int
    summary: Summary


def live(terminal: Terminal, store: Path, given: Mapping[str, Any], clear: Callable[[], None]) -> Watched:
    """Run it beside ``store``, telling changes as they happen, and leave nothing in the broker.

    ``clear`` is called once there is a broker, to make room for the store.

    Raises:
        CommandError: an extra is not installed, the broker does not answer, or a command of clew fails.
    """
    with extra("otlp", "clew demo --live"):
        from clew.cli.demo import DEFINITIONS
        from clew.cli.demo.live import Pressed
        from clew.cli.demo.live.broker import BrokerError
    from clew.reconstruct import open_store

    try:
        with ExitStack() as stack:
            broker = _broker(given)
            stack.callback(_close, terminal, broker, keep=given["keep"])
            clear()
            place = store.parent
            pressed = Pressed(given["speed"])
            pressed.write(place / DEFINITIONS.name)
            judged = ("--definitions", DEFINITIONS.name, "--owed-limit", pressed.limit)
            beside = partial(_clew, terminal, place, store, judged)
            stored = stack.enter_context(open_store(store, create=True))
            stored.positions()
            return _run(stack, terminal, place, stored, broker, beside, given)
    except BrokerError as error:
        raise CommandError(str(error), help=error.help) from None


def _close(terminal: Terminal, broker: Broker, *, keep: bool) -> None:
    """Leave the broker as it was; what is left in it is said, and hides no other trouble."""
    from clew.cli.demo.live.broker import BrokerError

    try:
        broker.close(keep=keep)
    except BrokerError as error:
        terminal.warn(f"{error}; {error.help}")


def _broker(given: Mapping[str, Any]) -> Broker:
    prefix = f"clew-demo-{secrets.token_hex(3)}."
    if given["live"] == KAFKA:
        with extra("kafka", "clew demo --live kafka"):
            from clew.cli.demo.live.kafka import KafkaBroker

        properties = {name: filled(value) for name, value in given["properties"]}
        return KafkaBroker(given["bootstrap"], prefix, properties)
    with extra("rabbitmq", "clew demo --live rabbitmq"):
        from clew.cli.demo.live.rabbitmq import RabbitBroker

    return RabbitBroker(filled(given["url"]), prefix, keep=given["keep"])


def _run(
    stack: ExitStack,
    terminal: Terminal,
    place: Path,
    stored: Store,
    broker: Broker,
    beside: Callable[..., AbstractContextManager[_Clew]],
    given: Mapping[str, Any],
) -> Watched:
    from clew.cli.demo.live import run

    # That an exporter sends something again is what it is for, and no news.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
    ending = stack.enter_context(
        until_asked_to_end(terminal, "the services stop, and what they sent is read")
    )
    receiver = stack.enter_context(
        beside("receive", "--grpc", "none", "--http", "127.0.0.1:0", "--lateness", "2s")
    )
    endpoint = receiver.said(_HTTP)
    collectors: list[_Clew] = []
    topics = 0

    def prepared(plan: Plan) -> None:
        nonlocal topics
        topics = len(plan.topics) + len(plan.dead_letters)
        words = broker.collecting(plan)
        secret: dict[str, str] = {}
        if given["live"] == KAFKA:
            words += [word for name, value in given["properties"] for word in ("-X", f"{name}={value}")]
        else:
            secret["CLEW_RABBITMQ_URL"] = given["url"]
        collectors.append(stack.enter_context(beside("collect", *words, environment=secret)))
        broker.await_collector()
        terminal.say(f"running {given['flows']:,} flows of four workflows, {given['speed']:g} times as fast")

    with _changes_told(terminal, stored):
        ran, messages = run(
            place,
            broker,
            endpoint,
            flows=given["flows"],
            seed=given["seed"],
            faults=given["faults"],
            speed=given["speed"],
            ending=ending,
            prepared=prepared,
        )
        _drain(terminal, stored, ran, messages, given["live"])
    for command in (*collectors, receiver):
        command.end()
    return Watched(ran, messages, topics, stored.summary())


def _drain(terminal: Terminal, stored: Store, ran: DemoRun, messages: int, broker: str) -> None:
    """Wait until clew has stored every message, and knows that nothing more comes."""
    deadline = time.monotonic() + _DRAIN_S
    while True:
        found = stored.sources()
        have = sum(one.records for one in found if one.source.startswith(f"{broker}://"))
        marks = [one.watermark for one in found if one.watermark is not None]
        if have >= messages and marks and min(marks) > ran.as_of:
            return
        if time.monotonic() > deadline:
            terminal.warn(f"clew has read {have:,} of {messages:,} messages; its log is collect.log")
            return
        time.sleep(_LOOK_S)


@contextmanager
def _changes_told(terminal: Terminal, stored: Store) -> Iterator[None]:
    """Print, while the block runs, each flow that ends or gets stuck, as it does."""
    from collections import OrderedDict

    from clew.cli.following import ANY, INTERVAL, Known, change_line, changes, news
    from clew.reconstruct.model import FlowFilter, Status

    which = FlowFilter(statuses=tuple(one for one in Status if one is not Status.IN_PROGRESS))
    every = FlowFilter(sort="last")
    over = threading.Event()
    begin = stored.changed(ANY).mark

    def tell() -> None:
        mark, known = begin, OrderedDict[tuple[str, str], object]()
        last = False
        while not last:
            # Once more after the end, so that nothing is left out.
            last = over.is_set()
            mark = _tell_once(mark, known)

    def _tell_once(mark: str, known: Known) -> str:
        for seen in changes(stored, every, since=mark, seconds=INTERVAL):
            mark = seen.mark
            for flow in news(seen, which, known):
                terminal.out(change_line(flow, seen.as_of, terminal.look))
            sys.stdout.flush()
        return mark

    teller = threading.Thread(target=tell, name="clew-demo-changes")
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


class _Clew:
    """A command of clew that runs beside the demo, with its talk in a file."""

    def __init__(self, place: Path, words: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.name = words[0]
        self._log = place / f"{self.name}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
        with self._log.open("wb") as out:
            # Its own session: a Ctrl-C at the terminal is this process's to act upon.
            self._process = subprocess.Popen(  # noqa: S603  clew's own commands
                [sys.executable, "-m", "clew.cli.child", *words],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=place,
                env=kept | dict(environment),
                start_new_session=True,
            )

    def said(self, what: re.Pattern[str]) -> str:
        """Wait for it to say something; gives the first group.

        Raises:
            CommandError: it ended, or did not say it in time.
        """
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None
            text = self._log.read_text(encoding="utf-8", errors="replace")
            found = what.search(text)
            if found:
                return found[1]
            if ended:
                break
            time.sleep(_LOOK_S / 4)
        raise CommandError(f"clew {self.name} did not start: {text.strip() or 'it said nothing'}")

    def end(self) -> None:
        """Have it store what it took, and wait for it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


@contextmanager
def _clew(
    terminal: Terminal,
    place: Path,
    store: Path,
    judged: tuple[str, ...],
    *words: str,
    environment: Mapping[str, str] | None = None,
) -> Iterator[_Clew]:
    """A command of clew on the demo's store, which runs within the block."""
    words = (*words, *judged, "--store", store.name, "--no-progress")
    terminal.say(f"$ clew {shlex.join(words)}")
    running = _Clew(place, words, environment or {})
    try:
        yield running
    finally:
        running.end()
