"""Ports of loopback: finding free ones, waiting for servers on them."""

import os
import random
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

LOOPBACK = "127.0.0.1"
_FIRST, _END = 20_000, 32_000  # below those that the system gives to outgoing connections
_AT_ONCE = 100

_reservations: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """`count` different ports on which nothing listens, and that no other process of the tests is given while this one
    lives.
    """
    ports = _ports_of(os.getpid())
    free: list[int] = []
    for _ in range(_AT_ONCE):
        port = next(ports)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as servers do: what ended is in no way
            try:
                listener.bind((LOOPBACK, port))
            except OSError:
                continue
        free.append(port)
        if len(free) == count:
            return free
    raise AssertionError(f"{_AT_ONCE} ports of this process, and no {count} of them are free")


def free_port() -> int:
    """One port on which nothing listens."""
    return free_ports(1)[0]


@cache
def _ports_of(pid: int) -> Iterator[int]:
    """Some ports over and over. They are the process's own as long as it holds a socket of their name (unix(7))."""
    lots = range(_FIRST, _END, _AT_ONCE)
    for first in random.Random(pid).sample(lots, len(lots)):
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0ports of the tests from {first}")
        except OSError:
            reservation.close()
            continue
        _reservations.append(reservation)
        return cycle(range(first, first + _AT_ONCE))
    raise AssertionError("all ports for tests are taken")


def greeting(port: int, *, timeout_seconds: float = 1.0) -> bytes:
    """What the server on `port` says first, unasked; empty when nobody listens or nobody speaks."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_seconds) as connection:
            return connection.recv(512)
    except OSError:
        return b""
