"""A neighbour's reads and writes beside long listings, searches and a removal: `python -m benchmarks.long`.

The service runs as in life, on the embedded default, in a process of its own; a mail server of ours lists as many
messages as asked for, in another. Meanwhile one neighbour reads a page of the feed and one changes a mailbox, every 20
ms. What is told is how long they wait at the median, at the 99th percentile and at most, and the memory of the service.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.clients import ClientFailed
from benchmarks.http import Connection
from benchmarks.service import Service, running_service
from tests.servers.ports import free_port

_PAUSE_SECONDS = 0.02


def main() -> None:
    """Print a table in Markdown."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.long", description=__doc__)
    options.add_argument("--entries", type=int, nargs="*", default=[100_000, 400_000, 1_900_000])
    options.add_argument("--messages", type=int, default=300_000, help="rows for searches and the removal")
    options.add_argument("--alone-seconds", type=float, default=5.0)
    asked = options.parse_args()
    print(
        "| beside | took (s) | reads: median, p99, most (ms) | writes: median, p99, most (ms) | memory more (MB) |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder), max_listing_entries="2000000") as service,
    ):
        neighbours = _Neighbours(service)
        neighbours.tell("nothing", lambda: time.sleep(asked.alone_seconds))
        for entries in asked.entries:
            _list_and_remove(neighbours, entries)
        if asked.messages:
            mailbox = neighbours.register("full", 1, initial_sync="all")
            _fill(Path(folder), mailbox, asked.messages)
            neighbours.tell("eight searches that find nothing", lambda: neighbours.search(8, seconds=5))
            neighbours.tell(
                f"the removal of {asked.messages:,} messages", lambda: neighbours.remove(mailbox, "full")
            )


def _list_and_remove(neighbours: "_Neighbours", entries: int) -> None:
    with _mail_server(entries) as port:
        mailbox = neighbours.register("long", port, initial_sync="from_now")
        neighbours.tell(f"a first listing of {entries:,}", lambda: neighbours.sync(mailbox, entries))
        neighbours.tell("the same again", lambda: neighbours.sync(mailbox, entries))
    with _mail_server(entries - 1, first=2, port=port):
        neighbours.tell("the same without the first", lambda: neighbours.sync(mailbox, entries - 1))
    neighbours.tell(f"its removal of {entries:,} ids", lambda: neighbours.remove(mailbox, "long"))


class _Neighbours:
    """One who reads, one who writes, and whoever does what they suffer from."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._own = self.register("neighbour", 1)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self._service.port, timeout=300)
        headers = {"Authorization": f"Bearer {self._service.key}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        with closing(connection), connection.getresponse() as response:
            content = response.read()
            if response.status // 100 != 2:
                raise ClientFailed(f"{method} {path}: {response.status} {content.decode(errors='replace')}")
            answer: dict[str, Any] = json.loads(content) if content else {}
            return answer

    def register(self, name: str, port: int, **fields: Any) -> str:
        body = {
            "name": name, "host": "127.0.0.1", "port": port, "security": "none", "allow_cleartext_password": True,
            "username": name, "password": "p", "poll_interval_seconds": None, **fields,
        }  # fmt: skip
        return str(self.ask("POST", "/mailboxes", body)["id"])

    def sync(self, mailbox: str, entries: int) -> None:
        sync = self.ask("POST", f"/mailboxes/{mailbox}/sync")
        while sync["status"] in {"queued", "running"}:
            time.sleep(0.1)
            sync = self.ask("GET", f"/syncs/{sync['id']}")
        if sync["status"] != "succeeded" or sync["report"]["listed"] != entries:
            print(f"| did not succeed: {sync['status']} {sync['error']} |")

    def remove(self, mailbox: str, name: str) -> None:
        self.ask("DELETE", f"/mailboxes/{mailbox}?confirm={name}")
        time.sleep(10)

    def search(self, many: int, *, seconds: float) -> None:
        until = time.monotonic() + seconds

        def again() -> None:
            while time.monotonic() < until:
                self.ask("GET", "/messages?subject=nowhere-to-be-found")

        threads = [threading.Thread(target=again) for _ in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def tell(self, what: str, work: Callable[[], None]) -> None:
        ended = threading.Event()
        waits: list[list[float]] = [[], []]
        asks: list[Callable[[Connection], object]] = [
            lambda connection: connection.ask("GET", "/messages?limit=50"),
            lambda connection: connection.ask("PATCH", f"/mailboxes/{self._own}", {"name": "neighbour"}),
        ]

        def neighbour(number: int) -> None:
            connection = Connection(self._service.port, self._service.key)
            connection.connect()
            while not ended.is_set():
                started = time.perf_counter()
                asks[number](connection)
                waits[number].append(1000 * (time.perf_counter() - started))
                ended.wait(_PAUSE_SECONDS)
            connection.close()

        threads = [threading.Thread(target=neighbour, args=(number,)) for number in (0, 1)]
        memory, started = _resident(self._service.pid), time.perf_counter()
        peak = _Peak(self._service.pid)
        for thread in threads:
            thread.start()
        work()
        took = time.perf_counter() - started
        ended.set()
        for thread in threads:
            thread.join()
        reads, writes = (_told(each) for each in waits)
        print(f"| {what} | {took:.1f} | {reads} | {writes} | {(peak.end() - memory) / 1e6:.0f} |", flush=True)


class _Peak:
    """The largest resident size of a process, looked at every 20 ms."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._ended = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self._most = max(self._most, _resident(self._pid))


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _told(waits: list[float]) -> str:
    if len(waits) < 2:
        return ", ".join(f"{wait:.0f}" for wait in waits)
    return f"{median(waits):.1f}, {quantiles(waits, n=100, method='inclusive')[-1]:.0f}, {max(waits):.0f}"


