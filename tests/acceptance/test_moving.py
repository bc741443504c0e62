"""From the embedded default to PostgreSQL and back: whoever reads the service notices nothing."""

from pathlib import Path

import httpx
import pytest

from app.cli.migrate_data import migrate_data
from app.settings import Settings
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client, running, settings_for


async def followed(http: httpx.AsyncClient, key: str, after: str | None) -> tuple[list[str], str]:
    """The rest of the feed as a reader with a key of its own gets it: subjects, and the cursor for next time."""
    reader = Client(http)
    http.headers["Authorization"] = f"Bearer {key}"
    items, cursor = await reader.feed(after, limit=4)
    return [item["subject"] for item in items], cursor


@pytest.mark.parametrize("start", ["sqlite", "postgresql"])
async def test_a_reader_goes_on_with_its_cursor_and_key_and_gets_each_message_once(
    tmp_path: Path, postgres_url: str, start: str
) -> None:
    embedded = settings_for(tmp_path / "data")
    urls = [embedded.effective_database_url, postgres_url]
    old, new = urls if start == "sqlite" else urls[::-1]
    drop = FakeMaildrop()
    for number in range(10):
        drop.deliver(b"Subject: %d\r\n\r\nx\r\n" % number, f"id{number}")

    def settings(url: str) -> Settings:
        return settings_for(tmp_path / "data", database_url=url)

    async with FakePop3Server(drop) as server:
        async with running(settings(old)) as service:
            mailbox_id = await service.register(drop, server)
            await service.sync(mailbox_id)
            made = await service.http.post("/api-keys", json={"name": "reader", "scopes": ["read"]})
            key = made.json()["key"]
            page = (await service.http.get("/messages", params={"limit": 5})).json()
            first, cursor = [item["subject"] for item in page["items"]], page["next_cursor"]
            raws = [await service.raw(item["id"]) for item in page["items"]]
        migrate_data(old, new, say=lambda _: None)
        async with running(settings(new)) as service:
            rest, cursor = await followed(service.http, key, cursor)
            assert [*first, *rest] == [str(number) for number in range(10)]
            assert [await service.raw(item["id"]) for item in page["items"]] == raws
        drop.deliver(b"Subject: new\r\n\r\nx\r\n", "new")
        async with running(settings(new)) as service:
            report = (await service.sync(mailbox_id))["report"]
            assert (report["known"], report["new"]) == (10, 1)
            assert (await followed(service.http, key, cursor))[0] == ["new"]


async def test_a_sync_that_waited_when_the_old_service_ended_runs_on_the_new_one(
    tmp_path: Path, postgres_url: str
) -> None:
    old = settings_for(tmp_path / "data", role="api")  # it runs no syncs
    drop = FakeMaildrop()
    drop.deliver(b"Subject: waits\r\n\r\nx\r\n", "1")
    async with FakePop3Server(drop) as server:
        async with running(old) as service:
            mailbox_id = await service.register(drop, server)
            sync = (await service.http.post(f"/mailboxes/{mailbox_id}/sync")).json()
            assert sync["status"] == "queued"
        migrate_data(old.effective_database_url, postgres_url, say=lambda _: None)
        async with running(settings_for(tmp_path / "data", database_url=postgres_url)) as service:
            assert (await service.ended(sync["id"], within=20))["status"] == "succeeded"
            assert [item["subject"] for item in (await service.feed())[0]] == ["waits"]
