"""What a clock that was ahead leaves in the database, and how it is put right.

Leases and plans are moments. After a clock went back, or a worker with a clock ahead has died, they would hold a
sync for as long as that clock was wrong. A lease that ends early does no harm, for the next claim has another token,
and a plan that comes early is one poll too many.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import func, text, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, col

from app.database import Database
from app.mailboxes.models import Mailbox
from app.sync.models import Sync, SyncId, SyncStatus
from app.sync.schedule import is_astray

_PLANS_EVERY_SECONDS = 3600.0
_JUMP_SECONDS = 5.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """A sync, and until when somebody's clock says that it is held. Who lives renews that."""

    sync_id: SyncId
    token: int
    until: datetime


@dataclass
class Clocks:
    """Looks, at each tick, whether something is held or planned further ahead than any right clock could say."""

    database: Database
    lease_seconds: float
    _held_since: dict[Held, float] = field(default_factory=dict)
    _plans_at: float = 0.0
    _ahead: float = float("-inf")

    async def put_right(self, *, now: datetime, monotonic: float) -> None:
        """End leases that are too long and not renewed; pull back plans, at first, once an hour, and when our own
        clock went back.

        ``monotonic``: seconds of a clock that never jumps. Raises StorageFailed.
        """
        await self._end_leases(now, monotonic)
        ahead = now.timestamp() - monotonic
        went_back = ahead < self._ahead - _JUMP_SECONDS
        if went_back or monotonic >= self._plans_at:
            count = await self.database.write(partial(pull_back_plans, now=now))
            # A sync that was about to end while the clock was ahead writes its plan a moment later.
            self._plans_at = monotonic + (self.lease_seconds if went_back else _PLANS_EVERY_SECONDS)
            if count:
                _log.warning("plans_pulled_back", count=count)
        self._ahead = ahead

    async def _end_leases(self, now: datetime, monotonic: float) -> None:
        """By our own clock that never jumps: what nobody renewed for the length of a lease is over."""
        beyond = now + timedelta(seconds=2 * self.lease_seconds)
        held = await self.database.read(partial(held_beyond, moment=beyond))
        self._held_since = {one: self._held_since.get(one, monotonic) for one in held}
        dead = [one for one, since in self._held_since.items() if monotonic - since >= self.lease_seconds]
        if dead:
            await self.database.write(partial(end_leases, held=dead, now=now))
            _log.warning("leases_ended", count=len(dead))


def held_beyond(db: Session, moment: datetime) -> list[Held]:
    """The syncs that are held for longer than until this moment."""
    # As the index says it, or SQLite reads all that ever ended, at every tick.
    running = text("syncs.status IN ('queued', 'running')") & (col(Sync.status) == SyncStatus.RUNNING.value)
    query = select_columns(col(Sync.id), col(Sync.lease_token), col(Sync.lease_expires_at))
    rows = db.execute(query.where(running, col(Sync.lease_expires_at) > moment))
    return [Held(SyncId(row[0]), row[1], row[2]) for row in rows]


def end_leases(db: Session, *, held: Sequence[Held], now: datetime) -> None:
    """Let these leases be over, unless they were renewed meanwhile."""
    for one in held:
        same = (col(Sync.id) == one.sync_id, col(Sync.lease_token) == one.token)
        lease = update(Sync).where(*same, col(Sync.lease_expires_at) == one.until)
        db.execute(lease.values(lease_expires_at=now))


def pull_back_plans(db: Session, *, now: datetime) -> int:
    """Let mailboxes that are due too late be due now; how many there were."""
    interval = func.coalesce(col(Mailbox.poll_interval_max_seconds), col(Mailbox.poll_interval_seconds))
    planned = select_columns(col(Mailbox.id), col(Mailbox.next_sync_at), interval)
    late = planned.where(col(Mailbox.next_sync_at) > now + timedelta(hours=1))
    astray = [
        row[0] for row in db.execute(late) if is_astray(row[1], longest_interval_seconds=row[2], now=now)
    ]
    if astray:
        db.execute(update(Mailbox), [{"id": mailbox_id, "next_sync_at": now} for mailbox_id in astray])
    return len(astray)
