"""Mail servers that cost, each on an address of its own; and a name server that says nothing. All in one process.

What is sent is made once and sent in blocks: so the process takes little time for itself, however much it sends.
"""

import asyncio
import contextlib
import multiprocessing
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from multiprocessing.connection import Connection as Pipe
from struct import pack
from typing import Any

from tests.fakes.name_server import FakeNameServer
from tests.servers.ports import free_port

_BLOCK = 64 * 1024
_CAPABILITIES = b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n"
_LONGEST = 200_000  # entries
_FOR_EVER = 1e9  # seconds
_NICE = 10  # they are to cost the service time, and not its processor

Play = Callable[[int], "Part"]
"""The number of a session, from 0 -> what it shows."""


class Gone(Exception):
    """The session ends here."""


@dataclass(frozen=True)
class Part:
    """What a session says to each command: octets, or something that writes them itself.

    ``answers``: by verb; what is missing is answered with +OK.
    """

    greeting: "Answer" = b"+OK ready\r\n"
    answers: Mapping[bytes, "Answer"] = field(default_factory=dict)


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


def _always(part: Part) -> Play:
    return lambda _session: part


def _ids(many: int, *, prefix: bytes = b"id", first: int = 0) -> list[bytes]:
    return [b"%b-%d" % (prefix, number) for number in range(first, first + many)]


def _numbered(answer: Callable[[bytes], bytes]) -> Answer:
    """An answer to RETR or TOP by the message's number."""

    async def written(line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(line.split()[1]))

    return written


def _new_each_time(many: int, *, filler: int = 0) -> Play:
    """Another maildrop at each session."""

    def play(session: int) -> Part:
        retr = _numbered(lambda number: letter(b"%d-%b" % (session, number), filler=filler))
        ids = _ids(many, prefix=b"s%d" % session)
        return Part(answers=listed(ids) | {b"RETR": retr, b"TOP": retr})

    return play


def _grows(session: int) -> Part:
    ids = _ids(int(2_000 * 1.1 ** min(session, 40)))
    letters = _numbered(letter)
    return Part(answers=listed(ids) | {b"RETR": letters, b"TOP": letters})


_FROM_NOW = {"initial_sync": "from_now"}
_WANTS = {"criteria": {"all": [{"field": "subject", "op": "contains", "value": "invoice"}]}}
_TLS = {"security": "tls", "allow_cleartext_password": False}
_LARGE = 150 * 1024 * 1024
_MANY = b"".join(b"X-CAPABILITY-%d a b c\r\n" % number for number in range(9_000))
_BIG_HEADERS = letter(b"big", filler=3_900_000)
_WIDE = b"+OK\r\nSubject: " + b"=?utf-8?q?=41?= " * 60_000 + b"\r\n\r\nbody\r\n.\r\n"
_NESTED = b"".join(
    b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(4_000)
)
_DEEP = b"+OK\r\nSubject: deep\r\n" + _NESTED + b"\r\n.\r\n"
_ENDLESS_HEADER = endless(b"+OK\r\n", b"X-Filler: all work and no play\r\n")

