"""A relay before a server: notes what clients say, and can hold them up, or cut the line, at one command."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from tests.servers.listening import listening
from tests.servers.ports import LOOPBACK


class Wiretap:
    """Made by `Wiretap.before`. The server's answers pass untouched.

    `hold_at`, `cut_at`: the command (such as b"DELE") that is held until `release` is set, or for which the
    connection ends instead. `reached` is set then.
    """

    host = LOOPBACK

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.port = 0
        self.commands: list[bytes] = []
        self.hold_at: bytes | None = None
        self.cut_at: bytes | None = None
        self.reached = asyncio.Event()
        self.release = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def before(cls, server_port: int) -> AsyncIterator[Self]:
        """Listens on a free port of loopback for the block."""
        wiretap = cls(server_port)
        async with listening(wiretap._relay) as wiretap.port:
            yield wiretap

    def said(self, word: bytes) -> list[bytes]:
        """The commands that began with a word, in order."""
        return [line for line in self.commands if line.split()[:1] == [word]]

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._server_port)
        answers = asyncio.create_task(_copy(server_reader, writer))
        try:
            with contextlib.suppress(ConnectionError):
                while line := await reader.readline():
                    self.commands.append(line.rstrip(b"\r\n"))
                    word = line.split()[0].upper()
                    if word in {self.hold_at, self.cut_at}:
                        self.reached.set()
                    if word == self.cut_at:
                        return
                    if word == self.hold_at:
                        await self.release.wait()
                    server_writer.write(line)
        finally:
            server_writer.close()
            await answers


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while octets := await reader.read(65_536):
            writer.write(octets)
            await writer.drain()
    writer.close()
