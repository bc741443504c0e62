"""Syncs that ended long ago are forgotten, in batches and beside the work."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlmodel import SQLModel

from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.runs import repository as syncs
from app.runs.models import SyncId
from tests.contract.test_logins import Weeks, registered
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import running, settings_for

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


async def make_mailbox(database: Database) -> MailboxId:
    row = Mailbox(
        name="m", host="h", port=995, security="tls", username="u", server_retention={"mode": "keep"}, created_at=NOW
    )  # fmt: skip
    return await database.write(lambda db: mailboxes.add(db, row))


async def ended(database: Database, mailbox_id: MailboxId, *days_ago: float, **facts: Any) -> None:
    """Syncs of a mailbox that ended so many days ago, each after a minute."""
    rows = [
        {
            "mailbox_id": mailbox_id, "trigger": "schedule", "status": "succeeded", "report": {}, "lease_token": 1,
            "queued_at": NOW - days * DAY, "finished_at": NOW - days * DAY + timedelta(minutes=1),
        } | facts
        for days in days_ago
    ]  # fmt: skip
    await database.write(lambda db: db.execute(insert(SQLModel.metadata.tables["syncs"]), rows))


async def left(database: Database) -> list[int]:
    return await database.read(
        lambda db: list(db.execute(text("SELECT id FROM syncs ORDER BY id")).scalars())
    )


async def forget(database: Database, *, limit: int, after: int = 0) -> SyncId | None:
    before = NOW - 30 * DAY
    return await database.write(
        lambda db: syncs.forget_finished(
            db, before=before, quiet_before=NOW - DAY, after=SyncId(after), limit=limit
        )
    )


async def test_old_syncs_go_and_the_last_one_of_each_mailbox_stays(database: Database) -> None:
    busy, quiet = await make_mailbox(database), await make_mailbox(database)
    await ended(database, quiet, 90, 80)
    await ended(database, busy, 70, 60, 31, 29, 1)
    assert await forget(database, limit=100) is None
    assert await left(database) == [2, 6, 7]


NOTHING = {"listed": 10, "known": 10, "new": 0, "missing": 0, "retrieved": 0, "failed": 0, "deleted": 0}


@pytest.mark.parametrize(
    ("facts", "goes"),
    [
        ({}, True),
        ({"report": NOTHING | {"new": 1}}, False),
        ({"report": NOTHING | {"missing": 1}}, False),
        ({"report": NOTHING | {"retrieved": 1}}, False),
        ({"report": NOTHING | {"deleted": 1}}, False),
        ({"report": {}}, False),
        ({"trigger": "manual"}, False),
        ({"status": "failed"}, False),
    ],
)
async def test_a_poll_that_found_nothing_goes_sooner(
    database: Database, facts: dict[str, Any], goes: bool
) -> None:
    mailbox_id = await make_mailbox(database)
    await ended(database, mailbox_id, 20, 2, 0.5, 0.1, **({"report": NOTHING} | facts))
    assert await forget(database, limit=100) is None
    assert await left(database) == ([3, 4] if goes else [1, 2, 3, 4])


async def test_of_polls_that_found_nothing_those_among_the_last_syncs_of_a_mailbox_stay(
    database: Database,
) -> None:
    busy, other = await make_mailbox(database), await make_mailbox(database)
    await ended(database, other, 0.3, report=NOTHING)
    await ended(database, busy, 0.2, report=NOTHING | {"new": 1})
    await ended(database, busy, 0.2, trigger="manual", report=NOTHING)
    await ended(database, busy, *(0.1 for _ in range(syncs.QUIET_POLLS_KEPT)), report=NOTHING)
    await database.write(partial(syncs.forget_quiet, mailbox_id=busy))
    everything = list(range(1, syncs.QUIET_POLLS_KEPT + 4))
    assert await left(database) == everything, "no more of it than are kept"
    await ended(database, busy, 0.1, 0.1, report=NOTHING)
    await database.write(partial(syncs.forget_quiet, mailbox_id=busy))
    last = everything[-1]
    assert await left(database) == [1, 2, 3, *range(6, last + 3)], (
        "what found something or was asked for stays"
    )


async def test_polling_alone_lets_no_table_grow(database: Database) -> None:
    weeks = Weeks(database, lambda _mailbox, _now: None)
    await registered(database, 2)
    await weeks.until(weeks.now + 50 * DAY, step=timedelta(hours=6))
    assert weeks.logins.total() >= 250
    most = 2 * (syncs.QUIET_POLLS_KEPT + 4 * syncs.QUIET_POLLS_TIDIED_EVERY)
    assert 2 * syncs.QUIET_POLLS_KEPT <= len(await left(database)) < most


async def test_one_batch_looks_at_no_more_than_it_may_and_says_where_to_go_on(database: Database) -> None:
    await ended(database, await make_mailbox(database), 90)  # stays, and must not stand in the way
    await ended(database, await make_mailbox(database), 80, 70, 60, 1)
    assert await forget(database, limit=2) == 2
    assert await left(database) == [1, 3, 4, 5]
    assert await forget(database, limit=2, after=2) == 4
    assert await forget(database, limit=2, after=4) is None
    assert await left(database) == [1, 5]


async def test_a_sync_that_was_asked_for_long_ago_and_has_not_ended_stays(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    await ended(database, mailbox_id, 50, 40)
    ids = await left(database)
    await database.write(
        lambda db: db.execute(
            text("UPDATE syncs SET finished_at = NULL, status = 'running' WHERE id = :id"), {"id": ids[0]}
        )
    )
    assert await forget(database, limit=10) is None
    assert await left(database) == ids


@pytest.mark.parametrize(("days", "kept"), [(30, [4, 5]), (0, [1, 2, 3, 4, 5])])
async def test_a_worker_forgets_them_beside_its_syncs(
    database: Database, database_url: str, tmp_path: Path, days: int, kept: list[int]
) -> None:
    await ended(database, await make_mailbox(database), 90, 80, 70, 1)
    settings = settings_for(tmp_path / "data", database_url=database_url, finished_syncs_days=days)
    drop = FakeMaildrop()
    async with FakePop3Server(drop) as server, running(settings) as service:
        await service.sync(await service.register(drop, server))
        async with asyncio.timeout(60):
            while await left(database) != kept:
                await asyncio.sleep(0.05)


async def test_a_service_at_rest_forgets_them_too_in_as_many_batches_as_it_takes(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await ended(database, await make_mailbox(database), *(60 for _ in range(2_500)), 1)
    settings = settings_for(tmp_path / "data", database_url=database_url)
    async with running(settings), asyncio.timeout(20):
        while await left(database) != [2_501]:
            await asyncio.sleep(0.05)
