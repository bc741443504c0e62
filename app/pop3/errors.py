"""What can go wrong, named by what the caller does next."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from app.pop3.lines import RawListing
from app.pop3.words.refusals import Meaning, meaning_of
from app.pop3.words.verdicts import Blame, Verdict, verdict_of


class Sign(Enum):
    """What the end of a session is a sign of."""

    PIPELINING = auto()  # a command that was sent ahead of another's answer had none
    CAPA = auto()  # CAPA had none
    CUT = auto()  # the connection ended within an answer
    LOGIN = auto()  # a login had no status
    UNASKED = auto()  # the server spoke without being asked


@dataclass
class Pop3Error(Exception):
    """Base of all errors of this package.

    ``reply``: the server's own words, when there are some and they repeat no secret. ``response_code``: RFC 2449 §8,
    upper case without brackets. ``meaning``: what the words say, judged before they are withheld. Of a refused login:
    ``blame``: whom it is laid to; None: nobody, it was too early; ``verdict``: what its words are about. ``sign``: what
    the server may not do as it announces; ``answers``: how many it had given in this session; ``unanswered``: the
    mechanism of the login that had no status, where there is another way.
    """

    detail: str
    reply: str | None = None
    response_code: str | None = None
    meaning: Meaning | None = None
    blame: Blame | None = None
    verdict: Verdict | None = None
    sign: "Sign | None" = None
    answers: int = 0
    unanswered: str | None = None

    def __str__(self) -> str:
        return self.detail


class ConnectFailed(Pop3Error):
    """No TCP connection could be made. Try later."""


@dataclass
class TlsFailed(Pop3Error):
    """TLS could not be set up, or the certificate does not convince. Nothing secret was sent.

    ``verify_code``: what OpenSSL has against the certificate (X509_V_ERR_…), None when it was not that.
    ``is_clear_text``: the server spoke in clear text where TLS was due.
    """

    verify_code: int | None = None
    is_clear_text: bool = False


class CleartextRefused(Pop3Error):
    """A password would have crossed the network in clear text, and nobody allowed that."""


class Timeout(Pop3Error):
    """The server was silent, or too slow, for too long. Try later."""


class OutOfTime(Timeout):
    """The time of the session is over. Nothing is owed: it ends in order."""


class ConnectionLost(Pop3Error):
    """The connection ended when it should not have. What was received whole stays good; try later."""


class AuthFailed(Pop3Error):
    """The login was refused, for its credentials as far as that can be told: ``blame``."""


@dataclass
class WayRefused(AuthFailed):
    """A way to log in that was announced was refused, and the connection ended before another one could be tried: that
    needs another session. ``way``: the refused one."""

    way: str = ""

    @classmethod
    def of(cls, refusal: Pop3Error, way: str) -> "WayRefused":
        """What the refusal said, and of which way."""
        judged = (refusal.response_code, refusal.meaning, refusal.blame, refusal.verdict)
        return cls(refusal.detail, refusal.reply, *judged, way=way)


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


class Renumbered(ServerTemporary):
    """Messages have other numbers than they had in this session. Nothing was deleted, and the session is over."""


class ServerPermanent(Pop3Error):
    """The server says that it never will. Stop and tell somebody."""


class ProtocolError(Pop3Error):
    """What came is not POP3. The session is over."""


class ArgumentIgnored(ProtocolError):
    """UIDL of one message was answered with those of all. The session is over."""


class MechanismUnusable(ProtocolError):
    """A way to log in cannot be played to its end: the server's challenge is none, or asks too little or too much.
    Nobody has judged the password."""


class BodyRunsOn(ProtocolError):
    """A message holds what may be the next answers. Next time messages are to be asked for one at a time."""


class LimitExceeded(Pop3Error):
    """More came than we are willing to take. The session is over."""


@dataclass
class UidlUnavailable(Pop3Error):
    """The server has no UIDL. ``without_ids`` is the rest of the listing: STAT and LIST. ``words``: as they came, to be
    judged, not to be shown."""

    without_ids: RawListing | None = None
    words: str = field(default="", repr=False)


class SpoolFailed(Pop3Error):
    """Our own disk could not take a large message. The session is over; nothing is the server's fault."""


