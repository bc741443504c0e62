"""Attackers without a key beside a healthy client: ``python -m benchmarks.edge [--seconds 5] [attack …]``.

The service runs as it does for real. For each attack: the slowest answer of a client with a key that keeps its
connection, the slowest of one that connects anew each time, how many of either failed, and the service's memory.
"""

import argparse
import asyncio
import multiprocessing
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx

from tests.service import API_KEY, ServiceProcess

MIB = b"x" * (1024 * 1024)
POST = b"POST /mailboxes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
Attack = Callable[[int], Coroutine[None, None, None]]


async def slow_headers(port: int) -> None:
    """300 connections that send an octet of a header block now and then."""

    async def one() -> None:
        writer = await _connected(port, b"GET /mailboxes HTTP/1.1\r\nX-")
        while True:
            await asyncio.sleep(random.uniform(0.1, 1))
            await _sent(writer, b"a")

    await _many(300, one)


async def slow_bodies(port: int) -> None:
    """300 connections that announce a body and send it octet by octet."""

    async def one() -> None:
        writer = await _connected(port, POST + b"Content-Length: 1000000\r\n\r\n")
        while True:
            await _sent(writer, b"{")
            await asyncio.sleep(0.1)

    await _many(300, one)


async def large_bodies(port: int) -> None:
    """Four clients that send 60 MB of JSON, again and again."""

    async def one() -> None:
        writer = await _connected(port, POST + b"Content-Length: 62914560\r\n\r\n")
        for _ in range(60):
            await _sent(writer, MIB)

    await _many(4, one)


async def large_headers(port: int) -> None:
    """Four clients that send a header block of 40 MB."""

    async def one() -> None:
        writer = await _connected(port, b"GET /mailboxes HTTP/1.1\r\nHost: x\r\nX: ")
        for _ in range(40):
            await _sent(writer, MIB)

    await _many(4, one)


async def many_fields(port: int) -> None:
    """Four clients that send header fields without end, each as short as can be."""

    async def one() -> None:
        writer = await _connected(port, b"GET /mailboxes HTTP/1.1\r\nHost: x\r\n")
        while True:
            await _sent(writer, b"a:\r\n" * 10_000)

    await _many(4, one)


async def half_sent(port: int) -> None:
    """290 requests that are half there, and stay so."""

    async def one() -> None:
        writer = await _connected(port, b"GET /mailboxes HTTP/1.1\r\nHost: x\r\n")
        await writer.wait_closed()

    await _many(290, one)


async def connect_flood(port: int) -> None:
    """As many connections as can be made, each left open."""

    async def one() -> None:
        kept = [await _connected(port, b"") for _ in range(50)]
        await asyncio.sleep(0.2)
        for writer in kept:
            writer.transport.abort()

    await _many(20, one)


async def never_read(port: int) -> None:
    """100 clients that ask for the largest file and take nothing of it."""

    async def one() -> None:
        writer = await _connected(port, b"")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport
        await _sent(writer, b"GET /docs/files/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        await asyncio.sleep(5)

    await _many(100, one)


async def wrong_keys(port: int) -> None:
    """Twenty clients that try keys as fast as they are answered."""

    async def one() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            while True:
                key = f"md_{random.randrange(10**40):043}"
                await http.get("/mailboxes", headers={"Authorization": f"Bearer {key}"})

    await _many(20, one)


async def broken_json(port: int) -> None:
    """Twenty clients that send deep JSON without a key, as fast as they are answered."""

    async def one() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            while True:
                await http.post("/mailboxes", content=b"[" * 900_000)

    await _many(20, one)


async def everything(port: int) -> None:
    """All of the above at the same time."""
    await asyncio.gather(*(attack(port) for name, attack in ATTACKS.items() if name != "everything"))


ATTACKS: dict[str, Attack] = {
    each.__name__: each
    for each in (
        slow_headers, slow_bodies, large_bodies, large_headers, many_fields, half_sent, connect_flood, never_read,
        wrong_keys, broken_json, everything,
    )
}  # fmt: skip


@dataclass
class Seen:
    """What a healthy client saw, in seconds."""

    kept: list[float]
    anew: list[float]
    failed: int = 0


async def watched(port: int, seconds: float) -> Seen:
    """A client with a key that keeps its connection, and one that makes a new one each time."""
    seen, until = Seen([], []), time.monotonic() + seconds
    headers = {"Authorization": f"Bearer {API_KEY}"}
    url = f"http://127.0.0.1:{port}/messages?limit=50"

    async def ask(http: httpx.AsyncClient, into: list[float]) -> None:
        began = time.monotonic()
        try:
            seen.failed += (await http.get(url, headers=headers)).status_code != 200
        except httpx.TransportError:
            seen.failed += 1
        into.append(time.monotonic() - began)
        await asyncio.sleep(0.02)

    async def keeping() -> None:
        async with httpx.AsyncClient(timeout=30) as http:
            while time.monotonic() < until:
                await ask(http, seen.kept)

    async def coming() -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(timeout=30, limits=limits) as http:
            while time.monotonic() < until:
                await ask(http, seen.anew)

    await asyncio.gather(keeping(), coming())
    return seen


def under(name: str, port: int, seconds: float) -> Seen:
    """What healthy clients see while an attack runs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    attacker = context.Process(target=_attack, args=(name, port, begun), daemon=True)
    attacker.start()
    try:
        begun.wait()
        time.sleep(1.0)  # it is in full swing
        return asyncio.run(watched(port, seconds))
    finally:
        attacker.kill()
        attacker.join()


def memory_mib(pid: int) -> float:
    """What a process has of its own in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmRSS")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each attack")
    parser.add_argument("attacks", nargs="*", metavar="attack", help=f"of {', '.join(ATTACKS)}; default: all")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = ServiceProcess(Path(folder) / "data")
        with service.started():
            quiet = asyncio.run(watched(service.port, wanted.seconds))
            before = memory_mib(service.pid)
            print(f"{'':14}  slowest answer in ms: kept   anew   failed   memory +MiB (of {before:.0f})")
            _print("quiet", quiet, 0.0)
            for name in wanted.attacks or ATTACKS:
                seen = under(name, service.port, wanted.seconds)
                _print(name, seen, memory_mib(service.pid) - before)


def _print(name: str, seen: Seen, grown: float) -> None:
    kept, anew = (max(each) * 1000 for each in (seen.kept, seen.anew))
    print(f"{name:14}  {kept:26.0f} {anew:6.0f} {seen.failed:8} {grown:13.0f}", flush=True)


def _attack(name: str, port: int, begun: Event) -> None:
    begun.set()
    asyncio.run(ATTACKS[name](port))


async def _many(count: int, one: Callable[[], Awaitable[None]]) -> None:
    """So many at the same time, each begun again when it was ended."""

    async def again() -> None:
        while True:
            try:
                await one()
            except (OSError, httpx.HTTPError):
                await asyncio.sleep(0.01)

    await asyncio.gather(*(again() for _ in range(count)))


async def _connected(port: int, octets: bytes) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await _sent(writer, octets)
    return writer


async def _sent(writer: asyncio.StreamWriter, octets: bytes) -> None:
    writer.write(octets)
    await writer.drain()
    if writer.transport.is_closing():
        raise ConnectionError


if __name__ == "__main__":
    main()
