"""Where a receiver listens, and who may send to it."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clew.collectors.errors import CollectError

if TYPE_CHECKING:
    import ssl

_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Address:
        """Read ``127.0.0.1:4317``, ``[::1]:4317``, ``localhost:4317`` or a port alone, which is the loopback's.

        Raises:
            CollectError: it is none of them.
        """
        host, colon, port = text.strip().rpartition(":")
        if not colon and port.isdecimal():
            host = "127.0.0.1"
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
            raise CollectError(
                f"{text!r} is no address to listen at", help="write HOST:PORT, such as 127.0.0.1:4317"
            )
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether nobody outside of this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Access:
    """What a sender must show. ``key`` and ``certificate`` are files in PEM; so is ``client_ca``."""

    token: str = ""
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    def check(self, *addresses: Address) -> None:
        """See that the addresses may be listened at.

        Raises:
            CollectError: one is reachable from outside, and anybody could send to it; or
                a file is missing or no such file.
        """
        if (self.certificate is None) != (self.key is None):
            raise CollectError("a certificate needs its key, and a key its certificate", help=_TLS)
        if self.client_ca is not None and self.certificate is None:
            raise CollectError("to ask for clients' certificates needs one of its own", help=_TLS)
        for address in addresses:
            if not (address.is_loopback or self.token or self.client_ca):
                raise CollectError(
                    f"{address} can be reached from outside, and anybody could write into the store",
                    help="give a token (--token-file, CLEW_TOKEN) or ask for clients' certificates"
                    " (--tls-client-ca), or listen at 127.0.0.1",
                )
        if self.certificate is not None:
            self.tls()

    def admits(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header holds the token, if there is one to hold."""
        if not self.token:
            return True
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode())

    def tls(self) -> ssl.SSLContext | None:
        """The server's side of TLS; None where there is none.

        Raises:
            CollectError: a file cannot be read, or is not what it should be.
        """
        if self.certificate is None:
            return None
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(file) for file in (self.certificate, self.key, self.client_ca) if file)
            raise CollectError(f"the certificates cannot be used: {error} ({files})", help=_TLS) from None
        return context


_TLS = "--tls-cert and --tls-key name files in PEM, and --tls-client-ca one of those who sign clients'"
