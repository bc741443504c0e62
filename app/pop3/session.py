"""A POP3 session: greeting to QUIT, pipelined where the server allows it (RFC 1939, RFC 2449)."""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from hashlib import md5
from secrets import token_urlsafe
from types import TracebackType
from typing import Self

from app.pop3 import sasl
from app.pop3.authentication import authenticate
from app.pop3.capabilities import Capabilities, parse_capabilities
from app.pop3.dialogue import Dialogue, Took, nobody_counts
from app.pop3.errors import (
    AuthFailed,
    CleartextRefused,
    ConnectFailed,
    ConnectionLost,
    LimitExceeded,
    LoginDelay,
    MechanismUnusable,
    Pop3Error,
    ProtocolError,
    ServerPermanent,
    ServerTemporary,
    Sign,
    Timeout,
    TlsFailed,
    TooSlow,
    UidlUnavailable,
    WayRefused,
    command_error,
    greeting_error,
    login_error,
    response_code,
)
from app.pop3.limits import Limits
from app.pop3.lines import RawListing, Stat
from app.pop3.listing import parse_stat
from app.pop3.milestones import Announced, Greeted, Protected, Reached, unwatched
from app.pop3.progress import Progress
from app.pop3.protocol import Expect, Status, command
from app.pop3.redaction import Redaction
from app.pop3.refusals import meaning_of
from app.pop3.retrieval import Asked, Refusal, Retrieval, Retrieved, refusal
from app.pop3.stream import LONGEST_CONNECTING, Stream, client_tls_context
from app.pop3.transcript import Transcript
from app.pop3.ways import BY_APOP, BY_USER, LONGEST_ARGUMENT, may_be_the_way, other_way, ways_to_log_in


@dataclass(frozen=True, slots=True)
class _Commands:
    """Lines to send at once, and what kind of answer each gets."""

    octets: bytes
    expected: tuple[Expect, ...]

    def __add__(self, other: "_Commands") -> "_Commands":
        return _Commands(self.octets + other.octets, self.expected + other.expected)


_CAPA = _Commands(command("CAPA"), (Expect.MULTILINE,))
_UTF8 = _Commands(command("UTF8"), (Expect.STATUS,))
_STAT = _Commands(command("STAT"), (Expect.STATUS,))
_LISTING = _STAT + _Commands(command("UIDL") + command("LIST"), (Expect.MULTILINE, Expect.MULTILINE))

_NO_WAY_FOR_SO_LONG = (
    f"The user name or the password has more than {LONGEST_ARGUMENT} octets, for which a line of USER or PASS has no "
    "room, and the server offers no AUTH for passwords."
)
_OCTETS_PER_ENTRY = 256  # on the average; RFC 1939 §7 has unique-ids of 70
_LEAST_LISTING = 16 * 1024 * 1024  # octets


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


async def connect(
    endpoint: Endpoint,
    *,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    allow_cleartext_password: bool = False,
    transcript: Transcript | None = None,
    reached: Reached = unwatched,
    new_nonce: Callable[[], str] = token_urlsafe,
    known: Capabilities | None = None,
    progress: Progress | None = None,
    secrets: Sequence[str] = (),
    without_capa: bool = False,
) -> "Pop3Session":
    """Connect, protect the connection as the endpoint asks, read the greeting, ask for the capabilities.

    The next address is tried where one of these fails, for nothing secret was sent yet; not behind a certificate that
    is not accepted, nor when connecting has taken three times what one address may take.

    ``known``: what a session of before with this endpoint ended with as ``known``. CAPA then goes out with USER and
    PASS, which spares a round trip, and Announced is not reached.
    ``transcript`` is told of all that is sent and received, ``reached`` of each milestone, in the order in which
    they come: with STARTTLS Protected is the last one, once the capabilities were told anew. ``new_nonce`` makes
    what SCRAM needs: printable ASCII without a comma, another one each time. ``secrets`` are not repeated in anything
    that is shown of the server's words: from the greeting on, for a server may know them from sessions of before.
    ``without_capa``: CAPA is not asked, and nothing is known of what the server can.
    ``progress`` is told how the session moves; whom it does not admit is not connected to, and by it somebody may call
    the session back.

    Raises NotAdmitted, TooSlow, ConnectFailed, TlsFailed, Timeout, ConnectionLost, ProtocolError, LimitExceeded,
    and for a greeting of -ERR what its words mean.
    """
    limits = limits or Limits()
    redaction = Redaction(*secrets)
    if transcript is not None:
        transcript.judge_by(redaction)
    clock = asyncio.get_running_loop().time
    enough = clock() + LONGEST_CONNECTING * limits.connect_timeout
    failure: Pop3Error = ConnectFailed("there is no address to connect to")
    for address in endpoint.addresses:
        try:
            return await _connect_to(
                replace(endpoint, addresses=(address,)),
                limits=limits,
                tls=tls,
                allow_cleartext_password=allow_cleartext_password,
                transcript=transcript,
                reached=reached,
                new_nonce=new_nonce,
                known=known,
                progress=progress or Progress(),
                redaction=redaction,
                without_capa=without_capa,
            )
        except (CleartextRefused, TooSlow):
            raise
        except Pop3Error as error:
            # A certificate that is not accepted is a warning, not a broken server.
            if clock() >= enough or (isinstance(error, TlsFailed) and error.verify_code is not None):
                raise
            failure = error
    raise failure


