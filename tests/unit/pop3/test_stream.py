"""The socket: what its users rely on beyond what sessions show."""

import asyncio
import ssl

import pytest

from app.pop3.errors import ConnectionLost, TlsFailed
from app.pop3.wire.stream import Stream, client_tls_context
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults


async def opened(server: FakePop3Server) -> Stream:
    return await Stream.open((server.host,), server.port, tls=None, server_name="localhost", within=60)


def in_seconds(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def read(stream: Stream) -> bytes:
    """What has come, as the framing would take it."""
    await stream.more(in_seconds(60))
    inbox = stream.inbox
    octets = inbox.taken(inbox.start, inbox.end)
    inbox.start = inbox.end
    return octets


async def until_unread(stream: Stream) -> None:
    async with asyncio.timeout(60):
        while not stream.holds_unread:
            await asyncio.sleep(0.005)


async def test_a_handshake_over_octets_that_nobody_has_read_is_refused_and_the_connection_closed() -> None:
    async with FakePop3Server(FakeMaildrop()) as server:
        stream = await opened(server)
        await until_unread(stream)
        with pytest.raises(TlsFailed):
            await stream.start_tls(client_tls_context(), server_name="localhost", within=60)
        async with asyncio.timeout(60):
            await server.settled()
        assert server.log == []


async def test_what_has_come_is_read_although_the_server_has_gone() -> None:
    async with FakePop3Server(FakeMaildrop(), faults=Faults(cut={"CAPA": 7})) as server:
        stream = await opened(server)
        assert await read(stream) == b"+OK fake server ready\r\n"
        stream.write(b"CAPA\r\n")
        await server.settled()
        assert await read(stream) == b"+OK\r\nUS"
        with pytest.raises(ConnectionLost):
            await stream.more(in_seconds(60))
        await stream.close()


async def test_reading_on_after_the_end_is_lost_each_time() -> None:
    async with FakePop3Server(FakeMaildrop(), faults=Faults(closes_at_once=True)) as server:
        stream = await opened(server)
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                await stream.more(in_seconds(60))
        await stream.abort()
        await stream.abort()


async def test_each_wait_has_its_own_end_be_it_sooner_or_later_than_the_one_before() -> None:
    async with FakePop3Server(FakeMaildrop()) as server:
        stream = await opened(server)
        await read(stream)
        clock = asyncio.get_running_loop().time
        for seconds in (0.05, 0.2, 0.1):
            began = clock()
            stream.write(b"NOOP\r\n")
            await stream.more(in_seconds(60))  # the answer comes, and its end is far away
            with pytest.raises(TimeoutError):
                await stream.more(in_seconds(seconds))
            assert seconds - 0.01 < clock() - began < seconds + 1  # uvloop counts milliseconds
        await stream.abort()


def test_a_context_verifies_chain_and_name_and_knows_nothing_older_than_tls_1_2() -> None:
    context = client_tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_nothing_is_taken_in_while_a_stream_rests_and_it_comes_afterwards() -> None:
    async with FakePop3Server(FakeMaildrop()) as server:
        stream = await opened(server)
        await read(stream)
        stream.write(b"CAPA\r\n")
        await stream.rest(0.2)
        assert not stream.holds_unread
        assert (await read(stream)).startswith(b"+OK")
        await stream.close()


async def test_what_it_costs_to_take_octets_in_is_told_once() -> None:
    async with FakePop3Server(FakeMaildrop()) as server:
        stream = await opened(server)
        await read(stream)
        assert stream.cost() > 0
        assert stream.cost() == 0
        await stream.close()
