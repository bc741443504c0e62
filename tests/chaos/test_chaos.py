"""Kills, freezes, restarted databases, cut networks and wrong clocks: mail comes all the same, each message once."""

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.chaos.proxy import CuttableProxy
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, as_sent
from tests.servers.postgres import Postgres
from tests.service import API_KEY, Client, ServiceProcess

MINUTES = int(os.environ.get("CHAOS_MINUTES", "60"))
SEED = int(os.environ.get("CHAOS_SEED", "20261123"))
SECONDS_PER_MINUTE = 0.4
MAILBOXES = 8
LEASE_SECONDS = 3.0
WITHIN = 60.0  # seconds: what the promise is

_serve = str(Path(__file__).with_name("serve.py"))


@dataclass
class Fleet:
    """An API process and two workers on one PostgreSQL, which they reach through a proxy, and their mail server."""

    postgres: Postgres
    proxy: CuttableProxy
    server: FakePop3Server
    direct_url: str
    directory: Path
    services: dict[str, ServiceProcess] = field(default_factory=dict)

    @property
    def workers(self) -> list[ServiceProcess]:
        return [service for name, service in self.services.items() if name != "api"]

    def service(self, name: str) -> ServiceProcess:
        """One of the processes, not started yet."""
        ahead = self.directory / f"{name}.clock"
        ahead.write_text("0")
        self.services[name] = ServiceProcess(
            self.directory / name,
            database_url=self.direct_url.replace(f":{self.postgres.port}/", f":{self.proxy.port}/"),
            launcher=(_serve, "{port}", str(ahead)),
            MAILDELTA_ROLE="api" if name == "api" else "worker",
            MAILDELTA_EXECUTOR_ID=name,
            MAILDELTA_SECRET_KEY="a-secret-key-of-the-tests-only",
            MAILDELTA_LEASE_SECONDS=str(LEASE_SECONDS),
            MAILDELTA_BATCH_MESSAGES="5",
            PYTHONPATH=str(Path(__file__).parents[2]),
        )
        return self.services[name]

    async def start(self) -> None:
        """All of them; the first one migrates."""
        await asyncio.to_thread(self.service("api").start)
        workers = [self.service(name) for name in ("one", "two")]
        await asyncio.gather(*(asyncio.to_thread(worker.start) for worker in workers))

    def worker_of(self, sync_id: str) -> ServiceProcess:
        """Who holds the lease of a running sync."""
        with psycopg.connect(self.direct_url) as db:  # the proxy is in this thread, which waits
            question = "SELECT worker FROM syncs WHERE id = %s AND status = 'running'"
            row = db.execute(question, [int(sync_id.removeprefix("syn_"))]).fetchone()
        assert row is not None
        return self.services[row[0]]

    def set_clock(self, name: str, seconds: float) -> None:
        """From now on its clock is so far ahead."""
        draft = self.directory / f"{name}.draft"
        draft.write_text(str(seconds))
        draft.replace(self.directory / f"{name}.clock")

    @property
    def logs(self) -> str:
        return "\n".join(f"== {name}\n{service.log[-4000:]}" for name, service in self.services.items())


@asynccontextmanager
async def a_fleet(directory: Path, *maildrops: FakeMaildrop, delay: float = 0.0) -> AsyncIterator[Fleet]:
    """Started; killed at the end."""
    with Postgres.start() as postgres:
        url = postgres.create_database()
        async with (
            FakePop3Server(*maildrops, delay=delay) as server,
            CuttableProxy(postgres.host, postgres.port) as proxy,
        ):
            fleet = Fleet(postgres, proxy, server, url, directory)
            try:
                await fleet.start()
                yield fleet
            finally:
                for service in fleet.services.values():
                    with contextlib.suppress(AssertionError):
                        service.kill()


@asynccontextmanager
async def client_of(fleet: Fleet) -> AsyncIterator[Client]:
    base = f"http://127.0.0.1:{fleet.services['api'].port}"
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as http:
        yield Client(http)


