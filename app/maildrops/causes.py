"""PURE  Why a sync or a connection check failed, in words for a person: the likely cause, and what to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app import pop3
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.network.addresses import AddressRefused, PortRefused
from app.network.lookups import HostUnknown, NameServerSilent


class Step(StrEnum):
    """What is tried, in the contract's order."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    GREETING = "greeting"
    CAPA = "capa"
    AUTH = "auth"
    STAT = "stat"
    UIDL = "uidl"


@dataclass(frozen=True, kw_only=True)
class FailedStep:
    """The step that failed, and what was known then.

    ``plain_words``: what the port says first to one who comes without TLS; None when it was not asked, or silent.
    ``speaks_tls``: a second try with TLS from the start got an answer in TLS.
    """

    step: Step
    host: str
    port: int
    security: pop3.Security
    username: str
    offers_stls: bool = False
    plain_words: str | None = None
    speaks_tls: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The likely cause, and what to do about it."""

    cause: str
    remedy: str


def steps_of(security: pop3.Security) -> tuple[Step, ...]:
    """The steps in the order in which they happen: STLS comes behind CAPA, and clear text has no TLS."""
    steps = list(Step)
    steps.remove(Step.TLS)
    if security is not pop3.Security.NONE:
        before = Step.GREETING if security is pop3.Security.TLS else Step.AUTH
        steps.insert(steps.index(before), Step.TLS)
    return tuple(steps)


def diagnose(error: Exception, at: FailedStep) -> Diagnosis:
    """Why a step failed: first what only this step can meet, then what every step can."""
    by_step = _BY_STEP.get(at.step)
    return (by_step and by_step(error, at)) or _anywhere(error, at)


class Login(Protocol):
    """Where a mailbox logs in, and as whom: its row."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def security(self) -> str: ...
    @property
    def username(self) -> str: ...


@dataclass(slots=True)
class Stage:
    """How far a session has come. What to log in with, a token too, is got before anybody is connected to.

    ``plain_words``, ``speaks_tls``: what a second look found, as in ``FailedStep``.
    """

    step: Step = Step.AUTH
    offers_stls: bool = False
    plain_words: str | None = None
    speaks_tls: bool = False

    def reached(self, milestone: pop3.Milestone, security: pop3.Security) -> None:
        """``connect`` came so far."""
        order = steps_of(security)
        self.step = order[order.index(_MADE[type(milestone)]) + 1]
        if isinstance(milestone, pop3.Announced):
            self.offers_stls = milestone.capabilities.stls


def explained(failure: SyncFailed, error: Exception, stage: Stage, login: Login) -> SyncFailed:
    """A sync's failure by this error, with cause and remedy where the connection check would tell them."""
    if isinstance(error, SyncFailed):
        if stage.step not in {Step.DNS, Step.AUTH}:
            return failure  # it is about what was found there
        error = (
            error.__cause__ if stage.step is Step.DNS and isinstance(error.__cause__, Exception) else error
        )
    elif failure.code is SyncErrorCode.STORAGE_FAILED:
        return failure
    at = FailedStep(
        step=stage.step,
        host=login.host,
        port=login.port,
        security=pop3.Security(login.security),
        username=login.username,
        offers_stls=stage.offers_stls,
        plain_words=stage.plain_words,
        speaks_tls=stage.speaks_tls,
    )
    told = diagnose(error, at)
    failure.cause, failure.remedy = told.cause, told.remedy
    return failure


def warnings_of(capabilities: pop3.Capabilities, *, poll_interval_seconds: int | None) -> list[str]:
    """What works and is worth knowing beforehand."""
    warnings = []
    if not capabilities.pipelining:
        warnings.append("The server does not announce PIPELINING: each command costs a round trip.")
    if not capabilities.top:
        warnings.append(
            "The server does not announce TOP: criteria may have to retrieve a message to judge it."
        )
    if capabilities.expire == 0:
        warnings.append(
            "The server announces EXPIRE 0: it may delete what was retrieved. With server_retention 'keep' sessions "
            "end without QUIT, so that it does not."
        )
    delay = capabilities.login_delay
    if delay and poll_interval_seconds is not None and poll_interval_seconds < delay:
        warnings.append(
            f"The server announces LOGIN-DELAY {delay}: poll_interval_seconds {poll_interval_seconds} is too short, "
            f"take {delay} or more."
        )
    elif delay:
        warnings.append(f"The server announces LOGIN-DELAY {delay}: so many seconds lie between two logins.")
    return warnings


