"""What a clock that was ahead left behind is put right, on SQLite and PostgreSQL alike."""

from datetime import datetime, timedelta
from functools import partial

from app.database import Database
from app.mailboxes.models import MailboxId
from app.runs import claims
from app.runs import repository as runs
from app.runs.models import SyncStatus
from app.worker.clocks import Clocks
from tests.contract.test_repositories import NOW, ask, make_mailbox, take

LEASE_SECONDS = 60
AHEAD = timedelta(days=1)


async def due(database: Database) -> list[int]:
    """The mailboxes that are due now."""
    await database.write(partial(claims.request_due, now=NOW, limit=100))
    return [claim.mailbox_id for claim in await take(database)]


async def ended(database: Database, mailbox_id: MailboxId, at: datetime) -> None:
    """It had a sync, which ended then."""
    await ask(database, mailbox_id)
    (claim,) = await take(database)
    ending = runs.Ending(claim, SyncStatus.SUCCEEDED, {}, None, at)
    await database.write(partial(runs.finish, endings=[ending]))


async def test_what_a_dead_worker_held_by_a_clock_ahead_is_free_after_one_lease(database: Database) -> None:
    await ask(database, await make_mailbox(database))
    (held,) = await take(database, "ahead", now=NOW + AHEAD)
    clocks = Clocks(database, LEASE_SECONDS)
    for monotonic in (100, 100 + LEASE_SECONDS - 1):
        await clocks.put_right(now=NOW, monotonic=monotonic)
        assert await take(database, "other") == []
    await clocks.put_right(now=NOW, monotonic=100 + LEASE_SECONDS)
    (taken,) = await take(database, "other")
    assert taken.sync_id == held.sync_id


async def test_whoever_lives_keeps_its_syncs_though_its_clock_is_ahead(database: Database) -> None:
    await ask(database, await make_mailbox(database))
    held = await take(database, "ahead", now=NOW + AHEAD)
    clocks = Clocks(database, LEASE_SECONDS)
    for seconds in range(0, 3 * LEASE_SECONDS, 10):
        until = NOW + AHEAD + timedelta(seconds=seconds)
        await database.write(partial(claims.renew, held=held, until=until))
        await clocks.put_right(now=NOW, monotonic=100 + seconds)
    assert await take(database, "other") == []


async def test_a_lease_of_a_right_clock_stays_as_it_is(database: Database) -> None:
    await ask(database, await make_mailbox(database))
    await take(database, "w")
    clocks = Clocks(database, LEASE_SECONDS)
    for monotonic in (100, 500):
        await clocks.put_right(now=NOW, monotonic=monotonic)
    assert await take(database, "other", now=NOW + timedelta(seconds=LEASE_SECONDS - 1)) == []


async def test_at_start_and_each_minute_what_is_planned_too_far_ahead_is_due(database: Database) -> None:
    clocks = Clocks(database, LEASE_SECONDS)
    for minute in (1, 2):
        lost = await make_mailbox(database, next_sync_at=NOW + AHEAD, poll_interval_seconds=300)
        await make_mailbox(database, next_sync_at=NOW + AHEAD, poll_interval_seconds=86_400)
        slow = {"poll_interval_seconds": 300, "poll_interval_max_seconds": 86_400}
        await make_mailbox(database, next_sync_at=NOW + AHEAD, **slow)
        await clocks.put_right(now=NOW, monotonic=minute * 60)
        assert await due(database) == [lost]


async def test_between_these_no_mailbox_is_looked_at(database: Database) -> None:
    clocks = Clocks(database, LEASE_SECONDS)
    await clocks.put_right(now=NOW, monotonic=100)
    await make_mailbox(database, next_sync_at=NOW + AHEAD, poll_interval_seconds=300)
    await clocks.put_right(now=NOW, monotonic=159)
    assert await due(database) == []


async def test_a_server_that_wants_a_long_pause_gets_it_unless_a_clock_ahead_heard_it(
    database: Database,
) -> None:
    asked = {"next_sync_at": NOW + AHEAD, "login_after": NOW + AHEAD, "poll_interval_seconds": 300}
    heard_now = await make_mailbox(database, **asked)
    await ended(database, heard_now, at=NOW)
    heard_ahead = await make_mailbox(database, **asked)
    await ended(database, heard_ahead, at=NOW + AHEAD)
    await Clocks(database, LEASE_SECONDS).put_right(now=NOW, monotonic=100)
    assert await due(database) == [heard_ahead]
