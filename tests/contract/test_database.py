"""What the application relies on in a database, SQLite and PostgreSQL alike."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, select

from app.access.models import ApiKey
from app.database import Batchable, Database, StorageFailed, batching, driver_url
from app.database.autocommit import connect
from app.database.schema import upgrade

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def key(prefix: str) -> ApiKey:
    return ApiKey(name="n", prefix=prefix, sha256=b"x", scopes=["read"], created_at=NOW)


async def count_keys(database: Database) -> int:
    return await database.read(lambda db: db.execute(text("SELECT count(*) FROM api_keys")).scalar_one())


def test_the_migrations_make_exactly_the_tables_of_the_models(database: Database, database_url: str) -> None:
    engine = create_engine(database.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        ours = [
            difference
            for difference in compare_metadata(context, SQLModel.metadata)
            if not (
                difference[0] == "remove_table"
                and difference[1].name in {"alembic_version", "mailbox_tallies"}
            )
        ]
    engine.dispose()
    assert ours == []


def test_migrating_twice_changes_nothing(database: Database, database_url: str) -> None:
    upgrade(database_url)
    engine = create_engine(database.url)
    assert "mailboxes" in inspect(engine).get_table_names()
    engine.dispose()


async def test_a_unit_of_work_that_raises_leaves_no_trace(database: Database) -> None:
    def change(db: Session) -> None:
        db.add(key("a"))
        db.flush()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.write(change)
    assert await count_keys(database) == 0


@pytest.mark.parametrize("durable", [True, False])
async def test_what_was_written_is_read_by_whoever_reads_later(database: Database, durable: bool) -> None:
    await database.write(lambda db: db.add(key("a")), durable=durable)
    assert await count_keys(database) == 1


async def test_a_time_comes_back_as_the_same_moment_in_utc(database: Database) -> None:
    await database.write(lambda db: db.add(key("a")))
    assert await database.read(lambda db: db.get(ApiKey, 1).created_at) == NOW  # type: ignore[union-attr]  # it is there


async def test_reading_cannot_change_anything(database: Database) -> None:
    with pytest.raises(StorageFailed):
        await database.read(lambda db: db.execute(text("DELETE FROM api_keys")))


async def test_a_read_sees_one_state_however_many_statements_it_makes(database: Database) -> None:
    """Whoever reads the end of the feed and then its messages must not see a message behind the end."""
    loop = asyncio.get_running_loop()

    def question(db: Session) -> tuple[int, int]:
        before = db.execute(text("SELECT count(*) FROM api_keys")).scalar_one()
        written = asyncio.run_coroutine_threadsafe(database.write(lambda db: db.add(key("b"))), loop)
        written.result(timeout=60)
        return before, db.execute(text("SELECT count(*) FROM api_keys")).scalar_one()

    assert await database.read(question) == (0, 0)
    assert await count_keys(database) == 1


async def test_many_writers_at_once_all_succeed(database: Database) -> None:
    await asyncio.gather(*(database.write(lambda db, n=n: db.add(key(f"k{n}"))) for n in range(50)))  # type: ignore[misc]  # n of each turn
    assert await count_keys(database) == 50


@asynccontextmanager
async def writers_busy(database: Database) -> AsyncIterator[None]:
    """What is asked to be written within the block waits together, for every writer is busy until its end."""
    release = threading.Event()
    held: list[None] = []

    def hold(_db: Session) -> None:
        held.append(None)
        release.wait(60)

    tasks = []
    for writer in range(1 if database.is_sqlite else 8):
        tasks.append(asyncio.create_task(database.write(hold)))
        async with asyncio.timeout(60):
            while len(held) <= writer:
                await asyncio.sleep(0.001)
    yield
    await asyncio.sleep(0.1)
    release.set()
    await asyncio.gather(*tasks)


async def test_changes_that_wait_together_share_a_transaction(database: Database) -> None:
    transactions: list[object] = []

    def change(db: Session) -> None:
        transactions.append(db.get_transaction())

    async with writers_busy(database):
        writes = [asyncio.create_task(database.write(change)) for _ in range(40)]
    await asyncio.gather(*writes)
    assert len(transactions) == 40
    shared = len({id(transaction) for transaction in transactions})  # all are held: no id is used twice
    assert shared <= (1 if database.is_sqlite else 20), "one writer, or eight that take their shares"


async def test_long_changes_take_turns_and_short_ones_wait_for_one_of_them(database: Database) -> None:
    order: list[str] = []
    made: list[tuple[str, Session]] = []

    async def write(name: str, *, is_long: bool) -> None:
        def change(db: Session) -> None:
            made.append((name, db))  # each transaction has a session of its own

        await database.write(change, is_long=is_long)
        order.append(name)

    async with writers_busy(database):
        writes = [asyncio.create_task(write(f"long {n}", is_long=True)) for n in range(9)]
        await asyncio.sleep(0.05)
        writes += [asyncio.create_task(write(f"short {n}", is_long=False)) for n in range(9)]
    await asyncio.gather(*writes)
    assert sorted(order) == sorted(name for name, _ in made)
    of_long = {id(session) for name, session in made if name.startswith("long")}
    of_short = {id(session) for name, session in made if name.startswith("short")}
    assert not of_long & of_short, "no short one waits for the rows of a long one"
    if database.is_sqlite:
        assert order[:9] == [f"short {n}" for n in range(9)], (
            "one long one waits with them, and lets them go first"
        )
        assert order[9:] == [f"long {n}" for n in range(9)]


async def test_a_short_change_waits_for_no_long_one_where_there_are_several_writers(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "_PATIENCE", 600)  # no other thread comes to help
    goes_on = threading.Event()
    database = Database(postgres_url)
    try:
        long = [
            asyncio.create_task(database.write(lambda _db: goes_on.wait(60), is_long=True)) for _ in range(9)
        ]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(30):
            await database.write(lambda _db: None)
        goes_on.set()
        assert all(await asyncio.gather(*long))
    finally:
        goes_on.set()
        database.close()


async def test_who_waits_for_the_disk_keeps_nobody_waiting(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that takes long: here it waits for a lock."""
    monkeypatch.setattr(batching, "_PATIENCE", 600)  # no other thread comes to help
    upgrade(postgres_url)
    database, is_asked = Database(postgres_url), asyncio.Event()
    loop, engine = asyncio.get_running_loop(), create_engine(driver_url(postgres_url))
    with engine.begin() as db:
        db.exec_driver_sql(_WAITS_AT_THE_END)
    holder = engine.connect()
    holder.exec_driver_sql("SELECT pg_advisory_lock(42)")

    def change(db: Session) -> None:
        db.execute(text("INSERT INTO waits VALUES (1)"))
        loop.call_soon_threadsafe(is_asked.set)

    try:
        slow = asyncio.create_task(database.write(change))
        await is_asked.wait()
        async with asyncio.timeout(30):
            await asyncio.gather(*(database.write(lambda _db: None) for _ in range(20)))
        assert not slow.done()
        holder.exec_driver_sql("SELECT pg_advisory_unlock(42)")
        await slow
    finally:
        holder.close()
        engine.dispose()
        database.close()


