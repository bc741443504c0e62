"""One connection of the HTTP server: what uvicorn's protocol does not bound is bounded here, the rest is uvicorn's."""

import asyncio
import contextlib
import socket
import struct
import sys
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.edge.bounds import Edge
from app.edge.refusals import Refusal
from app.web.requests.clients import counted_as, is_trusted
from app.web.requests.request_id import request_id

_SLICE = 16 * 1024  # octets that are parsed at once: how far a limit may be overshot
_MOST_UNPARSED = 1024 * 1024  # octets of requests that wait behind one that is being answered
_MOST_FIELDS = 200  # of one header block
_LINGER_SECONDS = (
    5.0  # how long the rest of a request that was answered early is thrown away, for the answer to arrive
)
_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux, macOS
_UNSENT_OCTETS = 128 * 1024
_SENT_AT_LEAST = 16 * 1024  # octets of an answer that a client takes in a second


class Connection(HttpToolsProtocol):
    """Reads requests within the limits of an edge.

    It is idle, or has a request's header block half, or is answering; or it lingers: closed for writing, it waits for
    the client to close too.
    """

    def __init__(self, *arguments: Any, edge: Edge) -> None:
        super().__init__(*arguments)
        self._edge, self._limits = edge, edge.limits
        self.counted = ""
        self.is_of_proxy = False
        self.is_known = False  # it has brought a right key
        self._since = self.loop.time()  # it is idle, has begun with a header block, or lingers
        self._in_header = False
        self._head_octets = self._head_fields = 0
        self._gap = 0  # octets of a body's framing behind the last of its content
        self._is_whole = True  # the request that is being answered has come to its end
        self._keeps_alive = True
        self._unparsed = b""
        self._is_deaf = False  # what else comes is not read as requests
        self.is_lingering = False
        self._refusal: Refusal | None = None
        self._refused = ""  # the id of the request that is refused
        self._taken: tuple[int, float] | None = None  # so many octets of answers, at that time

    # What the event loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn has the base class
        super().connection_made(cast("asyncio.Transport", _Lingering(transport, self)))
        _hold_little_unsent(transport)
        address = self.client[0] if self.client else ""
        self.counted = counted_as(address)
        self.is_of_proxy = is_trusted(address, self._limits.trusted)
        self._edge.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._edge.closed(self)
        self._unparsed = b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._unparsed = self._unparsed + data if self._unparsed else data
        if len(self._unparsed) > _MOST_UNPARSED:
            self._cut("pipelined_too_much")
        else:
            self._parse()

    def shutdown(self) -> None:
        self._keeps_alive = False
        super().shutdown()

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_header = True
        self._since = self.loop.time()
        self._head_octets = self._head_fields = 0
        self.scope["maildelta.is_known"] = self._now_known  # type: ignore[typeddict-unknown-key]  # of ours

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.header_octets:
            self._refuse(Refusal.URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_header:
            return  # a trailer, which must not pass for a header field (RFC 9110 §6.5.1)
        self._head_octets += len(name) + len(value) + 4
        self._head_fields += 1
        if self._head_octets > self._limits.header_octets or self._head_fields > _MOST_FIELDS:
            self._refuse(Refusal.HEADERS_TOO_LARGE)
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if fault := _fault(self.parser, self.headers):
            self._refuse(fault)
        if not self._edge.has_room_for(self):
            self._refuse(Refusal.TOO_MANY_CONNECTIONS)
        super().on_headers_complete()
        self._in_header, self._is_whole, self._gap = False, False, 0
        # An answer that is given before the request has come whole is the last one of its connection.
        self._keeps_alive = self.cycle.keep_alive and self._keeps_alive and not self.parser.should_upgrade()
        self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._gap = 0
        super().on_body(body)

    def on_chunk_header(self) -> None:
        self._gap = 0

    def on_message_complete(self) -> None:
        self._is_whole = True
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keeps_alive
        super().on_message_complete()

    # What the answer calls

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._since = self.loop.time()
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._close_with(self._refusal)
            return
        self.flow.resume_reading()
        if self._unparsed:
            self.loop.call_soon(self._parse)

    def linger(self) -> bool:
        """Whether to wait for the rest of a request that was answered early: closing would throw the answer away."""
        if self._is_whole:
            return False
        self.is_lingering = self._is_deaf = True
        self._since, self._unparsed = self.loop.time(), b""
        self.flow.resume_reading()
        return True

    # What the edge calls

    @property
    def may_give_way(self) -> bool:
        """Nobody is served by it, or a stranger who does not take what he is given."""
        return self._is_idle or self.is_lingering or (self.flow.write_paused and not self.is_known)

    def give_way(self) -> None:
        """Closed at once, for another."""
        self._cut("too_many_connections")

    def look(self, now: float) -> None:
        """Whether what it does takes too long."""
        took, limits = now - self._since, self._limits
        if self._is_stalled(now):
            self._cut("answer_not_taken")
        elif self.is_lingering:
            if took > _LINGER_SECONDS:
                self._cut("request_without_end")
        elif not self._is_idle or self.transport.is_closing():
            return
        elif self._in_header:
            if took > limits.header_seconds:
                self._answer(Refusal.TIMEOUT)
        elif took > limits.idle_seconds:
            self.transport.close()

    def _is_stalled(self, now: float) -> bool:
        """Too little of the answer was taken lately, however large it is. The kernel's part does not count as taken."""
        transport = cast("_Lingering", self.transport)
        waiting = transport.get_write_buffer_size()
        if not waiting:
            self._taken = None
            return False
        taken = transport.written - waiting - transport.unacknowledged()
        enough = _SENT_AT_LEAST * self._limits.stalled_seconds
        if self._taken is None or taken - self._taken[0] >= enough:
            self._taken = taken, now
        return now - self._taken[1] > self._limits.stalled_seconds

    def _parse(self) -> None:
        """Hand on what came slice by slice, as long as no request waits for an earlier one to be answered."""
        while self._unparsed and not self.pipeline and not self._is_deaf and not self.transport.is_closing():
            data, self._unparsed = self._unparsed[:_SLICE], self._unparsed[_SLICE:]
            was_in_header = self._in_header
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                self._is_deaf = (
                    True  # another protocol's; we speak none, and answer the request (RFC 9110 §7.8)
                )
            except httptools.HttpParserError:
                self._answer(self._refusal or Refusal.MALFORMED)
            else:
                self._count(len(data), was_in_header=was_in_header)
        if self.pipeline and self._unparsed:
            self.flow.pause_reading()

    def _count(self, octets: int, *, was_in_header: bool) -> None:
        """What the parser has swallowed without telling: a field without end, a chunk's extension, trailers."""
        if self._in_header and was_in_header:
            self._head_octets += octets
            if self._head_octets > self._limits.header_octets:
                self._answer(Refusal.HEADERS_TOO_LARGE)
        elif not self._is_whole:
            self._gap += octets
            if self._gap > self._limits.header_octets:
                self._answer(Refusal.MALFORMED)

    def _refuse(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise _Refused

    def _answer(self, refusal: Refusal) -> None:
        """Refuse what came, and read nothing more; in the order of the requests."""
        # The header fields that there are may be of the request before.
        self._refused = request_id(self.headers if self._in_header or not self._is_whole else ())
        self._edge.log.warning(
            "request_refused",
            reason=refusal.code,
            status=refusal.status,
            client=self.counted,
            request_id=self._refused,
        )
        self._unparsed, self._is_deaf, self._refusal = b"", True, refusal
        if self._is_idle:
            self._close_with(refusal)
            return
        self.cycle.keep_alive = False
        if not self._is_whole and not self.pipeline and not self.cycle.response_started:
            self.cycle.disconnected = True  # its answer is ours
            self.cycle.message_event.set()
            self._close_with(refusal)

    def _close_with(self, refusal: Refusal) -> None:
        self._is_whole = False  # the rest of what is refused may be on its way
        self.transport.write(refusal.answer(self.server_state.default_headers, request=self._refused))
        self.transport.close()

    def _cut(self, reason: str) -> None:
        self._edge.log.warning("connection_refused", reason=reason, client=self.counted)
        self._edge.closed(self)
        self._is_deaf, self._unparsed = True, b""
        cast("_Lingering", self.transport).abort()

    @property
    def _is_idle(self) -> bool:
        """It answers no request."""
        return self.cycle is None or (self.cycle.response_complete and not self.pipeline)

    def _now_known(self) -> None:
        self.is_known = True


def _hold_little_unsent(transport: asyncio.Transport) -> None:
    """Have the kernel take no more than this of what cannot be sent yet: megabytes of answers that nobody reads were
    made and kept there. What is under way does not count, so nobody who reads waits for it."""
    connection = transport.get_extra_info("socket")
    if _NOTSENT_LOWAT is not None and connection is not None:
        with contextlib.suppress(OSError, AttributeError):  # no TCP, or a test's
            connection.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _UNSENT_OCTETS)


class _Refused(Exception):
    """Stops the parser."""


def _fault(parser: Any, headers: list[tuple[bytes, bytes]]) -> Refusal | None:
    """What the parser lets pass and RFC 9112 does not: another version, §3.2 (one Host), §6.1 (one length)."""
    version = parser.get_http_version()
    if version not in {"1.0", "1.1"}:
        return Refusal.VERSION
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    is_chunked = b"transfer-encoding" in names
    is_doubtful = is_chunked and (version == "1.0" or b"content-length" in names)
    has_body = is_chunked or any(name == b"content-length" and value != b"0" for name, value in headers)
    if hosts > 1 or (not hosts and version == "1.1") or is_doubtful or (parser.should_upgrade() and has_body):
        return Refusal.MALFORMED
    return None


class _Lingering:
    """A transport that closes for writing first where a request has not come whole, and counts what is written."""

    __slots__ = ("_connection", "_transport", "written")

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        self.written = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if (
            not self._transport.is_closing()
        ):  # else the client has gone, and uvloop raises for what is written now
            self.written += len(data)
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._connection.is_lingering or self._transport.is_closing()

    def close(self) -> None:
        if not self.is_closing() and self._transport.can_write_eof() and self._connection.linger():
            self._transport.write_eof()
        elif not self._connection.is_lingering:
            self._transport.close()

    def unacknowledged(self) -> int:
        """Octets that the kernel holds: they were sent and have not arrived, or wait to be sent."""
        if sys.platform == "win32":
            return 0
        import fcntl  # noqa: PLC0415  Windows has none
        import termios  # noqa: PLC0415  as above

        connection = self._transport.get_extra_info("socket")
        try:
            held = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except (OSError, AttributeError, ValueError):
            return 0
        return int(struct.unpack("i", held)[0])
