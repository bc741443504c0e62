"""What Prometheus reads."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine, text

from app import __version__
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.servers.postgres import Postgres
from tests.service import Client, running, settings_for

Numbers = dict[str, float]


async def numbers(service: Client) -> Numbers:
    """All samples, by name and labels as they are written."""
    answer = await service.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def until(service: Client, name: str, value: float) -> Numbers:
    """All samples, once this one has the value."""
    async with asyncio.timeout(20):
        while (found := await numbers(service)).get(name) != value:
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
def drop() -> FakeMaildrop:
    """A maildrop with three messages."""
    drop = FakeMaildrop()
    for number in range(3):
        drop.deliver(b"Subject: %d\r\n\r\nx\r\n" % number, f"id{number}")
    return drop


@pytest.fixture
async def server(drop: FakeMaildrop) -> AsyncIterator[FakePop3Server]:
    """Serves it."""
    async with FakePop3Server(drop) as server:
        yield server


async def test_syncs_are_counted_by_how_they_ended_and_mail_as_it_is_stored(
    service: Client, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    mailbox_id = await service.register(drop, server)
    report = (await service.sync(mailbox_id))["report"]
    await service.sync(mailbox_id)
    drop.is_locked = True
    assert (await service.sync(mailbox_id))["error"]["code"] == "maildrop_in_use"
    found = await until(service, "maildelta_syncs_total code=maildrop_in_use status=failed", 1)
    assert found["maildelta_syncs_total code= status=succeeded"] == 2
    assert found["maildelta_retrieved_messages_total"] == 3
    assert found["maildelta_retrieved_octets_total"] == report["octets"] > 0
    assert found[f"maildelta_build_info version={__version__}"] == 1
    assert found["process_resident_memory_bytes"] > 1_000_000


async def test_what_waits_and_runs_is_seen_from_a_process_that_runs_nothing(
    tmp_path: Path, postgres_url: str, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    common = {"database_url": postgres_url, "secret_key": "s" * 32}
    async with running(settings_for(tmp_path / "api", role="api", **common)) as service:
        mailbox_id = await service.register(drop, server)
        await service.http.post(f"/mailboxes/{mailbox_id}/sync")
        await asyncio.sleep(1.1)
        found = await numbers(service)
    assert found["maildelta_queue_syncs status=queued"] == 1
    assert found["maildelta_queue_syncs status=running"] == 0
    assert found["maildelta_schedule_lag_seconds"] >= 1
    assert (found["maildelta_feed_place"], found["maildelta_database_up"]) == (0, 1)
    async with running(settings_for(tmp_path / "worker", role="worker", **common)) as worker:
        await until(worker, "maildelta_retrieved_messages_total", 3)


async def test_sessions_under_way_and_cancelled_syncs_are_counted(
    service: Client, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    server.delay = 0.5
    mailbox_id = await service.register(drop, server)
    sync_id = (await service.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
    await until(service, "maildelta_sessions_under_way", 1)
    await service.http.post(f"/syncs/{sync_id}/cancel")
    assert (await service.ended(sync_id))["status"] == "cancelled"
    await until(service, "maildelta_syncs_total code= status=cancelled", 1)
    await until(service, "maildelta_sessions_under_way", 0)


async def test_without_the_database_the_counters_are_read_on_and_no_old_number_is_told(
    tmp_path: Path,
) -> None:
    with Postgres.start() as postgres:
        url = postgres.create_database()
        settings = settings_for(tmp_path / "data", database_url=url, role="api")
        async with running(settings) as service:
            postgres.stop()
            found = await numbers(service)
            assert found["maildelta_database_up"] == 0
            assert "maildelta_retrieved_messages_total" in found
            assert not {"maildelta_feed_place", "maildelta_schedule_lag_seconds"} & set(found)


async def test_however_often_it_is_read_the_database_is_asked_every_few_seconds(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "data", role="api")
    async with running(settings) as service:
        assert (await numbers(service))["maildelta_feed_place"] == 0
        engine = create_engine(settings.effective_database_url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE feed SET last_seq = 7"))
        engine.dispose()
        assert (await numbers(service))["maildelta_feed_place"] == 0
        await until(service, "maildelta_feed_place", 7)


async def test_a_key_that_may_read_is_enough_and_none_is_not(service: Client) -> None:
    made = await service.http.post("/api-keys", json={"name": "prometheus", "scopes": ["read"]})
    service.http.headers["Authorization"] = f"Bearer {made.json()['key']}"
    assert "maildelta_syncs_total" in (await service.http.get("/metrics")).text
    del service.http.headers["Authorization"]
    assert (await service.http.get("/metrics")).status_code == 401
