"""Just enough of an HTTP client: requests sent first and answered later, and hardly any time taken for itself."""

import json
import socket
from typing import Any

from benchmarks.clients import ClientFailed
from tests.servers.ports import LOOPBACK

_PATIENCE_SECONDS = 90


class Connection:
    """One connection that stays open, as a program's does. Raises ClientFailed where an answer does not come."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._headers = (
            f"Host: {LOOPBACK}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        )
        self._socket: socket.socket | None = None

    def connect(self) -> None:
        """Anew: the service closes a connection that was idle for seconds. It has answered on it already."""
        self.close()
        try:
            self._socket = socket.create_connection((LOOPBACK, self._port), timeout=_PATIENCE_SECONDS)
        except OSError as error:
            raise ClientFailed(f"cannot connect to the service: {error!r}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask("GET", "/livez")

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer's document. Raises ClientFailed when it is not 2xx."""
        self.send(method, path, body)
        return self.answer()

    def ask_octets(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The answer's octets, for those who know what they are. Raises ClientFailed when it is not 2xx."""
        self._send(method, path, body)
        return self._answer()

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """A request; its answer is to be read by `answer` before the next one is sent."""
        self._send(method, path, json.dumps(body).encode() if body is not None else b"")

    def _send(self, method: str, path: str, content: bytes) -> None:
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(content)}\r\n\r\n"
        assert self._socket
        try:
            self._socket.sendall(head.encode() + content)
        except OSError as error:
            raise ClientFailed(f"{method} {path}: {error!r}") from error

    def answer(self) -> dict[str, Any]:
        """The document of the answer to the last request."""
        document: dict[str, Any] = json.loads(self._answer() or b"{}")
        return document

    def _answer(self) -> bytes:
        status, content = self._received()
        if status // 100 != 2:
            raise ClientFailed(f"the service answered {status}: {content.decode(errors='replace')}")
        return content

    def _received(self) -> tuple[int, bytes]:
        """Status and content. What comes without a Content-Length has no content here (204)."""
        assert self._socket
        received = b""
        head, length = b"", 0
        while not head or len(received) < len(head) + 4 + length:
            try:
                piece = self._socket.recv(65536)
            except OSError as error:
                raise ClientFailed(f"the service does not answer: {error!r}") from error
            if not piece:
                raise ClientFailed("the service closed the connection")
            received += piece
            if not head and b"\r\n\r\n" in received:
                head = received.partition(b"\r\n\r\n")[0]
                lengths = [
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                length = int(lengths[0].partition(b":")[2]) if lengths else 0
        return int(head.split(b" ", 2)[1]), received[len(head) + 4 :]
