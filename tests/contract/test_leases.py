"""Every write of a sync is under its lease: a worker that woke late, whatever it was about to write, writes nothing."""

import asyncio
import inspect
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox
from app.runs import claims
from app.runs import repository as runs
from app.runs.errors import LeaseLost
from app.runs.lease import Lease
from app.runs.models import Trigger
from app.runs.repository import Claim
from app.runs.schemas import Report
from app.sync import service
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, Gate
from tests.rows import everything
from tests.service import running, settings_for

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LARGEST = 4_000  # octets of a message
LARGE = b"Message-ID: <large@example.org>\r\nSubject: large\r\n\r\n" + b"large\r\n" * 1_000
SMALL = b"Message-ID: <small@example.org>\r\nSubject: small\r\n\r\nx\r\n"
DELETE = {"mode": "delete_after_retrieve"}


def two_messages(*, large_says: int | None = None) -> FakeMaildrop:
    drop = FakeMaildrop()
    drop.deliver(SMALL, "small")
    drop.deliver(LARGE, "large", listed_octets=large_says)
    return drop


async def steal(database: Database) -> None:
    """The lease runs out while the worker is frozen, and another one takes the sync and has its end written."""

    def change(db: Session) -> None:
        db.execute(
            text(
                "UPDATE syncs SET lease_token = lease_token + 1, worker = 'successor' WHERE status = 'running'"
            )
        )

    await database.write(change)


# Each step on SQLite; the statement that checks is the same in all, so that one with PostgreSQL is enough.
@pytest.mark.parametrize(
    ("database_url", "command", "large_says", "fields", "cut"),
    [
        ("postgresql", "TOP", 10, {}, {}),
        ("sqlite", "LIST", None, {}, {}),  # what is known before anything is retrieved: one that is too large
        ("sqlite", "LIST", 10, {"initial_sync": "from_now"}, {}),  # the baseline
        ("sqlite", "RETR 1", 10, {}, {}),  # a batch
        ("sqlite", "RETR 1", 10, {}, {"RETR 1": 20}),  # the message within which the session ended
        ("sqlite", "TOP", 10, {}, {}),  # the headers of what proved too large, once RETR had shown it
        ("sqlite", "QUIT", 10, {}, {}),  # the last word
        ("sqlite", "DELE 1", 10, {"server_retention": DELETE}, {}),  # what is missing now
        ("sqlite", "PASS", 10, {}, {"PASS": 5}),  # the last word of a sync that failed
    ],
    indirect=["database_url"],
)
async def test_a_worker_that_woke_late_writes_nothing(
    database: Database,
    database_url: str,
    tmp_path: Path,
    command: str,
    large_says: int | None,
    fields: dict[str, Any],
    cut: dict[str, int],
) -> None:
    gate = Gate()
    settings = settings_for(
        tmp_path / "data",
        database_url=database_url,
        max_message_octets=LARGEST,
        batch_messages=1,
        tick_seconds=60.0,
    )
    drop = two_messages(large_says=large_says)
    async with FakePop3Server(drop, faults=Faults(hold={command: gate}, cut=cut)) as server:
        async with running(settings) as client:
            mailbox_id = await client.register(drop, server, **fields)
            await client.http.post(f"/mailboxes/{mailbox_id}/sync")
            async with asyncio.timeout(20):
                await gate.reached.wait()
                # What is under way already may still be committed: nothing more comes once all is quiet.
                await settle(database_url)
                await steal(database)
            before = rows_of(database_url)
            gate.opened.set()
            await server.settled()
        assert rows_of(database_url) == before


async def settle(url: str) -> None:
    """Until two looks in a row show the same."""
    seen = None
    while seen != (seen := rows_of(url)):
        await asyncio.sleep(0.2)


def rows_of(url: str) -> dict[str, Any]:
    rows = everything(url)
    for sync in rows["syncs"]:
        sync.pop("lease_expires_at")  # the heartbeat of a lease that is held
    return rows


async def claimed(database: Database) -> Claim:
    row = Mailbox(
        name="m", host="pop.example.org", port=995, security="tls", username="u", server_retention={"mode": "keep"},
        created_at=NOW,
    )  # fmt: skip
    mailbox_id = await database.write(lambda db: mailboxes.add(db, row))
    await database.write(lambda db: claims.request(db, mailbox_id, Trigger.MANUAL, now=NOW))
    until = NOW + timedelta(minutes=1)
    (claim,) = await database.write(
        lambda db: claims.claim(db, worker="w", limit=1, now=NOW, lease_expires_at=until)
    )
    return claim


def lease_of(claim: Claim, database: Database) -> Lease:
    return Lease(claim, database, clock=lambda: NOW, seconds=600)


STOLEN = "UPDATE syncs SET lease_token = lease_token + 1"
RELEASED = "UPDATE syncs SET status = 'queued', worker = NULL, lease_expires_at = NULL"
ENDED = "UPDATE syncs SET status = 'succeeded', lease_expires_at = NULL"


@pytest.mark.parametrize("meanwhile", [STOLEN, RELEASED, ENDED])
async def test_a_lease_that_was_lost_changes_nothing(database: Database, meanwhile: str) -> None:
    claim = await claimed(database)
    await database.write(lambda db: db.execute(text(meanwhile)) and None)
    rename = partial(mailboxes.change, mailbox_id=claim.mailbox_id, name="written")
    with pytest.raises(LeaseLost):
        await lease_of(claim, database).write(rename, report=Report())
    await database.write(partial(claims.renew, held=[claim], until=NOW + timedelta(days=1)), durable=False)
    row = await database.read(partial(mailboxes.snapshot, mailbox_id=claim.mailbox_id))
    assert row is not None
    assert row.name == "m"
    sync = await database.read(partial(runs.get, sync_id=claim.sync_id))
    assert sync is not None
    assert sync.lease_expires_at in {None, NOW + timedelta(minutes=1)}, "nobody holds the lease of another"


async def test_a_write_holds_the_lease_for_longer_in_the_same_transaction(database: Database) -> None:
    claim = await claimed(database)
    lease = lease_of(claim, database)
    await lease.write(lambda _db: None, report=Report(listed=7))
    sync = await database.read(partial(runs.get, sync_id=claim.sync_id))
    assert sync is not None
    assert (sync.lease_expires_at, sync.report["listed"]) == (NOW + timedelta(seconds=600), 7)

    def breaks(_db: Session) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await lease.write(breaks, report=Report(listed=8))
    again = await database.read(partial(runs.get, sync_id=claim.sync_id))
    assert again is not None
    assert again.report["listed"] == 7


def test_a_sync_has_no_other_way_to_write() -> None:
    assert not re.search(r"database\s*\.\s*write\b|Batchable\(last_word", inspect.getsource(service))
