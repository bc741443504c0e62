"""The running sums of what is stored: right after whatever happens, on SQLite and PostgreSQL alike."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.mailboxes.models import MailboxId
from app.messages import repository as messages
from app.messages import sums
from app.messages.intake import Prepared, store
from app.messages.models import MessageSeq
from app.messages.sums import Stored
from app.worker.counting import count_to_the_end
from tests.contract.test_repositories import NOW, mail, make_mailbox, put


def stored(*letters: Prepared) -> Stored:
    """What these count."""
    return Stored(len(letters), sum(letter.octets for letter in letters))


async def of(database: Database, mailbox_id: MailboxId) -> Stored:
    """The sums of a mailbox."""
    found = await database.read(partial(sums.of, mailbox_ids=[mailbox_id]))
    return found.get(mailbox_id, Stored())


async def wrong(database: Database) -> dict[MailboxId, tuple[Stored, Stored]]:
    """Mailboxes whose sums are wrong; and all of them together, under 0."""
    found = await database.read(partial(sums.wrong, limit=99))
    told, there = await database.read(_overall)
    return found if told == there else found | {MailboxId(0): (told, there)}


def _overall(db: Session) -> tuple[Stored, Stored]:
    row = db.execute(
        text("SELECT count(*), coalesce(sum(octets), 0) FROM messages WHERE length(raw_sha256) > 0")
    ).one()
    return sums.overall(db), Stored(row[0], int(row[1]))


async def test_sums_follow_what_is_stored_and_removed_and_count_a_shared_content_for_each(
    database: Database,
) -> None:
    first, second = await make_mailbox(database), await make_mailbox(database)
    a, b, shared = mail("a"), mail("b", "longer"), mail("shared")
    await put(database, first, a, b)
    await put(database, first, shared)
    await put(database, second, shared)
    assert await of(database, first) == stored(a, b, shared)
    assert await of(database, second) == stored(shared)
    assert await database.write(lambda db: messages.remove(db, MessageSeq(1), reach=ALL_MAILBOXES))
    assert not await database.write(lambda db: messages.remove(db, MessageSeq(1), reach=ALL_MAILBOXES))
    assert await of(database, first) == stored(b, shared)
    await database.write(partial(messages.remove_some, mailbox_id=first, most=9, most_octets=10**6))
    assert (await of(database, first), await of(database, second)) == (Stored(), stored(shared))
    assert not await wrong(database)
    largest = await database.read(partial(sums.largest, limit=1))
    assert largest == {second: stored(shared)}


async def test_a_transaction_that_is_rolled_back_counts_nothing(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, mail("kept"))

    def change(db: Session) -> None:
        store(db, mailbox_id, [mail("lost")], now=NOW)
        messages.remove(db, MessageSeq(1), reach=ALL_MAILBOXES)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.write(change)
    assert await of(database, mailbox_id) == stored(mail("kept"))
    assert not await wrong(database)


async def test_what_was_stored_before_is_counted_in_steps_while_mail_comes_and_goes(
    database: Database,
) -> None:
    first, second = await make_mailbox(database), await make_mailbox(database)
    for number in range(10):
        await put(database, (first, second)[number % 2], mail(f"old {number}"))
    await database.write(sums.count_anew)
    assert await of(database, first) == Stored()
    assert await database.read(sums.is_counting)
    await database.write(
        lambda db: messages.remove(db, MessageSeq(9), reach=ALL_MAILBOXES)
    )  # not counted yet
    assert await database.write(partial(sums.count_some, most=4))
    await database.write(lambda db: messages.remove(db, MessageSeq(2), reach=ALL_MAILBOXES))  # counted
    await put(database, first, mail("new"))
    await database.write(lambda db: messages.remove(db, MessageSeq(11), reach=ALL_MAILBOXES))  # came since
    await put(database, second, mail("newer"))
    await count_to_the_end(database, most=3)
    assert not await database.read(sums.is_counting)
    assert not await wrong(database)
    assert (await database.read(sums.overall)).messages == 9


async def test_sums_are_right_when_many_store_remove_and_count_at_once(database: Database) -> None:
    mailboxes = [await make_mailbox(database) for _ in range(3)]
    for number in range(30):
        await put(database, mailboxes[number % 3], mail(f"old {number}"))
    await database.write(sums.count_anew)
    await asyncio.gather(
        *(put(database, mailboxes[n % 3], mail(f"new {n}"), mail("shared")) for n in range(20)),
        *(
            database.write(partial(messages.remove, seq=MessageSeq(n), reach=ALL_MAILBOXES))
            for n in range(1, 30, 2)
        ),
        count_to_the_end(database, most=5),
        count_to_the_end(database, most=3),
    )
    assert not await wrong(database)
    assert (await database.read(sums.overall)).messages == 55
