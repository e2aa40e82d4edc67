"""How a broker is reached, and how that is told: never with a password."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pika
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from clew.collectors.errors import CollectError, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clew.collectors.rabbitmq.settings import RabbitSettings, Tls

TROUBLE = (AMQPError, OSError)
"""What a connection raises when it cannot be made or is gone."""

HEARTBEAT_S = 30
"""Each side notices within twice that that the other is gone; a URL's ``heartbeat`` wins."""


class Address:
    """A broker's URL, and the ways to connect to it.

    Raises:
        CollectError: it is no URL of AMQP, or the files for TLS cannot be used.
    """

    def __init__(self, settings: RabbitSettings) -> None:
        url, tls = settings.url, settings.tls
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            if parts.username is not None and parts.password is None:
                url = url.replace(f"{parts.username}@", f"{parts.username}:@", 1)
            parameters = pika.URLParameters(url)
        except (ValueError, LookupError, TypeError):
            parameters, host, port = None, None, None
        if parameters is None or parts.scheme not in {"amqp", "amqps"} or not host:
            # What cannot be read is not shown either: it may hold a password.
            raise CollectError(
                "the URL of the broker cannot be read",
                help="amqp://USER:PASSWORD@HOST:PORT/VHOST, amqps for TLS; the vhost / is written %2F",
            )
        self._parameters = parameters
        self.vhost = self._parameters.virtual_host
        self.shown = f"{parts.scheme}://{host}:{port or self._parameters.port}/{self.vhost.removeprefix('/')}"
        self.user = unquote(parts.username or "guest")
        if "heartbeat=" not in parts.query:
            self._parameters.heartbeat = HEARTBEAT_S
        if parts.scheme == "amqps":
            self._parameters.ssl_options = pika.SSLOptions(_context(tls), host)
        elif tls.ca or tls.certificate or tls.key:
            raise CollectError("files for TLS are given, and the URL is not amqps://")

    def connect(self, what: str) -> pika.BlockingConnection:
        """A connection that the broker lists as clew's, for ``what``."""
        self._parameters.client_properties = {"connection_name": f"clew {what}", "product": "clew"}
        return pika.BlockingConnection(self._parameters)

    @contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Within the block what the client raises becomes :class:`SourceUnavailable`."""
        try:
            yield
        except TROUBLE as error:
            raise self.unavailable(error, doing) from error

    def unavailable(self, error: BaseException, doing: str) -> SourceUnavailable:
        """What to tell a person about ``error``."""
        reason, help_ = self._reason(error)
        return SourceUnavailable(f"{self.shown}: {doing}: {reason}", help=help_)

    def _reason(self, error: BaseException) -> tuple[str, str]:
        told = next((one for one in reversed([error, *_causes(error)]) if isinstance(one, _TELLING)), error)
        match told:
            case ProbableAuthenticationError():
                return f"the broker refused the login of {self.user}", "user and password stand in the URL"
            case ProbableAccessDeniedError():
                return f"{self.user} may not use the vhost {self.vhost}", "rabbitmqctl set_permissions"
            case ChannelClosedByBroker() | ConnectionClosedByBroker():
                return told.reply_text, _HELP.get(told.reply_code, "")
            case ssl.SSLError():
                return f"TLS: {told.reason or told}", "--tls-ca names who signed the broker's certificate"
            case OSError():
                return told.strerror or str(told) or type(told).__name__, ""
        return str(told) or type(told).__name__, ""


_TELLING = (
    OSError,
    ProbableAuthenticationError,
    ProbableAccessDeniedError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
)
"""What tells more than what was raised because of it."""
_ACCESS_REFUSED, _NOT_FOUND = 403, 404
_HELP = {
    _ACCESS_REFUSED: "the login needs the right to configure clew.*, to write to them and to read what is asked for",
    _NOT_FOUND: "clew reads what is there: exchanges, queues and streams are the applications' to declare",
}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What ``error`` holds and comes from, innermost last."""
    for one in error.args:
        if isinstance(one, BaseException):
            yield one
            yield from _causes(one)
        inner = getattr(one, "exception", None)
        if isinstance(inner, BaseException):
            yield inner
            yield from _causes(inner)
    if error.__cause__ is not None:
        yield error.__cause__
        yield from _causes(error.__cause__)


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise CollectError(f"the files for TLS cannot be used: {error.strerror or error}") from None
    return context
