"""What a clock that was ahead leaves in the database, and how it is put right.

Leases and plans are moments of the database's clock (``database.clock``). Where that was ahead and then was set, they
would hold a sync for as long as it was wrong. A lease that ends early does no harm, for the next claim has another
token, and a plan that comes early is one poll too many.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import func, text, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, col

from app.mailboxes.models import Mailbox, MailboxId
from app.runs import repository as runs
from app.runs.admission.schedule import is_astray
from app.runs.models import Sync, SyncStatus

_SOON = timedelta(hours=1)  # no plan before that is too far ahead


def shorten_leases(db: Session, *, now: datetime, seconds: float) -> int:
    """Cut leases that are longer than twice a lease of ``seconds`` down to one; how many there were.

    Whoever holds one and lives renews it before that ends.
    """
    # As the index says it, or SQLite reads all that ever ended.
    running = text("syncs.status IN ('queued', 'running')") & (col(Sync.status) == SyncStatus.RUNNING.value)
    lease = timedelta(seconds=seconds)
    cut = update(Sync).where(running, col(Sync.lease_expires_at) > now + 2 * lease)
    return db.connection().execute(cut.values(lease_expires_at=now + lease)).rowcount


def pull_back_plans(db: Session, *, now: datetime) -> int:
    """Let mailboxes that are planned too far ahead be due now; how many there were."""
    plans = _plans_astray(db, now)
    for mailbox_id, plan in plans.items():
        same = (col(Mailbox.id) == mailbox_id, col(Mailbox.next_sync_at) == plan)
        db.execute(update(Mailbox).where(*same).values(next_sync_at=now))
    return len(plans)


def _plans_astray(db: Session, now: datetime) -> Mapping[MailboxId, datetime]:
    """For when the next sync of mailboxes is planned, where only a clock which was ahead can have planned it."""
    interval = func.coalesce(col(Mailbox.poll_interval_max_seconds), col(Mailbox.poll_interval_seconds))
    plan = col(Mailbox.next_sync_at)
    late = select_columns(col(Mailbox.id), plan, interval, col(Mailbox.login_after)).where(plan > now + _SOON)
    rows = db.execute(late).all()
    astray = {row[0]: row for row in rows if is_astray(row[1], longest_interval_seconds=row[2], now=now)}
    asked_for = [row[0] for row in astray.values() if row[3] is not None and row[1] <= row[3]]
    for sync in runs.latest(db, asked_for):
        if sync.finished_at is not None and sync.finished_at <= now:  # the server wants so long a pause
            del astray[sync.mailbox_id]
    return {MailboxId(mailbox_id): row[1] for mailbox_id, row in astray.items()}
