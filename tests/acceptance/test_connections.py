"""Strangers at the port: whatever they send or do not send, they hold little, and not for long; others are served."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import uvicorn

from app.edge.server import build_server
from app.main import create_app
from tests.acceptance.test_api import MAILBOX
from tests.service import API_KEY, settings_for

KEY = f"Authorization: Bearer {API_KEY}\r\n".encode()
GET = b"GET /mailboxes HTTP/1.1\r\nHost: x\r\n" + KEY + b"\r\n"
HURRIED = {"header_timeout_seconds": 0.4, "body_timeout_seconds": 0.4, "idle_timeout_seconds": 1.0}


@dataclass
class Port:
    """A service that listens, and what it logs."""

    port: int
    lines: list[Any]
    server: uvicorn.Server
    _open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self, octets: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which this was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._open.append(writer)
        writer.write(octets)
        return reader, writer

    async def said(self, octets: bytes, *, rest: Iterable[bytes] = ()) -> bytes:
        """All that comes back until the server closes."""
        reader, writer = await self.connect(octets)
        try:
            for block in rest:
                writer.write(block)
                await writer.drain()
        except ConnectionError:
            pass
        return await _all_of(reader)

    async def statuses(self, octets: bytes) -> list[int]:
        """The statuses of all answers until the server closes."""
        said = await self.said(octets)
        return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said)]

    async def newcomer(self) -> int:
        """What a caller with a key gets on a connection of its own."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=20) as http:
            return (await http.get("/mailboxes", headers={"Authorization": f"Bearer {API_KEY}"})).status_code

    async def close(self) -> None:
        """Close what was opened."""
        for writer in self._open:
            writer.transport.abort()


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    said = b""
    try:
        while block := await reader.read(65536):
            said += block
    except ConnectionError:
        pass
    return said


@asynccontextmanager
async def listening(data_dir: Path, **changes: Any) -> AsyncIterator[Port]:
    settings = settings_for(data_dir, **changes)
    with structlog.testing.capture_logs() as lines, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = build_server(create_app(settings), settings, host="127.0.0.1", port=0)
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        port = Port(listener.getsockname()[1], lines, server)
        try:
            yield port
        finally:
            await port.close()
            server.should_exit = True
            await serving


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    """A service with short limits."""
    async with listening(tmp_path, **HURRIED) as listens:
        yield listens


