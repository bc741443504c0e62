"""The only socket: connecting, TLS, and octets in and out, each with its time-out."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Final, cast

from app.pop3.errors import (
    ConnectFailed,
    ConnectionLost,
    NotAdmitted,
    Pop3Error,
    Timeout,
    TlsFailed,
    TooSlow,
)
from app.pop3.wire.inbox import Inbox
from app.pop3.wire.milestones import Connected, Protected, Reached, unwatched
from app.pop3.wire.progress import Progress

_MOST_HELD: Final = 512 * 1024  # octets that wait here for a slow reader; more waits at the server
LONGEST_CONNECTING: Final = 3  # times what one address may take: a name may have hundreds
_LEAST_ROOM: Final = 16 * 1024
_CLOSE_WITHIN: Final = 1.0  # seconds
# What versions of OpenSSL say of a first octet that begins no record of TLS.
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})


def client_tls_context(cadata: str | None = None, *, is_legacy: bool = False) -> ssl.SSLContext:
    """TLS 1.2 at least, chain and host name verified (RFC 8314). ``cadata``: PEM, instead of the system's store: of an
    authority, or of the server itself.

    ``is_legacy``: also TLS 1.0 and 1.1, and ciphers and keys that are thought too weak today: for old servers.
    """
    context = ssl.create_default_context(cadata=cadata)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cadata is not None:
        context.verify_flags |= (
            ssl.VERIFY_X509_PARTIAL_CHAIN
        )  # whatever is given is trusted, and need not sign itself
    if is_legacy:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:!aNULL:!eNULL:@SECLEVEL=0")
    return context


_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux


class Stream:
    """A connection to a mail server. One reader at a time."""

    def __init__(self, transport: asyncio.Transport, incoming: "_Incoming") -> None:
        self._transport = transport
        self._incoming = incoming
        self._socket: socket.socket | None = transport.get_extra_info("socket")

    @classmethod
    async def open(
        cls,
        addresses: Sequence[str],
        port: int,
        *,
        tls: ssl.SSLContext | None,
        server_name: str,
        within: float,
        reached: Reached = unwatched,
        progress: Progress | None = None,
    ) -> "Stream":
        """Connect to the first address that answers. ``within`` seconds for each, TLS included; thrice that for all.

        ``reached`` is told of Connected and Protected. Raises NotAdmitted and TooSlow as ``progress`` says;
        ConnectFailed, Timeout, TlsFailed: those of the last address tried.
        """
        progress = progress or Progress()
        clock = asyncio.get_running_loop().time
        progress.begins_to_wait(clock())
        try:
            async with asyncio.timeout(LONGEST_CONNECTING * within) as waiting:
                progress.interrupt = lambda: waiting.reschedule(clock())
                return await cls._opened(addresses, port, tls, server_name, within, reached, progress)
        except TimeoutError as error:
            if progress.is_called_back:
                raise TooSlow(
                    "The server was not reached while other mailboxes waited for a place."
                ) from error
            raise Timeout(f"none of {len(addresses)} addresses answered in time") from error
        finally:
            progress.interrupt = None
            progress.has_waited(clock())

    @classmethod
    async def _opened(
        cls,
        addresses: Sequence[str],
        port: int,
        tls: ssl.SSLContext | None,
        server_name: str,
        within: float,
        reached: Reached,
        progress: Progress,
    ) -> "Stream":
        failure: Pop3Error = ConnectFailed("there is no address to connect to")
        clock = asyncio.get_running_loop().time
        for address in addresses:
            if not progress.admits(address):
                failure = NotAdmitted(f"There are enough sessions with {address} already.")
                continue
            deadline = clock() + within
            try:
                stream = await cls._connected(address, port, deadline)
            except TimeoutError:
                failure = Timeout(f"{address} port {port} did not answer within {within:g} s")
                continue
            except OSError as error:
                failure = ConnectFailed(f"{address} port {port}: {_reason(error)}")
                continue
            reached(Connected(address, port))
            if tls is not None:
                reached(await stream.start_tls(tls, server_name=server_name, within=deadline - clock()))
            return stream
        raise failure

    @classmethod
    async def _connected(cls, address: str, port: int, deadline: float) -> "Stream":
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(deadline):
            transport, incoming = await loop.create_connection(_Incoming, address, port)
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(transport, incoming)

    async def start_tls(self, context: ssl.SSLContext, *, server_name: str, within: float) -> Protected:
        """Go over to TLS; what it is like. Raises TlsFailed and Timeout; then the connection is closed.

        What came before the handshake came in clear text, from whomever: it must never be read as if it had come
        through TLS (the response injection of CVE-2011-0411 and its kin).
        """
        try:
            if self.holds_unread:
                raise TlsFailed(
                    "The server sent something ahead of TLS: somebody may be injecting.", is_clear_text=True
                )
            await self._handshake(context, server_name, within)
            return Protected(self._transport.get_extra_info("ssl_object"))
        except BaseException:
            self._transport.abort()
            # asyncio tells nobody of the end of a connection whose handshake did not end.
            self._incoming.connection_lost(None)
            raise

    async def _handshake(self, context: ssl.SSLContext, server_name: str, within: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within):
                protected = await loop.start_tls(
                    self._transport, self._incoming, context, server_hostname=server_name
                )
        except ssl.SSLError as error:
            code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
            raise TlsFailed(
                f"TLS with {server_name}: {_reason(error)}",
                verify_code=code,
                is_clear_text=error.reason in _NOT_TLS,
            ) from error
        except TimeoutError as error:
            raise Timeout(f"the TLS handshake took more than {within:.3g} s") from error
        except OSError as error:
            raise TlsFailed(f"the connection ended during the TLS handshake: {_reason(error)}") from error
        if protected is None:
            raise TlsFailed("the connection ended during the TLS handshake")
        self._transport = protected
        self._incoming.connection_made(protected)

    @property
    def inbox(self) -> Inbox:
        """Where octets are written as they come."""
        return self._incoming.inbox

    @property
    def holds_unread(self) -> bool:
        """Octets were received that nobody has used."""
        return self.inbox.held > 0

    def write(self, octets: bytes) -> None:
        """Send, soon. Commands are short: the window bounds what can pile up.

        Dovecot sends the two answers to a pipelined USER and PASS as two segments, the second of which waits for
        our acknowledgement of the first, which the kernel likes to delay by 40 ms. It may not, where it can be told.
        """
        self._transport.write(octets)
        if _QUICKACK is not None and self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    async def more(self, until: float) -> int:
        """Wait until octets have come since this was asked last; how many.

        Raises ConnectionLost at the end, TimeoutError when the loop's clock says ``until``.
        """
        return await self._incoming.more(until)

    def cost(self) -> float:
        """Seconds of processor time that taking octets in has cost since this was asked last: a record of TLS may hold
        a single one."""
        cost, self._incoming.cost = self._incoming.cost, 0.0
        return cost

    async def rest(self, seconds: float) -> None:
        """Take nothing in for so long; what comes waits at the server."""
        self._incoming.pause()
        await asyncio.sleep(seconds)

    async def is_silent(self, until: float) -> bool:
        """Wait until octets have come, or the connection has ended; whether the loop's clock said ``until`` first."""
        try:
            await self._incoming.wait(until)
        except TimeoutError:
            return True
        return False

    def interrupt(self) -> None:
        """End the wait of ``more``, if somebody waits there: the connection is over."""
        self._incoming.connection_lost(None)
        self._transport.abort()

    async def close(self) -> None:
        """Close in order: what was written goes out, TLS says goodbye. At most a second, then at once."""
        self._incoming.resume()  # TLS waits for the other side's goodbye
        self._transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._incoming.wait_closed()
        await self.abort()

    async def abort(self) -> None:
        """Close at once; what the other side thinks of it is of no interest."""
        self._transport.abort()
        if self._incoming.is_closed:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._incoming.wait_closed()


