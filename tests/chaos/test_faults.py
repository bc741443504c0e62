"""One fault in the middle of a sync: all mail comes all the same, each message once.

The promise is a minute, on a machine that does nothing else; the tests wait for longer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
import pytest
import pytest_asyncio

from tests.chaos.fleet import LEASE_SECONDS, Fleet, a_fleet, asked, client_of, eventually, is_true_of
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client, ServiceProcess

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """One for all faults: each begins with everything started and in order."""
    async with a_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


def a_full_maildrop(messages: int) -> FakeMaildrop:
    maildrop = FakeMaildrop()
    for number in range(messages):
        maildrop.deliver(f"Subject: {number}\r\n\r\n{number}\r\n".encode(), f"id{number}")
    return maildrop


@dataclass
class UnderWay:
    """A worker is in the middle of a sync of some seconds; there is another one."""

    fleet: Fleet
    client: Client
    maildrop: FakeMaildrop
    server: FakePop3Server
    mailbox_id: str
    sync_id: str
    worker: ServiceProcess

    async def is_taken_over(self) -> bool:
        return await asyncio.to_thread(self.fleet.worker_of, self.sync_id) is not self.worker

    async def settled(self) -> None:
        """The sync ends, or the next one does what it left."""
        await eventually(self._has_ended, fleet=self.fleet)
        await eventually(self._is_complete, fleet=self.fleet)

    async def _has_ended(self) -> bool:
        sync = (await self.client.http.get(f"/syncs/{self.sync_id}")).json()
        return sync["status"] not in {"queued", "running"}

    async def _is_complete(self) -> bool:
        await self.client.sync(self.mailbox_id)
        await is_true_of(self.client, self.mailbox_id, self.maildrop)
        return True


@asynccontextmanager
async def a_sync_under_way(fleet: Fleet, messages: int = 100) -> AsyncIterator[UnderWay]:
    await fleet.heal()
    maildrop = a_full_maildrop(messages)
    async with FakePop3Server(maildrop, delay=0.05) as server, client_of(fleet) as client:
        mailbox_id = await client.register(maildrop, server)
        sync_id = (await client.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]

        async def is_storing() -> bool:
            return bool((await client.http.get(f"/syncs/{sync_id}")).json()["report"]["retrieved"])

        await eventually(is_storing, fleet=fleet)
        worker = fleet.worker_of(sync_id)
        yield UnderWay(fleet, client, maildrop, server, mailbox_id, sync_id, worker)


async def test_what_a_killed_worker_had_is_taken_over_by_another(fleet: Fleet) -> None:
    async with a_sync_under_way(fleet) as sync:
        sync.worker.kill()
        await sync.settled()
        assert sum(b"PASS" in heard.line for heard in sync.server.log) > 1


async def test_a_frozen_worker_that_comes_back_writes_nothing(fleet: Fleet) -> None:
    async with a_sync_under_way(fleet) as sync:
        written = len(sync.worker.log)
        sync.worker.freeze()
        sync.maildrop.is_locked = False  # as long as it is frozen it holds the maildrop's lock at the server
        await eventually(sync.is_taken_over, fleet=fleet)
        sync.worker.thaw()  # while the other one is in the middle of it
        await sync.settled()

        async def has_noticed() -> bool:
            return "sync_taken_over" in sync.worker.log[written:]

        await eventually(has_noticed, fleet=fleet)


async def test_a_worker_frozen_within_a_transaction_does_not_hold_up_all_others(fleet: Fleet) -> None:
    async with a_sync_under_way(fleet) as sync:

        async def waits_for_the_gate() -> bool:
            return bool(await asked(fleet, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

        with psycopg.connect(fleet.direct_url) as gate:
            # The proxy is in this thread: whoever is within a transaction ends it only while we let go of that.
            await asyncio.to_thread(gate.execute, "LOCK TABLE messages IN SHARE MODE")
            await eventually(waits_for_the_gate, fleet=fleet)
            sync.worker.freeze()  # with the feed's row in its hands: everybody who stores needs that
        sync.maildrop.is_locked = False
        so_far = await asked(fleet, "SELECT count(*) FROM messages")

        async def goes_on() -> bool:
            return await asked(fleet, "SELECT count(*) FROM messages") > so_far

        await eventually(goes_on, within=20 * LEASE_SECONDS, fleet=fleet)
        sync.worker.thaw()
        await sync.settled()


async def test_a_lone_worker_that_was_frozen_goes_on_and_does_not_stand_in_its_own_way(fleet: Fleet) -> None:
    async with a_sync_under_way(fleet) as sync:
        next(worker for worker in fleet.workers if worker is not sync.worker).kill()
        sync.worker.freeze()
        await asyncio.sleep(2 * LEASE_SECONDS)
        sync.worker.thaw()
        assert (await sync.client.ended(sync.sync_id))["status"] == "succeeded", fleet.logs


async def test_a_worker_whose_clock_jumps_ahead_goes_on_with_what_it_has(fleet: Fleet) -> None:
    async with a_sync_under_way(fleet) as sync:
        fleet.set_clock(sync.worker, 86_400)
        assert (await sync.client.ended(sync.sync_id))["status"] == "succeeded", fleet.logs


async def test_a_worker_that_dies_with_its_clock_ahead_is_replaced_all_the_same(fleet: Fleet) -> None:
    async with a_sync_under_way(fleet, messages=150) as sync:
        fleet.set_clock(sync.worker, 86_400)
        await asyncio.sleep(LEASE_SECONDS / 3)  # it has renewed its lease by then
        sync.worker.kill()
        assert (await sync.client.ended(sync.sync_id, within=120))["status"] == "succeeded", fleet.logs


async def test_a_database_that_is_restarted_within_a_sync_costs_no_message(fleet: Fleet) -> None:
    async with a_sync_under_way(fleet) as sync:
        await asyncio.to_thread(fleet.postgres.restart, crash=True)
        await sync.settled()


async def test_a_network_that_is_cut_between_workers_and_database_costs_no_message(fleet: Fleet) -> None:
    async with a_sync_under_way(fleet) as sync:
        await fleet.proxy.cut(2.0)
        await sync.settled()
