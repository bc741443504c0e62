"""A small POP3 server (RFC 1939, RFC 2449) with one maildrop in memory, for the demo. It speaks to loopback only."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_CAPABILITIES = (
    "USER",
    "UIDL",
    "TOP",
    "PIPELINING",
    "RESP-CODES",
    "AUTH-RESP-CODE",
    "IMPLEMENTATION Maildelta-demo",
)
_LINE_START_DOT = re.compile(rb"(?:\A|(?<=\r\n))\.")  # only CRLF ends a line
_IDLE_SECONDS = 600


@dataclass
class Maildrop:
    """The messages, by unique-id, in the order of their arrival; locked while a session is in."""

    messages: dict[str, bytes] = field(default_factory=dict)
    is_locked: bool = False
    _serial: int = 0

    def deliver(self, raw: bytes) -> str:
        """A message arrives; its unique-id.

        Raises ValueError when ``raw`` does not end with CRLF: the server would have to add one (RFC 1939 section 3).
        """
        if not raw.endswith(b"\r\n"):
            raise ValueError("a message must end with CRLF")
        self._serial += 1
        unique_id = f"demo-{self._serial:08x}"
        self.messages[unique_id] = raw
        return unique_id


class MaildropServer:
    """Serves a maildrop on a free port of 127.0.0.1 for as long as its block lasts."""

    host = "127.0.0.1"

    def __init__(self, maildrop: Maildrop, *, username: str, password: str) -> None:
        self._maildrop = maildrop
        self._username = username
        self._password = password
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        # A forgotten connection must not hold up the end: from Python 3.12 on wait_closed() waits for it, and
        # Python 3.11 would cancel its task later, with a traceback.
        for writer in self._connections:
            writer.close()
        await asyncio.gather(*self._connections.values())
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self._maildrop, self._username, self._password)
        task = asyncio.current_task()
        assert task is not None
        self._connections[writer] = task
        writer.write(b"+OK the demo's maildrop is here\r\n")
        try:
            while not session.is_over:
                async with asyncio.timeout(_IDLE_SECONDS):
                    line = await reader.readline()
                if not line:
                    break
                writer.write(session.answer(line))
                await writer.drain()
        except (ConnectionError, TimeoutError, ValueError):
            pass  # gone, asleep, or a line without end: nothing is deleted without QUIT
        finally:
            session.leave()
            del self._connections[writer]
            writer.close()


class _Session:
    """One POP3 session: AUTHORIZATION, then TRANSACTION, and UPDATE only by QUIT."""

    def __init__(self, maildrop: Maildrop, username: str, password: str) -> None:
        self._maildrop = maildrop
        self._credentials = (username, password)
        self._user = ""
        self._listed: list[str] | None = None
        self._marked: set[int] = set()
        self.is_over = False

    def answer(self, line: bytes) -> bytes:
        """The reply to one command line."""
        word, _, argument = line.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
        name = word.upper()
        before: dict[str, Callable[[str], bytes]] = {"USER": self._take_user, "PASS": self._take_password}
        after: dict[str, Callable[[str], bytes]] = {
            "STAT": self._stat, "LIST": self._list, "UIDL": self._uidl, "RETR": self._retrieve, "TOP": self._top,
            "DELE": self._mark, "RSET": self._reset, "NOOP": lambda _argument: b"+OK\r\n",
        }  # fmt: skip
        if name == "CAPA":
            return b"+OK\r\n" + "".join(f"{tag}\r\n" for tag in _CAPABILITIES).encode() + b".\r\n"
        if name == "QUIT":
            return self._quit()
        known = before if self._listed is None else after
        if name not in known:
            return b"-ERR not now, or not known\r\n"
        try:
            return known[name](argument)
        except LookupError:
            return b"-ERR no such message\r\n"

    def leave(self) -> None:
        """The session is over, however it ended: the lock is free again."""
        if self._listed is not None:
            self._listed = None
            self._maildrop.is_locked = False

    def _take_user(self, argument: str) -> bytes:
        self._user = argument
        return b"+OK\r\n"

    def _take_password(self, argument: str) -> bytes:
        if (self._user, argument) != self._credentials:
            return b"-ERR [AUTH] wrong user name or password\r\n"
        if self._maildrop.is_locked:
            return b"-ERR [IN-USE] somebody else is in the maildrop\r\n"
        self._maildrop.is_locked = True
        self._listed = list(self._maildrop.messages)
        return b"+OK logged in\r\n"

    def _stat(self, _argument: str) -> bytes:
        sizes = [len(raw) for _number, _id, raw in self._present()]
        return b"+OK %d %d\r\n" % (len(sizes), sum(sizes))

    def _list(self, argument: str) -> bytes:
        return self._table(argument, lambda _unique_id, raw: str(len(raw)))

    def _uidl(self, argument: str) -> bytes:
        return self._table(argument, lambda unique_id, _raw: unique_id)

    def _table(self, argument: str, shown: Callable[[str, bytes], str]) -> bytes:
        if argument:
            number, unique_id, raw = self._one(argument)
            return f"+OK {number} {shown(unique_id, raw)}\r\n".encode()
        lines = [f"{number} {shown(unique_id, raw)}\r\n" for number, unique_id, raw in self._present()]
        return b"+OK\r\n" + "".join(lines).encode() + b".\r\n"

    def _retrieve(self, argument: str) -> bytes:
        _number, _unique_id, raw = self._one(argument)
        return b"+OK\r\n" + _stuffed(raw) + b".\r\n"

    def _top(self, argument: str) -> bytes:
        number, _, lines = argument.partition(" ")
        if not lines.isdigit():
            return b"-ERR TOP wants a number of lines\r\n"
        head, separator, body = self._one(number)[2].partition(b"\r\n\r\n")
        wanted = b"".join(line + b"\r\n" for line in body.split(b"\r\n")[:-1][: int(lines)])
        return b"+OK\r\n" + _stuffed(head + separator + wanted) + b".\r\n"

    def _mark(self, argument: str) -> bytes:
        self._marked.add(self._one(argument)[0])
        return b"+OK marked\r\n"

    def _reset(self, _argument: str) -> bytes:
        self._marked.clear()
        return b"+OK\r\n"

    def _quit(self) -> bytes:
        for number in self._marked:
            self._maildrop.messages.pop((self._listed or [])[number - 1], None)
        self.is_over = True
        self.leave()  # before the reply: who has read it may log in at once
        return b"+OK bye\r\n"

    def _present(self) -> list[tuple[int, str, bytes]]:
        return [
            (number, unique_id, self._maildrop.messages[unique_id])
            for number, unique_id in enumerate(self._listed or [], 1)
            if number not in self._marked
        ]

    def _one(self, argument: str) -> tuple[int, str, bytes]:
        for row in self._present():
            if str(row[0]) == argument.strip():
                return row
        raise LookupError(argument)


def _stuffed(raw: bytes) -> bytes:
    return _LINE_START_DOT.sub(b"..", raw)
