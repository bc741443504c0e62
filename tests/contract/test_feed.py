"""Reading the feed by filters, in bounded looks, and waiting for it; on SQLite and PostgreSQL alike."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from sqlalchemy import event, insert
from sqlmodel import Session, SQLModel

from app.access.reach import ALL_MAILBOXES, Reach
from app.database import Database
from app.errors import AppError
from app.jobs import wakeups as wakeups_module
from app.jobs.wakeups import Wakeups
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.messages import repository
from app.messages.pages.feed import MOST_LOOKED_AT, FeedQuery, Found, Order, read_once, scope_of
from app.messages.pages.search import Wanted
from app.messages.pages.waiting import Feed
from app.messages.schemas import FeedPage, MessageAnswer
from app.reading.cost import Timed
from app.web.pages import decode_cursor

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
MOST = MOST_LOOKED_AT
Result = TypeVar("Result")


async def make_mailbox(database: Database) -> MailboxId:
    row = Mailbox(
        name="m", host="pop.example.org", port=995, security="tls", username="u",
        server_retention={"mode": "keep"}, created_at=NOW,
    )  # fmt: skip
    return await database.write(lambda db: mailboxes.add(db, row))


def add(db: Session, mailbox_id: MailboxId, subjects: list[str]) -> int:
    """Message rows with one content; the place of the first."""
    tables = SQLModel.metadata.tables
    repository.add_contents(db, [{"sha256": b"x" * 32, "octets": 1, "blocks": 1, "data": b""}])
    first = repository.take_places(db, len(subjects), octets=len(subjects))
    blank: dict[str, Any] = {
        "mailbox_id": mailbox_id, "occurrence": 1, "to": [], "cc": [], "reply_to": [], "retrieved_at": NOW,
        "octets": 1, "raw_sha256": b"x" * 32, "has_attachments": False, "snippet": "", "warnings": [],
    }  # fmt: skip
    rows = [
        blank | {"seq": seq, "subject": subject, "unique_id": str(seq).encode()}
        for seq, subject in enumerate(subjects, first)
    ]
    db.execute(insert(tables["messages"]), rows)
    return first


async def all_mailboxes() -> Reach:
    """What somebody reaches who reaches all, however long he waits."""
    return ALL_MAILBOXES


async def put(database: Database, mailbox_id: MailboxId, *subjects: str) -> int:
    return await database.write(lambda db: add(db, mailbox_id, list(subjects)))


async def ask(database: Database, wanted: Wanted, *, start: int | None = None, **given: Any) -> Found:
    query = replace(FeedQuery(wanted, ALL_MAILBOXES, Order.FEED, start, 50), **given)
    return await database.search(lambda db: read_once(db, query))


def place_of(cursor: str | None, wanted: Wanted, order: Order = Order.FEED) -> int | None:
    """The place that a cursor of this read names."""
    found = decode_cursor(cursor, scope_of(wanted, order))
    return found.position if found else None


def subjects_of(page: FeedPage) -> list[str]:
    """Of the messages that are here."""
    return [item.subject for item in page.items if isinstance(item, MessageAnswer)]


async def walk(
    database: Database, wanted: Wanted, order: Order, limit: int = 50, most: int = 7
) -> tuple[list[str], int]:
    """All that a client gets which follows the cursor while there is more, and in how many calls."""
    subjects: list[str] = []
    start, calls = None, 0
    while True:
        found = await ask(database, wanted, start=start, order=order, limit=limit, most_looked_at=most)
        calls += 1
        subjects += subjects_of(found.page)
        if not found.page.has_more:
            return subjects, calls
        reached = place_of(found.page.next_cursor, wanted, order)
        assert reached is not None
        assert start is None or (reached > start if order is Order.FEED else reached < start)
        start = reached


@pytest.mark.parametrize("order", list(Order))
async def test_a_search_looks_at_ten_thousand_messages_and_says_how_far_it_came(
    database: Database, order: Order
) -> None:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, *["other"] * (MOST + 1))
    found = await ask(database, Wanted(subject=("wanted",)), order=order)
    assert found.page.items == []
    assert found.page.has_more
    assert found.reached == (MOST if order is Order.FEED else 2)
    assert place_of(found.page.next_cursor, Wanted(subject=("wanted",)), order) == found.reached
    rest = await ask(database, Wanted(subject=("wanted",)), order=order, start=found.reached)
    assert rest.page.items == []
    assert not rest.page.has_more
    plain = await ask(database, Wanted(), order=order)
    assert len(plain.page.items) == 50


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("limit", [1, 50])
async def test_who_follows_the_cursor_of_a_search_skips_nothing_and_comes_to_an_end(
    database: Database,
    order: Order,
    limit: int,
) -> None:
    first, second = await make_mailbox(database), await make_mailbox(database)
    for number in range(6):
        await put(
            database, first, *[f"wanted {number}.{n}" if n % 8 in {0, 7} else "other" for n in range(8)]
        )
        await put(database, second, *["wanted too"] * 5, *["other"] * 9)
    ours = [f"wanted {number}.{n}" for number in range(6) for n in (0, 7)]
    expected = ours if order is Order.FEED else ours[::-1]
    subjects, _ = await walk(database, Wanted(mailbox_id=first, subject=("WANTED",)), order, limit)
    assert subjects == expected
    everybody, calls = await walk(database, Wanted(subject=("wanted",)), order, limit)
    assert [subject for subject in everybody if subject != "wanted too"] == expected
    assert len(everybody) == 12 + 30
    assert calls <= 22 // 7 * 6 + 42
    assert await walk(database, Wanted(since=NOW + timedelta(days=9999)), order) == ([], 19)
    past, _ = await walk(database, Wanted(since=NOW - timedelta(days=9999)), order)
    assert len(past) == 6 * 22


@dataclass
class Counting:
    """A database that notes which looks were made, by whom."""

    database: Database
    query: list[tuple[str, FeedQuery]] = field(default_factory=list)
    ends: int = 0  # how often the end of the feed was looked at
    answered: int = 0  # looks by filters
    cost: float | None = None  # of each of them, in place of what it really is

    @property
    def is_sqlite(self) -> bool:
        return self.database.is_sqlite

    async def read(self, question: Callable[[Session], Result]) -> Result:
        self._note("read", question)
        return await self.database.read(question)

    async def search(self, question: Callable[[Session], Result]) -> Result:
        self._note("search", question)
        found = await self.database.search(question)
        self.answered += 1
        if isinstance(question, Timed) and self.cost is not None:
            return (found[0], self.cost)  # type: ignore[index, return-value]  # what Timed gives
        return found

    def _note(self, by: str, question: object) -> None:
        if question is repository.last_place:
            self.ends += 1
            return
        question = question.func if isinstance(question, Timed) else question
        assert isinstance(question, partial)
        self.query.append((by, question.keywords["query"]))


def reader_of(counting: Counting, wakeups: Wakeups) -> Feed:
    return Feed(counting, wakeups.messages_stored, time.monotonic)  # type: ignore[arg-type]  # the part of a database that a feed uses


async def stays() -> bool:
    return False


async def until_asked(counting: Counting, count: int) -> None:
    while len(counting.query) < count:
        await asyncio.sleep(0.01)


async def test_a_long_poll_by_filters_looks_only_behind_the_last_place_it_has_seen(
    database: Database,
) -> None:
    mailbox_id, wakeups, counting = await make_mailbox(database), Wakeups(), Counting(database)
    await put(database, mailbox_id, *["other"] * 25)
    query = FeedQuery(Wanted(subject=("wanted",)), ALL_MAILBOXES, Order.FEED, None, 50, most_looked_at=10)
    poll = asyncio.create_task(
        reader_of(counting, wakeups).page(query, wait=20, is_gone=stays, reach_now=all_mailboxes)
    )
    await until_asked(counting, 3)
    assert [one.start for _, one in counting.query] == [None, 10, 20]  # it goes on by itself
    await put(database, mailbox_id, "other still")
    wakeups.stored(mailbox_id)
    await until_asked(counting, 4)
    assert counting.query[3][1].start == 25
    await put(database, mailbox_id, "wanted")
    wakeups.stored(mailbox_id)
    page = (await poll).page
    assert subjects_of(page) == ["wanted"]
    assert {kind for kind, _ in counting.query} == {"search"}


async def test_a_long_poll_by_filters_looks_once_for_commits_that_come_close_together(
    database: Database,
) -> None:
    """Although the look before was long ago."""
    mailbox_id, wakeups, counting = await make_mailbox(database), Wakeups(), Counting(database)
    ahead = [0.0]
    reader = replace(
        reader_of(counting, wakeups), gather_seconds=1.0, monotonic=lambda: time.monotonic() + ahead[0]
    )
    query = FeedQuery(Wanted(subject=("wanted",)), ALL_MAILBOXES, Order.FEED, None, 50)
    poll = asyncio.create_task(reader.page(query, wait=20, is_gone=stays, reach_now=all_mailboxes))
    while not counting.answered:  # what is committed before belongs to that look
        await asyncio.sleep(0.01)
    ahead[0] = 5.0
    for subject in ("other", "another", "wanted"):
        await put(database, mailbox_id, subject)
        wakeups.stored(mailbox_id)
    assert subjects_of((await poll).page) == ["wanted"]
    assert len(counting.query) == 2


async def test_who_waits_with_filters_looks_the_less_often_the_more_it_costs(database: Database) -> None:
    mailbox_id, wakeups, counting = await make_mailbox(database), Wakeups(), Counting(database, cost=1_000.0)
    reader = replace(reader_of(counting, wakeups), gather_seconds=0.0, longest_rest_seconds=1_000.0)
    query = FeedQuery(Wanted(subject=("wanted",)), ALL_MAILBOXES, Order.FEED, None, 50)
    poll = asyncio.create_task(reader.page(query, wait=4, is_gone=stays, reach_now=all_mailboxes))
    await until_asked(counting, 1)
    for subject in ("other", "another", "wanted"):
        await put(database, mailbox_id, subject)
        wakeups.stored(mailbox_id)
        await until_asked(counting, 2)
    assert subjects_of((await poll).page) == ["wanted"]  # when its time is over
    assert len(counting.query) == 3


async def test_a_look_at_what_has_just_been_stored_takes_three_statements(database: Database) -> None:
    """However many there are who wait with filters: each of them looks."""
    mailbox_id, statements = await make_mailbox(database), list[str]()
    end = await put(database, mailbox_id, "other")
    query = FeedQuery(Wanted(subject=("wanted",)), ALL_MAILBOXES, Order.FEED, end - 1, 50, is_written=True)

    def look(db: Session) -> Found:
        connection = db.connection()
        event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
        return read_once(db, query)

    assert (await database.read(look)).is_empty
    assert len(statements) == 3, statements


async def test_a_long_poll_of_the_newest_does_not_go_down_twice(
    database: Database,
) -> None:
    mailbox_id, wakeups, counting = await make_mailbox(database), Wakeups(), Counting(database)
    await put(database, mailbox_id, *["other"] * 15)
    query = FeedQuery(Wanted(subject=("wanted",)), ALL_MAILBOXES, Order.NEWEST, None, 50, most_looked_at=10)
    reader = reader_of(counting, wakeups)
    poll = asyncio.create_task(reader.page(query, wait=20, is_gone=stays, reach_now=all_mailboxes))
    await until_asked(counting, 2)
    await put(database, mailbox_id, "wanted")
    wakeups.stored(mailbox_id)
    page = (await poll).page
    assert subjects_of(page) == ["wanted"]
    assert page.next_cursor is None
    assert counting.query[-1][1].floor == 15
    behind = await reader.page(
        replace(query, start=3), wait=20, is_gone=stays, reach_now=all_mailboxes
    )  # nothing can come there
    assert behind.page == FeedPage(items=[], next_cursor=None, has_more=False)


async def test_long_polls_that_ask_the_same_look_once_for_each_commit(database: Database) -> None:
    mailbox_id, other = await make_mailbox(database), await make_mailbox(database)
    wakeups, counting = Wakeups(), Counting(database)
    reader = reader_of(counting, wakeups)
    query = FeedQuery(Wanted(mailbox_id=mailbox_id), ALL_MAILBOXES, Order.FEED, None, 50, most_looked_at=10)
    polls = [
        asyncio.create_task(reader.page(query, wait=20, is_gone=stays, reach_now=all_mailboxes))
        for _ in range(200)
    ]
    await until_asked(counting, 1)
    await put(database, other, "of another")
    wakeups.stored(other)
    await put(database, mailbox_id, "ours")
    wakeups.stored(mailbox_id)
    pages = await asyncio.gather(*polls)
    assert {subject for found in pages for subject in subjects_of(found.page)} == {"ours"}
    assert len(counting.query) <= 4
    assert {kind for kind, _ in counting.query} == {"read"}


async def test_a_long_poll_whose_time_is_over_says_how_far_it_came(
    database: Database,
) -> None:
    mailbox_id, wakeups = await make_mailbox(database), Wakeups()
    await put(database, mailbox_id, *["other"] * 25)
    query = FeedQuery(Wanted(subject=("wanted",)), ALL_MAILBOXES, Order.FEED, None, 50, most_looked_at=10)
    found = await reader_of(Counting(database), wakeups).page(
        query, wait=0, is_gone=stays, reach_now=all_mailboxes
    )
    page = found.page
    assert (page.items, place_of(page.next_cursor, query.wanted), page.has_more) == ([], 10, True)


async def test_plain_reads_do_not_queue_behind_searches(database: Database) -> None:
    """Searches that do not end occupy all their threads: a read is answered all the same."""
    goes_on = threading.Event()
    searches = [asyncio.create_task(database.search(lambda _db: goes_on.wait(60))) for _ in range(8)]
    await asyncio.sleep(0)
    assert await database.read(repository.last_place) == 0
    assert await database.write(lambda db: repository.take_places(db, 1, octets=1)) == 1
    goes_on.set()
    assert all(await asyncio.gather(*searches))


async def test_who_waits_in_vain_looks_for_the_end_of_the_feed_alone_and_all_of_them_together(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody wakes them: a process that rings no bell stores something."""
    monkeypatch.setattr(wakeups_module, "LOOK_AGAIN_SECONDS", 0.02)
    ids = [await make_mailbox(database) for _ in range(5)]
    counting = Counting(database)
    reader = replace(reader_of(counting, Wakeups()), end_holds_seconds=0.02)
    polls = [
        asyncio.create_task(
            reader.page(
                FeedQuery(Wanted(mailbox_id=each), ALL_MAILBOXES, Order.FEED, None, 50),
                wait=20,
                is_gone=stays,
                reach_now=all_mailboxes,
            )
        )
        for each in ids
    ]
    await until_asked(counting, 5)
    ends = counting.ends
    while counting.ends < ends + 5:
        await asyncio.sleep(0.01)
    assert len(counting.query) == 5
    for each in ids:
        await put(database, each, "unheard")
    assert [subjects_of((await poll).page) for poll in polls] == [["unheard"]] * 5


async def test_who_waits_in_vain_sees_soon_that_the_key_is_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing is stored meanwhile, which would have the key looked at."""
    monkeypatch.setattr(wakeups_module, "LOOK_AGAIN_SECONDS", 0.02)
    asked: list[int] = []

    async def reach_now() -> Reach:
        asked.append(1)
        if len(asked) > 2:
            raise AppError(401, "unauthorized", "")
        return ALL_MAILBOXES

    reader = replace(reader_of(Counting(database), Wakeups()), end_holds_seconds=0.02)
    query = FeedQuery(Wanted(), ALL_MAILBOXES, Order.FEED, None, 50)
    with pytest.raises(AppError):
        await asyncio.wait_for(reader.page(query, wait=600, is_gone=stays, reach_now=reach_now), 20)
