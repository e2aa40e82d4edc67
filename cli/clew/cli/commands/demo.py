"""``clew demo``: run the bundled workflows, read what they wrote, report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clew.cli.errors import UsageMistake
from clew.cli.exits import Exit
from clew.cli.options import KEY_VALUE, Context, common, option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clew.cli.demo import DemoRun
    from clew.cli.look import Line, Look
    from clew.cli.terminal import Terminal
    from clew.reconstruct.ingest import IngestReport
    from clew.reconstruct.model import Summary

KAFKA, RABBITMQ = "kafka", "rabbitmq"
FOLDER = "clew-demo"
STORE = "clew.duckdb"
_OURS = "truth.json"
_MARK = b"clew never reads this file"
_INTERESTING = ("stuck", "dead_lettered", "failed", "compensated", "completed")


@click.command()
@click.argument("folder", default=FOLDER)
@option(
    "--flows",
    env="DEMO_FLOWS",
    type=click.IntRange(min=1, max=100_000),
    default=400,
    show_default=True,
    metavar="N",
    help="How many flows to run.",
)
@option(
    "--seed",
    env="DEMO_SEED",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Another seed, another hour.",
)
@option(
    "--faults",
    env="DEMO_FAULTS",
    type=click.FloatRange(0, 1),
    default=0.15,
    show_default=True,
    metavar="SHARE",
    help="The share of flows in which something goes wrong.",
)
@option(
    "--live",
    env="DEMO_LIVE",
    type=click.Choice([KAFKA, RABBITMQ]),
    help="Over a real broker that runs, with clew watching: in about a minute.",
)
@option(
    "--bootstrap",
    env="KAFKA_BOOTSTRAP",
    default="127.0.0.1:9092",
    show_default=True,
    metavar="HOST:PORT,...",
    help="With --live kafka: where the cluster is.",
)
@option(
    "--property",
    "-X",
    "properties",
    env="KAFKA_PROPERTY",
    type=KEY_VALUE,
    multiple=True,
    metavar="NAME=VALUE",
    help="With --live kafka: as clew collect kafka takes it.",
)
@option(
    "--url",
    env="RABBITMQ_URL",
    default="amqp://guest:guest@127.0.0.1:5672/%2F",
    metavar="URL",
    help="With --live rabbitmq: amqp[s]://USER:PASSWORD@HOST:PORT/VHOST. Default: guest on this machine.",
)
@option(
    "--speed",
    env="DEMO_SPEED",
    type=click.FloatRange(1, 600),
    default=60,
    show_default=True,
    metavar="N",
    help="With --live: how many times as fast; limits are as many times shorter.",
)
@option("--keep", env="DEMO_KEEP", is_flag=True, help="With --live: leave the topics in the broker.")
@common
@click.pass_obj
def demo(context: Context, /, *, folder: str, **given: Any) -> int:
    """Run four workflows of twenty services, read the logs and spans they wrote, and report.

    Order fulfilment, user onboarding, video processing and financial
    reconciliation run for an hour of virtual time. FOLDER is made, or made anew
    where an earlier demo made it; it then holds the logs, the spans, the flow
    definitions, the store, and a truth.json that clew never reads.

    With --live the services talk over your Kafka or RabbitMQ, in topics of their
    own that are gone afterwards, and export to a clew receive by OpenTelemetry's
    SDK, while clew collect reads the topics. Ctrl-C ends it in good order.

    \b
      clew demo --live kafka --bootstrap localhost:9092
      clew demo --live rabbitmq --url amqp://guest:guest@localhost/
    """  # noqa: D301  click's mark for lines that it must not join
    place = Path(folder)
    _check(place)
    terminal = context.terminal
    if given["live"] is not None:
        return _live(terminal, place, given)
    from clew.cli.demo import run

    terminal.say(f"running {given['flows']:,} flows of four workflows in {place}")
    ran = run(place, flows=given["flows"], seed=given["seed"], faults=given["faults"])
    _forget(place / STORE)
    report, summary = _ingest(ran, place / STORE)
    terminal.out(_told(_written(ran, report, terminal.look), ran, summary, terminal.look))
    return Exit.FINE


def _live(terminal: Terminal, place: Path, given: dict[str, Any]) -> int:
    from clew.cli.live_demo import live
    from clew.cli.units import count

    def clear() -> None:
        place.mkdir(parents=True, exist_ok=True)
        # So that what is there when this is stopped is known for a demo's.
        (place / _OURS).write_bytes(b'{"about": "' + _MARK + b'"}\n')
        _forget(place / STORE)

    seen = live(terminal, place / STORE, given, clear)
    ran, look = seen.ran, terminal.look
    exported = f"{count(ran.log_lines, 'log record')} and {count(ran.span_count, 'span')} exported"
    sent = f"{count(seen.messages, 'message')} sent through {count(seen.topics, 'topic')}"
    head = [look.line(), look.line(f"{exported}, {sent}, in {ran.seconds:.1f} s")]
    if given["keep"]:
        head.append(look.line("the topics are still there: their names begin with clew-demo-"))
    terminal.out(_told(head, ran, seen.summary, look))
    return Exit.FINE


def _check(place: Path) -> None:
    """Refuse a folder that something else has filled.

    Raises:
        UsageMistake: it is no folder, or holds files and no demo made it.
    """
    if not place.exists():
        return
    if not place.is_dir():
        raise UsageMistake(f"{place} is no folder", help="name another one: clew demo FOLDER")
    if any(place.iterdir()) and not _ours(place / _OURS):
        raise UsageMistake(
            f"{place} holds files that no demo wrote, and would be written over",
            help="name another folder: clew demo FOLDER",
        )


def _ours(truth: Path) -> bool:
    try:
        with truth.open("rb") as opened:
            return _MARK in opened.read(1000)
    except OSError:
        return False


def _forget(store: Path) -> None:
    """Remove the store of an earlier demo, which tells of another hour."""
    for path in (store, store.with_name(store.name + ".wal")):
        path.unlink(missing_ok=True)


def _ingest(ran: DemoRun, store_path: Path) -> tuple[IngestReport, Summary]:
    from clew.collectors.files.collector import FilesCollector
    from clew.reconstruct import open_store
    from clew.reconstruct.definitions import load
    from clew.reconstruct.ingest import ingest
    from clew.reconstruct.model import Settings

    collector = FilesCollector([str(path) for path in (*ran.logs, *ran.spans)])
    try:
        with open_store(
            store_path, create=True, settings=Settings(definitions=load(ran.definitions))
        ) as store:
            return ingest(store, collector), store.summary()
    finally:
        collector.close()


def _written(ran: DemoRun, report: IngestReport, look: Look) -> Iterator[Line]:
    from clew.cli.units import count

    files = count(len(ran.logs) + len(ran.spans), "file")
    written = f"{count(ran.log_lines, 'log line')} and {count(ran.span_count, 'span')}"
    yield look.line(f"{written} in {files}, written in {ran.seconds:.1f} s")
    yield look.line(f"{count(report.new, 'record')} read and put together in {report.seconds:.1f} s")


def _told(done: Iterable[Line], ran: DemoRun, summary: Summary, look: Look) -> Iterator[Line]:
    from clew.cli.flow_table import standing

    yield from done
    yield look.line()
    yield from standing(summary, look)
    yield look.line()
    yield look.line("try:", "help")
    for command, what in _tries(ran):
        yield look.line(f"  {command}", "name")
        if what:
            yield look.line(f"      {what}", "faint")


def _tries(ran: DemoRun) -> Iterator[tuple[str, str]]:
    yield f"export CLEW_STORE={shlex.quote(str(ran.folder / STORE))}", ""
    yield "clew flows", "every flow, the newest first"
    if "stuck" in ran.samples:
        yield "clew stuck", "what waits for something overdue, and for what"
        yield "clew stuck --by step", "the same in a few lines"
    sample = ran.samples.get("dead_lettered") or ran.samples.get("stuck")
    if sample is not None and sample.correlation_id:
        yield f"clew why {shlex.quote(sample.correlation_id)}", "one sentence, its evidence, what to do next"
    for status in _INTERESTING:
        sample = ran.samples.get(status)
        if sample is not None and sample.correlation_id:
            fault = f": {sample.fault}" if sample.fault else ""
            word = status.replace("_", "-")
            yield f"clew show {shlex.quote(sample.correlation_id)}", f"a {word} {sample.type} flow{fault}"
    sample = ran.samples.get("failed") or next(iter(ran.samples.values()), None)
    if sample is not None:
        name, value = sample.key
        yield (
            f"clew show {shlex.quote(value)} --logs --evidence",
            f"the same by {name}; logs, and why each record is there",
        )
        yield f"clew flows --type {shlex.quote(sample.type)} --json", "one object per line, for programs"
