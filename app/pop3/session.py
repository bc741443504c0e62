"""A POP3 session: greeting to QUIT, pipelined where the server allows it (RFC 1939, RFC 2449)."""

import asyncio
import contextlib
import ssl
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import IO, Self

from app.pop3.capabilities import Capabilities, parse_capabilities
from app.pop3.errors import (
    CleartextRefused,
    ConnectFailed,
    ConnectionLost,
    LimitExceeded,
    LoginDelay,
    Pop3Error,
    ProtocolError,
    Timeout,
    TlsFailed,
    UidlUnavailable,
    command_error,
    login_error,
    response_code,
)
from app.pop3.listing import RawListing, Stat, parse_stat
from app.pop3.protocol import Data, Expect, Framer, NeedData, Status, command
from app.pop3.stream import Stream


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


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session takes from a server. Octets, seconds and counts.

    ``progress_octets``: within ``reply_timeout`` seconds a server must end a reply or send so many octets; a drip
    is no progress. ``memory_octets``: a larger body goes to a temporary file.
    """

    line_octets: int = 8192
    listing_entries: int = 2_000_000
    listing_octets: int = 512 * 1024 * 1024
    message_octets: int = 100 * 1024 * 1024
    memory_octets: int = 4 * 1024 * 1024
    connect_timeout: float = 15.0
    reply_timeout: float = 60.0
    session_timeout: float = 1800.0
    quit_timeout: float = 5.0
    progress_octets: int = 1024
    window_commands: int = 100
    window_octets: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """-ERR to one message: that message's failure only."""

    text: str
    response_code: str | None


@dataclass(slots=True)
class Retrieved:
    """The answer for one message: a body, a refusal, or word that it is over the limit.

    ``body``: bytes, or for a large one an open temporary file at its beginning.
    """

    number: int
    body: bytes | IO[bytes] | None = None
    refused: Refusal | None = None
    too_large: bool = False
    octets: int = 0

    def close(self) -> None:
        """Remove the temporary file, if there is one."""
        if self.body is not None and not isinstance(self.body, bytes):
            self.body.close()


async def connect(
    endpoint: Endpoint,
    *,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    allow_cleartext_password: bool = False,
) -> "Pop3Session":
    """Connect, protect the connection as the endpoint asks, read the greeting, ask for the capabilities.

    Raises ConnectFailed, TlsFailed, CleartextRefused, Timeout, ConnectionLost, ProtocolError, and for a greeting
    of -ERR what its words mean.
    """
    limits = limits or Limits()
    context = tls or ssl.create_default_context()
    stream = await Stream.open(
        endpoint.addresses,
        endpoint.port,
        tls=context if endpoint.security is Security.TLS else None,
        server_name=endpoint.host,
        within=limits.connect_timeout,
    )
    session = Pop3Session(stream, limits, may_send_password=allow_cleartext_password)
    try:
        await session._greet(endpoint, context)
    except BaseException:
        await session.abort()
        raise
    return session


