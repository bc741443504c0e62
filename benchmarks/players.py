"""What a mail server that is played says in a session, and such servers, each on an address of its own.

What is sent is made once and sent in blocks: so the process takes little time for itself, however much it sends.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from struct import pack
from typing import Any

_BLOCK = 64 * 1024
_CAPABILITIES = b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n"
_FOR_EVER = 1e9  # seconds

Play = Callable[[int], "Part"]
"""The number of a session, from 0 -> what it shows."""


class Gone(Exception):
    """The session ends here."""


@dataclass(frozen=True)
class Part:
    """What a session says to each command: octets, or something that writes them itself.

    ``answers``: by verb; what is missing is answered with +OK, or as ``otherwise`` says.
    """

    greeting: "Answer" = b"+OK ready\r\n"
    answers: Mapping[bytes, "Answer"] = field(default_factory=dict)
    otherwise: "Answer" = b"+OK\r\n"


Answer = bytes | Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Habit:
    """A kind of server. ``fields``: how its mailbox is registered, beside host, port and login."""

    name: str
    play: Play
    fields: Mapping[str, Any] = field(default_factory=dict)


def listed(ids: Sequence[bytes], sizes: Sequence[int] | int = 100) -> dict[bytes, Answer]:
    """STAT, UIDL and LIST of a maildrop."""
    octets = [sizes] * len(ids) if isinstance(sizes, int) else sizes
    return {
        b"STAT": b"+OK %d %d\r\n" % (len(ids), sum(octets)),
        b"UIDL": b"+OK\r\n" + b"".join(b"%d %b\r\n" % each for each in enumerate(ids, 1)) + b".\r\n",
        b"LIST": b"+OK\r\n" + b"".join(b"%d %d\r\n" % each for each in enumerate(octets, 1)) + b".\r\n",
    }


def letter(subject: bytes, *, filler: int = 0) -> bytes:
    """An answer to RETR or TOP."""
    line = b"X-Filler: " + b"x" * 960 + b"\r\n"
    head = b"Message-ID: <%b@example.org>\r\nSubject: %b\r\n" % (subject, subject)
    return b"+OK\r\n" + head + line * (filler // len(line)) + b"\r\nbody\r\n.\r\n"


def endless(start: bytes, unit: bytes) -> Answer:
    """For ever, as fast as it is taken."""
    block = unit * (_BLOCK // len(unit))

    async def answer(_line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(block)
            await writer.drain()

    return answer


def drip(octets: bytes, unit: bytes, seconds: float) -> Answer:
    """A beginning, and then a unit now and then."""

    async def answer(_line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        while True:
            await asyncio.sleep(seconds)
            writer.write(unit)
            await writer.drain()

    return answer


async def silence(_line: bytes, _writer: asyncio.StreamWriter) -> None:
    """Nothing, for ever."""
    await asyncio.sleep(_FOR_EVER)


async def reset(_line: bytes, writer: asyncio.StreamWriter) -> None:
    """The connection is reset."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
    raise Gone


async def half_closed(_line: bytes, writer: asyncio.StreamWriter) -> None:
    """A greeting, and nothing more will come; what is sent is taken."""
    writer.write(b"+OK ready\r\n")
    writer.write_eof()
    await asyncio.sleep(_FOR_EVER)


def always(part: Part) -> Play:
    return lambda _session: part


def some_ids(many: int, *, prefix: bytes = b"id", first: int = 0) -> list[bytes]:
    return [b"%b-%d" % (prefix, number) for number in range(first, first + many)]


def numbered(answer: Callable[[bytes], bytes]) -> Answer:
    """An answer to RETR or TOP by the message's number."""

    async def written(line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(line.split()[1]))

    return written


async def serving(play: Play, host: str, port: int) -> asyncio.Server:
    """A server of this kind."""
    return await asyncio.start_server(partial(_session, play, count()), host, port, backlog=200)


async def _session(
    play: Play, sessions: "count[int]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(Gone, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        part = play(next(sessions))
        await _say(part.greeting, b"", writer)
        async for line in _lines(reader):
            verb = line.split()[0].upper() if line.split() else b""
            default = _CAPABILITIES if verb == b"CAPA" else part.otherwise
            await _say(part.answers.get(verb, default), line, writer)
            if verb == b"QUIT":
                break
    writer.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while line := await reader.readline():
        yield line


async def _say(answer: Answer, line: bytes, writer: asyncio.StreamWriter) -> None:
    if isinstance(answer, bytes):
        writer.write(answer)
    else:
        await answer(line, writer)
    await writer.drain()
