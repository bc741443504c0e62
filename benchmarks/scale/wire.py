"""A mail server of the wire alone: every maildrop holds the same few messages, and each answer lies ready.

Usage: python wire.py MESSAGES
Prints its port on loopback and serves until its input ends. Any login is accepted. It takes as little time as a
process of Python can, so that what is measured is the client's. (`floor.py` is the same of a client.)
"""

import asyncio
import sys

_LOOPBACK = "127.0.0.1"
_OCTETS = 2_000  # of a message


class Wire(asyncio.Protocol):
    """One session."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"+OK\r\n")

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        said = []
        for line in lines:
            verb, _, argument = line.partition(b" ")
            verb = verb.upper()
            answer = self._answers.get(verb + b" x" if argument and verb in {b"UIDL", b"LIST"} else verb)
            said.append(b"-ERR\r\n" if answer is None else answer)
        self._transport.write(b"".join(said))
        if lines and lines[-1].upper() == b"QUIT":
            self._transport.close()


def answers(messages: int) -> dict[bytes, bytes]:
    """PURE. What is answered to each verb; ``verb x``: with an argument."""
    letter = b"Subject: idle\r\n\r\n".ljust(_OCTETS - 2, b"x") + b"\r\n"
    numbers = range(1, messages + 1)
    return {
        b"CAPA": b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n",
        b"USER": b"+OK\r\n",
        b"PASS": b"+OK\r\n",
        b"STAT": b"+OK %d %d\r\n" % (messages, messages * _OCTETS),
        b"LIST": b"+OK\r\n" + b"".join(b"%d %d\r\n" % (number, _OCTETS) for number in numbers) + b".\r\n",
        b"UIDL": b"+OK\r\n" + b"".join(b"%d id-%d\r\n" % (number, number) for number in numbers) + b".\r\n",
        b"RETR": b"+OK\r\n" + letter + b".\r\n",
        b"TOP": b"+OK\r\nSubject: idle\r\n\r\n.\r\n",
        b"NOOP": b"+OK\r\n",
        b"RSET": b"+OK\r\n",
        b"QUIT": b"+OK\r\n",
    }


async def _serve(messages: int) -> None:
    said = answers(messages)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(said), _LOOPBACK, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
