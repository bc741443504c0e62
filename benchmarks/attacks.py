"""Further habits, for whoever looks for what still hurts: `python -m benchmarks.neighbours --one-by-one`."""

import asyncio
from collections.abc import Sequence
from itertools import count
from random import Random
from struct import pack

from benchmarks.habits import FROM_NOW
from benchmarks.players import (
    Answer,
    Gone,
    Habit,
    Part,
    Play,
    always,
    drip,
    endless,
    letter,
    listed,
    numbered,
    reset,
    silence,
    some_ids,
)
from tests.fakes.name_server import FakeNameServer

_TLS = {"security": "tls", "allow_cleartext_password": False}
_STARTTLS = {"security": "starttls", "allow_cleartext_password": False}
_STATES = (b"CAPA", b"USER", b"PASS", b"STAT", b"UIDL", b"LIST", b"RETR", b"QUIT")
_LETTERS = numbered(letter)
_READ = {b"RETR": _LETTERS, b"TOP": _LETTERS}
_LARGE_LETTER = b"+OK\r\nSubject: large\r\n\r\n" + (b"0" * 998 + b"\r\n") * 60_000 + b".\r\n"
_DOTS = b"+OK\r\nSubject: dots\r\n\r\n" + b"..\r\n" * 500_000 + b".\r\n"
_LONG_NUMBERS = b"".join(b"%b%d %d\r\n" % (b"0" * 5_000, n, n) for n in range(1, 500))
_CNAME, _IN, _A = 5, 1, 1


def _octet_by_octet(answer: bytes) -> Answer:
    async def written(_line: bytes, writer: asyncio.StreamWriter) -> None:
        for octet in answer:
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(0)

    return written


