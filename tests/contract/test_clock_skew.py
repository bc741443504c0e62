"""What a clock that was ahead left behind is put right, on SQLite and PostgreSQL alike."""

from datetime import datetime, timedelta
from functools import partial

from app.database import Database
from app.mailboxes.models import MailboxId
from app.runs import claims
from app.runs import repository as runs
from app.runs.models import SyncStatus
from app.worker.clock_skew import pull_back_plans, shorten_leases
from tests.contract.test_repositories import NOW, ask, make_mailbox, take

LEASE_SECONDS = 60
LEASE, SECOND = timedelta(seconds=LEASE_SECONDS), timedelta(seconds=1)
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


async def shorten(database: Database, now: datetime = NOW) -> int:
    return await database.write(partial(shorten_leases, now=now, seconds=LEASE_SECONDS))


async def pull_back(database: Database) -> int:
    return await database.write(partial(pull_back_plans, now=NOW))


async def test_what_a_dead_worker_held_by_a_clock_ahead_is_free_after_one_lease(database: Database) -> None:
    await ask(database, await make_mailbox(database))
    (held,) = await take(database, "ahead", now=NOW + AHEAD)
    assert await shorten(database) == 1
    assert await take(database, "other", now=NOW + LEASE - SECOND) == []
    assert await shorten(database, NOW + LEASE - SECOND) == 0
    (taken,) = await take(database, "other", now=NOW + LEASE)
    assert taken.sync_id == held.sync_id


async def test_whoever_lives_keeps_its_syncs_though_the_clock_was_ahead(database: Database) -> None:
    await ask(database, await make_mailbox(database))
    held = await take(database, "lives", now=NOW + AHEAD)
    for seconds in range(0, 3 * LEASE_SECONDS, 10):
        now = NOW + timedelta(seconds=seconds)
        await shorten(database, now)
        assert await take(database, "other", now=now) == []
        await database.write(partial(claims.renew, held=held, until=now + LEASE))


async def test_a_lease_of_a_right_clock_stays_as_it_is(database: Database) -> None:
    await ask(database, await make_mailbox(database))
    await take(database, "w")
    assert await shorten(database) == 0
    assert await take(database, "other", now=NOW + LEASE - SECOND) == []
    assert len(await take(database, "other", now=NOW + LEASE)) == 1


async def test_what_is_planned_too_far_ahead_is_due(database: Database) -> None:
    lost = await make_mailbox(database, next_sync_at=NOW + AHEAD, poll_interval_seconds=300)
    await make_mailbox(database, next_sync_at=NOW + AHEAD, poll_interval_seconds=86_400)
    slow = {"poll_interval_seconds": 300, "poll_interval_max_seconds": 86_400}
    await make_mailbox(database, next_sync_at=NOW + AHEAD, **slow)
    assert await pull_back(database) == 1
    assert await due(database) == [lost]


async def test_a_server_that_wants_a_long_pause_gets_it_unless_a_clock_ahead_heard_it(
    database: Database,
) -> None:
    asked = {"next_sync_at": NOW + AHEAD, "login_after": NOW + AHEAD, "poll_interval_seconds": 300}
    heard_now = await make_mailbox(database, **asked)
    await ended(database, heard_now, at=NOW)
    heard_ahead = await make_mailbox(database, **asked)
    await ended(database, heard_ahead, at=NOW + AHEAD)
    await pull_back(database)
    assert await due(database) == [heard_ahead]