class _Incoming(asyncio.BufferedProtocol):
    """What the server sent, written where the framing reads it; a slow reader slows the server down.

    Not asyncio's StreamReader: that copies every octet three times more, and does not say whether it holds some.
    """

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.cost = 0.0
        self._began = 0.0
        self._fresh = 0
        self._is_paused = False
        self._has_ended = False
        self._failure: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but ancestry

    def get_buffer(self, sizehint: int) -> memoryview:
        self._began = time.thread_time()
        return self.inbox.room(_LEAST_ROOM)

    def buffer_updated(self, nbytes: int) -> None:
        self.cost += time.thread_time() - self._began
        self.inbox.grew(nbytes)
        self._fresh += nbytes
        if self.inbox.held >= _MOST_HELD:
            self.pause()
        self._wake()

    def pause(self) -> None:
        """Read no more until somebody waits for octets."""
        if not self._is_paused and not self._has_ended:
            assert self.transport is not None
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on, if the connection lasts."""
        if self._is_paused and not self._has_ended:
            assert self.transport is not None
            self._is_paused = False
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        self._has_ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended, self._failure = True, exc
        self._wake()
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait(self, until: float) -> None:
        """Wait until octets have come since ``more`` was asked last, or the connection has ended."""
        if not self._fresh:
            await self._something(until)

    async def more(self, until: float) -> int:
        """Wait until octets have come since this was asked last; how many."""
        await self.wait(until)
        if not self._fresh:
            if self._failure is not None:
                raise ConnectionLost(f"the connection was lost: {_reason(self._failure)}") from self._failure
            raise ConnectionLost("the server closed the connection")
        fresh, self._fresh = self._fresh, 0
        return fresh

    @property
    def is_closed(self) -> bool:
        """Whether the transport has let go of the socket."""
        return self._closed.done()

    async def wait_closed(self) -> None:
        """Until the transport has let go of the socket."""
        await asyncio.shield(self._closed)

    async def _something(self, until: float) -> None:
        if self._has_ended:
            return
        self.resume()
        self._reader = asyncio.get_running_loop().create_future()
        self._until = until
        if self._timer is None or until < self._timer.when():
            self._set_timer()
        try:
            await self._reader
        finally:
            self._reader = None

    def _set_timer(self) -> None:
        """One for all waits: a new one for each would cost as much as the wait. It looks again when it is early."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._until, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self._reader is None or self._reader.done():
            return
        if asyncio.get_running_loop().time() < self._until:
            self._set_timer()
        else:
            self._reader.set_exception(TimeoutError())

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failed").replace("_", " ").lower()
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
