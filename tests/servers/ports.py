"""Ports of loopback: finding free ones, waiting for servers on them."""

import socket

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """`count` different ports on which nothing listens. Another program may still take one: retry on that."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:  # all are held before the first is let go, or one port could come twice
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def free_port() -> int:
    """One port on which nothing listens."""
    return free_ports(1)[0]


def greeting(port: int, *, timeout_seconds: float = 1.0) -> bytes:
    """What the server on `port` says first, unasked; empty when nobody listens or nobody speaks."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_seconds) as connection:
            return connection.recv(512)
    except OSError:
        return b""
