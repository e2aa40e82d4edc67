"""``clew receive``: take what services push, over OTLP and in Zipkin's format."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clew.cli.collecting import Trouble
from clew.cli.ending import until_asked_to_end
from clew.cli.errors import CommandError
from clew.cli.exits import Exit
from clew.cli.extras import extra
from clew.cli.judging import changed, into_scope, judged_by, judging, lateness, reading, redacting
from clew.cli.options import Context, as_json, option, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.cli.terminal import Terminal
    from clew.collectors.otlp.access import Access, Address
    from clew.collectors.otlp.receiver import Receiver, Tally
    from clew.collectors.otlp.server import Servers
    from clew.reconstruct.errors import StoreError

GRPC, HTTP = "127.0.0.1:4317", "127.0.0.1:4318"
NOWHERE = "none"
LEAST_BEAT_S = 1.0
_FILE = click.Path(dir_okay=False)


@click.command()
@option(
    "--grpc",
    env="RECEIVE_GRPC",
    default=GRPC,
    show_default=True,
    metavar="ADDR",
    help="Where OTLP/gRPC is taken, or none.",
)
@option(
    "--http",
    env="RECEIVE_HTTP",
    default=HTTP,
    show_default=True,
    metavar="ADDR",
    help="Where OTLP/HTTP and Zipkin's spans are taken, or none.",
)
@option(
    "--token-file",
    env="TOKEN_FILE",
    type=_FILE,
    metavar="FILE",
    help="Senders must show the token in this file: Authorization: Bearer TOKEN. Or set CLEW_TOKEN itself.",
)
@option("--tls-cert", env="TLS_CERT", type=_FILE, metavar="FILE", help="Certificate (PEM): speak TLS.")
@option("--tls-key", env="TLS_KEY", type=_FILE, metavar="FILE", help="The certificate's key (PEM).")
@option(
    "--tls-client-ca",
    env="TLS_CLIENT_CA",
    type=_FILE,
    metavar="FILE",
    help="Senders must show a certificate signed by one of these (PEM).",
)
@lateness("RECEIVE_LATENESS", "sent")
@redacting("RECEIVE")
@judging
@into_scope("received")
@option("--no-progress", env="RECEIVE_NO_PROGRESS", is_flag=True, help="No status line on stderr.")
@as_json
@stored
@click.pass_obj
def receive(context: Context, /, *, as_json: bool, no_progress: bool, **given: Any) -> int:
    """Take traces and logs that services push: OTLP over gRPC and HTTP, and Zipkin's spans.

    A request is answered when it is stored. Where it cannot be, the sender is told
    to send it again, as exporters do by themselves. Ctrl-C or SIGTERM stores what
    was taken and ends.

    \b
      export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
    """  # noqa: D301  click's mark for lines that it must not join
    with extra("otlp", "clew receive"):
        from clew.collectors.otlp.server import Servers
    from clew.cli.receiving_line import ReceivingLine
    from clew.collectors.otlp.receiver import Pace, Receiver
    from clew.collectors.otlp.requests import Later
    from clew.reconstruct.receiving import receive as join
    from clew.reconstruct.running import noticed

    terminal = context.terminal
    now = judged_by(context)
    wanted = changed(now, given)
    settings = reading(wanted, given["redact_keys"], given["redact_patterns"])
    lateness_us = given["lateness"]
    # While nothing comes, it is said at least that often that all has come.
    pace = replace(Pace(), beat=min(Pace().beat, max(lateness_us / 1_000_000, LEAST_BEAT_S)))
    receiver = Receiver(settings=settings, scope=given["scope"], pace=pace, lateness_us=lateness_us)
    access = _access(given)
    grpc, http = _address(given["grpc"]), _address(given["http"])
    # Before there is a store: may it be written to like this at all?
    access.check(*(address for address in (grpc, http) if address is not None))
    servers = Servers(receiver, grpc=grpc, http=http, access=access)
    with context.store(create=True, settings=None if wanted == now else wanted) as store:
        # Before anybody is answered: is there a store at all?
        store.positions()
        with until_asked_to_end(terminal, "storing what was taken", receiver.close) as ending:
            servers.start()
            _tell_where(servers, access, terminal)
            troubles, line = Trouble(), ReceivingLine(receiver)
            try:
                with (
                    noticed(Path(context.store_path), "clew receive", lambda: line.told(troubles)),
                    _watched(receiver, terminal, troubles, wanted=not no_progress) as trouble,
                ):
                    join(store, receiver, ending=ending, trouble=trouble)
            finally:
                receiver.close()
                receiver.drop(Later(1, "clew has ended"))
                servers.stop()
        tally = receiver.tally
    _tell_end(tally, terminal, as_json=as_json)
    return Exit.FINE


def _address(text: str) -> Address | None:
    from clew.collectors.otlp.access import Address

    return None if text.strip().lower() == NOWHERE else Address.of(text)


def _access(given: dict[str, Any]) -> Access:
    from clew.collectors.otlp.access import Access

    def path(name: str) -> Path | None:
        return Path(given[name]) if given[name] else None

    return Access(
        token=_token(given["token_file"]),
        certificate=path("tls_cert"),
        key=path("tls_key"),
        client_ca=path("tls_client_ca"),
    )


def _token(file: str | None) -> str:
    if file is None:
        return os.environ.get("CLEW_TOKEN", "").strip()
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the token cannot be read from {file}: {error}", status=Exit.USAGE) from None
    if not token:
        raise CommandError(f"{file} holds no token", status=Exit.USAGE)
    return token


def _tell_where(servers: Servers, access: Access, terminal: Terminal) -> None:
    scheme = "https" if access.certificate else "http"
    if servers.grpc is not None:
        terminal.say(f"OTLP/gRPC          {scheme}://{servers.grpc}")
    if servers.http is not None:
        terminal.say(f"OTLP/HTTP, Zipkin  {scheme}://{servers.http}")
    outside = [address for address in (servers.grpc, servers.http) if address and not address.is_loopback]
    if outside and access.certificate is None:
        terminal.warn("without TLS the token and all records can be read on their way: give --tls-cert")


@contextmanager
def _watched(receiver: Receiver, terminal: Terminal, troubles: Trouble, *, wanted: bool) -> Iterator[Any]:
    """A status line on stderr while the block runs; gives what is to be called about the store's trouble."""
    last: list[str] = []

    def trouble(error: StoreError) -> None:
        troubles(error)
        # Once, however often it is tried in vain.
        if last[-1:] != [str(error)]:
            last[:] = [str(error)]
            terminal.warn(f"not stored, and tried again: {error}")

    if not (wanted and terminal.interactive):
        yield trouble
        return
    from rich.live import Live

    from clew.cli.receiving_line import ReceivingLine

    with Live(
        get_renderable=ReceivingLine(receiver).text,
        console=terminal.console("stderr"),
        refresh_per_second=2,
        transient=True,
    ):
        yield trouble


def _tell_end(tally: Tally, terminal: Terminal, *, as_json: bool) -> None:
    from clew.cli.flow_json import SCHEMA
    from clew.cli.units import count

    if as_json:
        terminal.json(
            {
                "schema": SCHEMA,
                "requests": tally.requests,
                "records": tally.records,
                "rejected": tally.rejected,
                "refused": tally.refused,
                "put_off": tally.put_off,
            }
        )
        return
    told = f"{count(tally.records, 'record')} received in {count(tally.requests, 'request')}"
    for number, what in (
        (tally.rejected, "rejected"),
        (tally.refused, "refused"),
        (tally.put_off, "put off"),
    ):
        if number:
            told += f", {count(number)} {what}"
    terminal.out(told)
