"""What a reach is in SQL, on SQLite and PostgreSQL alike; and the feed of those who reach little among much."""

import random
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import event, insert, select
from sqlmodel import Session, SQLModel

from app.access.reach import ALL_MAILBOXES, Reach, mailbox_of
from app.database import Database
from app.mailboxes.models import MailboxId
from app.messages.many import bulk
from app.messages.many.bulk import Doomed
from app.messages.pages.feed import Order
from app.messages.pages.search import Wanted
from tests.contract.test_feed import ask, make_mailbox, place_of, put, subjects_of

NOTHING = Reach(False)


async def label(database: Database, mailbox_id: MailboxId, *labels: str, gives_reach: bool = True) -> None:
    rows = [{"mailbox_id": mailbox_id, "label": each, "gives_reach": gives_reach} for each in labels]
    table = SQLModel.metadata.tables["mailbox_labels"]
    await database.write(lambda db: db.connection().execute(insert(table), rows) and None)


async def test_a_reach_is_the_same_row_by_row_and_as_a_set(database: Database) -> None:
    first, second, third, fourth = [await make_mailbox(database) for _ in range(4)]
    await label(database, second, "a", "b")
    await label(database, third, "A")
    await label(database, fourth, "a", gives_reach=False)
    mailboxes = SQLModel.metadata.tables["mailboxes"].c

    def seen(db: Session, reach: Reach) -> list[set[int]]:
        ways = (reach.of(mailboxes.id), reach.among(mailboxes.id))
        found = [{row[0] for row in db.execute(select(mailboxes.id).where(*each))} for each in ways]
        one_by_one = {each for each in (first, second, third, fourth) if reach.sees(db, "mbx", each)}
        return [*found, one_by_one]

    for reach, expected in (
        (ALL_MAILBOXES, {first, second, third, fourth}),
        (NOTHING, set()),
        (Reach(False, (first, 99)), {first}),
        (Reach(False, (), ("a",)), {second}),
        (Reach(False, (), ("b", "A", "none")), {second, third}),
        (Reach(False, (fourth,), ("a",)), {second, fourth}),
        (Reach(False, (), ("%", "' OR 1=1 --")), set()),
    ):
        assert await database.read(partial(seen, reach=reach)) == [expected] * 3, reach


async def test_whose_a_message_or_a_sync_is(database: Database) -> None:
    mine, other = await make_mailbox(database), await make_mailbox(database)
    seq = await put(database, mine, "x")
    reach, strange = Reach(False, (mine,)), Reach(False, (other,))
    assert await database.read(lambda db: mailbox_of(db, "msg", seq)) == mine
    assert await database.read(lambda db: mailbox_of(db, "msg", seq + 1)) is None
    assert await database.read(lambda db: mailbox_of(db, "key", 1)) is None
    assert await database.read(lambda db: reach.sees(db, "msg", seq))
    assert not await database.read(lambda db: strange.sees(db, "msg", seq))
    for path, is_seen in ((f"/mailboxes/mbx_{mine}", True), (f"/mailboxes/mbx_{other}", False),
                          ("/mailboxes/mbx_x", False), ("/api-keys/key_1", False), ("/nowhere", False)):  # fmt: skip
        assert await database.read(partial(reach.sees_path, path=path)) is is_seen, path
    assert not await database.read(partial(reach.sees_path, path="/sync-batches/bat_1"))
    assert await database.read(partial(ALL_MAILBOXES.sees_path, path="/sync-batches/bat_1"))


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("subject", ["", "1"])
async def test_the_feed_of_a_bound_key_skips_nothing_and_shows_nothing_else(
    database: Database, order: Order, subject: str
) -> None:
    """Whatever lies between: each look passes few places, and goes on where something is in reach."""
    ours, more, others = [await make_mailbox(database) for _ in range(3)]
    await label(database, more, "ours")
    chance = random.Random(7)
    for number in range(40):
        of = chance.choices((ours, more, others), (1, 1, 8))[0]
        count = chance.choice((1, 2, 9)) * (3 if of == others else 1)
        await put(database, of, *[f"{number}.{each}" for each in range(count)])
    wanted = Wanted(subject=(subject,)) if subject else Wanted()
    reach = Reach(False, (ours,), ("ours",))
    everything = [
        one
        for one in await walked(database, wanted, order, ALL_MAILBOXES, most=10_000)
        if one[0] in {ours, more}
    ]
    assert len(everything) > 5
    for limit in (1, 3, 50):
        assert await walked(database, wanted, order, reach, limit=limit, most=5) == everything
    assert await walked(database, wanted, order, NOTHING, most=5) == []


async def test_who_reaches_nothing_of_a_long_feed_comes_to_its_end_in_one_call(database: Database) -> None:
    mine, others = await make_mailbox(database), await make_mailbox(database)
    await put(database, others, *["other"] * 300)
    found = await ask(database, Wanted(), reach=Reach(False, (mine,)), most_looked_at=10)
    assert (found.page.items, found.page.has_more) == ([], False)
    last = await put(database, mine, "mine")
    found = await ask(database, Wanted(), reach=Reach(False, (mine,)), most_looked_at=10)
    assert subjects_of(found.page) == ["mine"]
    assert place_of(found.page.next_cursor, Wanted()) == last


async def walked(
    database: Database, wanted: Wanted, order: Order, reach: Reach, *, limit: int = 50, most: int
) -> list[tuple[int, str]]:
    """Mailbox and subject of all that a client gets which follows the cursor."""
    found: list[tuple[int, str]] = []
    start = None
    for _ in range(1_000):
        look = await ask(
            database, wanted, start=start, order=order, limit=limit, most_looked_at=most, reach=reach
        )
        page = look.page.model_dump()
        found += [(int(each["mailbox_id"].removeprefix("mbx_")), each["subject"]) for each in page["items"]]
        if not look.page.has_more:
            return found
        start = place_of(look.page.next_cursor, wanted, order)
    raise AssertionError("it does not end")


async def test_counting_what_is_to_be_deleted_looks_at_no_message_out_of_reach(database: Database) -> None:
    """How long it takes would tell how much mail others have."""
    asked: list[str] = []

    def count(db: Session) -> None:
        connection = db.connection()
        event.listen(connection, "before_cursor_execute", lambda *told: asked.append(told[2]))
        bulk.counted(db, Doomed(before=datetime.now(UTC)), reach=Reach(False, (), ("ours",)))

    await database.read(count)
    assert "messages.mailbox_id IN (SELECT mailbox_labels.mailbox_id" in " ".join(asked[-1].split())