def _dns(error: Exception, at: FailedStep) -> Diagnosis | None:
    match error:
        case PortRefused():
            return Diagnosis(
                "This service does not connect to mail servers on that port.",
                "Use port 995 (tls) or 110 (starttls). If the mail server is meant to be there, add its port to "
                "MAILDELTA_ALLOWED_PORTS and start the service again.",
            )
        case AddressRefused():
            return Diagnosis(
                "The address is not a public one, and this service does not connect to such addresses unasked.",
                "If the mail server is meant to be there, add its network to MAILDELTA_ALLOWED_PRIVATE_NETWORKS and "
                "start the service again. Else check the host name.",
            )
        case NameServerSilent():
            return Diagnosis(
                "No name server that could know the name answered in time.",
                "Try again in a minute. If other names work, the domain's own name servers are down: tell whoever runs "
                "them. If none does, check the name server that this service uses.",
            )
        case HostUnknown():
            return Diagnosis(
                f"There is no address for the name {at.host}.",
                "Check the spelling of host; providers often call it pop.example.org or mail.example.org. If it is "
                "right, check the name server that this service uses.",
            )
    return None


def _tcp(error: Exception, at: FailedStep) -> Diagnosis | None:
    if isinstance(error, pop3.Timeout):
        return Diagnosis(
            f"{at.host} does not answer on port {at.port}: a firewall lets nothing through, or nobody is there.",
            f"Check host and port ({_USUAL_PORTS}), and that this machine may connect to it.",
        )
    if isinstance(error, pop3.ConnectFailed):
        return Diagnosis(
            f"{at.host} takes no connections on port {at.port}: no server listens there, or none that is reachable.",
            f"Check the port ({_USUAL_PORTS}). Some providers open it only once POP3 is switched on in the account.",
        )
    return None


def _tls(error: Exception, at: FailedStep) -> Diagnosis | None:
    if isinstance(error, pop3.TlsFailed) and error.verify_code is not None:
        return _certificate(error.verify_code, at)
    if at.plain_words is not None:
        return _plain(at.plain_words, at)
    if at.security is pop3.Security.STARTTLS and isinstance(error, pop3.TlsFailed):
        if not at.offers_stls:
            return Diagnosis(
                f"The server on port {at.port} does not offer STLS: it cannot change over to TLS.",
                "Use security 'tls' with port 995. Only if the server has no TLS at all, and the network between is "
                "trusted, use 'none' with allow_cleartext_password.",
            )
        if error.reply is not None:
            return Diagnosis(
                "The server offers STLS and then refuses it: its TLS is not set up.",
                "Use security 'tls' with port 995, or tell the server's administrator.",
            )
    if isinstance(error, pop3.TlsFailed):
        return Diagnosis(
            "There is no common TLS version or cipher with the server: it may know nothing newer than TLS 1.1, or only "
            "ciphers and keys that are thought too weak today. Or it refuses this machine.",
            f"Check port and security ({_USUAL_PORTS}). For an old server set allow_legacy_tls.",
        )
    return None


def _certificate(verify_code: int, at: FailedStep) -> Diagnosis:
    """By OpenSSL's X509_V_ERR_… numbers."""
    if verify_code in {62, 63, 64}:  # host name, mail address, IP address
        return Diagnosis(
            f"The certificate is for another name than {at.host}.",
            "Use the host name that the provider names; an alias or a bare address is not in the certificate.",
        )
    if verify_code == 10:
        return Diagnosis(
            "The server's certificate has expired.",
            "The server's administrator must renew it. If it should be good, check this machine's clock.",
        )
    if verify_code == 9:
        return Diagnosis(
            "The server's certificate is not valid yet.", "Check the clock of this machine and of the server."
        )
    if verify_code in {2, 18, 19, 20, 21}:  # the chain does not end at an authority that is trusted
        return Diagnosis(
            "The certificate is signed by an authority that is not trusted here, or by itself.",
            "For a private authority give its certificate in ca_certificates (PEM). For a public one the server must "
            "send the certificates in between.",
        )
    return Diagnosis("The server's certificate is not accepted.", "Tell the server's administrator.")


def _plain(words: str, at: FailedStep) -> Diagnosis:
    """The port was to speak TLS from the start, and speaks first, in clear text."""
    if words.upper().startswith(("+OK", "-ERR")):
        return Diagnosis(
            f"Port {at.port} speaks POP3 without TLS: the greeting came in clear text.",
            f"Use security 'tls' with port 995, or 'starttls' with port {at.port}.",
        )
    return _another_service(pop3.meaning_of(words), at)