async def _connect_to(
    endpoint: Endpoint,
    *,
    limits: Limits,
    tls: ssl.SSLContext | None,
    allow_cleartext_password: bool,
    transcript: Transcript | None,
    reached: Reached,
    new_nonce: Callable[[], str],
    known: Capabilities | None,
    progress: Progress,
    redaction: Redaction,
    without_capa: bool,
) -> "Pop3Session":
    context = tls if tls is not None or endpoint.security is Security.NONE else client_tls_context()
    stream = await Stream.open(
        endpoint.addresses,
        endpoint.port,
        tls=context if endpoint.security is Security.TLS else None,
        server_name=endpoint.host,
        within=limits.connect_timeout,
        reached=reached,
        progress=progress,
    )
    session = Pop3Session(
        Dialogue(stream, limits, redaction=redaction, transcript=transcript, progress=progress),
        limits,
        endpoint=endpoint,
        allow_cleartext_password=allow_cleartext_password,
        new_nonce=new_nonce,
        without_capa=without_capa,
    )
    try:
        await session._greet()
        reached(Greeted(session.greeting))
        if known is not None and endpoint.security is not Security.STARTTLS:
            session._presume(known)
            return session
        await session._ask_capabilities()
        reached(Announced(session.capabilities))
        if endpoint.security is Security.STARTTLS:
            assert context is not None
            reached(await session._start_tls(context, endpoint.host))
        await session._ask_for_messages_as_they_are()
    except BaseException:
        await session.abort()
        raise
    return session