def body_of(said: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(said.partition(b"\r\n\r\n")[2])
    return document


POST = b"POST /livez HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BAD_REQUESTS = {
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two lengths": b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "other coding": b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "signed length": b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "endless length": b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\na",
    "blank before colon": b"GET /livez HTTP/1.1\r\nHost : a\r\n\r\n",
    "NUL": b"GET /livez HTTP/1.1\r\nHost: a\0\r\n\r\n",
    "bare CR": b"GET /livez HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "connect": b"CONNECT mail.example.org:25 HTTP/1.1\r\nHost: a\r\n\r\n",
    "upgrade with a body": POST + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\na",
    "bad chunk": b"POST /mailboxes HTTP/1.1\r\nHost: a\r\n"
    + KEY
    + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


async def test_what_is_not_http_is_400_and_the_connection_ends(port: Port) -> None:
    for name, octets in BAD_REQUESTS.items():
        said = await port.said(octets)
        assert said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 ")), (name, said[:100])
        assert len(re.findall(rb"HTTP/1\.1 [0-9]{3} ", said)) == 1, name
        assert body_of(said)["code"] in {"bad_request", "http_version_not_supported"}
        assert b"\r\nx-content-type-options: nosniff\r\n" in said
        assert b"\r\nconnection: close\r\n" in said
    assert await port.newcomer() == 200


async def test_what_does_not_reach_the_application_has_the_id_of_its_request_too(port: Port) -> None:
    reader, writer = await port.connect(GET.replace(b"\r\n\r\n", b"\r\nX-Request-Id: before\r\n\r\n"))
    await reader.readuntil(b"false}")
    writer.write(b"\x16\x03\x01")
    behind_another = await _all_of(reader)
    (logged,) = [line["request_id"] for line in port.lines if line["event"] == "request_refused"]
    assert logged != "before"
    mailboxes = POST.replace(b"livez", b"mailboxes") + KEY
    for said, own in (
        (behind_another, logged),
        (await port.said(b"GET /livez HTTP/1.1\r\nX-Request-Id: own\r\n\r\n"), "own"),
        (await port.said(mailboxes + b"X-Request-Id: own\r\n" + CHUNKED + b"\r\nzz\r\n"), "own"),
        (await port.said(b"GET /livez HTTP/1.1\r\nX-Request-Id: a b\r\n\r\n"), None),
        (await port.said(GET.replace(b"/mailboxes", b"/" + b"x" * 40_000)), None),
    ):
        (told,) = re.findall(r"\r\nx-request-id: (\S+)\r\n", said.decode())
        assert told == own if own else re.fullmatch("[0-9a-f]{24}", told)
        assert body_of(said)["instance"] == f"urn:maildelta:request:{told}"


async def test_what_waits_is_told_to_come_again_when_the_service_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(tmp_path) as port:
        reader, _ = await port.connect(GET.replace(b"mailboxes", b"messages?wait=60"))
        while not port.server.server_state.tasks:
            await asyncio.sleep(0.01)
        port.server.should_exit = True
        said = await _all_of(reader)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert body_of(said)["code"] == "stopping"
    assert "Exception in ASGI application" not in caplog.text


async def test_what_http_allows_is_served(port: Port) -> None:
    for octets in (
        b"GET /livez HTTP/1.0\r\n\r\n",
        b"GET http://elsewhere.example/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ):
        said = await port.said(octets)
        assert said.startswith(b"HTTP/1.1 200 "), octets
        assert said.endswith(b'{"status":"ok"}')


async def test_a_body_that_is_wanted_is_asked_for_and_others_are_not(port: Port) -> None:
    body = json.dumps(MAILBOX).encode()
    head = (
        b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    )
    head += b"Content-Length: %d\r\n" % len(body)
    reader, writer = await port.connect(head + KEY + b"Connection: close\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await _all_of(reader)).startswith(b"HTTP/1.1 201 ")
    assert (await port.said(head + b"\r\n")).startswith(b"HTTP/1.1 401 ")


async def test_a_url_and_a_header_block_end_at_their_limits(port: Port) -> None:
    kib = b"a" * 1024
    for octets, status in (
        (b"GET /" + kib * 33 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET /" + kib * 2000, b"414"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + kib * 33 + b"\r\n\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + kib * 2000, b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + (b"X: " + kib + b"\r\n") * 33 + b"\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 250 + b"\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + kib * 2000, b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\r\n" + b" \r\n" * 20_000, b"4"),
        (b"GET /livez?" + kib * 30 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + kib * 30 + b"\r\n\r\n", b"200"),
    ):
        said = await port.said(octets)
        assert said.startswith(b"HTTP/1.1 " + status), (octets[:40], said[:60])
        if status != b"200":
            assert body_of(said)["status"] >= 400


async def test_a_header_block_that_does_not_come_is_408_however_it_trickles(port: Port) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        while not writer.transport.is_closing():
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.05)

    reader, writer = await port.connect(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
    trickling = asyncio.create_task(trickle(writer))
    said = await _all_of(reader)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert body_of(said)["code"] == "request_timeout"
    writer.transport.abort()
    await trickling
    assert await port.said(b"G") != b""
    assert await port.said(b"") == b""
    assert await port.said(b"\r\n") == b""


async def test_a_body_that_does_not_come_is_408_and_its_caller_is_served_again(port: Port) -> None:
    head = b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + KEY
    for octets in (b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"):
        said = await port.said(head + octets)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in said
    assert await port.newcomer() == 200


async def test_an_early_answer_arrives_whatever_the_client_still_sends(port: Port) -> None:
    head = b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000000\r\n"
    for key, status in ((b"", b"401"), (KEY, b"413")):
        said = await port.said(head + key + b"\r\n", rest=[b"x" * 100_000] * 100)
        assert said.startswith(b"HTTP/1.1 " + status)
        assert b"\r\nconnection: close\r\n" in said


async def test_framing_without_content_ends(port: Port) -> None:
    head = b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + KEY
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    for octets in (head + b"5;x=" + b"y" * 100_000, head + b"2\r\n{}\r\n0\r\nX: " + b"y" * 100_000):
        assert (await port.said(octets)).startswith(b"HTTP/1.1 4")


async def test_a_client_that_goes_in_the_middle_of_its_body_is_no_error_of_ours(tmp_path: Path) -> None:
    head = b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + KEY
    async with listening(tmp_path) as port:  # a body that was late on a busy machine would be 408
        _, writer = await port.connect(head + b"Content-Length: 100\r\n\r\n{")
        await port.newcomer()
        writer.transport.abort()
        assert (await port.said(head + CHUNKED + b"\r\nzz\r\n")).startswith(b"HTTP/1.1 400 ")
        while sum(line.get("status") == 400 and line.get("route") == "/mailboxes" for line in port.lines) < 2:
            await asyncio.sleep(0.02)
        assert not [line for line in port.lines if line["event"] == "unexpected_error"]


async def test_a_trailer_is_no_header_field(port: Port) -> None:
    body = json.dumps(MAILBOX).encode()
    request = b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + CHUNKED + b"\r\n"
    request += b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, KEY)
    assert (await port.said(request)).startswith(b"HTTP/1.1 401 ")


async def test_pipelined_requests_are_answered_in_order_however_many(port: Port) -> None:
    reader, writer = await port.connect()
    sending = asyncio.create_task(
        _send(writer, [GET] * 2000 + [GET.replace(b"Host", b"Connection: close\r\nHost")])
    )
    said = await _all_of(reader)
    await sending
    assert said.count(b"HTTP/1.1 200 ") == 2001
    mixed = await port.statuses(GET + GET.replace(b"/mailboxes", b"/nowhere") + b"broken\r\n\r\n" + GET)
    assert mixed == [200, 404]  # the last of them said that it closes


async def _send(writer: asyncio.StreamWriter, blocks: list[bytes]) -> None:
    for block in blocks:
        writer.write(block)
        await writer.drain()


async def test_a_client_that_does_not_take_its_answers_is_cut_off(port: Port) -> None:
    _, writer = await port.connect()
    request = b"GET /docs/files/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # every socket transport has it
    writer.write(request * 20)
    while not any(line.get("reason") == "answer_not_taken" for line in port.lines):
        await asyncio.sleep(0.05)
    assert await port.newcomer() == 200


async def test_half_sent_requests_lock_nobody_out(tmp_path: Path) -> None:
    async with listening(tmp_path, connections_per_address=8, connections=8) as port:
        known_reader, known_writer = await port.connect(GET)
        await known_reader.readuntil(b"\r\n\r\n")
        for octets in (
            b"",
            b"GET /mail",
            b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n",
        ):
            for _ in range(20):
                await port.connect(octets)
            assert await port.newcomer() == 200
        known_writer.write(GET)
        assert b"HTTP/1.1 200 " in await known_reader.readuntil(b"\r\n\r\n")  # it was not the one to go
    refused = [line for line in port.lines if line["event"] == "connection_refused"]
    assert 1 <= len(refused) <= 3
    assert refused[0]["client"] == "127.0.0.1"


async def test_where_all_are_served_one_more_is_503_and_says_when_to_come_again(tmp_path: Path) -> None:
    async with listening(tmp_path, connections_per_address=3) as port:
        waiting = [await port.connect(GET.replace(b"/mailboxes", b"/messages?wait=30")) for _ in range(3)]
        while sum(line["event"] == "connection_refused" for line in port.lines) == 0:
            said = await port.said(GET.replace(b"Host", b"Connection: close\r\nHost"))
            if said.startswith(b"HTTP/1.1 503 "):
                assert body_of(said)["code"] == "too_many_connections"
                assert b"\r\nretry-after: 1\r\n" in said
                break
        waiting[0][1].transport.abort()
        while (await port.said(GET.replace(b"Host", b"Connection: close\r\nHost"))).startswith(
            b"HTTP/1.1 503"
        ):
            await asyncio.sleep(0.05)
        assert await port.newcomer() == 200


async def test_connections_of_a_trusted_proxy_are_not_counted_as_one_clients(tmp_path: Path) -> None:
    async with listening(tmp_path, connections_per_address=2, trusted_proxies="127.0.0.1") as port:
        for n in range(10):
            forwarded = b"X-Forwarded-For: 203.0.113.%d\r\nHost" % n
            await port.connect(GET.replace(b"/mailboxes", b"/messages?wait=30").replace(b"Host", forwarded))
        assert await port.newcomer() == 200
        assert not [line for line in port.lines if line["event"] == "connection_refused"]
