"""A POP3 server that keeps state, writes down what it hears, and misbehaves when told to."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from tests.servers.certificates import CertificateFiles
from tests.servers.listening import listening

CAPABILITIES = ("USER", "TOP", "UIDL", "RESP-CODES", "PIPELINING")
Fault = TypeVar("Fault")

LOCK_STEP = tuple(name for name in CAPABILITIES if name != "PIPELINING")


def as_sent(content: bytes) -> bytes:
    """What a client is to get of a content: a last line without its end gets one, for only so can the end be told."""
    return content if not content or content.endswith(b"\r\n") else content + b"\r\n"


def stuffed(content: bytes, eol: bytes = b"\r\n") -> bytes:
    """A content on the wire (RFC 1939 §3): a dot before each line that begins with one, and the end mark."""
    if content and not content.endswith(eol):
        content += eol
    if content.startswith(b"."):
        content = b"." + content
    return content.replace(eol + b".", eol + b"..") + b"." + eol


def multiline(lines: Iterable[bytes | str], status: bytes = b"+OK") -> bytes:
    """A multi-line reply of these lines, whole."""
    body = b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines)
    return status + b"\r\n" + stuffed(body)


@dataclass(frozen=True, eq=False)
class FakeMessage:
    """A message of a maildrop. ``listed_octets``: what LIST says, when that is to be a lie."""

    unique_id: bytes
    content: bytes
    listed_octets: int | None = None

    @property
    def octets(self) -> int:
        """The size that LIST and STAT tell."""
        return len(as_sent(self.content)) if self.listed_octets is None else self.listed_octets


@dataclass
class FakeMaildrop:
    """What a login shows. Change ``messages`` as you like: a session sees what was there when it began.

    ``window``: a session shows only so many, the oldest that were not retrieved yet (as Gmail does).
    """

    messages: list[FakeMessage] = field(default_factory=list)
    username: str = "reader"
    password: str = "correct horse"
    is_locked: bool = False
    window: int | None = None
    retrieved: set[bytes] = field(default_factory=set)

    def shown(self) -> list[FakeMessage]:
        """What a session shows that begins now."""
        if self.window is None:
            return list(self.messages)
        return [one for one in self.messages if one.unique_id not in self.retrieved][: self.window]

    def deliver(
        self, content: bytes, unique_id: bytes | str, *, listed_octets: int | None = None
    ) -> FakeMessage:
        """Put a message behind the others."""
        key = unique_id.encode() if isinstance(unique_id, str) else unique_id
        message = FakeMessage(key, content, listed_octets)
        self.messages.append(message)
        return message

    def remove(self, *unique_ids: bytes | str) -> None:
        """Take messages away, as another client would."""
        gone = {key.encode() if isinstance(key, str) else key for key in unique_ids}
        self.messages[:] = [message for message in self.messages if message.unique_id not in gone]

    @property
    def contents(self) -> list[bytes]:
        """What a client that takes everything has in the end, in order."""
        return [as_sent(message.content) for message in self.messages]


class Gate:
    """Where an answer waits: ``reached`` once a command is there, until it is ``opened``."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong. A command is named by its verb (``RETR``) or with its argument (``RETR 3``), which wins.

    ``greeting``: sent in its place, octet for octet. ``closes_at_once``, ``is_silent``: no greeting at all.
    ``instead``: octets sent in place of the answer; a line end is added to a lone status line.
    ``behind``: octets sent in the same packet behind the answer. ``cut``: so many octets of the answer, then the
    connection is lost. ``late``: so many octets of the answer, the rest a moment later. ``drip``: the answer comes
    octet by octet with so many seconds between. ``hang``: no answer. ``hold``: the answer waits at a gate. ``before``:
    what happens to the messages of the session before the answer, once. ``goodbye_behind``: behind so many answers to
    TOP and RETR the server says that it ends the session, in the same packet, and closes.
    """

    greeting: bytes | None = None
    closes_at_once: bool = False
    is_silent: bool = False
    instead: Mapping[str, bytes] = field(default_factory=dict)
    behind: Mapping[str, bytes] = field(default_factory=dict)
    cut: Mapping[str, int] = field(default_factory=dict)
    late: Mapping[str, int] = field(default_factory=dict)
    drip: Mapping[str, float] = field(default_factory=dict)
    before: Mapping[str, Callable[[list["FakeMessage"]], None]] = field(default_factory=dict)
    hang: Collection[str] = ()
    hold: Mapping[str, "Gate"] = field(default_factory=dict)
    goodbye_behind: int | None = None


@dataclass(frozen=True)
class Heard:
    """A command as it came. ``ahead``: how many commands before it had no answer yet; 0 is lock step."""

    session: int
    line: bytes
    ahead: int
    is_protected: bool

    @property
    def verb(self) -> str:
        """The command's word, upper case."""
        return self.line.split(b" ", 1)[0].decode("latin-1").upper()