_WAITS_AT_THE_END = """
    CREATE TABLE waits (id integer);
    CREATE FUNCTION wait_at_the_end() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER waits_at_the_end AFTER INSERT ON waits DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait_at_the_end();
"""


async def test_a_long_change_is_made_however_many_short_ones_come(database: Database) -> None:
    is_made = asyncio.Event()

    async def write_again() -> None:
        while not is_made.is_set():
            await database.write(lambda db: None)

    short = [asyncio.create_task(write_again()) for _ in range(20)]
    async with asyncio.timeout(60):
        for _ in range(3):
            await database.write(lambda db: None, is_long=True)
    is_made.set()
    await asyncio.gather(*short)


async def test_one_change_that_fails_takes_no_other_with_it(database: Database) -> None:
    def change(db: Session, number: int) -> int:
        db.add(key(f"k{number}"))
        if number == 7:
            db.flush()
            raise RuntimeError
        return number

    async with writers_busy(database):
        writes = [asyncio.create_task(database.write(partial(change, number=n))) for n in range(20)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(each) for each in outcomes].count(RuntimeError) == 1
    assert [each for each in outcomes if isinstance(each, int)] == [n for n in range(20) if n != 7]
    assert await count_keys(database) == 19


async def test_a_change_is_tried_again_where_that_may_help_and_most_often_after_deadlocks(
    postgres_url: str,
) -> None:
    tried = 0

    def change(db: Session, *, failure: str, failures: int) -> int:
        nonlocal tried
        tried += 1
        if tried <= failures:
            db.execute(text(f"DO $$ BEGIN RAISE 'of a test' USING ERRCODE = '{failure}'; END $$"))
        return tried

    database = Database(postgres_url)
    for failure, most in {
        "deadlock_detected": 10,
        "serialization_failure": 10,
        "foreign_key_violation": 3,
        "unique_violation": 1,
    }.items():
        tried = 0
        assert await database.write(partial(change, failure=failure, failures=most - 1)) == most
        tried = 0
        with pytest.raises((StorageFailed, IntegrityError)):
            await database.write(partial(change, failure=failure, failures=most))
        assert tried == most, failure
    database.close()


