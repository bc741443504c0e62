"""From a mailbox row to a POP3 session that is logged in: addresses, certificates, credentials."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Protocol, cast

from app import pop3
from app.mailboxes.credentials.secrets import Binding, Credentials, CredentialsUnreadable, OAuth2, Vault
from app.mailboxes.models import Mailbox, MailboxId
from app.maildrops.causes.steps import Stage, Step
from app.maildrops.errors import UNREADABLE, SyncErrorCode, SyncFailed
from app.maildrops.learnt import Learnt
from app.maildrops.oauth2 import AccessTokens, Grant
from app.maildrops.second_look import plain_words, speaks_tls
from app.network.addresses import AddressRefused, refuse_port, resolve
from app.network.lookups import HostUnknown, Lookups
from app.settings import IpNetwork
from app.telemetry import Steps, Traces

_CODES: tuple[tuple[type[pop3.Pop3Error], SyncErrorCode], ...] = (
    (pop3.ConnectFailed, SyncErrorCode.CONNECT_FAILED),
    (pop3.TlsFailed, SyncErrorCode.TLS_FAILED),
    (pop3.CleartextRefused, SyncErrorCode.TLS_FAILED),
    (pop3.Timeout, SyncErrorCode.TIMEOUT),
    (pop3.AuthFailed, SyncErrorCode.AUTH_FAILED),
    (pop3.MaildropInUse, SyncErrorCode.MAILDROP_IN_USE),
    (pop3.LoginDelay, SyncErrorCode.LOGIN_DELAY),
    (pop3.ServerTemporary, SyncErrorCode.SERVER_TEMPORARY),
    (pop3.ServerPermanent, SyncErrorCode.SERVER_PERMANENT),
    (pop3.LimitExceeded, SyncErrorCode.LIMIT_EXCEEDED),
    (pop3.ConnectionLost, SyncErrorCode.CONNECT_FAILED),
    (pop3.SpoolFailed, SyncErrorCode.STORAGE_FAILED),
    (pop3.Pop3Error, SyncErrorCode.PROTOCOL_ERROR),
)

# What begins where a milestone of ``pop3.connect`` is reached.
_NEXT: dict[pop3.Security, dict[type[pop3.Milestone], str]] = {
    pop3.Security.TLS: {pop3.Connected: "tls", pop3.Protected: "greeting", pop3.Greeted: "capabilities"},
    pop3.Security.STARTTLS: {
        pop3.Connected: "greeting",
        pop3.Greeted: "capabilities",
        pop3.Announced: "starttls",
    },
    pop3.Security.NONE: {pop3.Connected: "greeting", pop3.Greeted: "capabilities"},
}

_Server = tuple[str, int, str]
_MOST_SERVERS = 10_000
_LOOK_AGAIN_SECONDS = 3600.0

Login = Callable[[pop3.Pop3Session], Awaitable[None]]


@dataclass(slots=True)
class _Look:
    """What a port answers to one who comes otherwise."""

    since: float
    plain_words: str | None = None
    speaks_tls: bool = False


class Maildrop:
    """Opens sessions. One TLS context serves all mailboxes: making one costs more than a handshake."""

    def __init__(
        self,
        *,
        vault: Vault,
        allowed: Sequence[IpNetwork],
        ports: Collection[int],
        lookups: Lookups,
        limits: pop3.Limits,
        tokens: AccessTokens,
        monotonic: Callable[[], float],
        traces: Traces | None = None,
    ) -> None:
        self.tokens = tokens
        self._traces = traces or Traces()
        self._vault = vault
        self._allowed = allowed
        self._ports = ports
        self._lookups = lookups
        self._limits = limits
        self._monotonic = monotonic
        self._known: dict[_Server, pop3.Capabilities] = {}
        self._looks: dict[_Server, _Look] = {}

    @asynccontextmanager
    async def session(
        self,
        mailbox: Mailbox,
        *,
        timings: dict[str, int],
        transcript: pop3.Transcript | None = None,
        learnt: Learnt | None = None,
        progress: pop3.Progress | None = None,
        stage: Stage | None = None,
    ) -> AsyncIterator[pop3.Pop3Session]:
        """A session of the mailbox, logged in, to be listed first; QUIT at the end. Raises SyncFailed and the client's
        errors.

        ``timings`` receives the milliseconds of ``connect`` and ``login``, ``transcript`` what is said, ``progress``
        how it moves, ``stage`` how far it came. ``learnt`` says what is to be left out, whatever the server announces,
        and receives what is new.
        """
        assert mailbox.id is not None
        mailbox_id, credentials = MailboxId(mailbox.id), self._credentials(mailbox)
        learnt = learnt or Learnt("", "", {})
        opened = partial(
            self._logged_in,
            mailbox,
            timings=timings,
            transcript=transcript,
            learnt=learnt,
            progress=progress or pop3.Progress(),
            stage=stage or Stage(),
        )
        unanswered: str | None = None
        try:
            if isinstance(credentials, str):
                session = await self._by_password(mailbox, credentials, opened, learnt)
            else:
                session = await self._by_token(mailbox, mailbox_id, credentials, opened, learnt)
            async with session:
                yield session
            learnt.ended(session.answers)
        except pop3.Pop3Error as error:
            learnt.failed(error)
            unanswered = error.unanswered
            raise
        finally:
            learnt.way_was_unanswered(mailbox, unanswered)

    async def _by_token(
        self,
        mailbox: Mailbox,
        mailbox_id: MailboxId,
        credentials: OAuth2,
        opened: Callable[..., Awaitable[pop3.Pop3Session]],
        learnt: Learnt,
    ) -> pop3.Pop3Session:
        avoided = learnt.avoided_ways(mailbox)
        with self._traces.span("oauth2 token"):
            grant = await self.tokens.current(mailbox_id, credentials)
        try:
            return await opened(by_token(mailbox, grant, avoided), secrets=grant.secrets, is_token=True)
        except pop3.AuthFailed:
            # Tokens are revoked before their time too. Once more and no more: a ban would follow.
            grant = await self.tokens.fresh(mailbox_id, grant.oauth2)
            return await opened(by_token(mailbox, grant, avoided), secrets=grant.secrets, is_token=True)

    async def _by_password(
        self,
        mailbox: Mailbox,
        password: str,
        opened: Callable[..., Awaitable[pop3.Pop3Session]],
        learnt: Learnt,
    ) -> pop3.Pop3Session:
        """In a second session where the server ended the first with a way to log in that it announces: that is no
        repetition, for nobody has judged the password yet."""
        avoided = learnt.avoided_ways(mailbox)
        try:
            return await opened(by_password(mailbox, password, avoided, learnt), secrets=[password])
        except pop3.WayRefused as refusal:
            learnt.ways_were_refused(mailbox, [refusal.way])
            avoided = (*avoided, refusal.way)
            return await opened(by_password(mailbox, password, avoided, learnt), secrets=[password])

    async def _logged_in(
        self,
        mailbox: Mailbox,
        login: Login,
        *,
        secrets: Sequence[str],
        is_token: bool = False,
        timings: dict[str, int],
        transcript: pop3.Transcript | None,
        learnt: Learnt,
        progress: pop3.Progress,
        stage: Stage,
    ) -> pop3.Pop3Session:
        started = self._monotonic()
        server = mailbox.host, mailbox.port, mailbox.security
        one_at_a_time = learnt.is_one_at_a_time or learnt.is_in_lock_step or learnt.is_without_capa
        # In clear text a password that crossed before the capabilities came could not be taken back.
        is_presumed = not one_at_a_time and mailbox.security == pop3.Security.TLS and not mailbox.mechanism
        known = self._known.get(server) if is_presumed else None
        with self._traces.steps("pop3") as steps:
            steps.begin("resolve")
            stage.step = Step.DNS
            endpoint = pop3.Endpoint(
                host=name_of(mailbox.host),
                addresses=await self._addresses(mailbox),
                port=mailbox.port,
                security=pop3.Security(mailbox.security),
            )
            steps.begin("connect")
            stage.step = Step.TCP
            reached = _reaching(stage, endpoint.security, transcript)
            if self._traces.is_on:
                reached = _stepping(steps, endpoint.security, reached, is_known=known is not None)
            try:
                session = await pop3.connect(
                    endpoint,
                    limits=limits_of(mailbox, self._limits),
                    tls=_tls_context(mailbox.ca_certificates, mailbox.allow_legacy_tls),
                    allow_cleartext_password=mailbox.allow_cleartext_password,
                    transcript=transcript,
                    reached=reached,
                    known=known,
                    progress=progress,
                    secrets=secrets,
                    without_capa=learnt.is_without_capa and not is_token,
                )
            except pop3.Pop3Error as error:
                await self._look_again(error, endpoint, mailbox, stage)
                raise
            async with AsyncExitStack() as closing:
                await closing.enter_async_context(session)
                connected = self._monotonic()
                timings["connect"] = round((connected - started) * 1000)
                steps.begin("login")
                stage.step = Step.AUTH
                session.list_with_login()
                learnt.greeted(session.greeting)
                if learnt.is_one_at_a_time:
                    session.ask_one_at_a_time()
                if learnt.is_in_lock_step:
                    session.ask_in_lock_step()
                try:
                    await login(session)
                finally:
                    if not one_at_a_time:
                        self._remember(server, session.known)
                timings["login"] = round((self._monotonic() - connected) * 1000)
                stage.step = Step.STAT
                closing.pop_all()
            return session

    async def _look_again(
        self, error: pop3.Pop3Error, endpoint: pop3.Endpoint, mailbox: Mailbox, stage: Stage
    ) -> None:
        """How the port answers otherwise, where TLS and clear text seem to be mixed up. Its server is looked at once an
        hour for all its mailboxes together: one that is silent for a while gets no second connection from each.
        """
        is_silent = stage.step is Step.GREETING and isinstance(error, pop3.Timeout)
        is_clear_text = isinstance(error, pop3.TlsFailed) and error.is_clear_text
        if not (is_clear_text if endpoint.security is pop3.Security.TLS else is_silent):
            return
        server, now = (mailbox.host, mailbox.port, mailbox.security), self._monotonic()
        look = self._looks.get(server)
        if look is None or now - look.since >= _LOOK_AGAIN_SECONDS:
            if len(self._looks) >= _MOST_SERVERS:
                self._looks.clear()
            look = self._looks[server] = _Look(now)
            limits = limits_of(mailbox, self._limits)
            if is_clear_text:
                look.plain_words = await plain_words(endpoint, limits=limits)
            else:
                tls = _tls_context(mailbox.ca_certificates, mailbox.allow_legacy_tls)
                look.speaks_tls = await speaks_tls(endpoint, limits=limits, tls=tls)
        stage.plain_words, stage.speaks_tls = look.plain_words, look.speaks_tls

    def _remember(self, server: _Server, known: pop3.Capabilities | None) -> None:
        """For the next session with this server. What broke off within the login is asked step by step then."""
        self._known.pop(server, None)
        if known is not None:
            if len(self._known) >= _MOST_SERVERS:
                self._known.clear()
            self._known[server] = known

    def _credentials(self, mailbox: Mailbox) -> Credentials:
        if mailbox.credentials is None:
            raise SyncFailed(SyncErrorCode.AUTH_FAILED, "The mailbox has no password.")
        try:
            return self._vault.open(mailbox.credentials, Binding.of(mailbox))
        except CredentialsUnreadable as error:
            raise SyncFailed(SyncErrorCode.CREDENTIALS_UNREADABLE, UNREADABLE) from error

    async def _addresses(self, mailbox: Mailbox) -> tuple[str, ...]:
        try:
            refuse_port(mailbox.host, mailbox.port, self._ports)
            return await resolve(mailbox.host.rstrip("."), allowed=self._allowed, lookups=self._lookups)
        except AddressRefused as error:
            raise SyncFailed(SyncErrorCode.ADDRESS_REFUSED, str(error)) from error
        except HostUnknown as error:
            raise SyncFailed(SyncErrorCode.CONNECT_FAILED, str(error)) from error


def _reaching(
    stage: Stage, security: pop3.Security, transcript: pop3.Transcript | None
) -> Callable[[pop3.Milestone], None]:
    def reached(milestone: pop3.Milestone) -> None:
        stage.reached(milestone, security)
        if transcript is not None:
            transcript.reached(milestone)

    return reached


def _stepping(
    steps: Steps, security: pop3.Security, reached: Callable[[pop3.Milestone], None], *, is_known: bool
) -> Callable[[pop3.Milestone], None]:
    """``is_known``: the capabilities are asked for with the login."""
    following = {
        kind: step for kind, step in _NEXT[security].items() if not (is_known and kind is pop3.Greeted)
    }

    def reached_one(milestone: pop3.Milestone) -> None:
        reached(milestone)
        if step := following.get(type(milestone)):
            steps.begin(step)

    return reached_one


class LoginSettings(Protocol):
    """How a mailbox logs in: its row, or one to try."""

    @property
    def username(self) -> str: ...
    @property
    def allow_apop(self) -> bool: ...
    @property
    def mechanism(self) -> str | None: ...


def name_of(host: str) -> str:
    """The name that TLS is verified against: without the brackets of an address, and the final dot of a name."""
    return host.strip("[]").rstrip(".")


class TimeOuts(Protocol):
    """The time-outs of a mailbox, in seconds: its row, or one to try."""

    @property
    def connect_timeout_seconds(self) -> int | None: ...
    @property
    def reply_timeout_seconds(self) -> int | None: ...
    @property
    def session_timeout_seconds(self) -> int | None: ...


def limits_of(mailbox: TimeOuts, limits: pop3.Limits) -> pop3.Limits:
    """The limits with the mailbox's own time-outs, where it has some."""
    return replace(
        limits,
        connect_timeout=mailbox.connect_timeout_seconds or limits.connect_timeout,
        reply_timeout=mailbox.reply_timeout_seconds or limits.reply_timeout,
        session_timeout=mailbox.session_timeout_seconds or limits.session_timeout,
    )


