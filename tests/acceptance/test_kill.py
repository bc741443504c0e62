"""Killed at any moment and started again, it goes on by itself: nothing is lost, nothing is doubled."""

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.service import Client, ServiceProcess, digests, digests_of

MESSAGES = 2_000
KILLS = 12


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Empty: the embedded default."""
    if request.param == "sqlite":
        return ""
    url: str = request.getfixturevalue("postgres_url")
    return url


async def test_a_sync_survives_sigkill_at_any_moment(
    tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop, database_url: str
) -> None:
    sent = list(sample_messages(MESSAGES, seed=11, mean_octets=6_000))
    maildrop.maildir.deliver_many(sent)
    chance = random.Random(20261123)
    service = ServiceProcess(tmp_path / "data", database_url=database_url, MAILDELTA_BATCH_MESSAGES="25")
    service.start()
    async with service.client() as http:
        client = Client(http)
        mailbox_id = await client.register(maildrop, dovecot_server)
        sync_id = (await http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        killed_while_running = 0
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0, 0.12))
            killed_while_running += (await state_of(http, sync_id))["status"] == "running"
            service.kill()
            await asyncio.to_thread(service.start)
        sync = await client.ended(sync_id)
        assert sync["status"] == "succeeded", (sync, service.log[-3000:])
        messages, _cursor = await client.feed()
        assert digests(messages) == digests_of(as_served(raw) for raw in sent)
        keys = {(message["unique_id"], message["occurrence"]) for message in messages}
        assert len(keys) == MESSAGES
        places = [message["seq"] for message in messages]
        assert places == sorted(set(places))
        report = (await client.sync(mailbox_id))["report"]
        assert (report["known"], report["new"]) == (MESSAGES, 0)
        assert killed_while_running > KILLS / 3, "the kills came too late to prove anything"
    assert list(maildrop.maildir.messages().values()) == sent
    assert service.stop()


async def state_of(http: httpx.AsyncClient, sync_id: str) -> dict[str, Any]:
    """The sync as it is now."""
    state: dict[str, Any] = (await http.get(f"/syncs/{sync_id}")).json()
    return state


async def test_told_to_stop_it_ends_within_seconds_and_goes_on_at_the_next_start(
    tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    sent = list(sample_messages(1_000, seed=12, mean_octets=20_000))
    maildrop.maildir.deliver_many(sent)
    service = ServiceProcess(
        tmp_path / "data", MAILDELTA_BATCH_MESSAGES="10", MAILDELTA_STOP_WITHIN_SECONDS="0.2"
    )
    service.start()
    async with service.client() as http:
        client = Client(http)
        mailbox_id = await client.register(maildrop, dovecot_server)
        sync_id = (await http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        await http.get("/messages", params={"wait": 20})
        assert await asyncio.to_thread(service.stop)
        await asyncio.to_thread(service.start)
        assert (await client.ended(sync_id))["status"] == "succeeded"
        messages, _cursor = await client.feed()
        assert digests(messages) == digests_of(as_served(raw) for raw in sent)
    service.stop()
    assert "Traceback" not in service.log