async def test_changes_in_one_transaction_do_not_see_the_objects_of_each_other(database: Database) -> None:
    """SQLAlchemy gives an object that it has again, without looking what became of its row."""
    await database.write(lambda db: db.add(key("a")))

    held = []

    def rename(db: Session) -> None:
        held.append(db.get(ApiKey, 1))
        db.connection().execute(text("UPDATE api_keys SET name = 'new'"))

    async with writers_busy(database):
        writes = [asyncio.create_task(database.write(rename)) for _ in range(9)]
        read = asyncio.create_task(database.write(lambda db: db.get(ApiKey, 1).name))  # type: ignore[union-attr]  # it is there
    await asyncio.gather(*writes)
    assert await read in ({"new"} if database.is_sqlite else {"n", "new"})  # one writer, or eight at once


@pytest.mark.parametrize("begins_with", ["a statement", "an object"])
async def test_statements_objects_and_savepoints_of_a_unit_are_in_one_transaction(
    database: Database, begins_with: str
) -> None:
    counted = text("SELECT count(*) FROM api_keys")

    def change(db: Session) -> list[int]:
        seen = []
        if begins_with == "a statement":
            seen.append(db.connection().execute(counted).scalar_one())
        db.add(key("a"))
        db.flush()
        seen.append(db.connection().execute(counted).scalar_one())
        within = db.begin_nested()
        db.add(key("b"))
        db.flush()
        seen.append(db.connection().execute(counted).scalar_one())
        within.rollback()
        db.add(key("c"))
        return [*seen, db.execute(counted).scalar_one()]

    def failing(db: Session) -> None:
        change(db)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.write(failing)
    assert await count_keys(database) == 0
    assert (await database.write(change))[-3:] == [1, 2, 2]  # a statement sees what waited to be flushed
    assert await count_keys(database) == 2  # what nobody flushed is written too


async def test_objects_alone_are_written_without_a_statement(database: Database) -> None:
    await database.write(lambda db: db.add(key("a")))
    await database.write(lambda _db: None)
    names = await database.read(lambda db: [one.prefix for one in db.exec(select(ApiKey)).all()])
    assert names == ["a"]


async def test_questions_asked_together_all_get_their_own_answer(database: Database) -> None:
    def question(db: Session, number: int) -> int:
        if number == 13:
            raise LookupError
        return int(db.execute(text("SELECT :number"), {"number": number}).scalar_one())

    asked = (database.read(partial(question, number=n)) for n in range(200))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [each for each in answers if isinstance(each, int)] == [n for n in range(200) if n != 13]
    assert isinstance(answers[13], LookupError)


async def test_changes_about_one_of_many_that_wait_together_are_made_by_one_call(database: Database) -> None:
    calls: list[list[int]] = []

    def add(db: Session, numbers: Sequence[int]) -> list[int]:
        calls.append(list(numbers))
        db.add_all(key(f"k{number}") for number in numbers)
        return [2 * number for number in numbers]

    async with writers_busy(database):
        writes = [asyncio.create_task(database.write(Batchable(add, number))) for number in range(40)]
        other = asyncio.create_task(database.write(lambda db: db.add(key("other"))))
    assert await asyncio.gather(*writes) == [2 * number for number in range(40)]
    await other
    assert sorted(number for numbers in calls for number in numbers) == list(range(40))
    assert len(calls) <= (1 if database.is_sqlite else 20), "one writer, or eight that take their shares"
    assert await count_keys(database) == 41


