"""An API process and two workers on one PostgreSQL: how soon one hears of another, and what they cost at rest.

``python -m benchmarks.across [FOLDER ...]``: this checkout, and beside it others (each with a ``.venv``), in turns.
Needs PostgreSQL's programs. The mail server is a fake in this process, so that what is measured is ours.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.statements import StatementLog, statements_logged
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres

_KEY = "a-key-of-the-benchmark-only"
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Fleet:
    """The processes of one checkout, the API first."""

    processes: list[subprocess.Popen[bytes]]
    http: httpx.AsyncClient

    def processor_seconds(self) -> list[float]:
        return [_processor_seconds(process.pid) for process in self.processes]

    def memory_megabytes(self) -> list[float]:
        return [_memory_megabytes(process.pid) for process in self.processes]


@dataclass
class Figures:
    """What was seen in one turn."""

    wait: list[float]
    long_poll: list[float]
    statements: float
    processor: list[float]
    memory: list[float]
    connections: int


async def measure(checkout: Path, postgres: Postgres, *, syncs: int, idle_seconds: float) -> Figures:
    """One turn."""
    url = postgres.create_database()
    drop = FakeMaildrop()
    with tempfile.TemporaryDirectory() as folder:
        async with _fleet(checkout, url, Path(folder)) as fleet, FakePop3Server(drop) as server:
            mailbox_id = await _register(fleet.http, drop, server)
            await fleet.http.post(f"/mailboxes/{mailbox_id}/sync", params={"wait": 20})
            waits, polls = [], []
            for number in range(syncs):
                drop.deliver(b"Subject: %d\r\n\r\nx\r\n" % number, f"id{number}")
                cursor = (await fleet.http.get("/messages", params={"limit": 200})).json()["next_cursor"]
                begun = time.perf_counter()
                poll = asyncio.create_task(_timed(fleet.http, "/messages", {"after": cursor, "wait": 20}))
                await asyncio.sleep(0.05)
                asked = time.perf_counter()
                answer = await fleet.http.post(f"/mailboxes/{mailbox_id}/sync", params={"wait": 20})
                waits.append(time.perf_counter() - asked)
                assert answer.json()["status"] == "succeeded", answer.text
                polls.append(begun + await poll - asked)
            await asyncio.sleep(6)
            return Figures(waits, polls, *await _at_rest(fleet, postgres, url, idle_seconds))


async def _at_rest(
    fleet: Fleet, postgres: Postgres, url: str, seconds: float
) -> tuple[float, list[float], list[float], int]:
    """Statements a second, processor milliseconds a second of each, megabytes of each, connections."""
    with psycopg.connect(url, autocommit=True) as db:
        count = db.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        connections = count.fetchone()
    with statements_logged(postgres, url):
        await asyncio.sleep(1)
        sent, before = StatementLog(postgres), fleet.processor_seconds()
        await asyncio.sleep(seconds)
        after, statements = fleet.processor_seconds(), sent.count()
    assert connections is not None
    return (
        statements / seconds,
        [1000 * (late - early) / seconds for early, late in zip(before, after, strict=True)],
        fleet.memory_megabytes(),
        connections[0] - 1,
    )


@asynccontextmanager
async def _fleet(checkout: Path, url: str, folder: Path) -> AsyncIterator[Fleet]:
    ports = [free_port() for _ in range(3)]
    processes = []
    for port, (name, role) in zip(ports, (("api", "api"), ("one", "worker"), ("two", "worker")), strict=True):
        environment = os.environ | {
            "MAILDELTA_DATA_DIR": str(folder / name),
            "MAILDELTA_DATABASE_URL": url,
            "MAILDELTA_ROLE": role,
            "MAILDELTA_EXECUTOR_ID": name,
            "MAILDELTA_API_KEY": _KEY,
            "MAILDELTA_SECRET_KEY": "a-secret-key-of-the-benchmark",
            "MAILDELTA_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        }
        command = [str(checkout / ".venv/bin/python"), "-m", "app", "serve", "--port", str(port)]
        with (folder / f"{name}.log").open("wb") as sink:
            processes.append(
                subprocess.Popen(command, cwd=checkout, env=environment, stdout=sink, stderr=sink)
            )
    headers = {"Authorization": f"Bearer {_KEY}"}
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{ports[0]}", headers=headers, timeout=60
        ) as http:
            for port in ports:
                await _ready(http, port)
            yield Fleet(processes, http)
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def _ready(http: httpx.AsyncClient, port: int) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)


async def _register(http: httpx.AsyncClient, drop: FakeMaildrop, server: FakePop3Server) -> str:
    body = {
        "name": "box",
        "host": server.host,
        "port": server.port,
        "security": "none",
        "allow_cleartext_password": True,
        "username": drop.username,
        "password": drop.password,
    }
    mailbox_id: str = (await http.post("/mailboxes", json=body)).json()["id"]
    return mailbox_id


async def _timed(http: httpx.AsyncClient, path: str, query: dict[str, Any]) -> float:
    begun = time.perf_counter()
    answer = await http.get(path, params=query)
    assert answer.json()["items"], answer.text
    return time.perf_counter() - begun


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _memory_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _print(checkouts: list[Path], seen: dict[Path, list[Figures]]) -> None:
    def row(name: str, values: list[str]) -> None:
        print(f"| {name} | " + " | ".join(values) + " |")

    def median(values: list[float]) -> float:
        return statistics.median(values)

    row("", [str(each) for each in checkouts])
    row("---", ["---"] * len(checkouts))
    turns = [seen[each] for each in checkouts]
    row(
        "`wait=` across processes, median, ms",
        [f"{1000 * median([each for turn in some for each in turn.wait]):.0f}" for some in turns],
    )
    row(
        "the slowest, ms",
        [f"{1000 * max(each for turn in some for each in turn.wait):.0f}" for some in turns],
    )
    row(
        "from the ask to the answer of a long poll, median, ms",
        [f"{1000 * median([each for turn in some for each in turn.long_poll]):.0f}" for some in turns],
    )
    row(
        "statements a second at rest", [f"{median([turn.statements for turn in some]):.1f}" for some in turns]
    )
    for place, name in enumerate(("the API", "one worker", "the other")):
        row(
            f"processor at rest, {name}, ms a second",
            [f"{median([turn.processor[place] for turn in some]):.1f}" for some in turns],
        )
    row(
        "memory, API and workers, MB",
        [
            ", ".join(f"{median([turn.memory[place] for turn in some]):.0f}" for place in range(3))
            for some in turns
        ],
    )
    row("connections", [f"{median([turn.connections for turn in some]):.0f}" for some in turns])


async def _all(checkouts: list[Path], *, turns: int, syncs: int, idle_seconds: float) -> None:
    seen: dict[Path, list[Figures]] = {each: [] for each in checkouts}
    with Postgres.start(fsync=True) as postgres:
        for turn in range(turns):
            for checkout in checkouts if turn % 2 == 0 else checkouts[::-1]:
                figures = await measure(checkout, postgres, syncs=syncs, idle_seconds=idle_seconds)
                seen[checkout].append(figures)
    _print(checkouts, seen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("beside", nargs="*", type=Path)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--syncs", type=int, default=30)
    parser.add_argument("--idle", type=float, default=30.0)
    asked = parser.parse_args()
    here = Path(__file__).parents[1]
    asyncio.run(
        _all(
            [*(each.resolve() for each in asked.beside), here],
            turns=asked.turns,
            syncs=asked.syncs,
            idle_seconds=asked.idle,
        )
    )
