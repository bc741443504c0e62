"""Several workers on one host with default settings: none takes another's syncs, each takes back its own."""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from app.database import Database
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults
from tests.service import Client, ServiceProcess

SECRET = "the same for all of them"
WITHIN_SECONDS = 10.0  # far less than the lease


def process(folder: Path, url: str, role: str) -> ServiceProcess:
    return ServiceProcess(
        folder,
        database_url=url,
        MAILDELTA_EXECUTOR_ID="",
        MAILDELTA_ROLE=role,
        MAILDELTA_SECRET_KEY=SECRET,
        MAILDELTA_TICK_SECONDS="0.2",
        MAILDELTA_REPLY_TIMEOUT_SECONDS="600",  # processes start slowly on a busy machine
    )


async def state(database: Database) -> tuple[str, str, int]:
    """The one sync: its status, who runs it, and the token, which is another one after each claim."""
    question = text("SELECT status, coalesce(worker, ''), lease_token FROM syncs")
    return await database.read(lambda db: tuple(db.execute(question).one()))


@pytest.mark.parametrize("folders", [("same", "same"), ("one", "other")], ids=["one folder", "two folders"])
async def test_a_worker_takes_back_what_it_held_and_nothing_of_its_neighbour(
    tmp_path: Path, postgres_url: str, folders: tuple[str, str]
) -> None:
    drop = FakeMaildrop()
    drop.deliver(b"Subject: x\r\n\r\nx\r\n", "a")
    first = process(tmp_path / folders[0], postgres_url, "all")
    second = process(tmp_path / folders[1], postgres_url, "worker")
    async with FakePop3Server(drop, faults=Faults(hang=["RETR"])) as server:
        database = Database(postgres_url)
        with first.started():
            async with first.client() as http:
                await http.post(f"/mailboxes/{await Client(http).register(drop, server)}/sync")
            await until_claimed(database, after=0)
            claimed = await state(database)
            assert claimed[0] == "running"
            with second.started():
                await asyncio.sleep(1)
                assert await state(database) == claimed
                second.kill()
                await asyncio.to_thread(second.start)
                await asyncio.sleep(1)
                assert await state(database) == claimed
                first.kill()
                await asyncio.to_thread(first.start)
                await until_claimed(database, after=claimed[2])
                await until_said("syncs_resumed", first)
        database.close()


async def until_said(event: str, process: ServiceProcess) -> None:
    """Its log has the event: it is written while the other worker may claim already."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while event not in process.log:
            await asyncio.sleep(0.02)


async def until_claimed(database: Database, *, after: int) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while (await state(database))[2] <= after:
        assert time.monotonic() < deadline, await state(database)
        await asyncio.sleep(0.02)