@contextmanager
def _mail_server(entries: int, *, first: int = 1, port: int | None = None) -> Iterator[int]:
    port = port or free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(port, entries, first), daemon=True
    )
    process.start()
    try:
        while True:
            with closing(socket.socket()) as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.join()


def _serve(port: int, entries: int, first: int) -> None:
    shown = range(first, first + entries)
    uidl = b"".join(b"%d 00000000%08x5f1e2d3c\r\n" % (number, one) for number, one in enumerate(shown, 1))
    sizes = b"".join(b"%d %d\r\n" % (number, one * 7 % 50_000) for number, one in enumerate(shown, 1))
    answers = {
        b"CAPA": b"+OK\r\nUIDL\r\nTOP\r\nUSER\r\nPIPELINING\r\n.\r\n",
        b"STAT": b"+OK %d 1\r\n" % entries,
        b"UIDL": b"+OK\r\n" + uidl + b".\r\n",
        b"LIST": b"+OK\r\n" + sizes + b".\r\n",
    }

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK hello\r\n")
        while line := await reader.readline():
            word = line.split()[0].upper()
            writer.write(answers.get(word, b"+OK\r\n"))
            await writer.drain()
            if word == b"QUIT":
                break
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(client, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


def _fill(folder: Path, mailbox: str, messages: int) -> None:
    """Rows of small messages, each with a content of its own, by SQL."""
    (file,) = [path for path in folder.rglob("*.sqlite") if "jobs" not in path.name]
    with sqlite3.connect(file, timeout=60) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        last = db.execute("SELECT last_seq FROM feed").fetchone()[0]
        number = int(mailbox.removeprefix("mbx_"))
        keys = [(last + n, n.to_bytes(32, "big")) for n in range(1, messages + 1)]
        db.executemany(
            "INSERT INTO contents (sha256, octets, blocks, data) VALUES (?, 1, 1, randomblob(1500))",
            [(sha256,) for _, sha256 in keys],
        )
        db.executemany(
            'INSERT INTO messages (seq, mailbox_id, unique_id, occurrence, subject, "to", cc, reply_to, retrieved_at,'
            " octets, raw_sha256, has_attachments, snippet, warnings)"
            " VALUES (?, ?, ?, 1, 'Invoice of the month', '[]', '[]', '[]', '2026-11-29 12:00:00.000000', 1, ?, 0,"
            " ?, '[]')",
            [(seq, number, b"%d" % seq, sha256, "x" * 150) for seq, sha256 in keys],
        )
        db.execute("UPDATE feed SET last_seq = ?", (last + messages,))


if __name__ == "__main__":
    main()
