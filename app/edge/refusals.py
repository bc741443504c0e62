"""The problem documents that the server itself answers, when a request does not reach the application."""

import json
from collections.abc import Iterable
from enum import Enum
from http import HTTPStatus

from app.web.errors.error_codes import CODES
from app.web.errors.problems import MEDIA_TYPE, problem_body
from app.web.headers import SECURITY_HEADERS
from app.web.requests.request_id import HEADER


class Refusal(Enum):
    """Why a request is not taken: status, code and sentence."""

    MALFORMED = (400, "bad_request", "The request is not HTTP/1.1 (RFC 9112), or says two things at once.")
    TIMEOUT = (408, "request_timeout", "The header fields did not come in time.")
    URI_TOO_LONG = (414, "uri_too_long", "The URL has too many octets.")
    HEADERS_TOO_LARGE = (431, "headers_too_large", "The header fields are too many, or have too many octets.")
    TOO_MANY_CONNECTIONS = (503, "too_many_connections", "There are too many connections; try again.")
    VERSION = (505, "http_version_not_supported", "The server speaks HTTP/1.1.")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def code(self) -> str:
        """What a program decides by."""
        return self.value[1]

    def answer(self, headers: Iterable[tuple[bytes, bytes]], *, request: str) -> bytes:
        """The whole answer to the request of this id, with these header fields too; the connection ends behind it."""
        status, code, sentence = self.value
        body = json.dumps(problem_body(status, code, sentence, request=request)).encode()
        fields = [
            *headers,
            *SECURITY_HEADERS,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (HEADER, request.encode()),
            *([(b"retry-after", b"1")] if CODES[code].retryable else []),
        ]
        start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
        return start + b"".join(b"%s: %s\r\n" % field for field in fields) + b"\r\n" + body
