"""Listening on loopback for the time of a block, behind which no connection is left open and no handler runs."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.servers.ports import LOOPBACK

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_TURNS = 10  # of the loop, at most, from a connection that was accepted to the beginning of its handler
_LEAVE_SECONDS = 1.0  # for what was written to go out


@asynccontextmanager
async def listening(
    serve: Serve, host: str = LOOPBACK, port: int = 0, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Gives the port. ``serve`` has each connection to itself, which is over when it returns; at the end of the block
    it is cancelled. Without this a connection that comes at the end, or waits there, would be left to the garbage
    collector, in the middle of another test.
    """
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            # asyncio would log them as errors.
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, ssl.SSLError, TimeoutError):
                await serve(reader, writer)
                async with asyncio.timeout(_LEAVE_SECONDS):
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()
            handlers.discard(task)

    server = await asyncio.start_server(handle, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await asyncio.sleep(0)  # in which asyncio closes the sockets