class InvalidArgument(Pop3Error, ValueError):
    """Refused before the wire: a line end or NUL in an argument, or a command of more than 255 octets."""


_RESPONSE_CODE = re.compile(r"\[([A-Za-z0-9/_.-]{1,40})\]")
_KINDS_BY_CODE: Mapping[str, type[Pop3Error]] = {
    "IN-USE": MaildropInUse,
    "LOGIN-DELAY": LoginDelay,
    "SYS/TEMP": ServerTemporary,
    "SYS/PERM": ServerPermanent,
    "AUTH": AuthFailed,
}


# What words mean that no response code goes with.
_OUTCOMES: Mapping[Verdict, tuple[type[Pop3Error], Blame | None]] = {
    Verdict.CREDENTIALS: (AuthFailed, Blame.CREDENTIALS),
    Verdict.LOGIN: (AuthFailed, Blame.CREDENTIALS),  # Courier and qmail say no more of a wrong password
    Verdict.ACCOUNT: (AuthFailed, Blame.UNCLEAR),
    Verdict.POLICY: (AuthFailed, Blame.UNCLEAR),
    Verdict.NOTHING: (AuthFailed, Blame.UNCLEAR),
    Verdict.DOUBTFUL: (ServerTemporary, Blame.UNCLEAR),
    Verdict.LOCKED_ACCOUNT: (ServerTemporary, Blame.UNCLEAR),  # it judges no password
    Verdict.SERVER: (ServerTemporary, Blame.SERVER),
    Verdict.PASSING: (ServerTemporary, None),
    Verdict.LOCK: (MaildropInUse, None),
    Verdict.DELAY: (LoginDelay, None),
}
_WITH_AUTH_CODE: Mapping[Verdict, type[Pop3Error]] = {
    Verdict.LOGIN: ServerTemporary,
    Verdict.NOTHING: ServerTemporary,
    Verdict.ACCOUNT: ServerPermanent,
    Verdict.POLICY: ServerPermanent,
}
_NOT_THE_CREDENTIALS = {
    Verdict.SERVER, Verdict.PASSING, Verdict.LOCK, Verdict.DELAY, Verdict.LOCKED_ACCOUNT, Verdict.DOUBTFUL,
}  # fmt: skip


_OF_THE_SERVER = {Verdict.PASSING, Verdict.DOUBTFUL, Verdict.DELAY, Verdict.SERVER}
_OF_THE_SESSION = re.compile(
    r"\bsession\b|\bnot (?:logged in|authenticated)\b|\blog ?in (?:again|first)\b", re.IGNORECASE
)
_OF_ONE_MESSAGE = re.compile(
    r"\b(?:message|nachricht|mensaje|mensagem)\b(?! (?:limit|count|rate|store))", re.IGNORECASE
)

_CLOSING: Mapping[Verdict, type[Pop3Error]] = {
    Verdict.LOCK: MaildropInUse,
    Verdict.DELAY: LoginDelay,
    Verdict.PASSING: ServerTemporary,
    Verdict.DOUBTFUL: ServerTemporary,
    Verdict.SERVER: ServerTemporary,
}


def response_code(text: str) -> str | None:
    """The response code that a status text begins with (RFC 2449 §8), upper case."""
    found = _RESPONSE_CODE.match(text.lstrip())
    return found[1].upper() if found else None


def greeting_error(text: str, *, shown: str | None = None) -> Pop3Error:
    """What a greeting of -ERR means. ``text`` is what stood behind -ERR, ``shown`` what may be shown of it.

    Nobody has judged our credentials yet, so it is never AuthFailed: RFC 3206's AUTH would stop a mailbox for good.
    """
    is_delay = verdict_of(text) is Verdict.DELAY
    kind = _kind_by_code(text) or (LoginDelay if is_delay else ServerTemporary)
    kind = ServerTemporary if kind is AuthFailed else kind
    return _error(kind, "greeted us with an error", text, shown=text if shown is None else shown)


