"""Healthy mailboxes alone, and then beside hostile ones: `python -m benchmarks.neighbours`.

Ten healthy mailboxes are polled every ten seconds, and a client writes, reads and asks for syncs. Then beside them,
each server with an address of its own: 40 hostile servers of 20 habits, 16 mailboxes of a silent name server, three
listings of 200,000 entries that change each time, and 30 long polls with a filter that finds nothing among 100,000
messages. What is told is how long healthy polls and requests take, how late polls are, what fails, and memory.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from sqlalchemy import Table, create_engine, select
from sqlmodel import SQLModel

from app.database import driver_url
from app.messages.models import Content, Feed, Message
from app.runs.models import Sync
from benchmarks import hostile
from benchmarks.attacks import ATTACKS, NAMES
from benchmarks.clients import ClientFailed
from benchmarks.costly_clients import long_polls, who_do_not_end, who_do_not_read, who_wait_once
from benchmarks.habits import HABITS
from benchmarks.hostile import Host, Running
from benchmarks.http import Connection
from benchmarks.players import Habit, Part, letter, listed, serving
from benchmarks.processes import family_cpu_seconds, family_memory
from benchmarks.service import Service, running_service
from benchmarks.windows import Window, kind_of, one_line, told
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres

INTERVAL_SECONDS = 10  # the shortest that the API takes
HEALTHY = 10
SILENT = 16
LONG_POLLS = 30
STORED = 100_000
_EARLIEST, _LATEST = 0.95, 1.05  # the spread of the intervals
_PAUSE_SECONDS = 0.1
_SAMPLE_SECONDS = 0.25


def main() -> int:
    """Print a table in Markdown; 1 when something is beyond the bounds."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    options.add_argument("--seconds", type=float, default=100.0, help="of each of the two windows")
    options.add_argument("--postgresql", action="store_true", help="on PostgreSQL, with two workers")
    options.add_argument("--each", type=int, default=2, help="servers of each habit")
    options.add_argument("--only", help="habits whose name holds this, and nothing else beside")
    options.add_argument("--further", action="store_true", help="all habits, not the first twenty")
    options.add_argument(
        "--one-by-one", action="store_true", help="further ones yet, each by itself for a while"
    )
    asked = options.parse_args()
    some: Sequence[Habit] = ATTACKS if asked.one_by_one else HABITS if asked.further else HABITS[:20]
    habits = [one for one in some if (asked.only or "") in one.name]
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        is_alone = asked.only or asked.one_by_one
        foes = stack.enter_context(hostile.running(habits, each=asked.each, long=0 if is_alone else 3))
        url, families = f"sqlite:///{place}/data/maildelta.sqlite", {"hostile servers": foes.pid}
        if asked.postgresql:
            postgres = stack.enter_context(Postgres.start(fsync=True))
            url, families["PostgreSQL"] = postgres.create_database(), postgres.pid or 0
        services = _services(stack, place, url, foes.name_server, workers=1 + asked.postgresql)
        watched = _Watched(services, url, families, stack.enter_context(_healthy_servers()))
        _say("registering healthy mailboxes")
        watched.register_healthy()
        if not asked.only:
            _say(f"storing {STORED:,} messages")
            _fill(url, STORED)
        time.sleep(2 * INTERVAL_SECONDS)
        _say("healthy ones alone")
        alone = watched.window(asked.seconds)
        if asked.one_by_one:
            return _one_by_one(watched, services[0], foes, alone)
        if not asked.only:
            stack.enter_context(long_polls(services[0], LONG_POLLS))
        _say("hostile ones beside")
        watched.register_hostile(foes, 0 if asked.only else SILENT)
        beside = watched.window(asked.seconds)
        watched.tell_hostile()
    return told(alone, beside, interval_seconds=INTERVAL_SECONDS)


def _one_by_one(watched: "_Watched", service: Service, foes: Running, alone: Window) -> int:
    """A line for each; how many were beyond the bounds. The first is nothing once more: what the machine does."""
    clients: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "500 long polls with filters": partial(who_wait_once, service, 500),
        "200 clients that do not read": partial(who_do_not_read, service, 200),
        "200 requests that do not end": partial(who_do_not_end, service, 200),
    }
    foe: dict[str, list[Host]] = {}
    for host in foes.hosts:
        foe.setdefault(host.name, []).append(host)
    for name in NAMES:
        foe[name] = [Host(name, name.format(n), foes.port, {}) for n in range(30)]
    broken = 0
    print("| beside | median: polls, reads, writes, syncs, times | 99th percentile, ms more | MB more | |")
    print("| --- | ---: | ---: | ---: | --- |")
    for name in ["nothing", *foe, *clients]:
        _say(name)
        with clients.get(name, nullcontext)(), watched.hostile(foe.get(name, ())):
            seen = watched.window(alone.seconds)
        beyond = one_line(name, alone, seen)
        broken += beyond
        time.sleep(INTERVAL_SECONDS)
    return broken


