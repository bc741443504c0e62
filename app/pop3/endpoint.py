"""PURE  Where a session is, and how its connection is protected."""

from dataclasses import dataclass
from enum import StrEnum


class Security(StrEnum):
    """How the connection is protected."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect. ``addresses`` are what is connected to, in order; ``host`` is what TLS is verified against."""

    host: str
    addresses: tuple[str, ...]
    port: int
    security: Security
