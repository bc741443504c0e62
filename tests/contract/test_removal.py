"""A mailbox is gone at once, and what belongs to it goes in steps; on SQLite and PostgreSQL alike."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.ledger import repository as ledger
from app.ledger.models import Leased
from app.mailboxes import finding
from app.mailboxes import repository as mailboxes
from app.mailboxes.finding import HealthAt, MailboxOrder, WantedMailboxes
from app.mailboxes.health import Thresholds
from app.mailboxes.models import MailboxId
from app.messages import repository as messages
from app.messages.models import MessageSeq
from app.messages.pages.feed import FeedQuery, Order, read_once
from app.messages.pages.search import Wanted
from app.messages.schemas import MessageAnswer
from app.runs import claims
from app.runs import repository as syncs
from app.runs.completion import Completion
from app.runs.errors import LeaseLost
from app.runs.lease import Lease
from app.runs.models import SyncId, SyncStatus, Trigger
from app.runs.schemas import Report
from app.worker.removal import remove_some
from tests.contract.test_repositories import LEASE, NOW, count, entry, mail, make_mailbox, put

TABLES = ("mailboxes", "messages", "contents", "unique_ids", "syncs")
MOST = 3


async def remove(database: Database, mailbox_id: MailboxId) -> None:
    """As the API does it."""

    def change(db: Session) -> None:
        row = mailboxes.get(db, mailbox_id)
        assert row is not None
        syncs.end_syncs(db, mailbox_id)
        mailboxes.remove(db, row, now=NOW)

    await database.write(change)


async def steps(database: Database) -> AsyncIterator[dict[str, int]]:
    """Step by step, each in a transaction of its own, as after a kill in between."""
    while await database.write(partial(remove_some, most=MOST)):
        yield {table: await count(database, table) for table in TABLES}


async def filled(database: Database, letters: int) -> MailboxId:
    mailbox_id = await make_mailbox(database)
    for number in range(letters):
        await put(database, mailbox_id, mail(f"{mailbox_id} {number}"))
    rows = [entry(mailbox_id, b"%d" % number) for number in range(letters)]
    await database.write(lambda db: ledger.write_entries(Leased(db), rows))
    return mailbox_id


async def test_what_belongs_to_a_removed_mailbox_goes_in_small_steps_and_nothing_else_does(
    database: Database,
) -> None:
    stays, goes = await filled(database, 4), await filled(database, 10)
    await put(database, stays, mail("in both"))
    await put(database, goes, mail("in both"))
    before = {table: await count(database, table) for table in TABLES}
    await remove(database, goes)
    seen = [left async for left in steps(database)]
    for earlier, later in zip([before, *seen], seen, strict=False):
        assert all(earlier[table] - later[table] <= MOST for table in TABLES)
    assert seen[-1] == {"mailboxes": 1, "messages": 5, "contents": 5, "unique_ids": 4, "syncs": 0}
    assert not await database.write(remove_some)


async def test_large_messages_go_few_at_a_time(database: Database) -> None:
    mailbox_id = await filled(database, 5)
    await remove(database, mailbox_id)
    step = partial(messages.remove_some, mailbox_id=mailbox_id, most=100, most_octets=1)
    assert await database.write(step)
    assert await count(database, "messages") == 4


async def test_a_removed_mailbox_and_its_messages_are_gone_for_readers_at_once(database: Database) -> None:
    stays, goes = await filled(database, 2), await filled(database, 3)
    sync = await database.write(lambda db: claims.request(db, stays, Trigger.MANUAL, now=NOW))
    await remove(database, goes)
    assert await database.read(lambda db: mailboxes.get(db, goes)) is None
    assert await database.read(lambda db: mailboxes.snapshot(db, goes)) is None
    assert await database.read(lambda db: mailboxes.poll_state(db, goes)) is None
    page = partial(
        finding.page, wanted=WantedMailboxes(), health=HealthAt(Thresholds(), NOW), reach=ALL_MAILBOXES,
        behind=None, order=MailboxOrder.OLDEST, limit=9,
    )  # fmt: skip
    assert [row.id for row in await database.read(page)] == [stays]
    for order in Order:
        found = await database.read(
            partial(read_once, query=FeedQuery(Wanted(), ALL_MAILBOXES, order, None, 50))
        )
        there = [item for item in found.page.items if isinstance(item, MessageAnswer)]
        assert {item.mailbox_id for item in there} == {f"mbx_{stays}"}
        assert len(found.page.items) == 2
        assert not found.page.has_more
    assert await database.read(partial(messages.get, seq=MessageSeq(1), reach=ALL_MAILBOXES)) is not None
    assert await database.read(partial(messages.get, seq=MessageSeq(3), reach=ALL_MAILBOXES)) is None
    assert (
        await database.read(partial(syncs.get, sync_id=SyncId(sync.id or 0), reach=ALL_MAILBOXES)) is not None
    )
    assert await filled(database, 1) > goes  # its like may be registered at once


async def test_a_sync_of_a_removed_mailbox_writes_nothing_more_and_none_begins(database: Database) -> None:
    mailbox_id = await filled(database, 2)
    await database.write(lambda db: claims.request(db, mailbox_id, Trigger.MANUAL, now=NOW))
    (held,) = await database.write(
        partial(claims.claim, worker="w", limit=9, now=NOW, lease_expires_at=LEASE)
    )
    await remove(database, mailbox_id)
    with pytest.raises(LeaseLost):
        await database.write(partial(syncs.progress, claim=held, report={}, lease_expires_at=LEASE))
    ended = Completion(
        claim=held, status=SyncStatus.SUCCEEDED, failure=None, report=Report(), facts={}, started=NOW, ended=NOW,
        login_delay=0, logged_in_at=NOW, has_moved=False, learnt={}, chance=0.5, settle=None, transcript=None,
    )  # fmt: skip
    with pytest.raises(LeaseLost):
        await Lease(held, database, clock=lambda: NOW, seconds=60).end(ended)
    assert not await database.read(partial(claims.has_work, now=datetime(2999, 1, 1, tzinfo=UTC)))
    assert (
        await database.write(partial(claims.request_due, now=datetime(2999, 1, 1, tzinfo=UTC), limit=9)) == 0
    )


async def test_the_credentials_of_a_removed_mailbox_are_gone_at_once(database: Database) -> None:
    mailbox_id = await make_mailbox(database, credentials=b"sealed")
    await remove(database, mailbox_id)
    left = await database.read(lambda db: db.execute(text("SELECT credentials FROM mailboxes")).scalar_one())
    assert left is None
