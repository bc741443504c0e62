"""Mail servers that cost, each on an address of its own; and a name server that says nothing. All in one process."""

import asyncio
import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection as Pipe
from typing import Any

from benchmarks.attacks import ATTACKS, SILENT, HostileNameServer
from benchmarks.habits import FROM_NOW, HABITS, LONGEST, SHIFTS, SIZES, UIDL, long_listing
from benchmarks.players import Habit, serving
from tests.servers.ports import free_port

_ONE = "127.0.4.1"  # the address of many names
_NICE = 10  # they are to cost the service time, and not its processor


@dataclass(frozen=True)
class Host:
    """A server that runs: where, and how its mailbox is registered."""

    name: str
    host: str
    port: int
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Running:
    """What runs in the process. ``name_server`` knows the names that ``attacks`` tells of, and says nothing of those in
    ``silent.example``. ``port``: of all servers."""

    pid: int
    port: int
    hosts: Sequence[Host]
    long: Sequence[Host]
    name_server: str


@contextmanager
def running(habits: Sequence[Habit], *, each: int = 2, long: int = 3) -> Iterator[Running]:
    """``each`` servers of every habit and ``long`` of long listings, from 127.0.2.1 on, and the silent name server."""
    port = free_port()
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    names = [habit.name for habit in habits]
    process = context.Process(target=_run, args=(names, each, long, port, there), daemon=True)
    process.start()
    try:
        name_server = here.recv()
        addresses = (f"127.0.2.{number}" for number in count(1))
        hosts = [
            Host(habit.name, next(addresses), port, habit.fields) for habit in habits for _ in range(each)
        ]
        longs = [Host(f"200,000 listed, {n}", next(addresses), port, FROM_NOW) for n in range(long)]
        yield Running(process.pid or 0, port, hosts, longs, name_server)
    finally:
        process.terminate()
        process.join()


def _run(names: Sequence[str], each: int, long: int, port: int, ready: Pipe) -> None:
    os.nice(_NICE)
    habits = {habit.name: habit for habit in (*HABITS, *ATTACKS)}
    plays = [habits[name].play for name in names for _ in range(each)] + [long_listing] * long
    if long:
        numbers = range(LONGEST + SHIFTS + 1)
        UIDL.extend(b"%d 00000000%08x5f1e2d3c\r\n" % (number, number) for number in numbers)
        SIZES.extend(b"%d %d\r\n" % (number, 100 + number * 7 % 50_000) for number in numbers)

    async def serve() -> None:
        async with (
            HostileNameServer(silent=["silent.example"], one=_ONE) as name_server,
            contextlib.AsyncExitStack() as stack,
        ):
            for number, play in enumerate(plays, 1):
                await stack.enter_async_context(await serving(play, f"127.0.2.{number}", port))
            await stack.enter_async_context(await serving(SILENT.play, _ONE, port))
            ready.send(name_server.address)
            await asyncio.Event().wait()

    asyncio.run(serve())
