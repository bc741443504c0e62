"""Quotas and the disk: syncs stop before anything is retrieved, and go on when there is room."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client, running, settings_for


@pytest.fixture
def drop() -> FakeMaildrop:
    """A maildrop with six messages."""
    drop = FakeMaildrop()
    for number in range(6):
        drop.deliver(b"Subject: %d\r\n\r\nx\r\n" % number, f"id{number}")
    return drop


@pytest.fixture
async def server(drop: FakeMaildrop) -> AsyncIterator[FakePop3Server]:
    """Serves it."""
    async with FakePop3Server(drop) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    """Stores two messages at a time, and ten at most."""
    given: dict[str, Any] = {"batch_messages": 2, "quota_messages": 10}
    if request.param == "postgresql":
        given |= {"database_url": request.getfixturevalue("migrated_postgres_url"), "secret_key": "s" * 32}
    async with running(settings_for(tmp_path / "data", **given)) as client:
        yield client


async def stored(service: Client, mailbox_id: str) -> int:
    answer = await service.http.get(f"/mailboxes/{mailbox_id}")
    count: int = answer.json()["counts"]["messages_stored"]
    return count


async def test_a_quota_ends_syncs_before_more_is_retrieved_and_raising_it_goes_on(
    service: Client, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    there = {"mode": "delete_after_retrieve"}
    mailbox_id = await service.register(drop, server, quota={"messages": 3}, server_retention=there)
    path = f"/mailboxes/{mailbox_id}"
    sync = await service.sync(mailbox_id)
    assert (sync["status"], sync["error"]["code"]) == ("failed", "quota_exceeded")
    assert (await stored(service, mailbox_id), len(drop.messages)) == (4, 6)  # beyond it by a batch at most
    sync = await service.sync(mailbox_id)
    assert (sync["error"]["code"], sync["report"]["retrieved"], sync["report"]["listed"]) == (
        "quota_exceeded",
        0,
        6,
    )
    assert "4 messages are stored, of 3" in sync["error"]["detail"]
    assert (await stored(service, mailbox_id), len(drop.messages)) == (4, 6)
    shown = (await service.http.get(path)).json()
    assert shown["health"]["error"]["code"] == "quota_exceeded"
    assert shown["status"] == "active"
    assert "quota of the mailbox" in shown["status_detail"]
    changed = await service.http.patch(path, json={"quota": {"octets": 10_000}})
    assert changed.json()["quota"] == {"octets": 10_000, "messages": None}
    sync = await service.sync(mailbox_id)
    assert (sync["status"], sync["report"]["retrieved"]) == ("succeeded", 2)
    assert drop.messages == []
    assert (await service.http.get(path)).json()["status_detail"] is None


async def test_the_quota_of_all_counts_what_others_store_and_deleting_makes_room(
    service: Client, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    first, second = [await service.register(drop, server) for _ in range(2)]
    assert (await service.sync(first))["status"] == "succeeded"
    sync = await service.sync(second)
    assert (sync["error"]["code"], await stored(service, second)) == ("quota_exceeded", 4)
    assert "over all mailboxes" in sync["error"]["detail"]
    assert "10" not in sync["error"]["detail"]  # how much others store is not told
    await service.http.delete("/messages", params={"mailbox_id": first, "confirm": 6})
    assert (await service.sync(second))["status"] == "succeeded"
    assert await stored(service, second) == 6


async def test_a_disk_that_is_nearly_full_stops_syncs_and_leaves_the_rest_alone(
    tmp_path: Path, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    async with running(settings_for(tmp_path / "data", least_free_octets=2**60)) as service:
        mailbox_id = await service.register(drop, server)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["error"]["code"]) == ("failed", "storage_failed")
        assert "nearly full" in sync["error"]["cause"]
        assert "LEAST_FREE_OCTETS" in sync["error"]["remedy"]
        assert (await service.http.get("/readyz")).status_code == 200
    async with running(settings_for(tmp_path / "data")) as service:
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 6

        in_days = {"mode": "delete_after_days", "days": 30}
        wrongs: list[dict[str, Any]] = [
            *({"quota": quota} for quota in ({"octets": 0}, {"messages": "many"}, {"size": 3}, 5)),
            *({"quota": {name: value}} for name in ("octets", "messages") for value in (True, "10", 10.5)),
            *({"server_retention": in_days | {"days": days}} for days in (True, "30")),
            *({"local_retention": in_days | {"days": days}} for days in (True, "30")),
            *({"local_retention": in_days | {"keep_headers": value}} for value in (1, "yes")),
        ]
        for wrong in wrongs:
            refused = await service.http.patch(f"/mailboxes/{mailbox_id}", json=wrong)
            assert refused.status_code == 422, wrong
        for everything in (1, "yes"):
            assert (await service.http.post("/syncs", json={"all": everything})).status_code == 422
        for paused in (1, "yes"):
            replaced = await service.http.put("/mailboxes/by-external-id/a", json={"paused": paused})
            assert "/paused" in {fault["pointer"] for fault in replaced.json()["errors"]}