@dataclass
class Pop3Session:
    """One session. As a context manager it ends with QUIT when it is in order, else it is closed."""

    _stream: Stream
    _limits: Limits
    may_send_password: bool
    greeting: str = ""
    capabilities: Capabilities = field(default_factory=Capabilities)

    def __post_init__(self) -> None:
        self._framer = Framer(line_octets=self._limits.line_octets)
        self._deadline = asyncio.get_running_loop().time() + self._limits.session_timeout
        self._is_broken = False
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or not (self._is_broken or self._is_closed):
            with contextlib.suppress(Pop3Error):
                await self.quit()
        await self.abort()

    async def _greet(self, endpoint: Endpoint, context: ssl.SSLContext) -> None:
        self._framer.expect(Expect.STATUS)
        status = await self._status()
        if not status.ok:
            raise login_error(status.text, during_greeting=True)
        self.greeting = status.text
        await self._ask_capabilities()
        if endpoint.security is Security.STARTTLS:
            await self._start_tls(endpoint, context)
        if endpoint.security is not Security.NONE:
            self.may_send_password = True

    async def _start_tls(self, endpoint: Endpoint, context: ssl.SSLContext) -> None:
        """STLS (RFC 2595 §4); everything learnt before it is forgotten, and nothing is sent in clear text after it."""
        self._send(command("STLS"), Expect.STATUS)
        status = await self._status()
        if not status.ok:
            raise TlsFailed(f"The server refused STLS: {status.text}"[:600], status.text[:500])
        if self._framer.leftover or self._stream.holds_unread:
            raise TlsFailed("The server sent something behind its answer to STLS: somebody may be injecting.")
        await self._stream.start_tls(context, server_name=endpoint.host, within=self._limits.connect_timeout)
        self.capabilities = Capabilities()
        await self._ask_capabilities()

    async def _ask_capabilities(self) -> None:
        self._send(command("CAPA"), Expect.MULTILINE)
        status, body = await self._reply(self._limits.line_octets * 64)
        if status.ok:
            self.capabilities = parse_capabilities(body)

    async def login(self, username: str, password: str) -> None:
        """USER and PASS (RFC 1939 §7), then CAPA again, for it may differ now.

        Raises InvalidArgument, CleartextRefused before anything is sent; AuthFailed, MaildropInUse, LoginDelay,
        ServerTemporary, ServerPermanent as the server's answer means.
        """
        if not self.may_send_password:
            raise CleartextRefused("The connection is in clear text, and the password may not cross it so.")
        lines = command("USER", username), command("PASS", password)
        # A server that refuses USER may count the PASS behind it as a second bad command: only if it pipelines.
        if self.capabilities.pipelining:
            self._send(b"".join(lines), Expect.STATUS, Expect.STATUS)
            statuses = [await self._status(), await self._status()]
        else:
            statuses = []
            for line in lines:
                self._send(line, Expect.STATUS)
                statuses.append(await self._status())
                if not statuses[-1].ok:
                    break
        refused = next((status for status in statuses if not status.ok), None)
        if refused is not None:
            error = login_error(refused.text.replace(password, "***") if password else refused.text)
            if isinstance(error, LoginDelay):
                error.retry_after = self.capabilities.login_delay
            raise error
        await self._ask_capabilities()

    async def stat(self) -> Stat:
        """How many messages there are, and how many octets."""
        self._send(command("STAT"), Expect.STATUS)
        return await self._stat_answer()

    async def listing(self) -> RawListing:
        """STAT, UIDL and LIST, in one go where the server pipelines.

        Raises UidlUnavailable when the server does not know UIDL; a UIDL that is announced and fails is temporary.
        """
        asked = (("STAT", Expect.STATUS), ("UIDL", Expect.MULTILINE), ("LIST", Expect.MULTILINE))
        if self.capabilities.pipelining:
            for word, kind in asked:
                self._send(command(word), kind)
            stat = await self._stat_answer(owed=2)
            uidl = await self._reply(self._limits.listing_octets)
            sizes = await self._reply(self._limits.listing_octets)
        else:
            stat = await self.stat()
            self._send(command("UIDL"), Expect.MULTILINE)
            uidl = await self._reply(self._limits.listing_octets)
            self._send(command("LIST"), Expect.MULTILINE)
            sizes = await self._reply(self._limits.listing_octets)
        if not uidl[0].ok:
            if self.capabilities.uidl:
                raise command_error("UIDL", uidl[0].text)
            raise UidlUnavailable(f"The server has no UIDL: {uidl[0].text}"[:600], uidl[0].text[:500])
        if not sizes[0].ok:
            raise command_error("LIST", sizes[0].text)
        return RawListing(stat, uidl[1], sizes[1])

    async def top(self, numbers: Sequence[int], *, lines: int = 0) -> AsyncIterator[Retrieved]:
        """The headers of messages and ``lines`` lines of their bodies (RFC 1939 §7), in order."""
        asked = [(number, command("TOP", str(number), str(lines)), 4096) for number in numbers]
        async for reply in self._pipelined(asked):
            yield reply

    async def retrieve(self, entries: Sequence[tuple[int, int]]) -> AsyncIterator[Retrieved]:
        """RETR each (message-number, octets as LIST said or 0), in order. -ERR to one is that one's refusal.

        Nothing is read while the caller is busy, so that a slow caller slows the server down.
        """
        asked = [(number, command("RETR", str(number)), octets) for number, octets in entries]
        async for reply in self._pipelined(asked):
            yield reply

    async def delete(self, numbers: Sequence[int]) -> list[Refusal | None]:
        """DELE each: it is marked, and goes at QUIT. The refusal of each, None when it was marked."""
        outcomes: list[Refusal | None] = []
        window = self._limits.window_commands if self.capabilities.pipelining else 1
        for start in range(0, len(numbers), window):
            chunk = numbers[start : start + window]
            self._send(b"".join(command("DELE", str(n)) for n in chunk), *[Expect.STATUS] * len(chunk))
            for _ in chunk:
                status = await self._status()
                outcomes.append(None if status.ok else Refusal(status.text, response_code(status.text)))
        return outcomes

    async def reset(self) -> None:
        """RSET: no message is marked any more."""
        await self._simple("RSET")

    async def noop(self) -> None:
        """NOOP."""
        await self._simple("NOOP")

    async def quit(self) -> None:
        """QUIT: only now do marked messages go. Raises when the server says that it could not remove them."""
        if self._is_broken or not self._framer.is_between_replies:
            raise ConnectionLost("the session was interrupted inside a reply; it is closed without QUIT")
        try:
            async with asyncio.timeout(self._limits.quit_timeout):
                await self._simple("QUIT")
        except TimeoutError as error:
            raise Timeout("QUIT was not answered") from error
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Close without QUIT: nothing is deleted."""
        if not self._is_closed:
            self._is_closed = True
            await self._stream.close()

    async def _simple(self, word: str) -> None:
        self._send(command(word), Expect.STATUS)
        status = await self._status()
        if not status.ok:
            raise command_error(word, status.text)

    async def _stat_answer(self, *, owed: int = 0) -> Stat:
        status = await self._status()
        if not status.ok:
            for _ in range(owed):
                await self._reply(self._limits.listing_octets)
            raise command_error("STAT", status.text)
        return parse_stat(status.text)

    async def _pipelined(self, asked: Sequence[tuple[int, bytes, int]]) -> AsyncIterator[Retrieved]:
        """Send commands in a window bounded by count and by octets expected; yield their answers in order."""
        window = self._limits.window_commands if self.capabilities.pipelining else 1
        under_way: deque[tuple[int, int]] = deque()
        expected, sent = 0, 0
        while under_way or sent < len(asked):
            lines = []
            while sent < len(asked) and len(under_way) < window:
                number, line, octets = asked[sent]
                if under_way and expected + octets > self._limits.window_octets:
                    break
                lines.append(line)
                under_way.append((number, octets))
                expected += octets
                sent += 1
            if lines:
                self._send(b"".join(lines), *[Expect.MULTILINE] * len(lines))
            # Refill in halves: a packet of many commands costs as much as one of a single command.
            low = len(under_way) // 2 if sent < len(asked) else 0
            while len(under_way) > low:
                number, octets = under_way.popleft()
                reply = await self._retrieved(number)
                expected -= octets
                yield reply
        # An abandoned generator leaves replies owed, and the framer knows: such a session is closed without QUIT.

    async def _retrieved(self, number: int) -> Retrieved:
        status = await self._status()
        if not status.ok:
            return Retrieved(number, refused=Refusal(status.text[:500], response_code(status.text)))
        data = await self._data()
        if data.is_last:  # the usual case: the whole message is in the buffer
            too_large = len(data.octets) > self._limits.message_octets
            return Retrieved(
                number, None if too_large else data.octets, too_large=too_large, octets=len(data.octets)
            )
        return await self._large(number, data)

    async def _large(self, number: int, data: Data) -> Retrieved:
        spool: IO[bytes] | None = tempfile.SpooledTemporaryFile(max_size=self._limits.memory_octets)  # noqa: SIM115
        octets = 0
        try:
            while True:
                octets += len(data.octets)
                if octets > self._limits.message_octets and spool is not None:
                    spool.close()
                    spool = None  # over the limit: the rest is read and thrown away
                if spool is not None:
                    spool.write(data.octets)
                if data.is_last:
                    break
                data = await self._data()
        except BaseException:
            if spool is not None:
                spool.close()
            raise
        if spool is None:
            return Retrieved(number, too_large=True, octets=octets)
        spool.seek(0)
        if octets <= self._limits.memory_octets:
            with spool:
                return Retrieved(number, spool.read(), octets=octets)
        return Retrieved(number, spool, octets=octets)

    async def _reply(self, most_octets: int) -> tuple[Status, bytes]:
        status = await self._status()
        if not status.ok:
            return status, b""
        parts, octets = [], 0
        while True:
            data = await self._data()
            parts.append(data.octets)
            octets += len(data.octets)
            if octets > most_octets:
                self._is_broken = True
                raise LimitExceeded(f"a reply has more than {most_octets} octets")
            if data.is_last:
                return status, b"".join(parts)

    def _send(self, octets: bytes, *expected: Expect) -> None:
        if self._is_broken or self._is_closed:
            raise ConnectionLost("the session is over")
        for kind in expected:
            self._framer.expect(kind)
        self._stream.write(octets)

    async def _status(self) -> Status:
        event = await self._event()
        if not isinstance(event, Status):
            raise ProtocolError("a status line was due")
        return event

    async def _data(self) -> Data:
        event = await self._event()
        if not isinstance(event, Data):
            raise ProtocolError("the body of a reply was due")
        return event

    async def _event(self) -> Status | Data:
        """The next event, reading as much as it needs."""
        try:
            event = self._framer.next_event()
            if not isinstance(event, NeedData):
                return event
            return await self._event_from_stream()
        except BaseException:
            self._is_broken = True  # interrupted inside a reply: never used again (house rule 4)
            raise

    async def _event_from_stream(self) -> Status | Data:
        loop = asyncio.get_running_loop()
        limits = self._limits
        progress, until = 0, loop.time() + limits.reply_timeout
        while True:
            try:
                async with asyncio.timeout_at(min(until, self._deadline)):
                    octets = await self._stream.read()
            except TimeoutError as error:
                if loop.time() >= self._deadline:
                    raise Timeout(f"the session took more than {limits.session_timeout:g} s") from error
                raise Timeout(f"no progress within {limits.reply_timeout:g} s") from error
            self._framer.receive(octets)
            event = self._framer.next_event()
            if not isinstance(event, NeedData):
                return event
            progress += len(octets)
            if progress >= limits.progress_octets:
                progress, until = 0, loop.time() + limits.reply_timeout


__all__ = [
    "ConnectFailed",
    "Endpoint",
    "Limits",
    "Pop3Session",
    "Refusal",
    "Retrieved",
    "Security",
    "connect",
]
