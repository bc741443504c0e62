"""Whole sessions against servers that say anything at any time: each ends within its time-outs, with our own errors."""

import asyncio
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from app import pop3
from app.pop3.wire.transcript import Transcript
from tests.fuzz.laws import law, mutations
from tests.fuzz.test_framing import what_servers_said

PASSWORD: Final = "correct horse"
LIMITS: Final = pop3.Limits(
    line_octets=512,
    capabilities_octets=4_096,
    listing_entries=500,
    listing_octets=16 * 1024,
    message_octets=64 * 1024,
    memory_octets=16 * 1024,
    connect_timeout=0.5,
    reply_timeout=0.03,
    session_timeout=0.25,
    quit_timeout=0.03,
    window_commands=5,
    window_octets=4_096,
)
# Two closings of a connection may take a second each; the rest is for a busy machine.
LONGEST: Final = LIMITS.connect_timeout + LIMITS.session_timeout + LIMITS.quit_timeout + 2 + 5


@dataclass(frozen=True)
class Says:
    """So much at once, or octet by octet."""

    octets: bytes
    dripping: bool = False


@dataclass(frozen=True)
class Hears:
    """Waits for a command."""


@dataclass(frozen=True)
class Stalls:
    """Says nothing for longer than a reply may take."""


@dataclass(frozen=True)
class Endless:
    """The same again and again until the client has gone."""

    octets: bytes


@dataclass(frozen=True)
class Leaves:
    """Closes, or resets, the connection."""

    abruptly: bool


Deed = Says | Hears | Stalls | Endless | Leaves


