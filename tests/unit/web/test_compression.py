"""Who gets answers compressed."""

import gzip

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from app.web.requests.compression import Compression, takes_gzip


@pytest.mark.parametrize(
    "accepted",
    ["gzip", "GZIP", "x-gzip", "br, gzip", "gzip;q=0.001", "br;q=1, gzip;q=0.5, *;q=0", "identity;q=0.5, gzip",
     "identity, gzip", "deflate,gzip;Q=1.0", "gzip;q=x"],
)  # fmt: skip
def test_who_takes_gzip_gets_it(accepted: str) -> None:
    assert takes_gzip(accepted)


@pytest.mark.parametrize(
    "accepted",
    ["", "br", "identity", "*", "gzip;q=0", "gzip ; Q = 0.000", "notgzip", "gzipx", "gzip;q=0, *",
     "identity, gzip;q=0.5", "identity;q=0.8, x-gzip;q=0.2", "gzip;q=-1", "gzip;q=nan"],
)  # fmt: skip
def test_who_refuses_it_or_prefers_it_plain_does_not(accepted: str) -> None:
    assert not takes_gzip(accepted)


_LONG = b"x" * 3_000


@pytest.mark.parametrize("accepted", ["gzip", ""])
@pytest.mark.parametrize(
    ("status", "fields", "pieces", "varies"),
    [
        (200, {"content-type": "application/json", "content-length": "3000"}, [_LONG], True),
        (200, {"content-type": "application/json", "etag": 'W/"a"'}, [b"{", _LONG, b"", b"}"], True),
        (200, {"content-type": "text/html; charset=utf-8"}, [b"", _LONG], True),
        (200, {"content-type": "application/json", "content-length": "3"}, [b"{ }"], False),
        (204, {}, [b""], False),
        (304, {"etag": '"a"'}, [b""], False),
        (200, {"content-type": "message/rfc822", "etag": '"a"'}, [_LONG], False),
        (206, {"content-type": "text/plain"}, [_LONG], False),
        (200, {"content-type": "application/zip"}, [_LONG, _LONG], False),
        (200, {"content-type": "Image/PNG"}, [_LONG], False),
        (200, {"content-type": "text/event-stream; charset=utf-8"}, [_LONG, _LONG], False),
        (200, {"content-type": "application/json", "content-encoding": "br"}, [_LONG], False),
    ],
)
async def test_an_answer_is_packed_where_it_is_worth_it_and_comes_out_as_it_was(
    accepted: str, status: int, fields: dict[str, str], pieces: list[bytes], varies: bool
) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        raw = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        for number, piece in enumerate(pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    scope = {"type": "http", "headers": [(b"accept-encoding", accepted.encode())]}
    await Compression(answer)(scope, receive, send)
    headers = Headers(raw=sent[0]["headers"])
    body = b"".join(message["body"] for message in sent[1:])
    assert [message.get("more_body", False) for message in sent[1:]] == [*([True] * (len(pieces) - 1)), False]
    assert headers.get("vary") == ("Accept-Encoding" if varies else None)
    if varies and accepted:
        assert headers["content-encoding"] == "gzip"
        assert headers.get("content-length") == (str(len(body)) if len(pieces) == 1 else None)
        assert gzip.decompress(body) == b"".join(pieces)
    else:
        assert {name: headers.get(name) for name in fields} == fields
        assert body == b"".join(pieces)
