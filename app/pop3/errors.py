"""What can go wrong, named by what the caller does next."""

import re
from dataclasses import dataclass


@dataclass
class Pop3Error(Exception):
    """Base of all errors of this package.

    ``reply``: the server's own words, secrets removed, when there are some. ``response_code``: RFC 2449 §8,
    upper case without brackets.
    """

    detail: str
    reply: str | None = None
    response_code: str | None = None

    def __str__(self) -> str:
        return self.detail


class ConnectFailed(Pop3Error):
    """No TCP connection could be made. Try later."""


class TlsFailed(Pop3Error):
    """TLS could not be set up, or the certificate does not convince. Nothing secret was sent."""


class CleartextRefused(Pop3Error):
    """A password would have crossed the network in clear text, and nobody allowed that."""


class Timeout(Pop3Error):
    """The server was silent, or too slow, for too long. Try later."""


class ConnectionLost(Pop3Error):
    """The connection ended when it should not have. What was received whole stays good; try later."""


class AuthFailed(Pop3Error):
    """The credentials are wrong. No further attempt until they change."""


class MaildropInUse(Pop3Error):
    """Somebody else holds the maildrop's lock. Try again soon."""


@dataclass
class LoginDelay(Pop3Error):
    """We logged in too soon after the last time (RFC 2449 §8.1.1)."""

    retry_after: float | None = None


class ServerTemporary(Pop3Error):
    """The server cannot do it now. Try later."""


class ServerPermanent(Pop3Error):
    """The server says that it never will. Stop and tell somebody."""


class ProtocolError(Pop3Error):
    """What came is not POP3. The session is over."""


class LimitExceeded(Pop3Error):
    """More came than we are willing to take. The session is over."""


class UidlUnavailable(Pop3Error):
    """The server has no UIDL."""


class InvalidArgument(Pop3Error, ValueError):
    """Refused before the wire: a line end or NUL in an argument, or a command of more than 255 octets."""


_RESPONSE_CODE = re.compile(r"\[([A-Za-z0-9/_.-]{1,40})\]")
_TEMPORARY_WORDS = re.compile(
    r"\b(?:lock(?:ed)?|in use|busy|already|too many|try(?:ing)? again|try later|wait|unavailable|temporar\w*"
    r"|timed? ?out|overload\w*|later|system error|internal error|limit exceeded|rate)\b",
    re.IGNORECASE,
)
_LOCK_WORDS = re.compile(
    r"\b(?:lock(?:ed)?|in use|already (?:logged|open|active)|another session)\b", re.IGNORECASE
)


def response_code(text: str) -> str | None:
    """The response code that a status text begins with (RFC 2449 §8), upper case."""
    found = _RESPONSE_CODE.match(text.lstrip())
    return found[1].upper() if found else None


def login_error(text: str, *, during_greeting: bool = False) -> Pop3Error:
    """What an -ERR at login means. ``text`` is what stood behind -ERR.

    A response code decides where there is one. Without one, words that speak of a lock or of a passing trouble
    mean "later"; all else is a wrong password, for a repeated wrong password gets accounts locked.
    """
    code = response_code(text)
    kind: type[Pop3Error]
    if code == "IN-USE":
        kind = MaildropInUse
    elif code == "LOGIN-DELAY":
        kind = LoginDelay
    elif code == "SYS/TEMP":
        kind = ServerTemporary
    elif code == "SYS/PERM":
        kind = ServerPermanent
    elif code == "AUTH":
        kind = AuthFailed
    elif _LOCK_WORDS.search(text):
        kind = MaildropInUse
    elif during_greeting or _TEMPORARY_WORDS.search(text):
        kind = ServerTemporary
    else:
        kind = AuthFailed
    what = "greeted us with an error" if during_greeting else "refused the login"
    return kind(f"The server {what}: {text.strip()}"[:600], text.strip()[:500], code)


def command_error(command: str, text: str) -> Pop3Error:
    """What an -ERR to a command that must work (STAT, LIST, QUIT) means."""
    code = response_code(text)
    kinds: dict[str | None, type[Pop3Error]] = {"SYS/PERM": ServerPermanent, "IN-USE": MaildropInUse}
    return kinds.get(code, ServerTemporary)(
        f"The server refused {command}: {text.strip()}"[:600], text.strip()[:500], code
    )
