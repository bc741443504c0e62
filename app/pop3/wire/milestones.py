"""What ``connect`` reaches on its way, told to whoever wants to watch."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from app.pop3.wire.capabilities import Capabilities

_LONGEST_NAME: Final = 100  # characters; RFC 5280 allows 64, and servers make certificates of their own


@dataclass(frozen=True, slots=True)
class Connected:
    """A TCP connection is there."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Protected:
    """TLS is there, and the certificate convinced. The facts are read from it when somebody asks."""

    tls: ssl.SSLObject = field(repr=False)

    @property
    def version(self) -> str:
        """``TLSv1.3``."""
        return self.tls.version() or "TLS"

    @property
    def issuer(self) -> str:
        """Who signed the server's certificate: organisation or common name."""
        names = {name: value for (name, value), *_ in self._certificate("issuer")}
        name = names.get("organizationName") or names.get("commonName") or "an unnamed authority"
        return str(name)[:_LONGEST_NAME]

    @property
    def expires_at(self) -> datetime | None:
        """Until when the server's certificate holds."""
        text = self._certificate("notAfter")
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC) if text else None

    def _certificate(self, name: str) -> Any:
        return (self.tls.getpeercert() or {}).get(name, ())


@dataclass(frozen=True, slots=True)
class Greeted:
    """The server said +OK first; the text behind it."""

    text: str


@dataclass(frozen=True, slots=True)
class Announced:
    """CAPA was answered, or is not known there: then nothing is announced."""

    capabilities: Capabilities


Milestone = Connected | Protected | Greeted | Announced
Reached = Callable[[Milestone], None]


def unwatched(_milestone: Milestone) -> None:
    """Nobody watches."""
