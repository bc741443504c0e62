"""What can go wrong, named by what the caller does next."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.pop3.lines import RawListing
from app.pop3.refusals import Meaning, meaning_of


@dataclass
class Pop3Error(Exception):
    """Base of all errors of this package.

    ``reply``: the server's own words, when there are some and they repeat no secret. ``response_code``: RFC 2449 §8,
    upper case without brackets. ``meaning``: what the words say, judged before they are withheld.
    """

    detail: str
    reply: str | None = None
    response_code: str | None = None
    meaning: Meaning | None = None

    def __str__(self) -> str:
        return self.detail


class ConnectFailed(Pop3Error):
    """No TCP connection could be made. Try later."""


@dataclass
class TlsFailed(Pop3Error):
    """TLS could not be set up, or the certificate does not convince. Nothing secret was sent.

    ``verify_code``: what OpenSSL has against the certificate (X509_V_ERR_…), None when it was not that.
    """

    verify_code: int | None = None


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


class TooSlow(ServerTemporary):
    """Others waited for the place of a session that hardly moved. What was received whole stays good; try later."""


class NotAdmitted(ServerTemporary):
    """There are enough sessions with each of the addresses already. Nobody was connected to."""


class ServerPermanent(Pop3Error):
    """The server says that it never will. Stop and tell somebody."""


class ProtocolError(Pop3Error):
    """What came is not POP3. The session is over."""


class BodyRunsOn(ProtocolError):
    """A message holds what may be the next answers. Next time messages are to be asked for one at a time."""


class LimitExceeded(Pop3Error):
    """More came than we are willing to take. The session is over."""


@dataclass
class UidlUnavailable(Pop3Error):
    """The server has no UIDL. ``without_ids`` is the rest of the listing: STAT and LIST."""

    without_ids: RawListing | None = None


class SpoolFailed(Pop3Error):
    """Our own disk could not take a large message. The session is over; nothing is the server's fault."""


class InvalidArgument(Pop3Error, ValueError):
    """Refused before the wire: a line end or NUL in an argument, or a command of more than 255 octets."""


_RESPONSE_CODE = re.compile(r"\[([A-Za-z0-9/_.-]{1,40})\]")
_DELAY_WORDS = re.compile(
    r"\b(?:minimum (?:time|interval|delay) between|too (?:often|soon|frequent\w*|quickly)|login[ -]delay"
    r"|login limit for|frequency of requests|(?:only|nur) (?:every|once (?:every|per)|all?e) \d+)\b",
    re.IGNORECASE,
)
_LOCK_WORDS = re.compile(
    r"\b(?:in use|lock(?:ed|ing)?|another (?:pop3? )?session|already (?:logged|open|active|connected|running))\b",
    re.IGNORECASE,
)
# A locked account is not a locked maildrop: the first opens after minutes or by a person, the second after a session.
_ACCOUNT_LOCK = re.compile(
    r"\b(?:account|user|login)\b[\w ]{0,30}\block(?:ed|ing|out)?\b|\block(?:ed)? (?:out|account)\b"
    r"|\blockout\b",
    re.IGNORECASE,
)
_MAILDROP = re.compile(r"\b(?:mail ?drop|mail ?box|mbox|inbox|spool|mail)\b", re.IGNORECASE)
# These speak of the server's state, whatever else the sentence says.
_PASSING = re.compile(
    r"\b(?:later|temporar\w*|unavailable|not available|busy|overload\w*|time[ds]?[ -]?out|shutting down|starting up"
    r"|(?:system|server|internal|backend|database)(?: \w+)? (?:error|problem|failure)|connection refused"
    r"|\d+ ?(?:s|sec\w*|min\w*|hours?|sek\w*|stunden?))\b",
    re.IGNORECASE,
)
# These do not, when the same text says that the credentials are wrong: "invalid password, please try again".
_MAYBE_PASSING = re.compile(
    r"\b(?:too many|(?:try|trying) again|retry|wait|lock(?:ed|ing|out)?|exceed\w*|limit|rate|throttl\w*|already)\b",
    re.IGNORECASE,
)
_CREDENTIALS = r"(?:pass(?:word|phrase|wd)?|user(?: ?name)?|login|logon|credentials?|account|auth\w*)"
_WRONG = r"(?:bad|invalid|incorrect|wrong|unknown|fail\w*|not accepted|not valid|not recogni[sz]ed|rejected|mismatch)"
_VERDICT = re.compile(
    rf"\b{_WRONG}\b(?:[ -]\w+){{0,2}}[ -]{_CREDENTIALS}\b|\b{_CREDENTIALS}\b[^.;]{{0,40}}?\b{_WRONG}\b",
    re.IGNORECASE,
)
_KINDS_BY_CODE: Mapping[str, type[Pop3Error]] = {
    "IN-USE": MaildropInUse,
    "LOGIN-DELAY": LoginDelay,
    "SYS/TEMP": ServerTemporary,
    "SYS/PERM": ServerPermanent,
    "AUTH": AuthFailed,
}