def _say(what: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", file=sys.stderr)


def _services(stack: ExitStack, place: Path, url: str, name_server: str, *, workers: int) -> list[Service]:
    settings = {
        "database_url": url, "name_servers": name_server, "max_message_octets": str(100 * 1024 * 1024)
    }  # fmt: skip
    roles = ["all", "worker"][:workers]
    return [stack.enter_context(running_service(place, role=role, **settings)) for role in roles]


class _Watched:
    """The healthy mailboxes of services, the client, and what they see."""

    def __init__(
        self,
        services: Sequence[Service],
        url: str,
        families: Mapping[str, int],
        friends: tuple[int, Sequence[str], int],
    ) -> None:
        """``families``: whose processor time is told too, by the process that all of them descend from."""
        self._services = services
        self._engine = create_engine(driver_url(url))
        pid, self._hosts, self._port = friends
        self._families = {f"service {n}": each.pid for n, each in enumerate(services, 1)}
        self._families |= {**families, "healthy servers": pid}
        self._healthy: list[int] = []
        self._hostile: dict[int, str] = {}
        self._own = ""

    def register_healthy(self) -> None:
        with closing(Connection(self._services[0].port, self._services[0].key)) as connection:
            connection.connect()
            for host in self._hosts:
                body = _mailbox("healthy", host, self._port, poll_interval_seconds=INTERVAL_SECONDS)
                self._healthy.append(_number(connection.ask("POST", "/mailboxes", body)))
            body = _mailbox("own", self._hosts[0], self._port)
            self._own = connection.ask("POST", "/mailboxes", body)["id"]

    @contextmanager
    def hostile(self, foes: Sequence[Host]) -> Iterator[None]:
        """These are polled for the block."""
        with closing(Connection(self._services[0].port, self._services[0].key)) as connection:
            connection.connect()
            made = [self._register(connection, foe) for foe in foes]
        yield
        self.tell_hostile(sys.stderr)
        with closing(Connection(self._services[0].port, self._services[0].key)) as connection:
            connection.connect()
            for mailbox in made:
                connection.ask("DELETE", f"/mailboxes/{mailbox['id']}?confirm={quote(mailbox['name'])}")
        self._hostile.clear()

    def _register(self, connection: Connection, foe: Host) -> dict[str, Any]:
        fields = {"poll_interval_seconds": INTERVAL_SECONDS, **foe.fields}
        made = connection.ask("POST", "/mailboxes", _mailbox(foe.name, foe.host, foe.port, **fields))
        self._hostile[_number(made)] = foe.name
        return made

    def register_hostile(self, foes: Running, silent: int) -> None:
        with closing(Connection(self._services[0].port, self._services[0].key)) as connection:
            connection.connect()
            for foe in (*foes.hosts, *foes.long):
                self._register(connection, foe)
            for number in range(silent):
                body = _mailbox("silent name server", f"pop{number}.silent.example", self._port)
                made = connection.ask(
                    "POST", "/mailboxes", body | {"poll_interval_seconds": INTERVAL_SECONDS}
                )
                self._hostile[_number(made)] = "silent name server"

    def window(self, seconds: float) -> Window:
        seen, over = Window(seconds), threading.Event()
        threads = [
            threading.Thread(target=self._ask_again, args=(seen, over)),
            threading.Thread(target=self._watch_memory, args=(seen, over)),
        ]
        before, began = self._cpu(), datetime.now(UTC)
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        over.set()
        for thread in threads:
            thread.join()
        after = self._cpu()
        seen.cpu = {who: after[who] - before[who] for who in after}
        self._add_polls(seen, began, datetime.now(UTC))
        return seen

    def tell_hostile(self, to: TextIO = sys.stdout) -> None:
        """How the hostile mailboxes' syncs ended: a habit that plays nothing shows here."""
        syncs = _table(Sync)
        with self._engine.connect() as db:
            rows = db.execute(select(syncs.c.mailbox_id, syncs.c.status, syncs.c.error)).all()
        ends: dict[str, dict[str, int]] = {}
        for row in rows:
            if name := self._hostile.get(row.mailbox_id):
                end = row.error["code"] if row.error else row.status
                counted = ends.setdefault(name, {})
                counted[end] = counted.get(end, 0) + 1
        print("| beside | how its syncs ended |\n| --- | --- |", file=to)
        for name, counted in ends.items():
            print(f"| {name} | {', '.join(f'{end} {many}' for end, many in counted.items())} |", file=to)
        print(file=to)

    def _cpu(self) -> dict[str, float]:
        own = sum(os.times()[:2])  # the client, and those who wait
        return {who: family_cpu_seconds(pid) for who, pid in self._families.items()} | {"clients": own}

    def _watch_memory(self, seen: Window, over: threading.Event) -> None:
        while not over.wait(_SAMPLE_SECONDS):
            seen.octets = max(seen.octets, sum(family_memory(each.pid) for each in self._services))

    def _ask_again(self, seen: Window, over: threading.Event) -> None:
        own = f"/mailboxes/{self._own}"
        asked: list[tuple[str, str, str, dict[str, Any] | None]] = [
            ("reads", "GET", "/messages?limit=50", None),
            ("writes", "PATCH", own, {"name": "own"}),
            ("reads", "GET", own, None),
            ("syncs", "POST", f"{own}/sync?wait=30", None),
        ]
        with closing(Connection(self._services[0].port, self._services[0].key)) as connection:
            connection.connect()
            while not over.is_set():
                for name, method, path, body in asked:
                    started = time.perf_counter()
                    try:
                        answer = connection.ask(method, path, body)
                        took = 1000 * (time.perf_counter() - started)
                        if method == "POST" and answer["status"] != "succeeded":
                            seen.failures.append(f"own sync: {answer['status']} {answer['error']}")
                        seen.add(kind_of(name, answer["report"]) if method == "POST" else name, took)
                    except ClientFailed as error:
                        seen.failures.append(f"{method} {path}: {error}")
                        with suppress(ClientFailed):  # the next one fails, too
                            connection.connect()
                    over.wait(_PAUSE_SECONDS)

    def _add_polls(self, seen: Window, began: datetime, ended: datetime) -> None:
        syncs = _table(Sync)
        polls = select(syncs).where(syncs.c.mailbox_id.in_(self._healthy), syncs.c.queued_at < ended)
        with self._engine.connect() as db:
            rows = db.execute(polls.order_by(syncs.c.mailbox_id, syncs.c.id)).all()
        for mailbox in self._healthy:
            last: datetime | None = None
            for row in (row for row in rows if row.mailbox_id == mailbox):
                if row.finished_at is not None and row.queued_at >= began:
                    took = 1000 * (row.finished_at - row.queued_at).total_seconds()
                    seen.add(kind_of("polls", row.report), took)
                    seen.add_phases(row)
                    if row.status != "succeeded":
                        seen.failures.append(f"poll: {row.status} {row.error}")
                if last is not None and row.queued_at >= began:
                    waited = (row.queued_at - last).total_seconds()
                    seen.late.append(1000 * max(0.0, waited - _LATEST * INTERVAL_SECONDS))
                last = row.finished_at or ended
            if last is not None and (ended - last).total_seconds() > 2 * _LATEST * INTERVAL_SECONDS:
                seen.late.append(1000 * (ended - last).total_seconds())


def _mailbox(name: str, host: str, port: int, **fields: Any) -> dict[str, Any]:
    return {
        "name": name, "host": host, "port": port, "security": "none", "allow_cleartext_password": True,
        "username": name.replace(" ", "-"), "password": "p", "poll_interval_seconds": None,
        "allow_duplicate": True, **fields,
    }  # fmt: skip


def _number(made: dict[str, Any]) -> int:
    return int(made["id"].removeprefix("mbx_"))


@contextmanager
def _healthy_servers() -> Iterator[tuple[int, Sequence[str], int]]:
    """A process, the addresses and the port of servers that behave. Each second session shows one more message."""
    port, here, there = free_port(), *multiprocessing.Pipe()
    hosts = [f"127.0.1.{number}" for number in range(1, HEALTHY + 1)]
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(hosts, port, there), daemon=True)
    process.start()
    try:
        here.recv()
        yield process.pid or 0, hosts, port
    finally:
        process.terminate()
        process.join()


