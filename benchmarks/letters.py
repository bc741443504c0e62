"""`python -m benchmarks.letters`: letters that are made to cost, read by six clients at once beside a healthy one.

Each letter of tests/fuzz/letters.py at the size that once hurt, one after the other, on one service that goes on. A
line for each: how long its readers waited, how long a healthy client and the syncs of a healthy mailbox did meanwhile
(beside what they did in quiet), what the service and its processes held in memory over their idle size, and what was
left of that half a minute later (once, at the end). README.md beside this says how to read it.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.processes import family_memory
from tests.fuzz.letters import LETTERS
from tests.letters_stored import stored
from tests.service import API_KEY, ServiceProcess

READERS = 6
MOST_READER_SECONDS = 8.0
MOST_DELAY_SECONDS = 0.5
MOST_OCTETS = 300_000_000
_GIVEN_BACK_SECONDS = 60
_PAUSE_SECONDS = 0.02
_MAIL = b"From: a@example.org\r\nSubject: healthy\r\nMessage-ID: <%d@example.org>\r\n\r\nsome words\r\n"


@dataclass(frozen=True)
class Figures:
    """What one letter cost: its readers, the healthy client and mailbox, and memory; seconds and octets."""

    name: str
    octets: int
    statuses: tuple[int, ...]
    reader_seconds: float
    client_seconds: float
    sync_seconds: float
    memory: int


class HealthyServer:
    """A POP3 server in this process whose maildrop has one more message at each session."""

    def __init__(self) -> None:
        self.port = 0
        self._messages = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listens on loopback for the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._messages += 1
        count = self._messages
        writer.write(b"+OK ready\r\n")
        with suppress(ConnectionError, asyncio.CancelledError):  # the process ends
            while line := await reader.readline():
                word, _, number = line.decode().strip().partition(" ")
                writer.write(_reply(word.upper(), int(number) if number.isdigit() else 0, count))
                await writer.drain()
                if word.upper() == "QUIT":
                    break
        writer.close()


def _reply(word: str, number: int, count: int) -> bytes:
    numbers = range(1, count + 1)
    match word:
        case "CAPA":
            return b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n"
        case "STAT":
            return f"+OK {count} {count * len(_MAIL)}\r\n".encode()
        case "UIDL":
            return ("+OK\r\n" + "".join(f"{n} id{n}\r\n" for n in numbers) + ".\r\n").encode()
        case "LIST":
            return ("+OK\r\n" + "".join(f"{n} {len(_MAIL % n)}\r\n" for n in numbers) + ".\r\n").encode()
        case "RETR" | "TOP":
            return b"+OK\r\n" + _MAIL % number + b".\r\n"
        case _:
            return b"+OK\r\n"


async def healthy(url: str, message_id: str) -> None:
    """Reads and syncs without end, in a process of its own; each line of its output: slowest answer, slowest sync.

    It is told by a line on its input when to say so, and begins anew.
    """
    server, said = HealthyServer(), asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(said), sys.stdin)
    async with server.serving(), _client(url) as http:
        mailbox = await http.post(
            "/mailboxes",
            json={
                "name": "healthy", "host": "127.0.0.1", "port": server.port, "security": "none",
                "allow_cleartext_password": True, "username": "u", "password": "p",
            },
        )  # fmt: skip
        calls = [("GET", f"/messages/{message_id}"), ("GET", "/messages?limit=10&order=newest")]
        sync = ("POST", f"/mailboxes/{mailbox.json()['id']}/sync?wait=60")
        slowest = {"call": 0.0, "sync": 0.0}

        async def measured(kind: str, method: str, path: str) -> None:
            began = time.perf_counter()
            answer = await http.request(method, path)
            slowest[kind] = max(slowest[kind], time.perf_counter() - began)
            if answer.status_code != 200:
                print(f"healthy: {answer.status_code} {path}", file=sys.stderr)
            await asyncio.sleep(_PAUSE_SECONDS)

        async def reads() -> None:
            while True:
                for call in calls:
                    await measured("call", *call)

        async def syncs() -> None:
            while True:
                await measured("sync", *sync)

        working = [asyncio.create_task(reads()), asyncio.create_task(syncs())]
        while await said.readline():
            print(slowest["call"], slowest["sync"], flush=True)
            slowest.update(call=0.0, sync=0.0)
        for task in working:
            task.cancel()


class Healthy:
    """The healthy client and mailbox, from here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, url: str, message_id: str) -> "AsyncIterator[Healthy]":
        """They run for the block."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.letters", "--healthy", url, message_id,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def slowest(self) -> tuple[float, float]:
        """The slowest answer and the slowest sync since the last time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        call, sync = (await self._process.stdout.readline()).split()
        return float(call), float(sync)


