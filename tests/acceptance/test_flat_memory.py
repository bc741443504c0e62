"""Memory is bounded by what is under way, not by how much mail there is or how large a message is."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import pytest

from benchmarks.processes import RunningProcess, memory_of
from tests.servers.listening import listening
from tests.service import ServiceProcess

_MB = 1_000_000
_BLOCK = base64.encodebytes(Random(7).randbytes(3 * 57 * 6_000)).replace(b"\n", b"\r\n")
_LINE = 78  # octets of a line of base64


@dataclass(frozen=True)
class Maildrop:
    """So many messages of about so many octets each; none of them is ever held as a whole."""

    username: str
    messages: int
    octets: int

    def content(self, number: int) -> Iterator[bytes]:
        """A message in pieces; its headers and where its body begins in the block are its own."""
        head = (
            f"From: a@example.org\r\nTo: b@example.org\r\nSubject: Message {number} of {self.username}\r\n"
            f"Message-ID: <{number}.{self.username}@example.org>\r\nDate: Mon, 5 Jan 2026 08:00:00 +0000\r\n"
            "MIME-Version: 1.0\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        yield head
        left = self.octets - len(head)
        start = (number * 101 % (len(_BLOCK) // _LINE)) * _LINE
        while left > 0:
            piece = _BLOCK[start : start + left // _LINE * _LINE + _LINE]
            yield piece
            left, start = left - len(piece), 0


class StreamingServer:
    """A POP3 server that makes messages up while it sends them. Pipelines, knows UIDL and TOP, keeps everything."""

    def __init__(self, *maildrops: Maildrop) -> None:
        self._maildrops = {maildrop.username: maildrop for maildrop in maildrops}
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with listening(self._serve) as self.port:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        maildrop = Maildrop("", 0, 0)
        writer.write(b"+OK ready\r\n")
        while line := await reader.readline():
            word, _, argument = line.decode().strip().partition(" ")
            if word == "USER":
                maildrop = self._maildrops[argument]
            if word in {"RETR", "TOP"}:
                writer.write(b"+OK\r\n")
                for piece in maildrop.content(int(argument.split()[0])):
                    writer.write(piece)
                    await writer.drain()
                    if word == "TOP":
                        break
                writer.write(b".\r\n")
            else:
                writer.write(_simple_answer(word, maildrop))
            await writer.drain()
            if word == "QUIT":
                return


def _simple_answer(word: str, maildrop: Maildrop) -> bytes:
    numbers = range(1, maildrop.messages + 1)
    match word:
        case "CAPA":
            return b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n"
        case "STAT":
            return f"+OK {maildrop.messages} {maildrop.messages * maildrop.octets}\r\n".encode()
        case "UIDL":
            lines = [f"{number} {maildrop.username}-{number:08}\r\n" for number in numbers]
        case "LIST":
            lines = [f"{number} {maildrop.octets}\r\n" for number in numbers]
        case _:
            return b"+OK\r\n"
    return f"+OK\r\n{''.join(lines)}.\r\n".encode()


async def register(http: httpx.AsyncClient, maildrop: Maildrop, port: int) -> str:
    body = {
        "name": maildrop.username,
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "allow_cleartext_password": True,
        "username": maildrop.username,
        "password": "secret",
        "poll_interval_seconds": None,
    }
    answer = await http.post("/mailboxes", json=body)
    assert answer.status_code == 201, answer.text
    mailbox_id: str = answer.json()["id"]
    return mailbox_id


async def sync_everything(http: httpx.AsyncClient, maildrop: Maildrop, port: int) -> str:
    """Register and sync; the mailbox's id. All of it is stored when this returns."""
    mailbox_id = await register(http, maildrop, port)
    sync = (await http.post(f"/mailboxes/{mailbox_id}/sync", params={"wait": 60}, timeout=90)).json()
    while sync["status"] in {"queued", "running"}:
        await asyncio.sleep(0.2)
        sync = (await http.get(f"/syncs/{sync['id']}")).json()
    assert sync["status"] == "succeeded", sync
    assert sync["report"]["retrieved"] == maildrop.messages
    assert sync["report"]["octets"] >= maildrop.messages * maildrop.octets
    return mailbox_id


FEW = Maildrop("few", messages=3, octets=10_000)


async def peak_of_a_first_sync(data_dir: Path, maildrop: Maildrop) -> int:
    """Octets: the largest resident size of a service that syncs nothing but this."""
    server, service = StreamingServer(maildrop), ServiceProcess(data_dir)
    async with server.serving():
        await asyncio.to_thread(service.start)
        try:
            async with service.client() as http:
                await sync_everything(http, maildrop, server.port)
            peak = memory_of(service.pid, "VmHWM")
        finally:
            service.kill()
    assert peak is not None
    return peak


@pytest.mark.slow
async def test_ten_times_as_much_mail_takes_at_most_a_tenth_more_memory(tmp_path: Path) -> None:
    # A peak is the highest of many moments, and a longer sync has more of them: the short one gets three tries.
    some = max(
        [
            await peak_of_a_first_sync(
                tmp_path / f"some-{i}", Maildrop("some", messages=1_000, octets=34_000)
            )
            for i in range(3)
        ]
    )
    ten_times = await peak_of_a_first_sync(
        tmp_path / "much", Maildrop("much", messages=10_000, octets=34_000)
    )
    assert ten_times <= 1.1 * some, f"{some / _MB:.1f} MB, {ten_times / _MB:.1f} MB"


@pytest.mark.slow
async def test_a_message_of_200_mb_takes_less_than_100_mb_of_memory(tmp_path: Path) -> None:
    large = Maildrop("large", messages=1, octets=200 * _MB)
    server = StreamingServer(FEW, large)
    service = ServiceProcess(tmp_path, MAILDELTA_MAX_MESSAGE_OCTETS=str(300 * _MB))
    async with server.serving():
        await asyncio.to_thread(service.start)
        try:
            async with service.client() as http:
                await sync_everything(http, FEW, server.port)
                running = RunningProcess(service.pid)
                await sync_everything(http, large, server.port)
                grown = running.cost_until_now().peak_octets
        finally:
            service.kill()
    assert grown is not None
    assert grown < 100 * _MB, f"{grown / _MB:.1f} MB"
