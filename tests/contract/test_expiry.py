"""What is kept no longer goes in steps, and readers that come late are told; on SQLite and PostgreSQL alike."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES, Reach
from app.database import Database
from app.ledger import deletions
from app.ledger import repository as ledger
from app.ledger.keeping import CopiesUnread, Tell, keep_what_tells, let_go
from app.ledger.lines import Known, MaildropId
from app.ledger.models import Leased
from app.mailboxes import repository as mailboxes
from app.mailboxes.keeping.local_rule import LocalRule
from app.mailboxes.models import MailboxId
from app.messages import intake, sums
from app.messages import repository as messages
from app.messages.intake import Prepared
from app.messages.many import bulk
from app.messages.many.bulk import Doomed
from app.messages.models import MessageSeq
from app.messages.pages import expiry
from app.messages.pages.feed import EXPIRED_PASSED, FeedQuery, Order, read_once
from app.messages.pages.search import Wanted
from app.messages.pages.times import place_before
from app.messages.schemas import MessageAnswer
from app.worker.expiry import expire_in, expire_some, look_for_due
from app.worker.removal import remove_some
from tests.contract.test_repositories import NOW, count, entry, mail, make_mailbox, put
from tests.contract.test_sums import wrong

DAY = timedelta(days=1)
THIRTY = {"mode": "delete_after_days", "days": 30, "keep_headers": False}
HEADERS = THIRTY | {"keep_headers": True}
LATER = NOW + 31 * DAY
EVERYTHING = Wanted()


async def filled(database: Database, letters: int = 6, *, local: Any = None, **fields: Any) -> MailboxId:
    """A mailbox with messages, one a day, and its ledger; the server shows none any more."""
    mailbox_id = await make_mailbox(
        database, local_retention=THIRTY if local is None else local, listed_at=NOW + 60 * DAY, **fields
    )
    for number in range(letters):
        letter = mail(f"{mailbox_id}-{number}")
        (seq,) = await put(database, mailbox_id, letter)
        await retrieved_at(database, seq, NOW + number * DAY)
        told: dict[str, Any] = {"octets": letter.octets, "content_sha256": letter.fingerprint.content}
        line = entry(mailbox_id, letter.unique_id, message_seq=seq, **told)
        await write_line(database, line)
    await database.write(lambda db: db.execute(text("UPDATE unique_ids SET missing_since = first_seen_at")))
    return mailbox_id


async def write_line(database: Database, line: dict[str, Any]) -> None:
    await database.write(lambda db: ledger.write_entries(Leased(db), [line]))


async def retrieved_at(database: Database, seq: int, moment: datetime) -> None:
    await database.write(lambda db: messages.change(db, MessageSeq(seq), {"retrieved_at": moment}))


async def change(database: Database, mailbox_id: MailboxId, **columns: Any) -> None:
    await database.write(lambda db: mailboxes.change(db, mailbox_id, **columns))


async def expire(
    database: Database, mailbox_id: MailboxId, now: datetime = LATER, default: LocalRule | None = None
) -> int:
    return await expire_in(database, mailbox_id, clock=lambda: now, default=default)


async def page(
    database: Database, wanted: Wanted = EVERYTHING, order: Order = Order.FEED, **query: Any
) -> list[str]:
    """Subjects, or the place of what expired; an asterisk for what kept its headers."""
    reach, start = query.pop("reach", ALL_MAILBOXES), query.pop("start", None)
    asked = FeedQuery(wanted, reach, order, start, query.pop("limit", 50), **query)
    found = await database.read(partial(read_once, query=asked))
    return [
        item.subject + "*" * item.expired if isinstance(item, MessageAnswer) else f"{item.seq}"
        for item in found.page.items
    ]


async def test_what_is_older_goes_and_readers_find_its_places_in_order(database: Database) -> None:
    mailbox_id = await filled(database)
    assert await expire(database, mailbox_id) == 2  # of day 0 and 1
    assert await page(database) == ["1", "2", "1-2", "1-3", "1-4", "1-5"]
    assert await page(database, order=Order.NEWEST) == ["1-5", "1-4", "1-3", "1-2", "2", "1"]
    assert await page(database, Wanted(mailbox_id=mailbox_id), limit=1, start=1) == ["2"]
    assert await page(database, Wanted(since=NOW + DAY)) == ["2", "1-2", "1-3", "1-4", "1-5"]
    assert await page(database, Wanted(since=NOW + DAY), most_looked_at=1) == []
    assert await database.read(partial(place_before, moment=NOW + DAY)) == 1
    assert await count(database, "contents") == await count(database, "messages") == 4
    assert not await wrong(database)
    assert await database.read(partial(messages.get, seq=MessageSeq(2), reach=ALL_MAILBOXES)) is None
    assert await database.read(partial(expiry.is_expired, seq=MessageSeq(2), reach=ALL_MAILBOXES))
    assert not await database.read(partial(expiry.is_expired, seq=MessageSeq(3), reach=ALL_MAILBOXES))
    assert await expire(database, mailbox_id) == 0


async def test_a_search_for_what_messages_hold_says_that_expired_ones_were_passed(database: Database) -> None:
    mailbox_id = await filled(database)
    await expire(database, mailbox_id)
    query = FeedQuery(Wanted(subject=("1-",)), ALL_MAILBOXES, Order.FEED, None, 1)
    first = (await database.read(partial(read_once, query=query))).page
    assert [item.seq for item in first.items] == [3]
    assert first.warnings == [EXPIRED_PASSED]
    behind = replace(query, start=3)
    assert (await database.read(partial(read_once, query=behind))).page.warnings == []
    newest = replace(query, order=Order.NEWEST, limit=3)
    assert (await database.read(partial(read_once, query=newest))).page.warnings == []


async def test_headers_are_kept_where_that_is_said_and_go_when_it_is_said_no_more(database: Database) -> None:
    mailbox_id = await filled(database, local=HEADERS)
    first = await database.read(partial(messages.get, seq=MessageSeq(1), reach=ALL_MAILBOXES))
    assert first is not None
    assert await expire(database, mailbox_id) == 2
    assert await page(database) == ["1-0*", "1-1*", "1-2", "1-3", "1-4", "1-5"]
    assert await page(database, Wanted(subject=("-1",))) == ["1-1*"]
    query = FeedQuery(Wanted(), ALL_MAILBOXES, Order.FEED, None, 1)
    (item,) = (await database.read(partial(read_once, query=query))).page.items
    assert isinstance(item, MessageAnswer)
    assert (item.snippet, item.raw_sha256) == ("", first.raw_sha256.hex())
    assert await database.read(partial(messages.get, seq=MessageSeq(1), reach=ALL_MAILBOXES)) is None
    assert await database.read(partial(expiry.is_expired, seq=MessageSeq(1), reach=ALL_MAILBOXES))
    assert await database.read(partial(messages.first_block, sha256=first.raw_sha256)) is None
    assert not await wrong(database)
    told = await database.read(partial(bulk.counted, doomed=Doomed((mailbox_id,)), reach=ALL_MAILBOXES))
    kept = (await database.read(partial(sums.of, mailbox_ids=[mailbox_id])))[mailbox_id]
    assert (told.messages, told.octets) == (6, kept.octets)
    row = await database.read(partial(mailboxes.snapshot, mailbox_id=mailbox_id))
    assert row is not None
    assert row.expired_to == 2
    assert await expire(database, mailbox_id) == 0
    await change(database, mailbox_id, local_retention=THIRTY)
    assert await expire(database, mailbox_id) == 2
    assert await page(database) == ["1", "2", "1-2", "1-3", "1-4", "1-5"]
    await change(database, mailbox_id, local_retention=HEADERS)
    assert await expire(database, mailbox_id, LATER + DAY) == 1
    assert await page(database) == ["1", "2", "1-2*", "1-3", "1-4", "1-5"]
    assert not await wrong(database)


async def test_days_that_change_back_and_forth_bring_nothing_back_and_take_only_what_they_say(
    database: Database,
) -> None:
    mailbox_id = await filled(database)
    await expire(database, mailbox_id, NOW + 30 * DAY)
    await change(database, mailbox_id, local_retention=THIRTY | {"days": 60})
    assert await expire(database, mailbox_id) == 0
    await change(database, mailbox_id, local_retention={"mode": "keep"})
    assert await expire(database, mailbox_id, NOW + 900 * DAY) == 0
    await change(database, mailbox_id, local_retention=None)
    assert await expire(database, mailbox_id) == 0
    assert await expire(database, mailbox_id, default=LocalRule(days=29, keep_headers=True)) == 2
    assert await page(database) == ["1", "1-1*", "1-2*", "1-3", "1-4", "1-5"]


async def test_nothing_goes_here_before_it_has_gone_on_the_server(database: Database) -> None:
    mailbox_id = await filled(database, server_retention={"mode": "delete_after_days", "days": 30})
    listed = text("UPDATE unique_ids SET missing_since = NULL WHERE message_seq = 1")
    await database.write(lambda db: db.execute(listed))
    assert await expire(database, mailbox_id) == 1
    assert await page(database, limit=3) == ["1-0", "2", "1-2"]
    # It is noted as missing before the server is told to delete it; that it has gone shows a later listing.
    await change(database, mailbox_id, listed_at=NOW - DAY)
    await database.write(lambda db: db.execute(text("UPDATE unique_ids SET missing_since = first_seen_at")))
    assert await expire(database, mailbox_id) == 0
    await change(database, mailbox_id, generation=2, listed_at=None)  # another account's by now
    assert await expire(database, mailbox_id) == 1
    assert await page(database, limit=3) == ["1", "2", "1-2"]


async def test_what_stays_on_the_server_goes_here_and_is_never_deleted_there(database: Database) -> None:
    mailbox_id = await filled(database, 3)
    await database.write(lambda db: db.execute(text("UPDATE unique_ids SET missing_since = NULL")))
    assert await expire(database, mailbox_id, NOW + 31 * DAY) == 2
    before = NOW + 100 * DAY
    asked = partial(
        deletions.deletable, mailbox_id=mailbox_id, seen_before=before, now=before, after=None, limit=9
    )
    assert [one.line.message_seq for one in await database.read(asked)] == [3]
    told = await database.read(
        partial(deletions.kept_though_due, mailbox_id=mailbox_id, seen_before=before, limit=9)
    )
    assert told == [(b"1-0", "expired"), (b"1-1", "expired")]
    await change(database, mailbox_id, local_retention=HEADERS)
    await expire(database, mailbox_id, NOW + 32 * DAY)
    assert await database.read(asked) == []


async def test_a_shared_content_stays_as_long_as_one_message_has_it(database: Database) -> None:
    first, second = await filled(database, 1), await filled(database, 1, local=HEADERS)
    shared = mail("in both")
    for mailbox_id in (first, second):
        (seq,) = await put(database, mailbox_id, shared)
        await retrieved_at(database, seq, NOW + DAY)
    await expire(database, first)
    assert await database.read(partial(intake.read_back, sha256=shared.packed.sha256)) is not None
    await expire(database, second)
    assert await database.read(partial(intake.read_back, sha256=shared.packed.sha256)) is None
    await put(database, second, shared)
    assert await database.read(partial(intake.read_back, sha256=shared.packed.sha256)) is not None
    assert not await wrong(database)


async def line_of(database: Database, mailbox_id: MailboxId) -> Known:
    ask = partial(ledger.ledger_page, maildrop=MaildropId(mailbox_id, 1), after=None, limit=9)
    (line,) = await database.read(ask)
    return line


async def test_the_ledger_keeps_what_tells_a_message_again_before_its_contents_go(database: Database) -> None:
    mailbox_id = await filled(database, 1)
    letter = mail("1-0")
    nameless = text("UPDATE unique_ids SET head_octets = NULL, names_sha256 = NULL")
    await database.write(lambda db: db.execute(nameless))
    assert (await line_of(database, mailbox_id)).is_nameless
    await expire(database, mailbox_id)
    line = await line_of(database, mailbox_id)
    assert not line.is_nameless
    assert line.body == intake.body_digest(letter.packed)
    assert (line.head_octets, line.names) == (letter.fingerprint.head_octets, letter.fingerprint.names)
    # A sync that had read the line before goes on with what it knows: it overwrites nothing of this.
    stale = entry(mailbox_id, b"1-0", message_seq=1, content_sha256=letter.fingerprint.content)
    await write_line(database, stale)
    again = await line_of(database, mailbox_id)
    assert (again.body, again.head_octets, again.names) == (line.body, line.head_octets, line.names)


async def damage(database: Database, letter: Prepared) -> None:
    """A bit of what is stored has tipped."""
    change = text("UPDATE contents SET data = :data WHERE sha256 = :sha256")
    told = {"data": b"\xff" + letter.packed.first[1:], "sha256": letter.packed.sha256}
    await database.write(lambda db: db.execute(change, told))


@pytest.mark.parametrize("local", [THIRTY, HEADERS])
async def test_a_damaged_copy_expires_like_any_other_and_tells_nothing_again(
    database: Database, local: dict[str, Any]
) -> None:
    mailbox_id = await filled(database, 1, local=local)
    await damage(database, mail("1-0"))
    assert await expire(database, mailbox_id) == 1
    assert (await line_of(database, mailbox_id)).body is None
    assert not await wrong(database)


async def test_a_large_copy_is_read_before_the_transaction_in_which_its_contents_go(
    database: Database,
) -> None:
    mailbox_id = await filled(database, 0)
    letters = [mail(name, str(number) * 1_100_000) for number, name in enumerate(("whole", "damaged"), 1)]
    for letter in letters:
        (seq,) = await put(database, mailbox_id, letter)
        await retrieved_at(database, seq, NOW)
        await write_line(database, entry(mailbox_id, letter.unique_id, message_seq=seq, missing_since=NOW))
    await damage(database, letters[1])
    tell = partial(keep_what_tells, read={})
    step = partial(expire_some, tell, mailbox_id=mailbox_id, after=0, now=LATER, default=None)
    with pytest.raises(CopiesUnread) as unread:
        await database.write(step)
    assert unread.value.seqs == (1, 2)
    assert await count(database, "messages") == 2
    assert await expire(database, mailbox_id) == 2
    ask = partial(ledger.ledger_page, maildrop=MaildropId(mailbox_id, 1), after=None, limit=9)
    bodies = [line.body for line in await database.read(ask)]
    assert bodies == [intake.body_digest(letters[0].packed), None]
    assert not await wrong(database)


async def test_each_step_is_small_and_a_kill_after_any_of_them_costs_nothing(database: Database) -> None:
    mailbox_id = await filled(database, 7)
    step = partial(expire_some, mailbox_id=mailbox_id, now=NOW + 99 * DAY, default=None, most=2)
    for left in (5, 3, 1, 0):
        await let_go(database, partial(step, after=0))  # each as the first one after a start
        assert await count(database, "messages") == left
        assert await page(database) == [str(n) for n in range(1, 8 - left)] + [
            f"1-{n}" for n in range(7 - left, 7)
        ]
        assert not await wrong(database)
    large = partial(expire_some, mailbox_id=await filled(database, 3), now=NOW + 99 * DAY, default=None)
    await let_go(database, partial(large, after=0, most_octets=1))
    assert await count(database, "messages") == 2


async def test_a_step_that_is_rolled_back_takes_nothing(database: Database) -> None:
    mailbox_id = await filled(database, 3, local=HEADERS)

    def broken(tell: Tell, db: Session) -> None:
        expire_some(tell, db, mailbox_id=mailbox_id, after=0, now=NOW + 99 * DAY, default=None)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await let_go(database, broken)
    assert await page(database) == ["1-0", "1-1", "1-2"]
    assert await count(database, "contents") == 3
    assert not await wrong(database)


async def test_two_workers_at_one_mailbox_and_a_deletion_meanwhile_do_no_harm(database: Database) -> None:
    mailbox_id = await filled(database, 20)
    await asyncio.gather(
        expire(database, mailbox_id, NOW + 99 * DAY),
        expire(database, mailbox_id, NOW + 99 * DAY),
        *(database.write(partial(messages.remove, seq=MessageSeq(n), reach=ALL_MAILBOXES)) for n in (5, 15)),
    )
    assert await count(database, "messages") == 0
    assert {f"{n}" for n in range(1, 21)} - set(await page(database)) <= {"5", "15"}
    assert not await wrong(database)


async def test_a_content_that_is_stored_anew_while_its_last_message_expires_is_there(
    database: Database,
) -> None:
    old, new = await filled(database, 0), await filled(database, 0, local=HEADERS)
    shared = mail("shared", "x" * 3_000)

    async def store_and_expire(mailbox_id: MailboxId) -> None:
        for _ in range(12):
            (seq,) = await put(database, mailbox_id, shared)
            await retrieved_at(database, seq, NOW - 99 * DAY)
            await expire(database, mailbox_id)

    async def store() -> list[MessageSeq]:
        kept = await make_mailbox(database)
        places = [await put(database, kept, shared) for _ in range(12)]
        await asyncio.gather(
            *(
                database.write(partial(messages.remove, seq=place[0], reach=ALL_MAILBOXES))
                for place in places[:-1]
            )
        )
        return places[-1]

    *_, (last,) = await asyncio.gather(store_and_expire(old), store_and_expire(new), store(), store())
    assert await database.read(partial(intake.copy_of, seq=last)) is not None
    left = await database.read(
        lambda db: db.execute(
            text("SELECT count(*) FROM messages WHERE raw_sha256 NOT IN (SELECT sha256 FROM contents)")
        ).scalar_one()
    )
    assert left == 0
    assert not await wrong(database)


async def test_what_is_due_is_found_among_many_mailboxes(database: Database) -> None:
    now = NOW + 30 * DAY
    bare, headers = await filled(database), await filled(database, local=HEADERS)
    keeps = await filled(database, local={"mode": "keep"})
    empty = await make_mailbox(database, local_retention=THIRTY)
    look = partial(look_for_due, after=MailboxId(0), now=now)
    assert await database.search(partial(look, default=None)) == ([bare, headers], None)
    for mailbox_id in (bare, headers, keeps, empty):
        await expire(database, mailbox_id, now)
    assert await database.search(partial(look, default=None)) == ([], None)
    other = await make_mailbox(database)
    (seq,) = await put(database, other, mail("says nothing"))
    assert await database.search(partial(look, default=LocalRule(days=30, keep_headers=False))) == (
        [other],
        None,
    )
    await retrieved_at(database, seq, now + DAY)  # of a wrong clock: looked at, and left
    assert await expire(database, other, now, LocalRule(days=30, keep_headers=False)) == 0


async def test_the_places_of_a_removed_mailbox_go_with_it_and_are_told_no_more(database: Database) -> None:
    stays, goes = await filled(database, 2), await filled(database, 3)
    for mailbox_id in (stays, goes):
        await expire(database, mailbox_id, NOW + 99 * DAY)
    await change(database, goes, removed_at=NOW)
    assert await page(database) == ["1", "2"]
    assert not await database.read(partial(expiry.is_expired, seq=MessageSeq(4), reach=ALL_MAILBOXES))
    while await database.write(partial(remove_some, most=2)):
        pass
    assert await count(database, "expired_messages") == 2
    assert await database.write(partial(expiry.forget, seq=MessageSeq(1), reach=ALL_MAILBOXES))
    assert not await database.write(partial(expiry.forget, seq=MessageSeq(1), reach=ALL_MAILBOXES))
    assert await page(database) == ["2"]


async def test_readers_of_some_mailboxes_are_told_of_what_expired_in_these_alone(database: Database) -> None:
    first, second = await filled(database, 3), await filled(database, 3)
    reach = Reach.bound_to([second], None)
    for mailbox_id in (first, second):
        await expire(database, mailbox_id)
    assert await page(database, reach=reach) == ["4", "5", "2-2"]
    assert await page(database, reach=reach, most_looked_at=2) == ["4", "5"]  # the first ones are another's
    assert await page(database, reach=reach, order=Order.NEWEST) == ["2-2", "5", "4"]
    assert not await database.read(partial(expiry.is_expired, seq=MessageSeq(1), reach=reach))
    assert not await database.write(partial(expiry.forget, seq=MessageSeq(1), reach=reach))
