"""What syncs begin with is read with their claim: as it is then, and so that no change of a mailbox is missed."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import update
from sqlmodel import Session, col

from app.database import Database
from app.ledger import beginnings
from app.ledger import repository as ledger
from app.ledger.models import EntryState, Leased
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId, Pace
from app.maildrops import learnt
from app.runs import claims
from app.runs import repository as runs
from app.runs.admission.slots import Capacity
from app.runs.claims import Limits
from app.runs.models import Trigger
from app.worker.claiming import Claiming, Taken

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


async def queued(database: Database, username: str = "ada", *, lines: int = 0) -> MailboxId:
    """A mailbox with a queued sync, and so many lines that are to be tried again."""

    def change(db: Session) -> MailboxId:
        row = Mailbox(
            name="m", host="pop.example.org", port=995, security="tls", username=username,
            server_retention={"mode": "delete_after_retrieve"}, created_at=NOW,
        )  # fmt: skip
        mailbox_id = mailboxes.add(db, row)
        again = [
            {
                "mailbox_id": mailbox_id, "unique_id": b"u%d" % number, "occurrence": 1, "octets": 1, "head": None,
                "state": EntryState.FAILED.value, "first_seen_at": NOW, "message_seq": None, "attempts": 1,
                "next_attempt_at": NOW, "reason": None, "is_wanted": False, "headers_sha256": None,
                "content_sha256": None,
            }
            for number in range(lines)
        ]  # fmt: skip
        ledger.write_entries(Leased(db), again)
        learnt.write(db, {(learnt.server_of(row), "habit"): {"x": 1}}, now=NOW)
        claims.request(db, mailbox_id, Trigger.MANUAL, now=NOW)
        return mailbox_id

    return await database.write(change)


def claiming(*, now: datetime = NOW) -> Claiming:
    return Claiming(
        worker="w",
        now=now,
        lease_seconds=60,
        free=9,
        limits=Limits(),
        behind="",
        capacity=Capacity(100),
        paces=list(Pace),
        lapsed=[],
        watched=[],
    )


async def test_a_claim_reads_what_is_read_for_a_sync_that_runs(database: Database) -> None:
    one, other = await queued(database, lines=2), await queued(database, "bob")
    taken = await database.write(claiming())
    asked = [(mailbox_id, NOW) for mailbox_id in (one, other, MailboxId(99))]
    first, second, none = await database.read(partial(beginnings.read, asked=asked))
    assert taken.begun == {one: first, other: second}
    assert none is None
    assert first is not None
    assert (first.at, len(first.due), len(first.learnt.known)) == (NOW, 2, 1)


async def test_where_much_is_to_be_tried_again_others_do_not_wait_for_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginnings, "_MOST_DUE", 2)
    few = await queued(database, lines=2)
    assert (await database.write(claiming())).begun.keys() == {few}
    await queued(database, "bob", lines=3)
    taken = await database.write(claiming())
    assert (len(taken.claims), taken.begun) == (1, {})


async def test_a_mailbox_that_somebody_is_changing_is_read_afterwards(database: Database) -> None:
    """On SQLite nobody else changes anything meanwhile."""
    changed, other = await queued(database), await queued(database, "bob")
    is_changing, may_end = threading.Event(), threading.Event()

    def changes_slowly(db: Session) -> None:
        row = mailboxes.get(db, changed, to_change=True)
        assert row is not None
        row.username = "grace"
        is_changing.set()
        may_end.wait(60)
        runs.compare_anew(db, changed)

    change = asyncio.create_task(database.write(changes_slowly))
    try:
        while not is_changing.is_set():
            await asyncio.sleep(0.001)
        claim = asyncio.create_task(database.write(claiming()))
        if not database.is_sqlite:
            taken = await claim
            assert (len(taken.claims), set(taken.begun)) == (2, {other})
    finally:
        may_end.set()
        await change
    if database.is_sqlite:
        assert (await claim).begun[changed].mailbox.username == "grace"


async def test_a_change_behind_the_look_finds_the_sync_running_and_has_it_begin_anew(
    database: Database,
) -> None:
    mailbox_id = await queued(database)
    has_read, may_end = threading.Event(), threading.Event()

    def claims_slowly(db: Session) -> Taken:
        taken = claiming()(db)
        has_read.set()
        may_end.wait(60)
        return taken

    def changes(db: Session) -> None:
        row = mailboxes.get(db, mailbox_id, to_change=True)
        assert row is not None
        row.username = "grace"
        runs.compare_anew(db, mailbox_id)

    claim = asyncio.create_task(database.write(claims_slowly))
    while not has_read.is_set():
        await asyncio.sleep(0.001)
    change = asyncio.create_task(database.write(changes))
    await asyncio.wait([change], timeout=0.3)
    may_end.set()
    await change
    assert (await claim).begun[mailbox_id].mailbox.username == "ada"
    (again,) = (await database.write(claiming())).begun.values()
    assert again.mailbox.username == "grace"


async def test_a_claim_tells_which_running_syncs_are_to_stop(database: Database) -> None:
    await queued(database)
    (running,) = (await database.write(claiming())).claims
    await database.write(partial(runs.cancel, sync_id=running.sync_id, now=NOW))
    asked = claiming()
    assert (await database.write(asked)).cancelled == ()
    asked = Claiming(
        **{name: getattr(asked, name) for name in asked.__slots__} | {"watched": [running.sync_id]}
    )
    assert (await database.write(asked)).cancelled == {running.sync_id}
    taken = await database.write(claiming(now=NOW + timedelta(hours=1)))
    assert [claim.sync_id for claim in taken.claims] == [running.sync_id], "its worker died"
    assert taken.cancelled == {running.sync_id}


async def test_a_removed_mailbox_has_no_beginning(database: Database) -> None:
    mailbox_id = await queued(database)
    gone = update(Mailbox).where(col(Mailbox.id) == mailbox_id).values(removed_at=NOW)
    await database.write(lambda db: db.execute(gone) and None)
    assert (await database.write(claiming())).begun == {}