async def eventually(
    question: Callable[[], Awaitable[Any]], *, within: float = WITHIN, fleet: Fleet | None = None
) -> Any:
    """The first answer that is true; trouble on the way is what is expected here."""
    deadline = asyncio.get_running_loop().time() + within
    trouble = ""
    while asyncio.get_running_loop().time() < deadline:
        try:
            if answer := await question():
                return answer
        except (httpx.HTTPError, AssertionError, KeyError) as error:
            trouble = repr(error)
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {within} s: {trouble}" + (f"\n{fleet.logs}" if fleet else ""))


def digest_counts(maildrop: FakeMaildrop) -> Counter[str]:
    return Counter(sha256(as_sent(each.content)).hexdigest() for each in maildrop.messages)


async def is_true_of(client: Client, mailbox_id: str, maildrop: FakeMaildrop) -> None:
    """The feed has what the maildrop has, each once, and the ledger knows each id."""
    feed, _cursor = await client.feed()
    messages = [each for each in feed if each["mailbox_id"] == mailbox_id]
    stored = Counter(each["raw_sha256"] for each in messages)
    assert stored == digest_counts(maildrop), f"{len(messages)} of {len(maildrop.messages)}"
    counts = (await client.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    assert counts["stored"] == len(maildrop.messages)


def a_full_maildrop(messages: int) -> FakeMaildrop:
    maildrop = FakeMaildrop()
    for number in range(messages):
        maildrop.deliver(f"Subject: {number}\r\n\r\n{number}\r\n".encode(), f"id{number}")
    return maildrop


@asynccontextmanager
async def a_sync_under_way(
    directory: Path, maildrop: FakeMaildrop
) -> AsyncIterator[tuple[Fleet, Client, str, str]]:
    """A worker is in the middle of a sync of some seconds; there is another one."""
    async with a_fleet(directory, maildrop, delay=0.05) as fleet, client_of(fleet) as client:
        mailbox_id = await client.register(maildrop, fleet.server)
        sync_id = (await client.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]

        async def is_under_way() -> bool:
            return bool((await client.http.get(f"/syncs/{sync_id}")).json()["report"]["retrieved"])

        await eventually(is_under_way, fleet=fleet)
        yield fleet, client, mailbox_id, sync_id


async def settled(
    fleet: Fleet, client: Client, mailbox_id: str, maildrop: FakeMaildrop, sync_id: str
) -> None:
    """The sync ends within the minute that is promised, or the next one does what it left."""

    async def has_ended() -> bool:
        return (await client.http.get(f"/syncs/{sync_id}")).json()["status"] not in {"queued", "running"}

    async def is_complete() -> bool:
        await client.sync(mailbox_id)
        await is_true_of(client, mailbox_id, maildrop)
        return True

    await eventually(has_ended, fleet=fleet)
    await eventually(is_complete, fleet=fleet)


async def test_what_a_killed_worker_had_is_taken_over_by_another(tmp_path: Path) -> None:
    maildrop = a_full_maildrop(100)
    async with a_sync_under_way(tmp_path, maildrop) as (fleet, client, mailbox_id, sync_id):
        fleet.worker_of(sync_id).kill()
        await settled(fleet, client, mailbox_id, maildrop, sync_id)
        assert sum(b"PASS" in heard.line for heard in fleet.server.log) > 1


async def test_a_frozen_worker_that_comes_back_writes_nothing(tmp_path: Path) -> None:
    maildrop = a_full_maildrop(100)
    async with a_sync_under_way(tmp_path, maildrop) as (fleet, client, mailbox_id, sync_id):
        one = fleet.worker_of(sync_id)
        one.freeze()
        # As long as it is frozen it holds the maildrop's lock at the server.
        maildrop.is_locked = False

        async def is_taken_over() -> bool:
            return await asyncio.to_thread(fleet.worker_of, sync_id) is not one

        try:
            await eventually(is_taken_over, fleet=fleet)
        finally:
            one.thaw()  # while the other one is in the middle of it
        await settled(fleet, client, mailbox_id, maildrop, sync_id)

        async def has_noticed() -> bool:
            return "sync_taken_over" in one.log

        await eventually(has_noticed, fleet=fleet)


async def test_a_worker_frozen_within_a_transaction_does_not_hold_up_all_others(tmp_path: Path) -> None:
    maildrop = a_full_maildrop(100)
    async with a_sync_under_way(tmp_path, maildrop) as (fleet, client, mailbox_id, sync_id):
        one = fleet.worker_of(sync_id)

        async def waits_for_the_gate() -> bool:
            return bool(await asked(fleet, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

        with psycopg.connect(fleet.direct_url) as gate:
            gate.execute("LOCK TABLE messages IN SHARE MODE")
            await eventually(waits_for_the_gate, fleet=fleet)
            one.freeze()  # with the feed's row in its hands: everybody who stores needs that
        maildrop.is_locked = False
        so_far = await asked(fleet, "SELECT count(*) FROM messages")

        async def goes_on() -> bool:
            return await asked(fleet, "SELECT count(*) FROM messages") > so_far

        try:
            await eventually(goes_on, within=4 * LEASE_SECONDS, fleet=fleet)
        finally:
            one.thaw()
        await settled(fleet, client, mailbox_id, maildrop, sync_id)


async def asked(fleet: Fleet, question: str) -> list[tuple[Any, ...]]:
    """What the database says, past the proxy."""
    with psycopg.connect(fleet.direct_url, autocommit=True) as db:
        return db.execute(question.encode()).fetchall()


async def test_a_lone_worker_that_was_frozen_goes_on_and_does_not_stand_in_its_own_way(
    tmp_path: Path,
) -> None:
    maildrop = a_full_maildrop(100)
    async with a_sync_under_way(tmp_path, maildrop) as (fleet, client, _mailbox_id, sync_id):
        one = fleet.worker_of(sync_id)
        next(worker for worker in fleet.workers if worker is not one).kill()
        one.freeze()
        await asyncio.sleep(2 * LEASE_SECONDS)
        one.thaw()
        assert (await client.ended(sync_id))["status"] == "succeeded", fleet.logs


async def test_a_worker_whose_clock_jumps_ahead_goes_on_with_what_it_has(tmp_path: Path) -> None:
    maildrop = a_full_maildrop(100)
    async with a_sync_under_way(tmp_path, maildrop) as (fleet, client, _mailbox_id, sync_id):
        one = fleet.worker_of(sync_id)
        fleet.set_clock(next(name for name, each in fleet.services.items() if each is one), 86_400)
        assert (await client.ended(sync_id))["status"] == "succeeded", fleet.logs


async def test_a_worker_that_dies_with_its_clock_ahead_is_replaced_all_the_same(tmp_path: Path) -> None:
    maildrop = a_full_maildrop(150)
    async with a_sync_under_way(tmp_path, maildrop) as (fleet, client, _mailbox_id, sync_id):
        one = fleet.worker_of(sync_id)
        fleet.set_clock(next(name for name, each in fleet.services.items() if each is one), 86_400)
        await asyncio.sleep(LEASE_SECONDS / 3)  # it has renewed its lease by then
        one.kill()
        assert (await client.ended(sync_id, within=30))["status"] == "succeeded", fleet.logs


async def test_a_database_that_is_restarted_within_a_sync_costs_no_message(tmp_path: Path) -> None:
    maildrop = a_full_maildrop(100)
    async with a_sync_under_way(tmp_path, maildrop) as (fleet, client, mailbox_id, sync_id):
        await asyncio.to_thread(fleet.postgres.restart, crash=True)
        await settled(fleet, client, mailbox_id, maildrop, sync_id)


async def test_a_network_that_is_cut_between_workers_and_database_costs_no_message(tmp_path: Path) -> None:
    maildrop = a_full_maildrop(100)
    async with a_sync_under_way(tmp_path, maildrop) as (fleet, client, mailbox_id, sync_id):
        await fleet.proxy.cut(2.0)
        await settled(fleet, client, mailbox_id, maildrop, sync_id)


class Trouble:
    """What happens to a fleet, one fault after another, as chance wants."""

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self._fleet = fleet
        self._chance = chance
        self._deck: list[Callable[[], Awaitable[None]]] = []
        self.happened: Counter[str] = Counter()

    async def one(self) -> None:
        """One fault, and its end. Each comes once before any comes again."""
        if not self._deck:
            self._deck = [self.kill, self.freeze, self.restart, self.cut, self.jump]
            self._chance.shuffle(self._deck)
        fault = self._deck.pop()
        self.happened[fault.__name__] += 1
        await fault()

    async def kill(self) -> None:
        worker = self._chance.choice(self._fleet.workers)
        worker.kill()
        await asyncio.sleep(self._chance.uniform(0, LEASE_SECONDS))
        await asyncio.to_thread(worker.start)

    async def freeze(self) -> None:
        worker = self._chance.choice(self._fleet.workers)
        worker.freeze()
        try:
            await asyncio.sleep(self._chance.uniform(0.5, 2) * LEASE_SECONDS)
        finally:
            worker.thaw()

    async def restart(self) -> None:
        await asyncio.to_thread(self._fleet.postgres.restart, crash=self._chance.random() < 0.5)

    async def cut(self) -> None:
        await self._fleet.proxy.cut(self._chance.uniform(0.2, 2))

    async def jump(self) -> None:
        name = self._chance.choice([name for name in self._fleet.services if name != "api"])
        self._fleet.set_clock(name, self._chance.uniform(-20, 20))
        await asyncio.sleep(1)
        self._fleet.set_clock(name, 0)


class Reader:
    """A program that follows the feed, and asks again when something goes wrong."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.cursor: str | None = None
        self.read: list[tuple[str, str]] = []

    async def follow(self) -> None:
        while True:
            await self.catch_up()
            await asyncio.sleep(0.2)

    async def catch_up(self) -> None:
        with contextlib.suppress(httpx.HTTPError, AssertionError):
            messages, self.cursor = await self._client.feed(self.cursor)
            self.read += [(each["mailbox_id"], each["raw_sha256"]) for each in messages]


async def test_after_an_hour_of_mail_and_faults_the_ledger_is_the_truth(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    maildrops = [FakeMaildrop(username=f"reader{number}") for number in range(MAILBOXES)]
    async with a_fleet(tmp_path, *maildrops) as fleet, client_of(fleet) as client:
        ids = {
            await client.register(maildrop, fleet.server, poll_interval_seconds=10): maildrop
            for maildrop in maildrops
        }
        reader, trouble = Reader(client), Trouble(fleet, chance)
        following = asyncio.create_task(reader.follow())
        under_way: asyncio.Task[None] | None = None
        for minute in range(MINUTES):
            for number in range(chance.randrange(4)):
                content = f"Subject: {minute}.{number}\r\n\r\n{chance.random()}\r\n".encode()
                chance.choice(maildrops).deliver(content, f"id{minute}.{number}")
            if under_way is None or under_way.done():
                if under_way is not None:
                    under_way.result()
                under_way = asyncio.create_task(trouble.one())
            with contextlib.suppress(httpx.HTTPError):
                await client.http.post(f"/mailboxes/{chance.choice(list(ids))}/sync")
            await asyncio.sleep(SECONDS_PER_MINUTE)
        if under_way is not None:
            await under_way
        for mailbox_id, maildrop in ids.items():
            await eventually(
                lambda mailbox_id=mailbox_id, maildrop=maildrop: _complete(client, mailbox_id, maildrop),  # type: ignore[misc]  # defaults of a lambda
                fleet=fleet,
            )
        following.cancel()
        await asyncio.wait([following])
        await reader.catch_up()
        truth = Counter(
            (mailbox_id, digest) for mailbox_id, maildrop in ids.items() for digest in digest_counts(maildrop)
        )
        assert Counter(reader.read) == truth, f"CHAOS_SEED={SEED}, {trouble.happened}\n{fleet.logs}"
        assert MINUTES < 60 or len(trouble.happened) == 5, trouble.happened


async def _complete(client: Client, mailbox_id: str, maildrop: FakeMaildrop) -> bool:
    await client.sync(mailbox_id, within=10)
    await is_true_of(client, mailbox_id, maildrop)
    return True
