"""An hour of mail with kills, freezes, restarted databases, cut networks and wrong clocks, one after another."""

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from tests.chaos.fleet import (
    LEASE_SECONDS,
    Fleet,
    a_fleet,
    client_of,
    digest_counts,
    eventually,
    is_true_of,
)
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client

MINUTES = int(os.environ.get("CHAOS_MINUTES", "60"))
SEED = int(os.environ.get("CHAOS_SEED", "20261123"))
SECONDS_PER_MINUTE = 0.4
MAILBOXES = 8
FAULTS = 5


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
        worker = self._chance.choice(self._fleet.workers)
        self._fleet.set_clock(worker, self._chance.uniform(-20, 20))
        await asyncio.sleep(1)
        self._fleet.set_clock(worker, 0)


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
    async with a_fleet(tmp_path) as fleet, FakePop3Server(*maildrops) as server, client_of(fleet) as client:
        ids = {
            await client.register(maildrop, server, poll_interval_seconds=10): maildrop
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
        while MINUTES >= 60 and len(trouble.happened) < FAULTS:  # on a busy machine each takes long
            late = f"late {chance.random()}"
            chance.choice(maildrops).deliver(f"Subject: {late}\r\n\r\n".encode(), late.replace(" ", "-"))
            await trouble.one()
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


async def _complete(client: Client, mailbox_id: str, maildrop: FakeMaildrop) -> bool:
    await client.sync(mailbox_id, within=60)
    await is_true_of(client, mailbox_id, maildrop)
    return True
