"""A proxy that delays what passes: each direction by the same time, in order, as fast as it comes.

Usage: python delay.py HOST PORT
Prints its own port on loopback, then reads seconds of delay per direction from its input, one number a line, and
answers each with `ok`: from then on what comes is delayed so. It ends with its input.

A connection is delayed as a real one is: the server hears of it after three ways (SYN, SYN and ACK, ACK), and what the
client sends at once leaves when it would know of the connection, after two.
"""

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

_LOOPBACK = "127.0.0.1"
# Far more than a delay of 20 ms can hold at any speed met here: it bounds memory, not throughput.
_MOST_HELD_OCTETS = 256 << 20


class DelayProxy:
    """A running proxy. Made by `DelayProxy.start`; ended at the end of its block. Delays nothing until told to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.port = int(self._said())

    @classmethod
    @contextmanager
    def start(cls, host: str, port: int) -> Iterator["DelayProxy"]:
        """A process of its own, so that it takes no time from whoever measures."""
        command = [sys.executable, __file__, host, str(port)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with process:
            try:
                yield cls(process)
            finally:
                process.terminate()

    @contextmanager
    def delaying(self, seconds: float) -> Iterator[None]:
        """Each direction delayed so much for the block."""
        self._delay(seconds)
        try:
            yield
        finally:
            self._delay(0.0)

    def _delay(self, seconds: float) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self._said()

    def _said(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise ChildProcessError("the delaying proxy has ended")
        return line.strip()


class _Delay:
    """Seconds per direction, now."""

    seconds = 0.0


class _Way:
    """One direction of one connection: what was received, and when it may go on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: deque[tuple[float, bytes | None]] = deque()
        self._held_octets = 0
        self._is_armed = False
        self._is_blocked = False
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None

    def put(self, due: float, data: bytes | None) -> None:
        """Hold this until it is due; None is the end."""
        self._held.append((due, data))
        self._held_octets += len(data or b"")
        if self._held_octets > _MOST_HELD_OCTETS and self.source:
            self.source.pause_reading()
        self._arm()

    def opened(self, sink: asyncio.Transport) -> None:
        """There is somebody now to whom it may go."""
        self.sink = sink
        self._arm()

    def blocked(self, *, is_blocked: bool) -> None:
        """The sink takes nothing for the moment, or again."""
        self._is_blocked = is_blocked
        self._arm()

    def _arm(self) -> None:
        if self._held and self.sink and not self._is_armed and not self._is_blocked:
            self._is_armed = True
            self._loop.call_at(self._held[0][0], self._release)

    def _release(self) -> None:
        self._is_armed = False
        now = self._loop.time()
        while self._held and self._held[0][0] <= now and not self._is_blocked:
            _due, data = self._held.popleft()
            assert self.sink
            if data is None:
                self.sink.close()
            else:
                self._held_octets -= len(data)
                self.sink.write(data)
        if self.source and self._held_octets <= _MOST_HELD_OCTETS // 2 and not self.source.is_closing():
            self.source.resume_reading()
        self._arm()


class _Side(asyncio.Protocol):
    """One end of a connection: what comes from it goes `out`; what goes to it comes `back`."""

    def __init__(self, delay: _Delay, out: _Way, back: _Way, *, not_before: float = 0.0) -> None:
        self._delay = delay
        self._out = out
        self._back = back
        self._not_before = not_before

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=4 << 20)
        self._out.source = transport
        self._back.opened(transport)

    def data_received(self, data: bytes) -> None:
        self._put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._put(None)

    def pause_writing(self) -> None:
        self._back.blocked(is_blocked=True)

    def resume_writing(self) -> None:
        self._back.blocked(is_blocked=False)

    def _put(self, data: bytes | None) -> None:
        now = asyncio.get_running_loop().time()
        self._out.put(max(now, self._not_before) + self._delay.seconds, data)


class _Client(_Side):
    """The end of whoever connects. The other end is opened when word of it would have come there."""

    def __init__(self, delay: _Delay, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._to_server, self._to_client = _Way(loop), _Way(loop)
        not_before = loop.time() + 2 * delay.seconds
        super().__init__(delay, self._to_server, self._to_client, not_before=not_before)
        self._opening = loop.create_task(self._open(host, port))

    async def _open(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(3 * self._delay.seconds)
        try:
            await loop.create_connection(
                lambda: _Side(self._delay, self._to_client, self._to_server), host, port
            )
        except OSError:
            self._to_client.put(loop.time(), None)


async def _serve(host: str, port: int) -> None:
    loop, delay = asyncio.get_running_loop(), _Delay()
    server = await loop.create_server(lambda: _Client(delay, host, port), _LOOPBACK, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        delay.seconds = float(line)
        print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
