"""Waiting for the end of a sync that was asked for."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final

from fastapi import Query

from app.access.reach import Reach
from app.database import Database
from app.jobs.wakeups import Wakeup, Wakeups
from app.runs import repository as runs
from app.runs.models import ACTIVE, Sync, SyncId
from app.web.found import found
from app.web.requests.turns import end_turn

LONGEST_WAIT_SECONDS: Final = 60

WaitForEnd = Annotated[int, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for its end.")]


async def until_ended(
    row: Sync,
    wait: float,
    *,
    reach_now: Callable[[], Awaitable[Reach]],
    database: Database,
    wakeups: Wakeups,
    monotonic: Callable[[], float],
    sync_is_due: Callable[[], None],
) -> Sync:
    """The sync when it has ended, or as it is after ``wait`` seconds; a worker is told of it at once.

    ``reach_now`` is asked after each wait: what it raises ends it.
    """
    deadline = monotonic() + wait
    sync_id = SyncId(row.id or 0)
    ticket = wakeups.syncs_ended.ticket(sync_id)
    sync_is_due()
    while row.status in ACTIVE and (remaining := deadline - monotonic()) > 0:
        end_turn()
        await Wakeup.wait(ticket, at_most=remaining)
        ticket = wakeups.syncs_ended.ticket(sync_id)
        row = await found(database, partial(runs.get, sync_id=sync_id, reach=await reach_now()), "sync")
    return row
