"""When a mailbox is polled: changed at run time, slower while it is quiet, never sooner than the server wants."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fakes.pop3_server import CAPABILITIES, FakeMaildrop, FakePop3Server
from tests.service import Client

LETTER = b"Subject: hello\r\n\r\nx\r\n"


async def change(service: Client, mailbox_id: str, **fields: Any) -> dict[str, Any]:
    answer = await service.http.patch(f"/mailboxes/{mailbox_id}", json=fields)
    assert answer.status_code == 200, answer.text
    mailbox: dict[str, Any] = answer.json()
    return mailbox


async def read(service: Client, mailbox_id: str) -> dict[str, Any]:
    mailbox: dict[str, Any] = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
    return mailbox


async def seconds_to_next(service: Client, mailbox_id: str) -> float:
    """Until the next poll, counted from the end of the last sync."""
    mailbox = await read(service, mailbox_id)
    next_sync_at = datetime.fromisoformat(mailbox["next_sync_at"])
    return (next_sync_at - datetime.fromisoformat(mailbox["last_sync"]["finished_at"])).total_seconds()


async def until_sessions(server: FakePop3Server, count: int) -> None:
    async with asyncio.timeout(10):
        while server.sessions < count:
            await asyncio.sleep(0.01)


async def until_polled(service: Client, mailbox_id: str, *, times: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            syncs: list[dict[str, Any]] = (await service.http.get(f"/mailboxes/{mailbox_id}/syncs")).json()[
                "items"
            ]
            if len(syncs) >= times and syncs[0]["finished_at"]:
                return syncs
            await asyncio.sleep(0.02)


async def test_an_interval_that_is_changed_holds_at_once(service: Client) -> None:
    drop = FakeMaildrop()
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        await asyncio.sleep(0.2)
        assert server.sessions == 0
        await change(service, mailbox_id, poll_interval_seconds=3600)
        await until_polled(service, mailbox_id, times=1)
        assert await seconds_to_next(service, mailbox_id) == pytest.approx(3600, rel=0.06)
        await change(service, mailbox_id, poll_interval_seconds=600)
        await until_polled(service, mailbox_id, times=2)
        assert await seconds_to_next(service, mailbox_id) == pytest.approx(600, rel=0.06)
        assert (await change(service, mailbox_id, poll_interval_seconds=None))["next_sync_at"] is None


async def test_a_wrong_password_stops_the_polls_at_once_until_there_is_another(service: Client) -> None:
    drop = FakeMaildrop(password="the new one")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server, password="the old one", poll_interval_seconds=10)
        await until_polled(service, mailbox_id, times=1)
        mailbox = await change(service, mailbox_id, poll_interval_seconds=11, name="renamed")
        assert (mailbox["status"], mailbox["next_sync_at"]) == ("auth_failed", None)
        await asyncio.sleep(1.5)  # more than a tick
        assert server.sessions == 1
        assert (await service.http.post(f"/mailboxes/{mailbox_id}/sync")).status_code == 409
        mailbox = await change(service, mailbox_id, password=drop.password)
        assert mailbox["status"] == "active"
        syncs = await until_polled(service, mailbox_id, times=2)
        assert [sync["status"] for sync in syncs] == ["succeeded", "failed"]


async def test_no_poll_comes_sooner_than_the_server_wants_whatever_is_changed(service: Client) -> None:
    drop = FakeMaildrop()
    async with FakePop3Server(drop, capabilities=(*CAPABILITIES, "LOGIN-DELAY 900")) as server:
        mailbox_id = await service.register(drop, server, poll_interval_seconds=10)
        await until_polled(service, mailbox_id, times=1)
        assert await seconds_to_next(service, mailbox_id) >= 900
        mailbox = await read(service, mailbox_id)
        assert any("900 s" in warning for warning in mailbox["server"]["warnings"])
        for fields in ({"poll_interval_seconds": 20}, {"paused": True}, {"paused": False}):
            await change(service, mailbox_id, **fields)
        assert await seconds_to_next(service, mailbox_id) >= 899
        assert (await service.sync(mailbox_id))["status"] == "succeeded", "who asks for a sync gets one"
        await change(service, mailbox_id, password=drop.password)
        await until_polled(service, mailbox_id, times=3)
        drop.is_locked = True
        assert (await service.sync(mailbox_id))["error"]["code"] == "maildrop_in_use"
        assert datetime.fromisoformat((await read(service, mailbox_id))["next_sync_at"]) > datetime.now(UTC)


async def test_a_quiet_mailbox_is_polled_less_often_until_something_comes(service: Client) -> None:
    drop = FakeMaildrop()
    drop.deliver(LETTER, "a")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(
            drop, server, poll_interval_seconds=100, poll_interval_max_seconds=200
        )
        await until_polled(service, mailbox_id, times=1)
        waits = [await seconds_to_next(service, mailbox_id)]
        for _ in range(3):
            await service.sync(mailbox_id)
            waits.append(await seconds_to_next(service, mailbox_id))
        assert waits == [pytest.approx(seconds, rel=0.06) for seconds in (100, 150, 200, 200)]
        drop.deliver(LETTER, "b")
        await service.sync(mailbox_id)
        assert await seconds_to_next(service, mailbox_id) == pytest.approx(100, rel=0.06)
        await service.sync(mailbox_id)
        mailbox = await change(service, mailbox_id, poll_interval_max_seconds=None)
        assert mailbox["poll_interval_max_seconds"] is None
        await until_polled(service, mailbox_id, times=7)
        assert await seconds_to_next(service, mailbox_id) == pytest.approx(100, rel=0.06)


async def test_an_interval_that_would_grow_to_less_than_it_is_is_refused(service: Client) -> None:
    drop = FakeMaildrop()
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server, poll_interval_max_seconds=100)
        refused = await service.http.patch(f"/mailboxes/{mailbox_id}", json={"poll_interval_seconds": 101})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/poll_interval_max_seconds"
        assert (await read(service, mailbox_id))["poll_interval_seconds"] is None
        body = {
            "name": "m", "host": "pop.example.org", "username": "u", "password": "x",
            "poll_interval_seconds": 101, "poll_interval_max_seconds": 100,
        }  # fmt: skip
        assert (await service.http.post("/mailboxes", json=body)).status_code == 422