def _late(seconds: float, answer: Answer) -> Answer:
    async def written(line: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        if isinstance(answer, bytes):
            writer.write(answer)
        else:
            await answer(line, writer)

    return written


async def _gone(_line: bytes, _writer: asyncio.StreamWriter) -> None:
    raise Gone


async def _then_reset(line: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"+OK\r\n" + b"".join(b"%d id-%d\r\n" % (n, n) for n in range(1, 50_000)))
    await writer.drain()
    await reset(line, writer)


def _closed_in_each_state(session: int) -> Part:
    closed: dict[bytes, Answer] = {_STATES[session % len(_STATES)]: _gone}
    return Part(answers=listed(some_ids(20)) | _READ | closed)


def _renamed_each_time(many: int) -> Play:
    """The same letters under other unique-ids."""

    def play(session: int) -> Part:
        return Part(answers=listed(some_ids(many, prefix=b"n%d" % session)) | _READ)

    return play


def _resized_each_time(many: int) -> Play:
    def play(session: int) -> Part:
        return Part(answers=listed(some_ids(many), [100 + session + n % 7 for n in range(many)]) | _READ)

    return play


def _shuffled_each_time(many: int) -> Play:
    """The same unique-ids in another order."""

    def play(session: int) -> Part:
        ids = some_ids(many)
        Random(session).shuffle(ids)
        return Part(answers=listed(ids) | _READ)

    return play


def _comes_and_goes(many: int) -> Play:
    """A maildrop that is empty at every second session."""

    def play(session: int) -> Part:
        return Part(answers=listed(some_ids(many if session % 2 == 0 else 0)) | _READ)

    return play


_CHALLENGES = Part(
    answers={b"CAPA": b"+OK\r\nSASL LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256\r\nUIDL\r\n.\r\n"},
    otherwise=b"+ " + b"VXNlcm5hbWU6" * 40 + b"\r\n",
)
_STLS = Part(answers={b"CAPA": b"+OK\r\nSTLS\r\nUIDL\r\n.\r\n", b"STLS": drip(b"+OK begin\r\n", b"", 60.0)})

ATTACKS = (
    Habit("STLS, and then silence", always(_STLS), _STARTTLS),
    Habit("TLS of records with one octet", always(Part(endless(b"", b"\x16\x03\x03\x00\x01\x02"))), _TLS),
    Habit("TLS of empty records", always(Part(endless(b"", b"\x16\x03\x03\x00\x00"))), _TLS),
    Habit("challenges without end", always(_CHALLENGES)),
    Habit("capabilities that drip", always(Part(answers={b"CAPA": drip(b"+OK\r\n", b"X-A\r\n", 0.5)}))),
    Habit("a status line without end", always(Part(answers={b"STAT": endless(b"+OK ", b"1 ")}))),
    Habit("closed in each state in turn", _closed_in_each_state),
    Habit("a reset within the listing", always(Part(answers=listed(some_ids(9)) | {b"UIDL": _then_reset}))),
    Habit("numbers of 5,000 digits", always(
        Part(answers=listed(some_ids(499)) | {b"LIST": b"+OK\r\n" + _LONG_NUMBERS + b".\r\n"} | _READ)
    )),
    Habit("a listing octet by octet", always(
        Part(answers=listed(some_ids(9)) | {
            b"UIDL": _octet_by_octet(b"+OK\r\n" + b"".join(b"%d id-%d\r\n" % (n, n) for n in range(1, 20_000)))
        } | _READ)
    )),
    Habit("each answer after nine seconds", always(
        Part(answers=listed(some_ids(1_000)) | {
            b"CAPA": b"+OK\r\nUSER\r\nUIDL\r\n.\r\n", b"RETR": _late(9.0, _LETTERS), b"TOP": _late(9.0, _LETTERS)
        })
    )),
    Habit("refusals of 500 octets for 5,000 messages", always(
        Part(answers=listed(some_ids(5_000)) | {b"RETR": b"-ERR " + b"no " * 160 + b"\r\n"})
    )),
    Habit("1,500 letters under other ids each time", _renamed_each_time(1_500)),
    Habit("5,000 sizes that change each time", _resized_each_time(5_000), FROM_NOW),
    Habit("100,000 ids in another order each time", _shuffled_each_time(100_000), FROM_NOW),
    Habit("50,000 messages that come and go", _comes_and_goes(50_000), FROM_NOW),
    Habit("400,000 entries", always(Part(answers=listed(some_ids(400_000)))), FROM_NOW),
    Habit("letters of 60 MB", always(Part(answers=listed(some_ids(20), 60_000_000) | {b"RETR": _LARGE_LETTER}))),
    Habit("letters of dots", always(Part(answers=listed(some_ids(60)) | {b"RETR": _DOTS}))),
    Habit("a body of one line without end", always(
        Part(answers=listed(some_ids(20)) | {b"RETR": endless(b"+OK\r\n\r\n", b"x")})
    )),
)  # fmt: skip
NAMES: Sequence[str] = ("loop{0}.loop.example", "many{0}.many.example", "one{0}.one.example")
"""Names that cost, with a number each: aliases in a circle, 4,000 addresses, and the address of a silent server."""
SILENT = Habit("silent, under many names and ports", always(Part(silence)))


class HostileNameServer(FakeNameServer):
    """One that answers, for ``NAMES``."""

    def __init__(self, *, silent: Sequence[str], one: str) -> None:
        super().__init__(silent=silent)
        self._one = one
        self._numbers = count()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """A question."""
        end = data.index(b"\0", 12) + 1
        name, kind = data[12:end], int.from_bytes(data[end : end + 2], "big")
        if b"\x04loop" in name:
            other = b"\x05other" + name
            answers = [
                pack(">HHHIH", 0xC00C, _CNAME, _IN, 1, len(other)) + other,
                other + pack(">HHIH", _CNAME, _IN, 1, 2) + b"\xc0\x0c",
            ]
        elif kind == _A and b"\x04many" in name:
            # Where nothing listens.
            answers = [_address(bytes([127, 3, n // 250, n % 250 + 1])) for n in range(4_000)]
        elif kind == _A and b"\x03one" in name:
            answers = [_address(bytes(map(int, self._one.split("."))))]
        else:
            super().datagram_received(data, addr)
            return
        head = data[:2] + pack(">HHHHH", 0x8580, 1, len(answers), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + data[12 : end + 4] + b"".join(answers), addr)


def _address(octets: bytes) -> bytes:
    return pack(">HHHIH", 0xC00C, _A, _IN, 1, 4) + octets
