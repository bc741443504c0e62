"""Clients that ask one after the other, over connections that stay open, and take hardly any time for themselves."""

import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.servers.ports import LOOPBACK

_PATIENCE_SECONDS = 30
_END = b"\r\n\r\n"


class Refused(Exception):
    """An answer that is no 200."""


@dataclass
class _Asking:
    """A connection with a request under way."""

    socket: socket.socket
    received: bytearray
    needs: int = 0  # octets of the answer with its header block, once that has come


def rate(port: int, requests: Iterator[bytes], *, connections: int, seconds: float) -> float:
    """Answers a second. Raises Refused."""
    selector = selectors.DefaultSelector()
    count, started = 0, time.perf_counter()
    try:
        for _ in range(connections):
            made = socket.create_connection((LOOPBACK, port), timeout=_PATIENCE_SECONDS)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.sendall(next(requests))
            selector.register(made, selectors.EVENT_READ, _Asking(made, bytearray()))
        while (now := time.perf_counter()) - started < seconds:
            ready = selector.select(_PATIENCE_SECONDS)
            if not ready:
                raise Refused("no answer came")
            for key, _ in ready:
                if _is_answered(key.data):
                    count += 1
                    key.data.socket.sendall(next(requests))
    finally:
        for key in list(selector.get_map().values()):
            key.data.socket.close()
        selector.close()
    return count / (now - started)


def _is_answered(asking: _Asking) -> bool:
    asking.received += asking.socket.recv(1 << 20)
    received = asking.received
    if not asking.needs:
        end = received.find(_END)
        if end < 0:
            return False
        head = bytes(received[:end]).lower()
        if not head.startswith(b"http/1.1 200"):
            raise Refused(bytes(received[:600]).decode(errors="replace"))
        _, _, length = head.partition(b"\r\ncontent-length:")
        asking.needs = end + len(_END) + int(length.partition(b"\r\n")[0])
    if len(received) < asking.needs:
        return False
    received.clear()
    asking.needs = 0
    return True


def get(path: str, key: str, *, gzip: bool = False) -> bytes:
    """A request."""
    accept = "Accept-Encoding: gzip\r\n" if gzip else ""
    return f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer {key}\r\n{accept}\r\n".encode()
