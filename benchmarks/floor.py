"""The floor where there is no C compiler, and the first reading of each maildrop: floor.c, in Python.

Usage: python floor.py HOST PORT FIRST AT_ONCE ACCOUNTS [CA_FILE]
ACCOUNTS is a file with a line `username password` for each maildrop; AT_ONCE of them are read at the same time.
Retrieves the messages from number FIRST on (none when there are fewer) and prints, as JSON, the seconds from the first
connecting to the last answer to QUIT, the messages, and the octets received. Its own start is not in the seconds.
"""

import json
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_WINDOW = 256  # commands under way; small enough that sending them never blocks
_BUFFER_OCTETS = 1 << 20
_END = b"\r\n.\r\n"
_OVERLAP = len(_END) - 1


def drain(
    host: str, port: int, username: str, password: str, first: int, *, tls: ssl.SSLContext | None = None
) -> tuple[int, int]:
    """One session; messages and octets. Raises ConnectionError when the server ends it early, ValueError when it
    refuses."""
    with socket.create_connection((host, port)) as bare:
        bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = tls.wrap_socket(bare, server_hostname=host) if tls else bare
        connection.sendall(f"USER {username}\r\nPASS {password}\r\nSTAT\r\n".encode())
        last = _messages_after_login(connection)
        count = max(last - first + 1, 0)
        octets = _listing_and_messages(connection, first, count)
        connection.sendall(b"QUIT\r\n")
        while connection.recv(4096):
            pass
    return count, octets


def _messages_after_login(connection: socket.socket) -> int:
    """How many messages STAT says; behind greeting, USER and PASS."""
    received = b""
    while received.count(b"\r\n") < 4:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError("the server closed the connection")
        received += piece
    lines = received.split(b"\r\n")
    if not all(line.startswith(b"+OK") for line in lines[:4]):
        raise ValueError(f"refused: {received!r}")
    return int(lines[3].split()[1])


def _listing_and_messages(connection: socket.socket, first: int, count: int) -> int:
    """Sends UIDL and the RETRs, a window at a time; returns the octets of all replies."""
    buffer = bytearray(_OVERLAP + _BUFFER_OCTETS)
    view = memoryview(buffer)
    replies, asked, octets = 0, 0, 0
    connection.sendall(b"UIDL\r\n")
    while replies < 1 + count:
        ask = min(replies + _WINDOW, count)
        if ask - asked >= min(_WINDOW // 2, count - asked) > 0:
            numbers = range(first + asked, first + ask)
            connection.sendall(b"".join(b"RETR %d\r\n" % number for number in numbers))
            asked = ask
        received = connection.recv_into(view[_OVERLAP:])
        if not received:
            raise ConnectionError("the server closed the connection")
        octets += received
        # An end may lie across two pieces: the last octets of one are kept in front of the next.
        replies += buffer.count(_END, 0, _OVERLAP + received)
        buffer[:_OVERLAP] = buffer[received : received + _OVERLAP]
    return octets


def _main(host: str, port: str, first: str, at_once: str, accounts: str, ca_file: str | None = None) -> None:
    tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
    logins = [line.split() for line in Path(accounts).read_text().splitlines()]

    def drained_by(login: list[str]) -> tuple[int, int]:
        username, password = login
        return drain(host, int(port), username, password, int(first), tls=tls)

    started = time.perf_counter()
    with ThreadPoolExecutor(int(at_once)) as pool:
        drained = list(pool.map(drained_by, logins))
    seconds = time.perf_counter() - started
    messages, octets = (sum(column) for column in zip(*drained, strict=True))
    print(json.dumps({"seconds": seconds, "messages": messages, "octets": octets}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