class Memory:
    """What a service and its processes hold, looked at again and again."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.idle = self.peak = family_memory(pid)

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            self.peak = max(self.peak, family_memory(self._pid))
            await asyncio.sleep(0.005)


def _client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=120)


async def measure(names: Sequence[str], *, small: bool) -> AsyncIterator[Figures]:
    """The figures of each letter; the first are those of quiet, the last what is left at the end."""
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        made = [LETTERS[name].make(LETTERS[name].small if small else LETTERS[name].large) for name in names]
        ids = await stored(data, [_MAIL % 0, *made])
        service = ServiceProcess(data)
        with service.started():
            url = f"http://127.0.0.1:{service.port}"
            async with Healthy.running(url, ids[0]) as beside, _client(url) as http:
                await asyncio.sleep(3)
                await beside.slowest()
                memory = Memory(service.pid)
                await asyncio.sleep(5)
                yield Figures("(quiet)", 0, (), 0.0, *await beside.slowest(), 0)
                for name, letter, message_id in zip(names, made, ids[1:], strict=True):
                    yield await _read(name, len(letter), message_id, http, beside, memory)
                await asyncio.sleep(_GIVEN_BACK_SECONDS)
                left = family_memory(service.pid) - memory.idle
                yield Figures("(a minute later)", 0, (), 0.0, *await beside.slowest(), left)


async def _read(
    name: str, octets: int, message_id: str, http: httpx.AsyncClient, beside: Healthy, memory: Memory
) -> Figures:
    memory.peak = 0
    watching = asyncio.create_task(memory.watch())
    await beside.slowest()

    async def one() -> tuple[int, float]:
        began = time.perf_counter()
        answer = await http.get(f"/messages/{message_id}")
        return answer.status_code, time.perf_counter() - began

    answers = await asyncio.gather(*(one() for _ in range(READERS)))
    await asyncio.sleep(0.2)
    call, sync = await beside.slowest()
    watching.cancel()
    statuses = tuple(sorted({status for status, _seconds in answers}))
    slowest = max(seconds for _status, seconds in answers)
    return Figures(name, octets, statuses, slowest, call, sync, memory.peak - memory.idle)


async def print_figures(names: Sequence[str], *, small: bool) -> int:
    """The table; how many lines break a bound."""
    broken, quiet = 0, None
    print("| letter | KB | status | its readers, s | healthy client, s | healthy sync, s | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    async for found in measure(names, small=small):
        quiet = quiet or found
        late = found.client_seconds - quiet.client_seconds
        is_broken = (
            found.reader_seconds > MOST_READER_SECONDS
            or late > MOST_DELAY_SECONDS
            or found.memory > MOST_OCTETS
        )
        broken += is_broken
        mark = " **!**" if is_broken else ""
        statuses = ", ".join(map(str, found.statuses))
        print(
            f"| {found.name}{mark} | {found.octets / 1000:,.0f} | {statuses} | {found.reader_seconds:.2f} "
            f"| {found.client_seconds:.3f} | {found.sync_seconds:.3f} | {found.memory / 1e6:,.0f} |",
            flush=True,
        )
    return broken


def main() -> int:
    """Measure and print. Exit code 1 when a line breaks a bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.letters", description=__doc__)
    parser.add_argument("--only", default="", help="letters whose name holds this pattern")
    parser.add_argument("--small", action="store_true", help="as large as the tests have them")
    parser.add_argument("--healthy", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.healthy:
        asyncio.run(healthy(*options.healthy))
        return 0
    names = [name for name in LETTERS if re.search(options.only, name)]
    return 1 if asyncio.run(print_figures(names, small=options.small)) else 0


if __name__ == "__main__":
    sys.exit(main())
