"""How a sync can fail: the contract's codes."""

from dataclasses import dataclass
from enum import StrEnum

from app.pop3 import Blame


class SyncErrorCode(StrEnum):
    """The contract's codes."""

    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"
    AUTH_FAILED = "auth_failed"
    MAILDROP_IN_USE = "maildrop_in_use"
    LOGIN_DELAY = "login_delay"
    SERVER_TEMPORARY = "server_temporary"
    SERVER_PERMANENT = "server_permanent"
    PROTOCOL_ERROR = "protocol_error"
    LIMIT_EXCEEDED = "limit_exceeded"
    ADDRESS_REFUSED = "address_refused"
    NEEDS_REVIEW = "needs_review"
    STORAGE_FAILED = "storage_failed"
    CREDENTIALS_UNREADABLE = "credentials_unreadable"
    QUOTA_EXCEEDED = "quota_exceeded"
    INTERNAL_ERROR = "internal_error"


# With these a server says nothing at all. Any other end means that it is there and answers.
NO_ANSWER = {SyncErrorCode.CONNECT_FAILED, SyncErrorCode.TIMEOUT}

UNREADABLE = (
    "No secret key of this service opens the stored credentials. Start it with the key that they were stored with "
    "(MAILDELTA_SECRET_KEY), or send the credentials again. The mail server was not asked."
)


@dataclass
class SyncFailed(Exception):
    """A sync could not go on. What it had committed stays.

    ``blame``: the login was refused, and whom that is laid to. ``cause``, ``remedy``: for a person, where more is known
    than the code says.
    """

    code: SyncErrorCode
    detail: str
    server_reply: str | None = None
    retry_after_seconds: float | None = None
    blame: Blame | None = None
    cause: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