async def behave(
    deeds: list[Deed], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: list[bytes]
) -> None:
    """Do it all, until the client has gone."""
    for deed in deeds:
        match deed:
            case Says(octets, dripping=False):
                writer.write(octets)
            case Says(octets, dripping=True):
                for octet in octets[:60]:
                    writer.write(bytes([octet]))
                    await asyncio.sleep(0)
            case Hears():
                heard.append(await reader.readline())
                if not heard[-1]:
                    return
            case Stalls():
                await asyncio.sleep(2 * LIMITS.reply_timeout)
            case Endless(octets):
                while not writer.is_closing():
                    writer.write(octets * (4_096 // len(octets) + 1))
                    await writer.drain()
                    await asyncio.sleep(0)
            case Leaves(abruptly):
                if abruptly:
                    writer.transport.abort()
                return
        await writer.drain()
    heard.append(await reader.read(10_000))


async def all_that_a_client_does(port: int, transcript: Transcript) -> list[pop3.Pop3Error]:
    """A whole session, going on as long as there is one; the errors."""
    errors: list[pop3.Pop3Error] = []
    endpoint = pop3.Endpoint("localhost", ("127.0.0.1",), port, pop3.Security.NONE)
    try:
        session = await pop3.connect(
            endpoint, limits=LIMITS, allow_cleartext_password=True, transcript=transcript
        )
    except pop3.Pop3Error as error:
        return [error]
    async with session:
        numbers = [1, 2, 3]
        try:
            await session.login("reader", PASSWORD)
            listing = pop3.parse_listing(await session.listing(), most_entries=LIMITS.listing_entries)
            numbers = [line.number for line in listing.entries][:12] or numbers
        except pop3.Pop3Error as error:
            errors.append(error)
        for replies in (session.top(numbers), session.retrieve([(number, 0) for number in numbers])):
            try:
                async for reply in replies:
                    assert reply.octets >= 0
                    assert reply.body is None or reply.octets <= LIMITS.message_octets
                    reply.close()
            except pop3.Pop3Error as error:
                errors.append(error)
        for deed in (
            session.delete(numbers),
            session.noop(),
            session.stat(),
            session.reset(),
            session.quit(),
        ):
            try:
                await deed
            except pop3.Pop3Error as error:
                errors.append(error)
    return errors


async def met(deeds: list[Deed]) -> list[pop3.Pop3Error]:
    """A client meets a server that does this. What must hold is asserted."""
    heard: list[bytes] = []
    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.append(task)
        try:
            await behave(deeds, reader, writer, heard)
            writer.close()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            await asyncio.sleep(0)
            writer.transport.abort()

    transcript = Transcript()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        async with asyncio.timeout(LONGEST):
            errors = await all_that_a_client_does(server.sockets[0].getsockname()[1], transcript)
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)
        await asyncio.sleep(0.001)
    shown = [transcript.text(), *(f"{error!r} {error} {error.reply}" for error in errors)]
    if any(command.startswith(b"PASS ") for command in heard):  # before it, nobody could know the secret
        assert not any(PASSWORD in text for text in shown)
    assert all(b"\0" not in command for command in heard)
    return errors


_STATUSES = st.sampled_from(
    [b"+OK\r\n", b"+OK 2 320\r\n", b"-ERR no\r\n", b"-ERR [IN-USE] locked\r\n", b"+OK\n", b"-ERR [SYS/TEMP]\r\n",
     b"+ok\r\n", b"+OK -1 -1\r\n", b"+OK 99999999999999999999 1\r\n", b"-ERR PASS correct horse\r\n",
     b"PASS correct horse\r\n",
     b"+OK PASS correct horse\r\n", b"220 smtp\r\n", b"\r\n", b"+OK " + b"x" * 600 + b"\r\n", b"\x15\x03\x01\x00",
     b"+O"]
)  # fmt: skip
_BODIES = st.sampled_from(
    [b".\r\n", b"1 a\r\n2 b\r\n.\r\n", b"PIPELINING\r\nUIDL\r\nTOP\r\n.\r\n", b"1 -7\r\n2 5000000000\r\n.\r\n",
     b"..\r\n...\r\n.\r\n", b"\0\xff\r\r\n.\r\n", b"UTF8\r\nLOGIN-DELAY 999999999999\r\nEXPIRE 0\r\n.\r\n", b".\n",
     b"m" * 30_000 + b"\r\n.\r\n", b"m" * 70_000 + b"\r\n.\r\n", b"no end", b"1 a\r\n" * 600 + b".\r\n", b"."]
)  # fmt: skip
_ANSWERS = st.one_of(
    _STATUSES,
    st.tuples(_STATUSES, _BODIES).map(b"".join),
    st.lists(_STATUSES | _BODIES, max_size=12).map(b"".join),
)
_SAYS = st.builds(Says, _ANSWERS | st.binary(max_size=40), st.sampled_from([False, False, False, True]))
_CUT = st.builds(lambda says, at: Says(says.octets[:at]), _SAYS, st.integers(0, 30))
_DEEDS = st.one_of(
    *[st.just(Hears())] * 4,
    *[_SAYS] * 4,
    _CUT,
    st.just(Stalls()),
    st.builds(Endless, st.sampled_from([b"x", b"1 a\r\n", b"+OK\r\n", b".\r\n", b"\0", b"X\r\n", b"..\r\n"])),
    st.builds(Leaves, st.booleans()),
)
# Sessions that come as far as the listing, from where on anything goes.
_CAPA = b"+OK\r\nPIPELINING\r\nUIDL\r\n.\r\n"
_WELL_BEGUN: Final[list[list[Deed]]] = [
    [],
    [Says(b"+OK\r\n"), Hears(), Says(_CAPA)],
    [Says(b"+OK\r\n"), Hears(), Says(_CAPA), Hears(), Hears(), Says(b"+OK\r\n+OK\r\n"), Hears(), Says(_CAPA)],
    [Says(b"+OK\r\n"), Hears(), Says(_CAPA), Hears(), Hears(), Says(b"+OK\r\n+OK\r\n"), Hears(), Says(_CAPA),
     *[Hears()] * 3, Says(b"+OK 3 60\r\n+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n+OK\r\n1 1\r\n2 2\r\n.\r\n")],
    [Says(b"+OK\n"), Hears(), Says(b"-ERR\n"), Hears(), Says(b"+OK\n"), Hears(), Says(b"+OK\n"), Hears(),
     Says(b"-ERR\n"), Hears(), Says(b"+OK 1 1\n"), Hears(), Says(b"+OK\n1 a\n.\n"), Hears(), Says(b"+OK\n1 1\n.\n")],
]  # fmt: skip


@law(st.sampled_from(_WELL_BEGUN), st.lists(_DEEDS, max_size=14), examples=150)
def test_a_session_ends_in_time_and_with_our_own_errors(begun: list[Deed], deeds: list[Deed]) -> None:
    asyncio.run(met([*begun, *deeds]))


@mutations(what_servers_said, examples=30)
def test_a_mutant_of_a_real_dialogue_ends_it_in_time(octets: bytes) -> object:
    """All that a server said in a transcript, changed here and there, a line for each command."""
    deeds: list[Deed] = []
    for line in octets.splitlines(keepends=True)[:40]:
        deeds += [Says(line)] if line[:1] not in b"+-" else [Hears(), Says(line)]
    return tuple(type(error).__name__ for error in asyncio.run(met(deeds[1:] if deeds else [])))
