"""One mail server that hangs never delays the others, and is left in peace."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, insert, select
from sqlmodel import Session, SQLModel

from app.database import Database
from app.mailboxes.credentials.secrets import Binding, Vault
from app.mailboxes.models import MailboxId
from app.settings import Settings
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults
from tests.service import running, settings_for

SICK = 1_200  # more than one look for due mailboxes finds
SHARE = 4
ROUND = 10.0  # seconds until a sync of the sick server gives up


async def register(database: Database, settings: Settings, server: FakePop3Server, count: int) -> None:
    """So many mailboxes of a server, all of them due long since."""
    vault, due = Vault([settings.make_secret_key()]), datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {
            "id": number, "name": f"sick {number}", "host": server.host, "port": server.port, "security": "none",
            "username": "reader", "poll_interval_seconds": 3600,
            "credentials": vault.seal("x", Binding(MailboxId(number), server.host, server.port, "reader")),
            "allow_cleartext_password": True, "initial_sync": "all", "server_retention": {"mode": "keep"},
            "status": "active", "ids_changed": False, "failures": 0, "next_sync_at": due, "created_at": due,
        }
        for number in range(1_000, 1_000 + count)
    ]  # fmt: skip

    def change(db: Session) -> None:
        db.execute(insert(SQLModel.metadata.tables["mailboxes"]), rows)

    await database.write(change)


async def test_a_server_that_accepts_and_never_speaks_holds_up_nobody_else(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(
        tmp_path / "data",
        database_url=database_url,
        sync_concurrency=2 * SHARE,
        connect_timeout_seconds=ROUND,
        reply_timeout_seconds=ROUND,
        tick_seconds=60.0,
    )
    drop = FakeMaildrop()
    drop.deliver(b"Subject: hello\r\n\r\nx\r\n", "a")
    clock = asyncio.get_running_loop().time

    def given_up(db: Session) -> int:
        syncs = SQLModel.metadata.tables["syncs"]
        return int(db.execute(select(func.count()).where(syncs.c.status == "failed")).scalar_one())

    async with FakePop3Server(faults=Faults(is_silent=True)) as sick, FakePop3Server(drop) as healthy:
        await register(database, settings, sick, SICK)
        async with running(settings) as service:
            while sick.sessions < SHARE:
                await asyncio.sleep(0.01)
            began = clock()
            mailbox_id = await service.register(drop, healthy, poll_interval_seconds=3600)
            await service.feed(wait=ROUND)
            for _ in range(5):
                assert (await service.sync(mailbox_id))["status"] == "succeeded"
            assert len((await service.feed())[0]) == 1
            sessions = sick.sessions
            assert await database.read(given_up) == 0, "all that before the first sick one was given up"
            assert sessions == SHARE, "and it got no more than its share"
            await asyncio.sleep(2.5 * ROUND - (clock() - began))
            assert sick.sessions <= SHARE + 3, "after its first failures it is asked by one at a time"