HABITS = (
    Habit("silent from the start", _always(Part(silence))),
    Habit("a greeting octet by octet", _always(Part(drip(b"+OK ", b"x", 1.0)))),
    Habit("a greeting without end", _always(Part(endless(b"+OK ", b"x")))),
    Habit("TLS that never ends", _always(Part(drip(b"\x16\x03\x03\x40\x00", b"x", 1.0))), _TLS),
    Habit("a reset", _always(Part(reset))),
    Habit("closed on one side", _always(Part(half_closed))),
    Habit("a listing without end", _always(Part(answers={b"UIDL": endless(b"+OK\r\n", b"1 a\r\n")}))),
    Habit(
        "a listing that drips",
        _always(Part(answers=listed(_ids(9)) | {b"UIDL": drip(b"+OK\r\n", b"1 a\r\n", 0.1)})),
    ),
    Habit(
        "sizes that are lies",
        _always(
            Part(
                answers=listed(_ids(500), 5_000_000_000)
                | {b"STAT": b"+OK %b 1\r\n" % (b"9" * 400), b"RETR": letter(b"lie"), b"TOP": letter(b"lie")}
            )
        ),
    ),
    Habit("unique-ids of 4 KiB", _always(Part(answers=listed([b"%04096d" % n for n in range(2_500)]))), _FROM_NOW),
    Habit("one unique-id 200,000 times", _always(Part(answers=listed([b"same"] * _LONGEST))), _FROM_NOW),
    Habit(
        "9,000 capabilities", _always(Part(answers=listed([]) | {b"CAPA": b"+OK\r\n" + _MANY + b".\r\n"}))
    ),
    Habit(
        "LOGIN-DELAY of years",
        _always(Part(answers=listed([]) | {b"CAPA": b"+OK\r\nUIDL\r\nLOGIN-DELAY 999999999\r\n.\r\n"})),
    ),
    Habit("headers without end", _always(Part(answers=listed(_ids(50)) | {b"TOP": _ENDLESS_HEADER})), _WANTS),
    Habit(
        "headers of 3.9 MB",
        _always(Part(answers=listed(_ids(60), _LARGE) | {b"TOP": _BIG_HEADERS})),
    ),
    Habit("a message without end", _always(Part(answers=listed(_ids(50)) | {b"RETR": _ENDLESS_HEADER}))),
    Habit(
        "a message that drips",
        _always(Part(answers=listed(_ids(50)) | {b"RETR": drip(b"+OK\r\n", b"x" * 70, 1.0)})),
    ),
    Habit("1,000 new small messages at each poll", _new_each_time(1_000)),
    Habit("every message refused", _always(Part(answers=listed(_ids(1_000)) | {b"RETR": b"-ERR no\r\n"}))),
    Habit("5,000 unique-ids that change each time", _new_each_time(5_000), _FROM_NOW),
    # Further ones, for whoever looks for more.
    Habit("letters of a million octets that cost", _always(Part(answers=listed(_ids(40)) | {b"RETR": _WIDE}))),
    Habit("letters of 4,000 nested parts", _always(Part(answers=listed(_ids(40)) | {b"RETR": _DEEP}))),
    Habit("a listing that grows by a tenth each time", _grows),
    Habit(
        "a session at just over 64 octets a second",
        _always(Part(answers=listed(_ids(50)) | {b"RETR": drip(b"+OK\r\n", b"x" * 700, 10.0)})),
    ),
    Habit(
        "capabilities of odd octets",
        _always(
            Part(answers=listed([]) | {b"CAPA": b"+OK\r\n" + bytes(range(14, 256)) * 400 + b"\r\n.\r\n"})
        ),
    ),
    Habit("empty lines without end", _always(Part(answers={b"CAPA": endless(b"+OK\r\n", b"\r\n")}))),
    Habit("status lines without being asked", _always(Part(endless(b"+OK\r\n", b"+OK\r\n")))),
    Habit("no unique-ids, 1,000 headers of 30 KB", _always(
        Part(answers=listed(_ids(1_000)) | {
            b"CAPA": b"+OK\r\nTOP\r\nPIPELINING\r\n.\r\n", b"UIDL": b"-ERR unknown command\r\n",
            b"TOP": _numbered(partial(letter, filler=30_000)), b"RETR": _numbered(letter),
        })
    )),
    Habit("the login refused", _always(Part(answers={b"PASS": b"-ERR [IN-USE] later\r\n"}))),
    Habit("a listing that hangs in its last line", _always(
        Part(answers=listed(_ids(10)) | {
            b"UIDL": drip(b"+OK\r\n" + b"".join(b"%d a-%d\r\n" % (n, n) for n in range(1, 190_000)), b"x", 1.0)
        })
    )),
)  # fmt: skip


def long_listing(session: int) -> Part:
    """200,000 entries, and at each session one more at the end and one less at the beginning."""
    first = 1 + session % _SHIFTS
    shown = slice(first, first + _LONGEST)
    return Part(
        answers={
            b"STAT": b"+OK %d 1\r\n" % _LONGEST,
            b"UIDL": b"+OK\r\n" + b"".join(_UIDL[shown]) + b".\r\n",
            b"LIST": b"+OK\r\n" + b"".join(_SIZES[shown]) + b".\r\n",
            b"RETR": letter(b"%d" % session),
        }
    )


_SHIFTS = 1_000
_UIDL: list[bytes] = []
_SIZES: list[bytes] = []


@dataclass(frozen=True)
class Host:
    """A server that runs: where, and how its mailbox is registered."""

    name: str
    host: str
    port: int
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Running:
    """What runs in the process. ``name_server`` knows no name and says nothing of those in ``silent.example``."""

    pid: int
    hosts: Sequence[Host]
    long: Sequence[Host]
    name_server: str


@contextmanager
def running(habits: Sequence[Habit], *, each: int = 2, long: int = 3) -> Iterator[Running]:
    """``each`` servers of every habit and ``long`` of long listings, from 127.0.2.1 on, and the silent name server."""
    port = free_port()
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    names = [habit.name for habit in habits]
    process = context.Process(target=_run, args=(names, each, long, port, there), daemon=True)
    process.start()
    try:
        name_server = here.recv()
        addresses = (f"127.0.2.{number}" for number in count(1))
        hosts = [
            Host(habit.name, next(addresses), port, habit.fields) for habit in habits for _ in range(each)
        ]
        longs = [Host(f"200,000 listed, {n}", next(addresses), port, _FROM_NOW) for n in range(long)]
        yield Running(process.pid or 0, hosts, longs, name_server)
    finally:
        process.terminate()
        process.join()


def _run(names: Sequence[str], each: int, long: int, port: int, ready: Pipe) -> None:
    os.nice(_NICE)
    habits = {habit.name: habit for habit in HABITS}
    plays = [habits[name].play for name in names for _ in range(each)] + [long_listing] * long
    if long:
        numbers = range(_LONGEST + _SHIFTS + 1)
        _UIDL.extend(b"%d 00000000%08x5f1e2d3c\r\n" % (number, number) for number in numbers)
        _SIZES.extend(b"%d %d\r\n" % (number, 100 + number * 7 % 50_000) for number in numbers)

    async def serve() -> None:
        async with (
            FakeNameServer(silent=["silent.example"]) as name_server,
            contextlib.AsyncExitStack() as stack,
        ):
            for number, play in enumerate(plays, 1):
                await stack.enter_async_context(await serving(play, f"127.0.2.{number}", port))
            ready.send(name_server.address)
            await asyncio.sleep(_FOR_EVER)

    asyncio.run(serve())


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
            default = _CAPABILITIES if verb == b"CAPA" else b"+OK\r\n"
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
