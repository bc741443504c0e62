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

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FROM_OCTETS = 1024
_IN_THREAD_OCTETS = 64 * 1024
# By it a page of the feed is a third of its size; 9 takes three times as long for a twentieth less.
_LEVEL = 2
_PACKED = frozenset({"application/zip", *DEFAULT_EXCLUDED_CONTENT_TYPES})  # or left alone: text/event-stream
_MOST_BLUR = 100  # octets


class Compression:
    """ASGI middleware. Streams stay streams, and events (``text/event-stream``) are left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            accepted = Headers(scope=scope).get("accept-encoding", "")
            send = _Answer(send, is_packed=takes_gzip(accepted)).send
        await self._app(scope, receive, send)


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


class _Answer:
    """An answer on its way. Its beginning is held until its first octets tell whether to pack them is worth it: if so,
    ``Vary`` tells those that get it plain, too, that others do not.
    """

    def __init__(self, send: Send, *, is_packed: bool) -> None:
        self._send = send
        self._is_packed = is_packed
        self._held: Message | None = None
        self._packer: _Packer | None = None

    async def send(self, message: Message) -> None:
        """Send a part of the answer, or hold it."""
        kind = message["type"]
        if kind == "http.response.start" and not _stays_as_it_is(message):
            self._held = message
            return
        if kind == "http.response.body":
            if self._held is not None:
                self._decide(self._held, message)
            if self._packer is not None:
                is_last = not message.get("more_body", False)
                message["body"] = await self._packer.packed(message.get("body", b""), is_last=is_last)
                if self._held is not None and is_last:
                    MutableHeaders(scope=self._held)["Content-Length"] = str(len(message["body"]))
        if self._held is not None:
            start, self._held = self._held, None
            await self._send(start)
        await self._send(message)

    def _decide(self, start: Message, first: Message) -> None:
        is_short = len(first.get("body", b"")) < _FROM_OCTETS and not first.get("more_body", False)
        if is_short and start["status"] != 304:  # which says what the whole answer would (RFC 9110 §15.4.5)
            return
        headers = MutableHeaders(scope=start)
        headers.add_vary_header("Accept-Encoding")
        if self._is_packed and not is_short:
            self._packer = _Packer()
            headers["Content-Encoding"] = "gzip"
            del headers["Content-Length"]


def _stays_as_it_is(start: Message) -> bool:
    """A part of something, what has a strong ``ETag``, and what is packed already."""
    if start["status"] == 206:
        return True
    for name, value in start["headers"]:
        if name == b"content-encoding" or (name == b"etag" and value.startswith(b'"')):
            return True
        if name == b"content-type":
            media_type = value.partition(b";")[0].strip().lower().decode("latin-1")
            if media_type in _PACKED or f"{media_type.partition('/')[0]}/*" in _PACKED:
                return True
    return False


class _Packer:
    """gzip, with a header of random length."""

    def __init__(self) -> None:
        self._octets = io.BytesIO()
        name = "-" * secrets.randbelow(_MOST_BLUR)
        self._file = gzip.GzipFile(name, "wb", _LEVEL, self._octets, mtime=0)

    async def packed(self, octets: bytes, *, is_last: bool) -> bytes:
        """What is sent for these octets."""
        if len(octets) < _IN_THREAD_OCTETS:
            return self._packed(octets, is_last=is_last)
        return await asyncio.to_thread(self._packed, octets, is_last=is_last)

    def _packed(self, octets: bytes, *, is_last: bool) -> bytes:
        self._file.write(octets)
        if is_last:
            self._file.close()
        else:
            self._file.flush()
        packed = self._octets.getvalue()
        self._octets.seek(0)
        self._octets.truncate()
        return packed
