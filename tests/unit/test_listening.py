"""What tests listen with leaves no connection behind."""

import asyncio
import socket

import pytest

from tests.servers.listening import listening
from tests.servers.ports import LOOPBACK


async def wait(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_that_comes_at_the_end_is_over_behind_it(turns: int) -> None:
    async with listening(wait) as port:
        client = socket.create_connection((LOOPBACK, port), timeout=5)
        for _ in range(turns):
            await asyncio.sleep(0)
    try:
        assert client.recv(1) == b""
    except ConnectionResetError:
        pass  # it was not accepted yet, or ended at once
    finally:
        client.close()