def login_error(
    text: str, *, echoes: Sequence[str] = (), shown: str | None = None, has_auth_code: bool = False
) -> Pop3Error:
    """What an -ERR at login means. ``text`` is what stood behind -ERR, ``shown`` what may be shown of it.

    A response code decides where there is one, else the words (``verdicts``). ``has_auth_code``: AUTH-RESP-CODE is
    announced, so that what bears no [AUTH] is not about the credentials (RFC 3206 §6); plain words about user or
    password are believed all the same, for proxies announce what those behind them cannot. ``echoes`` are what we sent
    ourselves (user name, password): their words tell nothing about the server.
    """
    verdict = verdict_of(_without(_without_code(text), echoes))
    kind = _kind_by_code(text)
    if kind is not None:
        blame = _blame_by_code(kind, verdict)
    else:
        kind, blame = _OUTCOMES[verdict]
        if has_auth_code and verdict in _WITH_AUTH_CODE:
            kind, blame = _WITH_AUTH_CODE[verdict], Blame.UNCLEAR
    error = _error(kind, "refused the login", text, shown=text if shown is None else shown)
    error.blame, error.verdict = blame, verdict
    return error


def command_error(command: str, text: str, *, shown: str | None = None) -> Pop3Error:
    """What an -ERR to a command that must work (STAT, LIST, QUIT) means: later, unless it is said otherwise."""
    kind = _kind_by_code(text)
    if kind is None or kind is AuthFailed:
        # Some servers lock the maildrop only when the first command needs it.
        kind = MaildropInUse if verdict_of(text) is Verdict.LOCK else ServerTemporary
    return _error(kind, f"refused {command}", text, shown=text if shown is None else shown)


def closing_error(text: str, *, shown: str) -> Pop3Error | None:
    """What the last -ERR before the connection ended says of the session; None: nothing, it was of one command."""
    kind = _kind_by_code(text) or _CLOSING.get(verdict_of(_without_code(text)))
    kind = ServerTemporary if kind is AuthFailed else kind
    return _error(kind, "ended the session", text, shown=shown) if kind else None


def is_meant_for_all(text: str) -> bool:
    """Whether an -ERR to one message speaks of the server's state, or of how much is asked for, and not of it."""
    if _kind_by_code(text) is not None:
        return is_meant_for_all_by_code(text)
    words = _without_code(text)
    if "quota" in words.lower() or _OF_THE_SESSION.search(words):
        return True
    return verdict_of(words) in _OF_THE_SERVER and not _OF_ONE_MESSAGE.search(words)


def is_meant_for_all_by_code(text: str) -> bool:
    """The same as far as its code says so, whatever its words are."""
    return _kind_by_code(text) in {ServerTemporary, LoginDelay}


def _blame_by_code(kind: type[Pop3Error], verdict: Verdict) -> Blame | None:
    if kind is AuthFailed:  # Gmail says [AUTH] of an account that has used up its bandwidth, too
        return Blame.UNCLEAR if verdict in _NOT_THE_CREDENTIALS else Blame.CODE
    if kind is ServerPermanent:
        return Blame.CREDENTIALS if verdict is Verdict.CREDENTIALS else Blame.SERVER
    return None


def _kind_by_code(text: str) -> type[Pop3Error] | None:
    """By the code, or its first part: RFC 2449 §8 has codes grow to the right, behind a slash."""
    code = response_code(text)
    while code:
        if code in _KINDS_BY_CODE:
            return _KINDS_BY_CODE[code]
        code = code.rpartition("/")[0]
    return None


def _without_code(text: str) -> str:
    code = _RESPONSE_CODE.match(text.lstrip())
    return text.lstrip()[code.end() :] if code else text


def _without(text: str, echoes: Sequence[str]) -> str:
    for echo in echoes:
        if echo:
            text = re.sub(rf"(?<!\w){re.escape(echo)}(?!\w)", " ", text, flags=re.IGNORECASE)
    return text


def _error(kind: type[Pop3Error], what: str, text: str, *, shown: str) -> Pop3Error:
    shown = shown.strip() or "(it gave no reason)"
    return kind(f"The server {what}: {shown}"[:600], shown[:500], response_code(text), meaning_of(text))
