"""One clock for all processes: the database's on PostgreSQL, however the clocks of the machines are set."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat

import pytest
from sqlalchemy import text

from app.database import Database
from app.database.clock import DatabaseClock

WRONG = datetime(2001, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def ticks(*seconds: float) -> Iterator[float]:
    """What a clock that is never set shows, each time that it is looked at; in the end it stands still."""
    return chain(seconds, repeat(seconds[-1]))


async def moment(database: Database) -> datetime:
    asked = "SELECT clock_timestamp()"
    return await database.read(lambda db: db.execute(text(asked)).scalar_one())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_clock_that_is_wrong_or_jumps_says_nothing(database: Database) -> None:
    own, shown = [WRONG], ticks(100, 100, 100, 160)
    clock = DatabaseClock(database, own=lambda: own[0], monotonic=lambda: next(shown))
    assert clock() == WRONG  # nothing better is known before the first answer
    before = await moment(database)
    await clock.ask()
    at = clock()
    assert before <= at <= await moment(database)
    own[0] += timedelta(days=400)
    assert clock() == at + MINUTE, "it counts on by the clock that is never set"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_machine_that_was_suspended_is_right_again_once_it_has_asked(database: Database) -> None:
    shown = ticks(100, 100, 40, 40)  # it did not count on, and stands behind by a minute
    clock = DatabaseClock(database, own=lambda: WRONG, monotonic=lambda: next(shown))
    await clock.ask()
    before = await moment(database)
    await clock.ask()
    assert before <= clock() <= await moment(database)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_answer_that_took_long_does_not_replace_a_better_one(database: Database) -> None:
    shown = ticks(100, 100, 100, 900, 100)
    clock = DatabaseClock(database, own=lambda: WRONG, monotonic=lambda: next(shown))
    await clock.ask()
    await clock.ask()  # from 100 to 900: the answer is of any moment between
    assert abs(clock() - await moment(database)) < MINUTE


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_on_sqlite_there_is_one_machine_and_its_clock(database: Database) -> None:
    clock = DatabaseClock(database, own=lambda: WRONG, monotonic=lambda: 0.0)
    await clock.ask()
    assert clock() == WRONG