async def test_one_of_many_that_fails_takes_no_other_with_it(database: Database) -> None:
    def add(db: Session, numbers: Sequence[int]) -> list[int]:
        db.add_all(key(f"k{number}") for number in numbers)
        db.flush()
        if 7 in numbers:
            raise RuntimeError
        return list(numbers)

    async with writers_busy(database):
        writes = [asyncio.create_task(database.write(Batchable(add, number))) for number in range(20)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(each) for each in outcomes].count(RuntimeError) == 1
    assert [each for each in outcomes if isinstance(each, int)] == [n for n in range(20) if n != 7]
    assert await count_keys(database) == 19


async def test_who_asks_little_does_not_wait_for_all_who_ask_much(database: Database) -> None:
    release = threading.Event()
    answered: list[int] = []

    def much(_db: Session, number: int) -> int:
        time.sleep(0.05)
        if number:
            release.wait(60)
        return number

    asked = [asyncio.create_task(database.read(partial(much, number=n))) for n in range(4)]
    asked[0].add_done_callback(lambda _: answered.append(0))
    async with asyncio.timeout(60):
        while not answered:
            await asyncio.sleep(0.01)
        assert await database.read(lambda db: db.execute(text("SELECT 1")).scalar_one()) == 1
    release.set()
    assert await asyncio.gather(*asked) == [0, 1, 2, 3]


async def test_who_is_cancelled_during_a_commit_goes_on_only_after_it(database: Database) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def change(db: Session) -> None:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(timeout=60)
        db.add(key("late"))

    task = asyncio.create_task(database.write(change))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count_keys(database) == 1


async def test_a_transaction_in_which_nothing_happens_is_ended_and_made_again(database: Database) -> None:
    if database.is_sqlite:
        assert await database.end_frozen(idle_seconds=0) == 0
        return
    is_frozen, thaws = threading.Event(), threading.Event()

    def freeze(db: Session) -> int:
        db.add(key("frozen"))
        db.flush()
        first = not is_frozen.is_set()
        is_frozen.set()
        if first:
            thaws.wait(60)
        return int(db.execute(text("SELECT count(*) FROM api_keys")).scalar_one())

    writing = asyncio.create_task(database.write(freeze))
    await asyncio.to_thread(is_frozen.wait, 60)
    await asyncio.sleep(0.3)
    assert await database.end_frozen(idle_seconds=60) == 0
    assert await database.end_frozen(idle_seconds=0.2) == 1
    thaws.set()
    assert await writing == 1
    assert await count_keys(database) == 1


async def test_who_idles_behind_many_rows_is_found_too(database: Database) -> None:
    """There PostgreSQL's own limit does not hold."""
    thaws = threading.Event()
    rows = [{"prefix": f"k{n}"} for n in range(3)]

    def freeze(db: Session) -> None:
        db.connection().execute(text("DELETE FROM api_keys WHERE prefix = :prefix"), rows)
        thaws.wait(60)

    writing = asyncio.create_task(database.write(freeze))
    await asyncio.sleep(0.4)
    ended = await database.end_frozen(idle_seconds=0.1)
    thaws.set()
    assert ended == (0 if database.is_sqlite else 1)
    await asyncio.gather(writing, return_exceptions=True)


async def test_a_network_that_is_gone_is_noticed_within_half_a_minute(postgres_url: str) -> None:
    def options_of(connection: Any) -> tuple[int, ...]:
        with socket.socket(fileno=os.dup(connection.fileno())) as tcp:
            named = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            return tuple(tcp.getsockopt(socket.IPPROTO_TCP, name) for name in named)

    def options(db: Session) -> tuple[int, ...]:
        return options_of(db.connection().connection.driver_connection)

    database = Database(postgres_url)
    milliseconds, idle, interval, count = await database.write(options)
    database.close()
    assert 0 < milliseconds <= 30_000
    assert 0 < idle + interval * count <= 30
    async with await connect(postgres_url, name="beside") as beside:
        assert options_of(beside) == (milliseconds, idle, interval, count)


async def test_a_closed_database_refuses_work_and_keeps_nobody_waiting(database_url: str) -> None:
    database = Database(database_url)
    database.close()
    async with asyncio.timeout(60):
        with pytest.raises(StorageFailed, match="closed"):
            await database.read(lambda _db: None)
        with pytest.raises(StorageFailed, match="closed"):
            await database.write(lambda _db: None)