def _greeting(error: Exception, at: FailedStep) -> Diagnosis | None:
    if at.speaks_tls:
        return Diagnosis(
            f"Port {at.port} speaks TLS from the start, and waits for us to begin it.",
            f"Use security 'tls' with port {at.port}.",
        )
    match error:
        case pop3.ProtocolError() | pop3.LimitExceeded():
            return _another_service(error.meaning, at)
        case pop3.Timeout():
            return Diagnosis(
                "The server takes the connection and says nothing.",
                f"Check port and security ({_USUAL_PORTS}). If they are right, the server is busy: try again later.",
            )
        case pop3.ConnectionLost():
            return Diagnosis(
                "The server ended the connection before it said anything: it may have blocked this machine's address, "
                "often after many wrong logins.",
                f"Check port and security ({_USUAL_PORTS}); if they are right, wait some hours or ask the provider.",
            )
    return None


def _another_service(meaning: pop3.Meaning | None, at: FailedStep) -> Diagnosis:
    kinds = {pop3.Meaning.SMTP, pop3.Meaning.IMAP, pop3.Meaning.HTTP, pop3.Meaning.SSH}
    who = meaning.value if meaning in kinds else "something that is not POP3"
    return Diagnosis(f"On port {at.port} answers {who}.", f"Use the port of the POP3 server: {_USUAL_PORTS}.")


def _auth(error: Exception, at: FailedStep) -> Diagnosis | None:
    meaning = error.meaning if isinstance(error, pop3.Pop3Error) else None
    match error:
        case pop3.AuthFailed():
            return _provider(meaning, at) or _refused(error, at)
        case pop3.ConnectionLost():
            return _provider(meaning, at) or Diagnosis(
                "The server ended the connection at the login: some answer a wrong password so, or block an address.",
                _right_login(at),
            )
        case pop3.ServerPermanent() if error.reply is None:
            return Diagnosis(
                error.detail, "Use a shorter password, such as an app password, or another way to log in."
            )
        case pop3.ServerTemporary() if error.blame is not None:
            return _refused(error, at)
        case pop3.ServerPermanent() if error.blame is not pop3.Blame.SERVER:
            return _refused(error, at)
        case pop3.CleartextRefused():
            return Diagnosis(
                "With security 'none' the password would cross the network in clear text, and that was not allowed.",
                "Use security 'tls' or 'starttls', or set allow_cleartext_password if the network between is trusted.",
            )
        case pop3.InvalidArgument():
            return Diagnosis(
                "The user name or the password cannot be sent: POP3 has room for 255 octets in a line.",
                "Use a shorter password, such as an app password.",
            )
        case SyncFailed(code=SyncErrorCode.CREDENTIALS_UNREADABLE):
            return Diagnosis(
                "The stored credentials were sealed by another secret key than this service has.",
                "Start the service with the key of then in MAILDELTA_SECRET_KEY, or send the credentials again.",
            )
        case SyncFailed(code=SyncErrorCode.AUTH_FAILED) if error.server_reply:
            return Diagnosis(
                "The token server refuses the refresh token or the client: revoked, expired, or of another client.",
                "Ask the account's owner for consent again, and send the new oauth2.",
            )
        case SyncFailed(code=SyncErrorCode.AUTH_FAILED):
            return Diagnosis("There are no credentials to log in with.", "Send the password, or oauth2.")
        case SyncFailed():
            return Diagnosis(
                "The token server gave no access token.",
                "See token_url, scope and the client's rights there.",
            )
    return None


def _refused(error: pop3.Pop3Error, at: FailedStep) -> Diagnosis:
    """What a refused login is about, by its words."""
    match error.verdict:
        case pop3.Verdict.SERVER:
            return Diagnosis(
                "The server cannot open the maildrop, or has trouble of its own. The password is not the trouble.",
                "Try again later; if it stays so, tell the provider. Its words are in detail.",
            )
        case pop3.Verdict.ACCOUNT:
            return Diagnosis(
                "The account is not open for this: disabled, suspended, or POP3 is not switched on in it.",
                "Switch POP3 on in the settings of the account, or ask the provider. Its words are in detail.",
            )
        case pop3.Verdict.POLICY:
            return Diagnosis(
                "The server takes no login in this way: not without TLS, not by this mechanism, not from this "
                "address, or not with the account's own password.",
                "Its words are in detail. Use security 'tls', another mechanism, an app password or oauth2.",
            )
        case pop3.Verdict.LOCKED_ACCOUNT:
            return Diagnosis(
                "The account is locked, mostly after many wrong logins.",
                "Unlock it at the provider, or wait until it is open again. Try less often meanwhile.",
            )
        case pop3.Verdict.LOCK:
            return _IN_USE
        case pop3.Verdict.DOUBTFUL | pop3.Verdict.PASSING | pop3.Verdict.DELAY:
            return Diagnosis(
                "The server refuses the login for now: its own trouble, too many logins, or a wrong password.",
                f"Try again later, and not often. {_right_login(at)}",
            )
        case pop3.Verdict.CREDENTIALS | pop3.Verdict.LOGIN:
            return Diagnosis("User name or password is wrong.", _right_login(at))
    if error.blame is pop3.Blame.CODE:
        return Diagnosis("User name or password is wrong.", _right_login(at))
    return Diagnosis(
        "The server refuses the login and does not tell why: user name or password wrong, or its own trouble.",
        _right_login(at),
    )


