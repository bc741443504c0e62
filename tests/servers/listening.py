"""Listening on loopback for the time of a block, behind which no connection is left open and no handler runs."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.servers.ports import LOOPBACK

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_LEAVE_SECONDS = 1.0  # for what was written to go out


@asynccontextmanager
async def listening(
    serve: Serve, host: str = LOOPBACK, port: int = 0, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Gives the port. ``serve`` has each connection to itself, which is over when it returns; at the end of the block
    it is cancelled.

    An ``asyncio.Server`` of Python 3.11 loses a connection that comes while it is closed, and knows nothing of its
    handlers: the garbage collector finds both in the middle of another test.
    """
    loop = asyncio.get_running_loop()
    handlers: set[asyncio.Task[None]] = set()
    unbegun: set[socket.socket] = set()

    async def handle(accepted: socket.socket) -> None:
        unbegun.discard(accepted)
        reader = asyncio.StreamReader()
        writers: list[asyncio.StreamWriter] = []
        protocol = asyncio.StreamReaderProtocol(reader, lambda _reader, writer: writers.append(writer))
        try:
            await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=tls)
            await serve(reader, writers[0])
            async with asyncio.timeout(_LEAVE_SECONDS):
                writers[0].close()
                await writers[0].wait_closed()
        except (asyncio.CancelledError, ConnectionError, ssl.SSLError, TimeoutError):
            pass  # it is over
        finally:
            for writer in writers:
                writer.transport.abort()

    def accept() -> None:
        with contextlib.suppress(OSError):
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            unbegun.add(accepted)
            handlers.add(task := loop.create_task(handle(accepted)))
            task.add_done_callback(handlers.discard)

    with socket.create_server((host, port)) as listener:
        listener.setblocking(False)
        loop.add_reader(listener, accept)
        try:
            yield listener.getsockname()[1]
        finally:
            loop.remove_reader(listener)
            for task in list(handlers):
                task.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)
            await asyncio.sleep(0)  # in which asyncio closes the sockets
            for accepted in unbegun:
                accepted.close()
