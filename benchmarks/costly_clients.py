"""Clients of the API that cost whoever answers them."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from benchmarks.clients import ClientFailed
from benchmarks.http import Connection
from benchmarks.service import Service

_ADDRESS = "127.0.0.9"


@contextmanager
def long_polls(service: Service, many: int) -> Iterator[None]:
    """So many who wait for what never comes, each for something else."""
    over = threading.Event()

    def wait_again(number: int) -> None:
        connection = Connection(service.port, service.key)
        while not over.is_set():
            try:
                connection.connect()
                connection.ask("GET", f"/messages?subject=nowhere-{number}&wait=60")
            except ClientFailed:
                over.wait(1)
        connection.close()

    for number in range(many):
        threading.Thread(target=wait_again, args=(number,), daemon=True).start()
    try:
        yield
    finally:
        over.set()


@contextmanager
def who_wait_once(service: Service, many: int) -> Iterator[None]:
    """So many who wait for what never comes, each for something else; beyond what one address may have they are
    refused."""
    paths = [f"/messages?subject=nowhere-{number}&wait=60&after=latest" for number in range(many)]
    with _connections(service, [_request(service, path) for path in paths]):
        yield


@contextmanager
def who_do_not_read(service: Service, many: int) -> Iterator[None]:
    """So many who ask for ten pages each, and read nothing of them."""
    with _connections(service, [_request(service, "/messages?limit=200") * 10] * many):
        yield


@contextmanager
def who_do_not_end(service: Service, many: int) -> Iterator[None]:
    """So many who send a header octet by octet."""
    over = threading.Event()
    with _connections(service, ["GET /messages HTTP/1.1\r\nX-Slow: "] * many) as connections:

        def send_again() -> None:
            while not over.wait(1.0):
                for connection in connections:
                    with suppress(OSError):  # it is closed
                        connection.send(b"x")

        thread = threading.Thread(target=send_again)
        thread.start()
        yield
        over.set()
        thread.join()


@contextmanager
def _connections(service: Service, requests: Sequence[str]) -> Iterator[list[socket.socket]]:
    """One for each of these, which are sent, from an address of its own: what one address may have is bounded."""
    with ExitStack() as stack:
        connections = []
        for request in requests:
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.settimeout(5)
            connection.bind((_ADDRESS, 0))
            with suppress(OSError):
                connection.connect(("127.0.0.1", service.port))
                connection.sendall(request.encode())
            connections.append(connection)
        yield connections


def _request(service: Service, path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n\r\n"
