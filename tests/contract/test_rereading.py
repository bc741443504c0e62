"""What is stored is read again after an upgrade, on SQLite and PostgreSQL alike."""

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.mail import defects
from app.mail.mime import VERSION
from app.messages import repository
from app.messages.models import MessageSeq
from app.messages.pages import search
from app.messages.pages.search import Wanted
from app.messages.rereading import MESSAGES_PER_BATCH
from tests.contract.conftest import Rereading
from tests.contract.test_repositories import mail, make_mailbox, put

_COLUMNS = ("authors", "from_ambiguous", "reader_version")  # that there were not
STALE = ", ".join(
    ["subject = 'stale'", "from_address = 'stale@example.org'", *(f"{name} = NULL" for name in _COLUMNS)]
)


async def make_stale(database: Database, warnings: str = "[]") -> None:
    """As an earlier version left them."""
    await database.write(lambda db: db.execute(text(f"UPDATE messages SET {STALE}, warnings = '{warnings}'")))


async def rows(database: Database) -> list[Any]:
    def question(db: Session) -> list[Any]:
        end = repository.last_place(db)
        found = search.between(db, Wanted(), reach=ALL_MAILBOXES, above=0, below=end + 1, limit=1_000)
        return [row.model_copy() for row in found]

    return await database.read(question)


async def test_all_is_read_again_once_in_batches_and_keeps_its_place(
    database: Database, rereader: Rereading
) -> None:
    mailbox_id = await make_mailbox(database)
    count = 2 * MESSAGES_PER_BATCH + 3
    places = await put(database, mailbox_id, *(mail(f"s{n}") for n in range(count)))
    await make_stale(database)
    await rereader().run()
    read = await rows(database)
    assert [row.seq for row in read] == places
    assert [row.subject for row in read] == [f"s{n}" for n in range(count)]
    assert {row.from_address for row in read} == {"ada@example.org"}
    assert {row.from_ambiguous for row in read} == {False}
    assert not await database.read(partial(repository.is_rereading, version=1))
    await make_stale(database)
    await rereader().run()
    assert {row.subject for row in await rows(database)} == {"stale"}  # once for each version
    await rereader(version=2).run()
    assert [row.subject for row in await rows(database)] == [f"s{n}" for n in range(count)]


async def test_warnings_that_are_not_the_readers_stay(database: Database, rereader: Rereading) -> None:
    await put(database, await make_mailbox(database), mail("a"))
    await make_stale(database, f'["{defects.BAD_DATE}", "The server holds further copies."]')
    await rereader().run()
    assert [row.warnings for row in await rows(database)] == [["The server holds further copies."]]


async def test_what_is_killed_goes_on_where_it_was(database: Database, rereader: Rereading) -> None:
    await put(database, await make_mailbox(database), *(mail(f"s{n}") for n in range(3 * MESSAGES_PER_BATCH)))
    await make_stale(database)
    batches = 0

    async def die_in_the_second_rest(_seconds: float) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await rereader(sleep=die_in_the_second_rest).run()
    assert await database.read(partial(repository.is_rereading, version=1))
    assert [row.subject for row in await rows(database)].count("stale") == MESSAGES_PER_BATCH
    await rereader().run()
    assert "stale" not in [row.subject for row in await rows(database)]


async def test_several_at_once_do_no_harm(database: Database, rereader: Rereading) -> None:
    await put(database, await make_mailbox(database), *(mail(f"s{n}") for n in range(2 * MESSAGES_PER_BATCH)))
    await make_stale(database)
    await asyncio.gather(*(rereader().run() for _ in range(3)))
    assert [row.subject for row in await rows(database)] == [f"s{n}" for n in range(2 * MESSAGES_PER_BATCH)]


async def test_an_older_version_leaves_a_newer_one_alone(database: Database, rereader: Rereading) -> None:
    await put(database, await make_mailbox(database), mail("a"))
    await rereader(version=3).run()
    await make_stale(database)
    await rereader(version=2).run()
    assert {row.subject for row in await rows(database)} == {"stale"}


async def test_what_an_older_worker_stores_meanwhile_is_read_again_and_what_is_read_already_is_not(
    database: Database, rereader: Rereading
) -> None:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, mail("before"))
    await make_stale(database)
    job = rereader().job()
    for look in range(2):
        (key,) = await job.keys()
        await job.run(key)
        assert await job.keys() == []
        if look == 0:
            await put(database, mailbox_id, mail("by the old one"))
            await database.write(
                lambda db: db.execute(text(f"UPDATE messages SET {STALE} WHERE subject = 'by the old one'"))
            )
            await put(database, mailbox_id, mail("by the new one"))
            await database.write(
                lambda db: db.execute(text("UPDATE messages SET snippet = 'kept' WHERE subject LIKE '%new%'"))
            )
    read = await rows(database)
    assert [row.subject for row in read] == ["before", "by the old one", "by the new one"]
    assert [row.reader_version for row in read] == [1, 1, VERSION]
    assert read[2].snippet == "kept"


async def test_one_is_read_again_when_asked_for(database: Database, rereader: Rereading) -> None:
    (first, _) = await put(database, await make_mailbox(database), mail("a"), mail("b"))
    await make_stale(database)
    assert await rereader().one(first, reach=ALL_MAILBOXES, owner=("a", 1))
    assert [row.subject for row in await rows(database)] == ["a", "stale"]
    assert not await rereader().one(MessageSeq(99), reach=ALL_MAILBOXES, owner=("a", 1))


async def test_only_a_certain_sender_is_found_by_address(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, mail("a", "x"))

    async def found(address: str) -> int:
        wanted = Wanted(from_address=(address,))
        end = await database.read(repository.last_place)
        return len(
            await database.read(
                lambda db: [
                    r.seq
                    for r in search.between(db, wanted, reach=ALL_MAILBOXES, above=0, below=end + 1, limit=9)
                ]
            )
        )

    assert await found("ada@example.org") == 1
    assert await found("ada") == 0
    await database.write(lambda db: db.execute(text("UPDATE messages SET from_address = 'Ada@Example.org'")))
    assert await found("ada@example.org") == 1
    await database.write(lambda db: db.execute(text("UPDATE messages SET from_ambiguous = NULL")))
    assert await found("ada@example.org") == 0
