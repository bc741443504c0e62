"""The AUTHORIZATION state of a session (RFC 1939 §4): greeting, capabilities, STLS, login."""

import ssl
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from hashlib import md5

from app.pop3.auth import sasl
from app.pop3.auth.authentication import authenticate
from app.pop3.auth.ways import BY_APOP, BY_USER, LONGEST_ARGUMENT, may_be_the_way, other_way, ways_to_log_in
from app.pop3.endpoint import Endpoint, Security
from app.pop3.errors import (
    AuthFailed,
    CleartextRefused,
    ConnectionLost,
    LoginDelay,
    MechanismUnusable,
    Pop3Error,
    ProtocolError,
    ServerPermanent,
    ServerTemporary,
    Sign,
    Timeout,
    TlsFailed,
    WayRefused,
    greeting_error,
    login_error,
    response_code,
)
from app.pop3.limits import Limits
from app.pop3.wire.capabilities import Capabilities, parse_capabilities
from app.pop3.wire.commands import CAPA, LISTING, UTF8, Commands, ask
from app.pop3.wire.dialogue import Dialogue
from app.pop3.wire.milestones import Protected
from app.pop3.wire.protocol import Expect, Status, command
from app.pop3.words.refusals import meaning_of

_NO_WAY_FOR_SO_LONG = (
    f"The user name or the password has more than {LONGEST_ARGUMENT} octets, for which a line of USER or PASS has no "
    "room, and the server offers no AUTH for passwords."
)


