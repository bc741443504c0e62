"""A database server that crashes takes with it what was not flushed. It must not take the fencing with it."""

from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
from sqlmodel import Session

from app.database import Database
from app.database.schema import upgrade
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox
from app.runs import claims
from app.runs import repository as runs
from app.runs.errors import LeaseLost
from app.runs.models import Trigger
from app.runs.repository import Claim
from tests.servers.postgres import Postgres

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


async def claim(database: Database, worker: str, now: datetime) -> Claim:
    lease = now + timedelta(minutes=1)
    change = partial(claims.claim, worker=worker, limit=10, now=now, lease_expires_at=lease)
    (taken,) = await database.write(change, durable=False)
    return taken


async def test_whose_claim_the_database_forgot_can_write_nothing_more() -> None:
    with Postgres.start() as postgres:
        url = postgres.create_database()
        upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "ALTER SYSTEM SET wal_writer_delay = '10s'"
            )  # else it may be flushed meanwhile
        postgres.restart()
        database = Database(url)

        def queue(db: Session) -> None:
            mailbox_id = mailboxes.add(
                db,
                Mailbox(
                    name="m", host="pop.example.org", port=995, security="tls", username="u",
                    server_retention={"mode": "keep"}, created_at=NOW,
                ),
            )  # fmt: skip
            claims.request(db, mailbox_id, Trigger.MANUAL, now=NOW)

        await database.write(queue)
        forgotten = await claim(database, "w1", NOW)
        postgres.restart(crash=True)
        held = await claim(database, "w2", NOW + timedelta(seconds=3))  # before the first lease is over
        assert held.sync_id == forgotten.sync_id
        lease = NOW + timedelta(minutes=2)
        with pytest.raises(LeaseLost):
            await database.write(partial(runs.progress, claim=forgotten, report={}, lease_expires_at=lease))
        await database.write(partial(runs.progress, claim=held, report={}, lease_expires_at=lease))
        database.close()