def _provider(meaning: pop3.Meaning | None, at: FailedStep) -> Diagnosis | None:
    """What these answer to the right password of the account, too."""
    if _is_at(at.host, "gmail.com", "googlemail.com") or meaning is pop3.Meaning.WEB_LOGIN:
        return Diagnosis(
            "Google takes no account password from programs. Or user name and password are wrong.",
            "Switch POP on in Gmail's settings, and log in with an app password (which needs 2-step verification) or "
            "with oauth2, provider 'google'.",
        )
    if _is_at(at.host, "office365.com", "outlook.com", "hotmail.com"):
        return Diagnosis(
            "Microsoft 365 and Outlook take no passwords by POP3. Or the account is throttled, which they answer so.",
            "Log in with oauth2, provider 'microsoft', and see that POP is switched on for the account.",
        )
    if _is_at(at.host, "yahoo.com", "aol.com") or meaning is pop3.Meaning.APP_PASSWORD:
        return Diagnosis(
            "The provider takes no account password from programs. Or user name and password are wrong.",
            "Make an app password at the provider, and log in with that.",
        )
    if _is_at(at.host, "gmx.net", "gmx.com", "gmx.de", "web.de"):
        return Diagnosis(
            "User name or password is wrong, or POP3 is not switched on in the account.",
            f"Switch POP3 on in the settings of the account. {_right_login(at)}",
        )
    return None


def _right_login(at: FailedStep) -> str:
    whole = "" if "@" in at.username else " Many servers want the whole mail address as user name."
    return (
        "Check both where a person logs in. With two-factor login an app password is needed."
        + whole
        + " Do not try "
        "wrong ones again and again: accounts get locked."
    )


def _anywhere(error: Exception, at: FailedStep) -> Diagnosis:
    match error:
        case pop3.LoginDelay():
            wait = f"{error.retry_after:g} s" if error.retry_after else "some minutes"
            return Diagnosis(
                "The last login was too short a time ago for this server; a test is a login too.",
                f"Wait {wait} and try again, and make poll_interval_seconds longer than that.",
            )
        case pop3.MaildropInUse():
            return _IN_USE
        case pop3.Timeout():
            return Diagnosis(
                "The server did not answer in time: it is overloaded, or something between cuts the connection.",
                "Try again later. If it is always so, raise MAILDELTA_REPLY_TIMEOUT_SECONDS.",
            )
        case pop3.ConnectionLost():
            return Diagnosis("The server ended the connection.", "Try again later.")
        case pop3.LimitExceeded():
            return Diagnosis(
                "The server sends more than this service takes.",
                "For a very long listing raise MAILDELTA_MAX_LISTING_ENTRIES.",
            )
        case pop3.ServerPermanent():
            return Diagnosis(
                "The server says that it will not do this, and that trying again is of no use.",
                "Its words are in detail; ask the provider.",
            )
        case pop3.ProtocolError():
            return Diagnosis(
                "What the server answers is not POP3.", f"Check port and security ({_USUAL_PORTS})."
            )
    return Diagnosis(
        "The server cannot do it now.", "Its words are in detail. Try again later, or ask the provider."
    )


def _is_at(host: str, *domains: str) -> bool:
    name = host.lower().rstrip(".")
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)


_MADE: Mapping[type[pop3.Milestone], Step] = {
    pop3.Connected: Step.TCP,
    pop3.Protected: Step.TLS,
    pop3.Greeted: Step.GREETING,
    pop3.Announced: Step.CAPA,
}
_IN_USE = Diagnosis(
    "The maildrop is locked: another program, another device or a sync is logged in. The password is not the trouble.",
    "Try again in a minute. A connection that broke may hold the lock for some minutes.",
)
_USUAL_PORTS = "995 with security 'tls', 110 with 'starttls' or 'none'"
_BY_STEP: Mapping[Step, Callable[[Exception, FailedStep], Diagnosis | None]] = {
    Step.DNS: _dns,
    Step.TCP: _tcp,
    Step.TLS: _tls,
    Step.GREETING: _greeting,
    Step.AUTH: _auth,
}
