"""A token server of OAuth2: refresh tokens in, access tokens out; and the introspection that a mail server asks."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self
from urllib.parse import parse_qs

from tests.servers.certificates import CertificateFiles
from tests.servers.ports import LOOPBACK


class TokenServer:
    """One client and one user. ``requests``: the forms that were sent to the token URL, in order.

    ``rotates``: each refresh token is good for once. ``answer``: (status, headers, body) to give instead.
    """

    def __init__(self, username: str) -> None:
        self.username = username
        self.client_id, self.client_secret = "the-client", "client-secret-of-the-tests"
        self.refresh_token = "refresh-token-0-of-the-tests"
        self.rotates = False
        self.token_octets = 600
        self.expires_in: object = 3600
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.requests: list[dict[str, str]] = []
        self._good: set[str] = set()
        self._serials = count(1)
        self._lock = threading.Lock()
        self.port = 0

    @classmethod
    @contextmanager
    def start(cls, username: str, *, certificate: CertificateFiles | None = None) -> Iterator[Self]:
        """Serves for the block, with TLS when there is a certificate."""
        state = cls(username)
        with ThreadingHTTPServer((LOOPBACK, 0), _handler(state)) as server:
            if certificate is not None:
                server.socket = _tls(certificate).wrap_socket(server.socket, server_side=True)
            state.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield state
            finally:
                server.shutdown()
                thread.join()

    @property
    def url(self) -> str:
        """Where tokens are refreshed."""
        return f"http://{LOOPBACK}:{self.port}/token"

    @property
    def introspection_url(self) -> str:
        """Where a mail server asks what a token is worth."""
        return f"http://{LOOPBACK}:{self.port}/introspect"

    @property
    def oauth2(self) -> dict[str, Any]:
        """The mailbox field."""
        return {
            "provider": "custom",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
            "token_url": self.url,
        }

    def revoke_access_tokens(self) -> None:
        """None that was given so far is good any more."""
        self._good.clear()

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """The answer to a refresh (RFC 6749 §6)."""
        with self._lock:
            self.requests.append(form)
            if self.answer is not None:
                return self.answer
            if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
                return _json(401, {"error": "invalid_client"})
            if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self.refresh_token:
                said = f"no such token: {form.get('refresh_token')}"
                return _json(400, {"error": "invalid_grant", "error_description": said})
            serial = next(self._serials)
            token = f"access-token-{serial}-" + "t" * self.token_octets
            self._good.add(token)
            given = {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}
            if self.rotates:
                self.refresh_token = given["refresh_token"] = f"refresh-token-{serial}-of-the-tests"
            return _json(200, given)

    def introspection(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """The answer to a mail server (RFC 7662)."""
        if form.get("token") in self._good:
            return _json(200, {"active": True, "username": self.username})
        return _json(200, {"active": False})


def _tls(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def _json(status: int, document: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _handler(state: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            octets = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            form = {name: values[0] for name, values in parse_qs(octets.decode()).items()}
            answer = state.token(form) if self.path == "/token" else state.introspection(form)
            status, headers, body = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
            """Nothing on the terminal."""

    return Handler
