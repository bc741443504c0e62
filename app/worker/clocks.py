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
from app.mailboxes.models import Mailbox, MailboxId
from app.runs import repository as runs
from app.runs.models import Sync, SyncId, SyncStatus
from app.runs.schedule import is_astray

_PLANS_EVERY_SECONDS = 60.0
_SOON = timedelta(hours=1)  # no plan before that is too far ahead

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """A sync, and until when somebody's clock says that it is held. Who lives renews that."""

    sync_id: SyncId
    token: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """A mailbox, and for when its next sync is planned."""

    mailbox_id: MailboxId
    next_sync_at: datetime


@dataclass
class Clocks:
    """Looks, at each tick, whether something is held or planned further ahead than any right clock could say."""

    database: Database
    lease_seconds: float
    _held_since: dict[Held, float] = field(default_factory=dict)
    _plans_at: float = float("-inf")

    async def put_right(self, *, now: datetime, monotonic: float) -> None:
        """End leases that are too long and not renewed; at first and once a minute, pull back plans.

        ``monotonic``: seconds of a clock that never jumps. Raises StorageFailed.
        """
        await self._end_leases(now, monotonic)
        if monotonic >= self._plans_at:
            self._plans_at = monotonic + _PLANS_EVERY_SECONDS
            await self._pull_back_plans(now)

    async def _end_leases(self, now: datetime, monotonic: float) -> None:
        """By our own clock that never jumps: what nobody renewed for the length of a lease is over."""
        beyond = now + timedelta(seconds=2 * self.lease_seconds)
        held = await self.database.read(partial(held_beyond, moment=beyond))
        self._held_since = {one: self._held_since.get(one, monotonic) for one in held}
        dead = [one for one, since in self._held_since.items() if monotonic - since >= self.lease_seconds]
        if dead:
            await self.database.write(partial(end_leases, held=dead, now=now))
            _log.warning("leases_ended", count=len(dead))

    async def _pull_back_plans(self, now: datetime) -> None:
        """Let mailboxes that are planned too far ahead be due now."""
        if plans := await self.database.read(partial(plans_astray, now=now)):
            await self.database.write(partial(make_due, plans=plans, now=now))
            _log.warning("plans_pulled_back", count=len(plans))


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


def plans_astray(db: Session, *, now: datetime) -> list[Plan]:
    """The plans that only a clock which was ahead can have made."""
    interval = func.coalesce(col(Mailbox.poll_interval_max_seconds), col(Mailbox.poll_interval_seconds))
    plan = col(Mailbox.next_sync_at)
    late = select_columns(col(Mailbox.id), plan, interval, col(Mailbox.login_after)).where(plan > now + _SOON)
    rows = db.execute(late).all()
    astray = {row[0]: row for row in rows if is_astray(row[1], longest_interval_seconds=row[2], now=now)}
    asked_for = [row[0] for row in astray.values() if row[3] is not None and row[1] <= row[3]]
    for sync in runs.latest(db, asked_for):
        if sync.finished_at is not None and sync.finished_at <= now:  # the server wants so long a pause
            del astray[sync.mailbox_id]
    return [Plan(MailboxId(row[0]), row[1]) for row in astray.values()]


def make_due(db: Session, *, plans: Sequence[Plan], now: datetime) -> None:
    """Let these mailboxes be due now, unless they were planned anew meanwhile."""
    for one in plans:
        same = (col(Mailbox.id) == one.mailbox_id, col(Mailbox.next_sync_at) == one.next_sync_at)
        db.execute(update(Mailbox).where(*same).values(next_sync_at=now))