def server_tls(files: CertificateFiles) -> ssl.SSLContext:
    """The server's side of TLS with a certificate of the tests."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


class FakePop3Server:
    """Serves maildrops on a free port of loopback, for the length of an ``async with``.

    ``capabilities``: None knows no CAPA; ``capabilities_after_login`` and ``capabilities_in_clear``: when they differ
    after the login, or before STLS. With ``tls`` STLS is offered, or with ``implicit_tls`` the port speaks TLS from
    the start. ``delay``: seconds before each answer. ``faults`` may be replaced between two sessions;
    those of ``faults_by_session``, by number from 1, come before them. ``eol``: the
    line end of answers.
    """

    def __init__(
        self,
        *maildrops: FakeMaildrop,
        faults: Faults | None = None,
        capabilities: Sequence[str] | None = CAPABILITIES,
        capabilities_after_login: Sequence[str] | None = None,
        capabilities_in_clear: Sequence[str] | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        delay: float = 0.0,
        eol: bytes = b"\r\n",
    ) -> None:
        self.maildrops = {maildrop.username: maildrop for maildrop in maildrops}
        self.faults = faults or Faults()
        self.faults_by_session: dict[int, Faults] = {}
        self.capabilities = capabilities
        self.capabilities_after_login = capabilities_after_login
        self.capabilities_in_clear = capabilities_in_clear
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.delay = delay
        self.eol = eol
        self.log: list[Heard] = []
        self.sessions = 0
        self.host = "127.0.0.1"
        self.port = 0
        self._listening = AsyncExitStack()
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def commands(self) -> list[str]:
        """The commands heard, in order."""
        return [heard.line.decode("latin-1") for heard in self.log]

    @property
    def verbs(self) -> list[str]:
        """The words of the commands heard, in order."""
        return [heard.verb for heard in self.log]

    @property
    def most_ahead(self) -> int:
        """How far commands ran ahead of answers at most; 0 is lock step."""
        return max((heard.ahead for heard in self.log), default=0)

    async def __aenter__(self) -> Self:
        context = self.tls if self.implicit_tls else None
        listener = listening(self._serve, self.host, tls=context)
        self.port = await self._listening.enter_async_context(listener)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listening.aclose()

    async def settled(self) -> None:
        """Wait until every session has ended and let go of its lock."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        self.sessions += 1
        faults = self.faults_by_session.get(self.sessions, self.faults)
        session = _Session(self, faults, self.sessions, reader, writer)
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError, _Gone):
                await session.run()
        finally:
            session.let_go()
            self._under_way.discard(task)


class _Gone(Exception):
    """The connection is over."""


