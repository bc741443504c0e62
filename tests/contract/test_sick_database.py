"""A PostgreSQL that refuses for a while, in whatever way: who asks is told to come again, and nothing is lost."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import text
from sqlmodel import Session

from app.database import Database
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.servers.postgres import Postgres
from tests.service import running, settings_for

PATIENCE_SECONDS = 60.0
SETTINGS = (
    "client_encoding = 'LATIN1'",
    "datestyle = 'German'",
    "standard_conforming_strings = off",
    "bytea_output = 'escape'",
    "timezone = 'Asia/Kathmandu'",
    "default_transaction_isolation = 'repeatable read'",
)
SLOW = "lets no statement take its time"
FAULTS = {
    "becomes a standby": ("SET default_transaction_read_only = on", "RESET default_transaction_read_only"),
    "refuses connections": ("ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true"),
    SLOW: ("SET statement_timeout = '200ms'", "RESET statement_timeout"),
}


@contextmanager
def suffering(db: psycopg.Connection, name: str, fault: str) -> Iterator[None]:
    """Both times all connections are cut, for only new ones hear of it."""
    begins, ends = FAULTS[fault]
    for change in (begins, ends):
        db.execute(sql.SQL("ALTER DATABASE {} " + change).format(sql.Identifier(name)))
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name <> 'gate'",
            [name],
        )
        if change == begins:
            yield


async def test_a_database_that_refuses_is_waited_for_and_no_message_is_lost(
    postgres_server: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    drop = FakeMaildrop()
    settings = settings_for(tmp_path, database_url=postgres_url)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as db:
        async with FakePop3Server(drop) as server, running(settings) as client:
            mailbox_id = await client.register(drop, server)
            for number, fault in enumerate(FAULTS):
                drop.deliver(b"Subject: x\r\n\r\n%d\r\n" % number, f"id{number}")
                with psycopg.connect(postgres_url, application_name="gate") as gate:
                    if fault == SLOW:
                        gate.execute("LOCK TABLE syncs")
                    with suffering(db, postgres_url.rsplit("/", 1)[1], fault):
                        answer = await client.http.post(f"/mailboxes/{mailbox_id}/sync", params={"wait": 30})
                assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed"), fault
                assert answer.json()["retryable"]
                assert (await client.sync(mailbox_id))["status"] == "succeeded", fault
                assert len((await client.feed())[0]) == number + 1


async def test_connections_that_were_cut_just_now_are_made_again_and_nobody_is_told(
    postgres_server: Postgres, migrated_postgres_url: str
) -> None:
    """Several of them, used a moment before: nobody asks such a one whether it still is one."""
    database = Database(migrated_postgres_url)

    def take_a_moment(db: Session) -> int:
        return int(db.execute(text("SELECT 1 FROM pg_sleep(0.05)")).scalar_one())

    async def ask() -> set[int]:
        units = [database.read(take_a_moment), database.write(take_a_moment)]
        units += [database.write(take_a_moment, durable=False), database.search(take_a_moment)]
        return set(await asyncio.gather(*units, *(database.read(take_a_moment) for _ in range(3))))

    try:
        assert await ask() == {1}
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as db:
            name = migrated_postgres_url.rsplit("/", 1)[1]
            cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
            assert len(db.execute(cut, [name]).fetchall()) > 3
        assert await ask() == {1}
    finally:
        database.close()


async def test_whatever_is_set_for_the_database_the_service_reads_and_writes_as_ever(
    postgres_server: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as db:
        for setting in SETTINGS:
            of_ours = sql.Identifier(postgres_url.rsplit("/", 1)[1])
            db.execute(sql.SQL("ALTER DATABASE {} SET " + setting).format(of_ours))
    drop = FakeMaildrop()
    drop.deliver("Subject: ✓\r\n\r\n日本\r\n".encode(), "id")
    settings = settings_for(tmp_path, database_url=postgres_url)
    with structlog.testing.capture_logs() as lines:
        async with FakePop3Server(drop) as server, running(settings) as client:
            mailbox_id = await client.register(drop, server, name="名")
            assert (await client.sync(mailbox_id))["status"] == "succeeded"
            assert [message["subject"] for message in (await client.feed())[0]] == ["✓"]
            await client.http.delete(f"/mailboxes/{mailbox_id}", params={"confirm": "名"})
            with psycopg.connect(postgres_url, autocommit=True) as db:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while db.execute("SELECT FROM mailboxes").fetchall():
                        await asyncio.sleep(0.05)
    assert [line for line in lines if line["log_level"] in {"warning", "error"}] == []


async def test_two_workers_of_one_name_store_each_message_once(postgres_url: str, tmp_path: Path) -> None:
    """The second one takes what the first one has for its own of before a restart."""
    drop = FakeMaildrop()
    for number in range(40):
        drop.deliver(b"Subject: x\r\n\r\n%d\r\n" % number, f"id{number}")
    common = {"database_url": postgres_url, "secret_key": "s" * 32, "executor_id": "twin"}
    one = settings_for(tmp_path / "one", batch_messages=5, **common)
    other = settings_for(tmp_path / "other", role="worker", batch_messages=5, **common)
    async with FakePop3Server(drop, delay=0.02) as server, running(one) as client:
        mailbox_id = await client.register(drop, server)
        sync_id = (await client.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        while not (await client.http.get(f"/syncs/{sync_id}")).json()["report"].get("retrieved"):
            pass
        drop.is_locked = False  # at the server the first one still has it
        async with running(other):
            assert (await client.ended(sync_id))["status"] == "succeeded"
            items, _ = await client.feed()
    assert sorted(item["unique_id"] for item in items) == sorted(f"id{number}" for number in range(40))