def response_code(text: str) -> str | None:
    """The response code that a status text begins with (RFC 2449 §8), upper case."""
    found = _RESPONSE_CODE.match(text.lstrip())
    return found[1].upper() if found else None


def greeting_error(text: str, *, shown: str | None = None) -> Pop3Error:
    """What a greeting of -ERR means. ``text`` is what stood behind -ERR, ``shown`` what may be shown of it.

    Nobody has judged our credentials yet, so it is never AuthFailed: RFC 3206's AUTH would stop a mailbox for good.
    """
    kind = _kind_by_code(text) or (LoginDelay if _DELAY_WORDS.search(text) else ServerTemporary)
    kind = ServerTemporary if kind is AuthFailed else kind
    return _error(kind, "greeted us with an error", text, shown=text if shown is None else shown)


def login_error(text: str, *, echoes: Sequence[str] = (), shown: str | None = None) -> Pop3Error:
    """What an -ERR at login means. ``text`` is what stood behind -ERR, ``shown`` what may be shown of it.

    A response code decides where there is one. Without one, words that speak of a lock or of a passing trouble
    mean "later"; all else is a wrong password, for a repeated wrong password gets accounts locked. ``echoes`` are
    what we sent ourselves (user name, password): their words tell nothing about the server.
    """
    words = _without(text, echoes)
    kind = _kind_by_code(text) or _login_kind(words)
    return _error(kind, "refused the login", text, shown=text if shown is None else shown)


def command_error(command: str, text: str, *, shown: str | None = None) -> Pop3Error:
    """What an -ERR to a command that must work (STAT, LIST, QUIT) means: later, unless it is said otherwise."""
    kind = _kind_by_code(text)
    if kind is None or kind is AuthFailed:
        # Some servers lock the maildrop only when the first command needs it.
        kind = MaildropInUse if _LOCK_WORDS.search(text) else ServerTemporary
    return _error(kind, f"refused {command}", text, shown=text if shown is None else shown)


def _login_kind(text: str) -> type[Pop3Error]:
    if _DELAY_WORDS.search(text):
        return LoginDelay
    if _ACCOUNT_LOCK.search(text) and not _MAILDROP.search(text):
        # Such an answer judges no password. Once the lock is gone the next answer does, and that one counts.
        return ServerTemporary
    if _PASSING.search(text) and not _LOCK_WORDS.search(text):
        return ServerTemporary
    if _LOCK_WORDS.search(text):
        return MaildropInUse
    if _MAYBE_PASSING.search(text) and not _VERDICT.search(text):
        return ServerTemporary
    return AuthFailed


def _kind_by_code(text: str) -> type[Pop3Error] | None:
    """By the code, or its first part: RFC 2449 §8 has codes grow to the right, behind a slash."""
    code = response_code(text)
    while code:
        if code in _KINDS_BY_CODE:
            return _KINDS_BY_CODE[code]
        code = code.rpartition("/")[0]
    return None


def _without(text: str, echoes: Sequence[str]) -> str:
    for echo in echoes:
        if echo:
            text = re.sub(rf"(?<!\w){re.escape(echo)}(?!\w)", " ", text, flags=re.IGNORECASE)
    return text


def _error(kind: type[Pop3Error], what: str, text: str, *, shown: str) -> Pop3Error:
    shown = shown.strip() or "(it gave no reason)"
    return kind(f"The server {what}: {shown}"[:600], shown[:500], response_code(text), meaning_of(text))