def _serve(hosts: Sequence[str], port: int, ready: Any) -> None:
    async def serve() -> None:
        servers = [await serving(_grown_slowly, host, port) for host in hosts]
        ready.send(len(servers))
        await asyncio.Event().wait()

    asyncio.run(serve())


def _grown_slowly(session: int) -> Part:
    many = 20 + session // 2

    async def retr(line: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(letter(line.split()[1], filler=4_000))

    return Part(answers=listed([b"id-%d" % number for number in range(many)]) | {b"RETR": retr, b"TOP": retr})


def _fill(url: str, messages: int) -> None:
    """Small messages of the first mailbox, each with a content of its own, in the database itself."""
    feed, contents, stored = (_table(model) for model in (Feed, Content, Message))
    engine = create_engine(driver_url(url))
    for start in range(0, messages, 2_000):
        with engine.begin() as db:
            db.execute(feed.update().values(last_seq=feed.c.last_seq + 2_000))
            last = db.execute(select(feed.c.last_seq)).scalar_one() - 2_000
            keys = [(last + n, (start + n).to_bytes(32, "big")) for n in range(1, 2_001)]
            db.execute(
                contents.insert(),
                [{"sha256": sha256, "octets": 1, "blocks": 1, "data": b"x" * 300} for _, sha256 in keys],
            )
            db.execute(stored.insert(), [_message(seq, sha256) for seq, sha256 in keys])
        time.sleep(0.02)
    engine.dispose()


def _table(model: type[SQLModel]) -> Table:
    return SQLModel.metadata.tables[str(model.__tablename__)]


def _message(seq: int, sha256: bytes) -> dict[str, Any]:
    return {
        "seq": seq, "mailbox_id": 1, "unique_id": b"filled-%d" % seq, "occurrence": 1,
        "subject": "Invoice of the month", "authors": [], "to": [], "cc": [], "reply_to": [],
        "from_ambiguous": False, "retrieved_at": datetime.now(UTC), "octets": 1, "raw_sha256": sha256,
        "has_attachments": False, "snippet": "x" * 150, "warnings": [],
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