class Pop3Session:
    """One session; ``connect`` makes it. As a context manager it ends with QUIT when it is in order, else it is closed.

    ``greeting``: the server's, without +OK. ``capabilities``: as announced last. ``known``: what the next session with
    the same endpoint may presume; None: nothing. ``refused_ways``: in which ways to log in that were refused another
    one was tried.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        limits: Limits,
        *,
        endpoint: Endpoint,
        allow_cleartext_password: bool,
        new_nonce: Callable[[], str],
        without_capa: bool = False,
    ) -> None:
        self._dialogue = dialogue
        self._limits = limits
        self._endpoint = endpoint
        self._allow_cleartext_password = allow_cleartext_password
        self._new_nonce = new_nonce
        self.greeting = ""
        self._timestamp: str | None = None
        self.capabilities = Capabilities()
        self._retrieval = Retrieval(dialogue, limits)
        self.known: Capabilities | None = None
        self.refused_ways: tuple[str, ...] = ()
        self._is_presumed = False
        self._is_listing_wanted = self._is_listing_asked = False
        self._is_one_at_a_time = self._is_lock_step = False
        self._is_without_capa = without_capa

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._dialogue.is_in_order:
                with contextlib.suppress(Pop3Error):
                    await self.quit()
        finally:
            await self.abort()

    @property
    def awaited(self) -> int | None:
        """The message-number whose answer to TOP or RETR is due; after an error, within which the session ended."""
        return self._retrieval.awaited

    def shown(self, text: str) -> str:
        """Words of the server as they may be shown: whole (and not too many), or not at all."""
        return self._dialogue.shown(text)

    async def _greet(self) -> None:
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
        self.greeting = self.shown(status.text)
        self._timestamp = _timestamp_of(status.text)

    async def _start_tls(self, context: ssl.SSLContext, host: str) -> Protected:
        """STLS (RFC 2595 §4): without it nothing more is said, and what was learnt before it is forgotten."""
        if self.capabilities.names and not self.capabilities.stls:
            raise TlsFailed("The server does not offer STLS. Nothing secret was sent.")
        status = await self._simple("STLS")
        if not status.ok:
            shown = self._dialogue.shown(status.text)
            raise TlsFailed(f"The server refused STLS: {shown}", shown, response_code(status.text))
        protected = await self._dialogue.start_tls(context, server_name=host)
        self.capabilities = Capabilities()
        await self._ask_capabilities()
        return protected

    def _presume(self, known: Capabilities) -> None:
        self.capabilities, self._is_presumed = known, True

    async def _presume_nothing(self) -> None:
        """For a login that depends on what the server announces: it is asked, if that was left out."""
        if self._is_presumed:
            self.capabilities, self._is_presumed = Capabilities(), False
            await self._ask_capabilities()
            await self._ask_for_messages_as_they_are()

    async def _ask_capabilities(self, commands: _Commands = _CAPA) -> None:
        """CAPA, and what goes out with it. A server that does not know it in this state has told nothing new."""
        if self._is_without_capa:
            self._is_listing_asked = False
            return
        await self._dialogue.begin()
        self._send(commands)
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

    async def _ask_for_messages_as_they_are(self) -> None:
        """UTF8 (RFC 6856 §2.1), where it is announced; never before STLS. A refusal changes nothing.

        Without it Courier serves a message with octets over 127 in its header as the attachment of one of its own
        ("Cannot display Unicode content"), another one in each session.
        """
        if self.capabilities.utf8:
            await self._simple("UTF8")

    def list_with_login(self) -> None:
        """Before ``login``: what is called right after it is ``listing``.

        Its commands then go out with CAPA behind the login where the server pipelines (RFC 2449 §6.6), which spares
        a round trip. Not with those of the login: Courier, which announces PIPELINING, hands the connection to
        another process there, and what came behind the password is lost.
        """
        self._is_listing_wanted = True

    async def login(
        self,
        username: str,
        password: str,
        *,
        allow_apop: bool = False,
        mechanism: str | None = None,
        avoided: Collection[str] = (),
    ) -> None:
        """By USER and PASS (RFC 1939 §7) or by AUTH (RFC 5034), as is safest and works; then CAPA again.

        ``allow_apop``: by APOP where USER and PASS would be sent and the greeting has a timestamp. Off unless asked
        for: its MD5 is broken, and somebody between can learn the beginning of the password by it (CVE-2007-1558).
        ``mechanism``: in this way and no other. ``avoided``: ways that did not work before.

        A way that is announced and refused is no verdict on the password: one other way is tried, and ``refused_ways``
        has the first.

        Raises InvalidArgument, CleartextRefused before anything is sent; AuthFailed, MaildropInUse, LoginDelay,
        ServerTemporary, ServerPermanent as the server's answer means; WayRefused where the connection ended with the
        first way: the other one needs another session.
        """
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
            if mechanism is not None or not (is_unusable or (refusal.blame and words is not None)):
                raise
            other = other_way(way, announced, None if is_unusable else words)
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

    async def login_with_token(self, username: str, token: str, *, mechanism: str | None = None) -> None:
        """By an OAuth2 access token. Raises as ``login`` does, ServerPermanent when the server has no such login."""
        self._require_protection()
        await self._presume_nothing()
        names = (mechanism,) if mechanism else sasl.ways_for_token(self.capabilities.sasl)
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
        self._is_listing_asked = self._is_listing_wanted and self._pipelines
        await self._ask_capabilities(_CAPA + _LISTING if self._is_listing_asked else _CAPA)

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
        """The first refusal, else the answer to PASS. A refused USER gets no PASS, unless it is under way already."""
        if self._pipelines:
            return await self._user_and_pass_at_once(
                _Commands(user + password, (Expect.STATUS, Expect.STATUS))
            )
        self._dialogue.send(user, Expect.STATUS)
        first = await self._dialogue.status()
        if not first.ok:
            return first
        self._dialogue.send(password, Expect.STATUS)
        return await self._dialogue.status()

    async def _user_and_pass_at_once(self, login: _Commands) -> Status:
        """With CAPA ahead of them where it was left out. Raises ServerTemporary when the server pipelines no more."""
        is_presumed, is_utf8 = self._is_presumed, self.capabilities.utf8
        if is_presumed:
            self.capabilities, self._is_presumed = Capabilities(), False
            self._send((_CAPA + _UTF8 if is_utf8 else _CAPA) + login)
            await self._read_capabilities()
            if is_utf8:
                await self._dialogue.status()
                self._dialogue.refusal = None
        else:
            self._send(login)
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

    def _send(self, commands: "_Commands") -> None:
        self._dialogue.send(commands.octets, *commands.expected)

    async def stat(self) -> Stat:
        """How many messages there are, and how many octets."""
        return self._stat_of(await self._simple("STAT"))

    async def listing(self, *, most_entries: int | None = None, took: Took = nobody_counts) -> RawListing:
        """STAT, UIDL and LIST, in one go where the server pipelines.

        ``most_entries``: another limit than that of the session. ``took`` is told of the lines and octets of UIDL as
        they come, and may have the rest wait.

        Raises UidlUnavailable when the server does not know UIDL; a UIDL that is announced and fails is temporary.
        """
        dialogue = self._dialogue
        is_asked = self._is_listing_asked or self._pipelines
        if not self._is_listing_asked:
            await dialogue.begin()
            self._send(_LISTING if is_asked else _STAT)
        self._is_listing_asked = False
        stat = await dialogue.status()
        uidl, unique_ids = await self._list_answer("UIDL", most_entries, took, is_asked=is_asked)
        sizes, octets = await self._list_answer("LIST", most_entries, nobody_counts, is_asked=is_asked)
        announced = self._stat_of(stat)
        if announced.count == 0 and not any(_bears_code(status) for status in (uidl, sizes)):
            return RawListing(
                announced, unique_ids, octets
            )  # servers say -ERR to UIDL and LIST of an empty maildrop
        if not uidl.ok and not self.capabilities.uidl and response_code(uidl.text) is None:
            shown = dialogue.shown(uidl.text)
            self._require("LIST", sizes)
            without_ids = RawListing(announced, b"", octets)
            raise UidlUnavailable(f"The server has no UIDL: {shown}", shown, without_ids=without_ids)
        self._require("UIDL", uidl)
        self._require("LIST", sizes)
        return RawListing(announced, unique_ids, octets)

    async def _list_answer(
        self, word: str, most_entries: int | None, took: Took, *, is_asked: bool
    ) -> tuple[Status, bytearray]:
        if not is_asked:
            self._dialogue.send(command(word), Expect.MULTILINE)
        most = most_entries or self._limits.listing_entries
        octets = min(self._limits.listing_octets, max(_LEAST_LISTING, most * _OCTETS_PER_ENTRY))
        return await self._dialogue.reply(most_octets=octets, most_lines=most, took=took)

    async def top(self, numbers: Sequence[int], *, lines: int = 0) -> AsyncIterator[Retrieved]:
        """The headers of messages and ``lines`` lines of their bodies (RFC 1939 §7), in order.

        Each is cut at ``Limits.head_octets``, for senders make headers as long as they like. Raises LimitExceeded, and
        then the session is over, for one that does not end.
        """
        asked = deque(Asked(number, command("TOP", str(number), str(lines)), 4096) for number in numbers)
        limits = {"most_octets": self._limits.message_octets, "cut_at": self._limits.head_octets}
        answers = (
            self._retrieval.answers_in_place(asked, window=self._window, **limits)
            if self._window > 1 and not lines
            else self._retrieval.answers(asked, window=self._window, is_confirmed=False, **limits)
        )
        async for reply in answers:
            yield reply

    async def retrieve(
        self, entries: Sequence[tuple[int, int]], *, most_octets: int | None = None, alone: bool = False
    ) -> AsyncIterator[Retrieved]:
        """RETR each (message-number, octets as LIST said or 0), in order. -ERR to one is that one's refusal.

        A message is yielded once the status of the next answer was read, the last one behind a NOOP. If the session
        breaks there, the message comes with its ``ending`` first, and then the error is raised.
        ``most_octets``: another limit for these messages than that of the session. ``alone``: each one by itself, with
        a NOOP behind it.
        Nothing is read while the caller is busy, so that a slow caller slows the server down. A caller that stops
        half-way leaves the session unusable: it is then closed without QUIT.
        """
        asked = deque(
            Asked(number, command("RETR", str(number)), octets, octets or None) for number, octets in entries
        )
        most_octets = self._limits.message_octets if most_octets is None else most_octets
        window = 1 if alone else self._window
        if window > 1:
            async for reply in self._retrieval.answers_in_place(
                asked, window=window, most_octets=most_octets
            ):
                yield reply
            return
        for some in [deque([one]) for one in asked] if alone or self._is_one_at_a_time else [asked]:
            async for reply in self._retrieval.answers(some, window=1, most_octets=most_octets):
                yield reply

    @property
    def _window(self) -> int:
        """How many commands go ahead of their answers."""
        return self._limits.window_commands if self._pipelines else 1

    @property
    def _pipelines(self) -> bool:
        return self.capabilities.pipelining and not (self._is_one_at_a_time or self._is_lock_step)

    @property
    def answers(self) -> int:
        """How many the server has given."""
        return self._dialogue.answers

    def ask_in_lock_step(self) -> None:
        """Whatever the server announces, no command goes ahead of an answer."""
        self._is_lock_step = True

    def ask_one_at_a_time(self) -> None:
        """Whatever the server announces, no command goes ahead of an answer, and each message is retrieved alone."""
        self._is_one_at_a_time = True

    async def delete(self, numbers: Sequence[int]) -> list[Refusal | None]:
        """DELE each: it is marked, and goes at QUIT. The refusal of each, None when it was marked."""
        await self._dialogue.begin()
        outcomes: list[Refusal | None] = []
        for start in range(0, len(numbers), self._window):
            chunk = numbers[start : start + self._window]
            lines = [command("DELE", str(number)) for number in chunk]
            self._dialogue.send(b"".join(lines), *[Expect.STATUS] * len(chunk))
            for _ in chunk:
                status = await self._dialogue.status()
                outcomes.append(None if status.ok else refusal(self._dialogue, status))
        return outcomes

    async def reset(self) -> None:
        """RSET: no message is marked any more."""
        self._require("RSET", await self._simple("RSET"))

    async def noop(self) -> None:
        """NOOP."""
        self._require("NOOP", await self._simple("NOOP"))

    async def confirm(self) -> None:
        """See to it that the last answer is over: a status comes behind it, that of NOOP if need be."""
        if self._dialogue.is_unconfirmed:
            await self._dialogue.confirm()

    async def leave(self) -> None:
        """QUIT. How it is answered matters only where it shows that the answer before was not whole: then ProtocolError
        or LimitExceeded is raised."""
        is_unconfirmed = self._dialogue.is_unconfirmed
        if self._dialogue.is_over:
            return
        try:
            await self.quit()
        except (ProtocolError, LimitExceeded):
            if is_unconfirmed:
                raise
        except Pop3Error:
            pass

    async def quit(self) -> None:
        """QUIT: only now do marked messages go. Raises when the server says that it could not remove them.

        A session that was left inside a reply is closed without QUIT, and ConnectionLost raised.
        """
        try:
            self._dialogue.allow(self._limits.quit_timeout)
            status = await self._simple("QUIT", within=self._limits.quit_timeout)
            await self._dialogue.close()
        finally:
            await self.abort()
        self._require("QUIT", status)

    async def abort(self) -> None:
        """Close without QUIT: nothing is deleted."""
        await self._dialogue.abort()

    async def _simple(self, word: str, *, within: float | None = None) -> Status:
        await self._dialogue.begin()
        self._dialogue.send(command(word), Expect.STATUS)
        return await self._dialogue.status(within=within)

    def _require(self, word: str, status: Status) -> None:
        if not status.ok:
            raise command_error(word, status.text, shown=self._dialogue.shown(status.text))

    def _stat_of(self, status: Status) -> Stat:
        self._require("STAT", status)
        try:
            return parse_stat(status.text)
        except ProtocolError as error:
            error.reply = self._dialogue.shown(status.text)
            raise


def _bears_code(status: Status) -> bool:
    return not status.ok and response_code(status.text) is not None


def _timestamp_of(greeting: str) -> str | None:
    """The first msg-id of a greeting (RFC 1939 §7), found in linear time whatever stands there."""
    for part in greeting.split("<")[1:]:
        inner, end, _ = part.partition(">")
        if end and "@" in inner[1:-1] and inner.isascii() and inner.isprintable() and " " not in inner:
            return f"<{inner}>"
    return None