def by_token(mailbox: LoginSettings, grant: Grant, avoided: Collection[str] = ()) -> Login:
    """How to log in with an access token."""
    return lambda session: session.login_with_token(
        mailbox.username, grant.access_token, mechanism=mailbox.mechanism, avoided=avoided
    )


def by_password(
    mailbox: LoginSettings, password: str, avoided: Collection[str] = (), learnt: Learnt | None = None
) -> Login:
    """How to log in with a password. ``learnt`` receives which ways did not work."""

    async def login(session: pop3.Pop3Session) -> None:
        try:
            await session.login(
                mailbox.username,
                password,
                allow_apop=mailbox.allow_apop,
                mechanism=mailbox.mechanism,
                avoided=avoided,
            )
        finally:
            if session.refused_ways and learnt is not None:
                learnt.ways_were_refused(cast("Mailbox", mailbox), session.refused_ways)

    return login


def as_sync_failed(error: pop3.Pop3Error) -> SyncFailed:
    """The contract's code for an error of the client."""
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    retry_after = getattr(error, "retry_after", None)
    return SyncFailed(
        code, str(error), server_reply=error.reply, retry_after_seconds=retry_after, blame=error.blame
    )


@lru_cache(maxsize=64)
def _tls_context(ca_certificates: str | None, is_legacy: bool) -> ssl.SSLContext:  # noqa: FBT001  cached
    return pop3.client_tls_context(ca_certificates, is_legacy=is_legacy)
