"""A POP3 client (RFC 1939, 2449, 2595, 8314): pipelined, exact to the octet, bounded. Standard library only."""

from app.pop3.capabilities import Capabilities
from app.pop3.errors import (
    AuthFailed,
    CleartextRefused,
    ConnectFailed,
    ConnectionLost,
    InvalidArgument,
    LimitExceeded,
    LoginDelay,
    MaildropInUse,
    Pop3Error,
    ProtocolError,
    ServerPermanent,
    ServerTemporary,
    SpoolFailed,
    Timeout,
    TlsFailed,
    UidlUnavailable,
)
from app.pop3.limits import Limits
from app.pop3.listing import Line, Lines, Listing, RawListing, Stat, parse_listing
from app.pop3.session import (
    Endpoint,
    Pop3Session,
    Refusal,
    Retrieved,
    Security,
    connect,
)
from app.pop3.stream import client_tls_context

__all__ = [
    "AuthFailed", "Capabilities", "CleartextRefused", "ConnectFailed", "ConnectionLost", "Endpoint",
    "InvalidArgument", "LimitExceeded", "Limits", "Line", "Lines", "Listing", "LoginDelay",
    "MaildropInUse", "Pop3Error", "Pop3Session", "ProtocolError", "RawListing", "Refusal", "Retrieved",
    "Security", "ServerPermanent", "ServerTemporary", "SpoolFailed", "Stat", "Timeout", "TlsFailed",
    "UidlUnavailable", "client_tls_context", "connect", "parse_listing",
]  # fmt: skip