class _Session:
    """One connection: the commands as they come, and the answers to them."""

    def __init__(
        self,
        server: FakePop3Server,
        faults: Faults,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._server = server
        self._faults = faults
        self._number = number
        self._reader = reader
        self._writer = writer
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._unanswered = 0
        self._is_deserted = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._is_protected = server.implicit_tls
        self._username = ""
        self._maildrop: FakeMaildrop | None = None
        self._messages: list[FakeMessage] = []
        self._marked: set[int] = set()
        self._happened: set[str] = set()
        self._shown = 0

    def let_go(self) -> None:
        """Give the maildrop back; nothing was deleted unless QUIT did."""
        if self._maildrop is not None:
            self._maildrop.is_locked = False
            self._maildrop = None

    async def run(self) -> None:
        """From the greeting to the end."""
        if self._faults.closes_at_once:
            return
        if not self._faults.is_silent:
            greeting = self._faults.greeting
            await self._write(b"+OK fake server ready" + self._server.eol if greeting is None else greeting)
        self._listening = asyncio.create_task(self._listen())
        try:
            while (line := await self._lines.get()) is not None:
                await self._answer(line)
        finally:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        """Write down each command the moment it comes. Behind STLS comes TLS: `_start_tls` listens again."""
        try:
            while line := await self._reader.readline():
                command = line.rstrip(b"\r\n")
                heard = Heard(self._number, command, self._unanswered, self._is_protected)
                self._server.log.append(heard)
                self._unanswered += 1
                self._lines.put_nowait(command)
                if heard.verb == "STLS":
                    return
        except (ConnectionError, ssl.SSLError):
            pass
        self._is_deserted.set()
        self._lines.put_nowait(None)

    async def _answer(self, line: bytes) -> None:
        verb, _, argument = line.decode("utf-8", "replace").partition(" ")
        name, faults = f"{verb.upper()} {argument}".strip(), self._faults
        if self._server.delay:
            await asyncio.sleep(self._server.delay)
        if faults.is_silent or {name, verb.upper()} & set(faults.hang):
            await self._is_deserted.wait()
            raise _Gone
        if (gate := _of(faults.hold, name)) is not None:
            gate.reached.set()
            await gate.opened.wait()
        happens = _of(faults.before, name)
        if happens is not None and verb not in self._happened:
            self._happened.add(verb)
            happens(self._messages)
        answers: dict[str, Callable[[str], bytes]] = {
            "CAPA": self._capa, "STLS": self._stls, "USER": self._user, "PASS": self._pass, "STAT": self._stat,
            "UIDL": self._uidl, "LIST": self._list, "RETR": self._retr, "TOP": self._top, "DELE": self._dele,
            "RSET": self._rset, "NOOP": self._noop, "QUIT": self._quit,
        }  # fmt: skip
        instead = _of(faults.instead, name)
        if instead is not None:
            reply = instead if instead.endswith((b"\r\n", b"\n")) else instead + self._server.eol
        else:
            reply = answers.get(verb.upper(), self._unknown)(argument)
        await self._send(name, reply)
        if verb.upper() == "QUIT":
            raise _Gone
        if verb.upper() == "STLS":
            await self._start_tls(reply)

    async def _send(self, name: str, reply: bytes) -> None:
        faults = self._faults
        reply += _of(faults.behind, name) or b""
        self._shown += name.startswith(("TOP", "RETR"))
        is_goodbye = self._shown == faults.goodbye_behind
        if is_goodbye:
            reply += b"-ERR session limit reached" + self._server.eol
        cut, drip = _of(faults.cut, name), _of(faults.drip, name)
        if cut is not None:
            reply = reply[:cut]
        if (late := _of(faults.late, name)) is not None:
            await self._write(reply[:late])
            await asyncio.sleep(0.03)
            reply = reply[late:]
        if drip is not None:
            await self._drip(reply, drip)
        else:
            self._writer.write(reply)
        self._unanswered -= 1
        await self._writer.drain()
        if cut is not None or is_goodbye:
            raise _Gone

    async def _drip(self, reply: bytes, seconds: float) -> None:
        for octet in reply:
            await self._write(bytes([octet]))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_deserted.wait(), seconds)
                raise _Gone

    async def _write(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def _start_tls(self, reply: bytes) -> None:
        if reply.startswith(b"+OK"):
            assert self._server.tls is not None
            await self._writer.start_tls(self._server.tls)
            self._is_protected = True
        self._listening = asyncio.create_task(self._listen())

    def _capa(self, _argument: str) -> bytes:
        names = self._server.capabilities
        if self._maildrop is not None and self._server.capabilities_after_login is not None:
            names = self._server.capabilities_after_login
        elif not self._is_protected and self._server.capabilities_in_clear is not None:
            names = self._server.capabilities_in_clear
        if names is None:
            return self._status("-ERR unknown command")
        offered = ["STLS"] if self._server.tls is not None and not self._is_protected else []
        return self._multiline([name.encode() for name in [*names, *offered]])

    def _stls(self, _argument: str) -> bytes:
        is_possible = self._server.tls is not None and not self._is_protected
        return self._status("+OK begin TLS" if is_possible else "-ERR command not permitted")

    def _user(self, argument: str) -> bytes:
        self._username = argument
        return self._status("+OK send PASS")

    def _pass(self, argument: str) -> bytes:
        maildrop = self._server.maildrops.get(self._username)
        if maildrop is None or maildrop.password != argument:
            return self._status("-ERR [AUTH] Authentication failed.")
        if maildrop.is_locked:
            return self._status("-ERR [IN-USE] Unable to lock maildrop")
        maildrop.is_locked, self._maildrop = True, maildrop
        self._messages = maildrop.shown()
        return self._status("+OK logged in")

    def _stat(self, _argument: str) -> bytes:
        if self._maildrop is None:
            return self._unknown("")
        present = self._present()
        return self._status(f"+OK {len(present)} {sum(message.octets for _, message in present)}")

    def _uidl(self, argument: str) -> bytes:
        return self._listed(argument, lambda message: message.unique_id)

    def _list(self, argument: str) -> bytes:
        return self._listed(argument, lambda message: str(message.octets).encode())

    def _listed(self, argument: str, fact: Callable[[FakeMessage], bytes]) -> bytes:
        if self._maildrop is None:
            return self._unknown("")
        if argument:
            message = self._message(argument)
            if message is None:
                return self._status("-ERR no such message")
            return b"+OK " + argument.encode() + b" " + fact(message) + self._server.eol
        return self._multiline([b"%d %s" % (number, fact(message)) for number, message in self._present()])

    def _retr(self, argument: str) -> bytes:
        message = self._message(argument)
        if message is None:
            return self._status("-ERR no such message")
        if self._maildrop is not None:
            self._maildrop.retrieved.add(message.unique_id)
        return self._body(message.content)

    def _top(self, argument: str) -> bytes:
        number, _, lines = argument.partition(" ")
        message = self._message(number)
        if message is None or not lines.isdigit():
            return self._status("-ERR no such message")
        head, blank, body = message.content.partition(b"\r\n\r\n")
        wanted = body.split(b"\r\n")[: int(lines)]
        return self._body(head + blank + b"".join(line + b"\r\n" for line in wanted))

    def _dele(self, argument: str) -> bytes:
        if self._message(argument) is None:
            return self._status("-ERR no such message")
        self._marked.add(int(argument))
        return self._status("+OK marked")

    def _rset(self, _argument: str) -> bytes:
        self._marked.clear()
        return self._status("+OK")

    def _noop(self, _argument: str) -> bytes:
        return self._status("+OK")

    def _quit(self, _argument: str) -> bytes:
        """The only place where a message goes (RFC 1939 §6)."""
        if self._maildrop is not None:
            gone = {id(self._messages[number - 1]) for number in self._marked}
            kept = [message for message in self._maildrop.messages if id(message) not in gone]
            self._maildrop.messages[:] = kept
        self.let_go()
        return self._status("+OK bye")

    def _unknown(self, _argument: str) -> bytes:
        return self._status("-ERR unknown command")

    def _present(self) -> list[tuple[int, FakeMessage]]:
        return [(n, message) for n, message in enumerate(self._messages, 1) if n not in self._marked]

    def _message(self, number: str) -> FakeMessage | None:
        if not number.isdigit() or not 0 < int(number) <= len(self._messages) or int(number) in self._marked:
            return None
        return self._messages[int(number) - 1]

    def _status(self, text: str) -> bytes:
        return text.encode() + self._server.eol

    def _multiline(self, lines: Iterable[bytes]) -> bytes:
        return self._body(b"".join(line + self._server.eol for line in lines))

    def _body(self, content: bytes) -> bytes:
        return b"+OK" + self._server.eol + stuffed(content, self._server.eol)


def _of(faults: Mapping[str, Fault], name: str) -> Fault | None:
    """The fault of a command: for this very one, else for its verb."""
    return faults.get(name, faults.get(name.partition(" ")[0]))
