"""gzip for those who take it: JSON and pages, from 1 KB. What has a strong ``ETag`` goes as it is: that tag is of these
very octets (RFC 9110 §8.8.1), such as those of mail, of which parts may be asked for.

How well an answer is compressed tells whoever sees its length on the wire something of it, and a page of mail may hold
text of somebody who guesses (BREACH). So the length of each is blurred by a name of random length in the header of gzip
(RFC 1952 §2.3), which readers leave out.
"""

import asyncio
import gzip
import io
import secrets
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FROM_OCTETS = 1024
_IN_THREAD_OCTETS = 64 * 1024
# By it a page of the feed is a third of its size; 9 takes three times as long for a twentieth less.
_LEVEL = 2
_PACKED = frozenset({"application/zip"})
_MOST_BLUR = 100  # octets


class Compression:
    """ASGI middleware. Streams stay streams, and events (``text/event-stream``) are left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif takes_gzip(Headers(scope=scope).get("accept-encoding", "")):
            await _Blurred(self._app, _FROM_OCTETS)(scope, receive, send)
        else:
            await _Plain(self._app, _FROM_OCTETS)(scope, receive, send)


def takes_gzip(accepted: str) -> bool:
    """PURE  Whether ``Accept-Encoding`` names gzip, and prefers nothing that we have (RFC 9110 §12.5.3)."""
    if "gzip" not in (text := accepted.lower()):
        return False
    weights: dict[str, float] = {}
    for each in text.split(","):
        name, _, weight = each.partition(";")
        weights.setdefault(name.strip().removeprefix("x-"), _weight(weight))
    return weights.get("gzip", 0.0) > 0 and weights["gzip"] >= weights.get("identity", 0.0)


def _weight(parameter: str) -> float:
    name, _, value = parameter.replace(" ", "").partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 1.0


class _Plain(IdentityResponder):
    """The library's: it says by Vary that another one may get it compressed. Not of what has a strong ``ETag``, or is
    packed.
    """

    _is_as_it_is = False

    async def send_with_compression(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message.get("headers", []))
            is_packed = headers.get("content-type", "") in _PACKED
            self._is_as_it_is = is_packed or headers.get("etag", "").startswith('"')
        await (self.send if self._is_as_it_is else super().send_with_compression)(message)


class _Blurred(_Plain, GZipResponder):
    """The library's, with a header of random length."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._packed = io.BytesIO()
        self._file: gzip.GzipFile | None = None

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        if len(body) < _IN_THREAD_OCTETS:
            return self._compressed(body, more_body=more_body)
        return await asyncio.to_thread(self._compressed, body, more_body=more_body)

    def _compressed(self, body: bytes, *, more_body: bool) -> bytes:
        if self._file is None:
            name = "-" * secrets.randbelow(_MOST_BLUR)
            self._file = gzip.GzipFile(name, "wb", _LEVEL, self._packed, mtime=0)
        self._file.write(body)
        if more_body:
            self._file.flush()
        else:
            self._file.close()
        packed = self._packed.getvalue()
        self._packed.seek(0)
        self._packed.truncate()
        return packed