class Authorization:
    """What a session is told before and at its login.

    ``greeting``, ``capabilities``, ``known``, ``refused_ways``: see ``Pop3Session``. ``is_in_lock_step``: whatever the
    server announces, no command goes ahead of an answer. ``is_listing_wanted``: the commands of a listing go out with
    CAPA behind the login, where the server pipelines; ``is_listing_asked``: they went out.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        limits: Limits,
        *,
        endpoint: Endpoint,
        allow_cleartext_password: bool,
        new_nonce: Callable[[], str],
        without_capa: bool,
    ) -> None:
        self.greeting = ""
        self.capabilities = Capabilities()
        self.known: Capabilities | None = None
        self.refused_ways: tuple[str, ...] = ()
        self.is_in_lock_step = self.is_listing_wanted = self.is_listing_asked = False
        self._dialogue = dialogue
        self._limits = limits
        self._endpoint = endpoint
        self._allow_cleartext_password = allow_cleartext_password
        self._new_nonce = new_nonce
        self._is_without_capa = without_capa
        self._timestamp: str | None = None
        self._is_presumed = False

    @property
    def pipelines(self) -> bool:
        """Whether commands go ahead of answers."""
        return self.capabilities.pipelining and not self.is_in_lock_step

    async def greet(self) -> None:
        """Read the greeting. Raises what one of -ERR means."""
        try:
            status = await self._dialogue.status()
        except (ConnectionLost, Timeout) as error:
            if (banner := self._dialogue.banner) is None:
                raise
            meaning = meaning_of(banner)
            shown = self._dialogue.shown(banner)
            raise ProtocolError("The server's answer is not POP3.", shown, meaning=meaning) from error
        if not status.ok:
            raise greeting_error(status.text, shown=self._dialogue.shown(status.text))
        self.greeting = self._dialogue.shown(status.text)
        self._timestamp = _timestamp_of(status.text)

    async def start_tls(self, context: ssl.SSLContext) -> Protected:
        """STLS (RFC 2595 §4): without it nothing more is said, and what was learnt before it is forgotten."""
        if self.capabilities.names and not self.capabilities.stls:
            raise TlsFailed("The server does not offer STLS. Nothing secret was sent.")
        status = await ask(self._dialogue, "STLS")
        if not status.ok:
            shown = self._dialogue.shown(status.text)
            raise TlsFailed(f"The server refused STLS: {shown}", shown, response_code(status.text))
        protected = await self._dialogue.start_tls(context, server_name=self._endpoint.host)
        self.capabilities = Capabilities()
        await self.ask_capabilities()
        return protected

    def presume(self, known: Capabilities) -> None:
        """Leave CAPA out: the server announces what it did before."""
        self.capabilities, self._is_presumed = known, True

    async def _presume_nothing(self) -> None:
        """Ask for the capabilities if that was left out, as the login depends on them."""
        if self._is_presumed:
            self.capabilities, self._is_presumed = Capabilities(), False
            await self.ask_capabilities()
            await self.ask_for_messages_as_they_are()

    async def ask_capabilities(self, commands: Commands = CAPA) -> None:
        """CAPA, and what goes out with it. A server that does not know it in this state has told nothing new."""
        if self._is_without_capa:
            self.is_listing_asked = False
            return
        await self._dialogue.begin()
        commands.send(self._dialogue)
        await self._read_capabilities()

    async def _read_capabilities(self) -> None:
        try:
            status, body = await self._dialogue.reply(most_octets=self._limits.capabilities_octets)
        except (ConnectionLost, Timeout) as error:
            error.sign = Sign.CAPA
            raise
        if self._dialogue.is_logging_in:
            self._dialogue.refusal = None  # of a CAPA that went out with the login
        if not status.ok:
            self._dialogue.capa_refused_at = self._dialogue.answers
        else:
            self.capabilities = parse_capabilities(bytes(body)).judged_by(self._dialogue.redaction)

    async def ask_for_messages_as_they_are(self) -> None:
        """UTF8 (RFC 6856 §2.1), where it is announced; never before STLS. A refusal changes nothing.

        Without it Courier serves a message with octets over 127 in its header as the attachment of one of its own
        ("Cannot display Unicode content"), another one in each session.
        """
        if self.capabilities.utf8:
            await ask(self._dialogue, "UTF8")

    async def login(
        self,
        username: str,
        password: str,
        *,
        allow_apop: bool = False,
        mechanism: str | None = None,
        avoided: Collection[str] = (),
    ) -> None:
        """See ``Pop3Session.login``."""
        self._require_protection()
        is_long = any(
            len(text.encode("utf-8", "replace")) > LONGEST_ARGUMENT for text in (username, password)
        )

        def ways() -> tuple[str, ...]:
            return ways_to_log_in(
                self.capabilities.sasl,
                offers_user=self.capabilities.user,
                is_clear_text=self._endpoint.security is Security.NONE,
                may_use_apop=allow_apop and self._timestamp is not None,
                is_long=is_long,
                wanted=mechanism,
                avoided=avoided,
            )

        if ways()[:1] != (BY_USER,):
            await self._presume_nothing()
        is_presumed = self._is_presumed
        if not (best := ways()[:1]):
            raise ServerPermanent(_NO_WAY_FOR_SO_LONG)
        way = best[0]
        try:
            await self._log_in_by(way, username, password)
        except Pop3Error as refusal:
            is_unusable = isinstance(refusal, MechanismUnusable)
            words, announced = self._dialogue.refusal, ways()
            if way not in {BY_USER, BY_APOP} and other_way(way, announced, None):
                _note_silence(refusal, way)
            if mechanism is not None or not (is_unusable or (refusal.blame and words is not None)):
                raise
            other = other_way(way, announced, None if is_unusable else words, is_long=is_long)
            if is_presumed and announced[:1] not in {(way,), ()}:
                other = announced[0]  # it was presumed, and something else is announced now
            if other is None:
                raise
            self.refused_ways = (way,)
            try:
                await self._log_in_by(other, username, password)
            except ConnectionLost as lost:
                raise WayRefused.of(refusal, way) from lost

    async def _log_in_by(self, way: str, username: str, password: str) -> None:
        if way == BY_USER:
            lines = command("USER", username), command("PASS", password)
            await self._log_in(username, password, partial(self._user_and_pass, *lines))
            return
        if way == BY_APOP:
            digest = md5(f"{self._timestamp or ''}{password}".encode(), usedforsecurity=False).hexdigest()
            self._dialogue.keep_secret(digest)
            await self._log_in(username, password, partial(self._one_line, command("APOP", username, digest)))
            return
        mechanism = sasl.for_password(way, username=username, password=password, nonce=self._new_nonce())
        await self._log_in(username, password, partial(authenticate, self._dialogue, mechanism))

    async def login_with_token(
        self, username: str, token: str, *, mechanism: str | None = None, avoided: Collection[str] = ()
    ) -> None:
        """See ``Pop3Session.login_with_token``."""
        self._require_protection()
        await self._presume_nothing()
        names = (mechanism,) if mechanism else sasl.ways_for_token(self.capabilities.sasl, avoided)
        if not names:
            raise ServerPermanent("The server offers no login by OAuth2: neither OAUTHBEARER nor XOAUTH2.")
        for name in names:
            exchange = sasl.for_token(
                name, username=username, token=token, host=self._endpoint.host, port=self._endpoint.port
            )
            try:
                await self._log_in(username, token, partial(authenticate, self._dialogue, exchange))
                return
            except Pop3Error as error:
                if exchange.is_servers_trouble and isinstance(error, AuthFailed):
                    raise ServerTemporary(error.detail, error.reply, error.response_code) from error
                if name != names[-1]:
                    _note_silence(error, name)
                words = self._dialogue.refusal
                is_announced_only = error.blame and words is not None and may_be_the_way(name, words)
                if not is_announced_only or name == names[-1]:
                    raise

    def _require_protection(self) -> None:
        if self._endpoint.security is Security.NONE and not self._allow_cleartext_password:
            raise CleartextRefused("The connection is in clear text, and the password may not cross it so.")

    async def _log_in(self, username: str, secret: str, exchange: Callable[[], Awaitable[Status]]) -> None:
        self._dialogue.keep_secret(secret)
        self._dialogue.refusal = None
        await self._dialogue.begin()
        self._dialogue.is_logging_in = True
        try:
            status = await exchange()
        except (ConnectionLost, Timeout) as error:
            if (words := self._dialogue.refusal) is not None:  # a refused USER, and nothing more
                raise self._login_refused(words, username, secret) from error
            if isinstance(error, ConnectionLost):  # as Yahoo
                error.detail += ". It ended at the login: some servers answer a wrong password so."
            raise
        finally:
            self._dialogue.is_logging_in = False
        if not status.ok:
            raise self._login_refused(status.text, username, secret)
        self.is_listing_asked = self.is_listing_wanted and self.pipelines
        await self.ask_capabilities(CAPA + LISTING if self.is_listing_asked else CAPA)

    def _login_refused(self, words: str, username: str, secret: str) -> Pop3Error:
        self._dialogue.refusal = words
        refusal = login_error(
            words,
            echoes=(username, secret),
            shown=self._dialogue.shown(words),
            has_auth_code=self.capabilities.auth_response_code,
        )
        if isinstance(refusal, LoginDelay):
            refusal.retry_after = self.capabilities.login_delay
        return refusal

    async def _one_line(self, line: bytes) -> Status:
        self._dialogue.send(line, Expect.STATUS)
        return await self._dialogue.status()

    async def _user_and_pass(self, user: bytes, password: bytes) -> Status:
        """The first refusal, else the answer to PASS. After a refused USER no PASS is sent that is not under way."""
        if self.pipelines:
            return await self._user_and_pass_at_once(
                Commands(user + password, (Expect.STATUS, Expect.STATUS))
            )
        self._dialogue.send(user, Expect.STATUS)
        first = await self._dialogue.status()
        if not first.ok:
            return first
        self._dialogue.send(password, Expect.STATUS)
        return await self._dialogue.status()

    async def _user_and_pass_at_once(self, login: Commands) -> Status:
        """With CAPA ahead of them where it was left out. Raises ServerTemporary when the server pipelines no more."""
        is_presumed, is_utf8 = self._is_presumed, self.capabilities.utf8
        if is_presumed:
            self.capabilities, self._is_presumed = Capabilities(), False
            ((CAPA + UTF8 if is_utf8 else CAPA) + login).send(self._dialogue)
            await self._read_capabilities()
            if is_utf8:
                await self._dialogue.status()
                self._dialogue.refusal = None
        else:
            login.send(self._dialogue)
        announced = self.capabilities
        first, second = await self._dialogue.status(), await self._dialogue.status()
        status = second if first.ok else first
        if announced.pipelining:
            self.known = announced
        elif not status.ok:  # it may have taken one line for another: that says nothing of the password
            shown = self._dialogue.shown(status.text)
            raise ServerTemporary(
                "The server does not pipeline as it did; next time it is asked line by line.", shown
            )
        return status


def _note_silence(error: Pop3Error, mechanism: str) -> None:
    """No status came to the login by a mechanism that has an alternative."""
    if error.sign is Sign.LOGIN:
        error.unanswered = mechanism


def _timestamp_of(greeting: str) -> str | None:
    """The first msg-id of a greeting (RFC 1939 §7), found in linear time whatever stands there."""
    for part in greeting.split("<")[1:]:
        inner, end, _ = part.partition(">")
        if end and "@" in inner[1:-1] and inner.isascii() and inner.isprintable() and " " not in inner:
            return f"<{inner}>"
    return None
