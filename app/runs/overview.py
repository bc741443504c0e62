"""SQL of how all stands: mailboxes by health, syncs under way, what waits, what was stored of late."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, text
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel

from app.access.reach import Reach
from app.mailboxes import finding
from app.mailboxes.finding import Census, HealthAt
from app.mailboxes.models import MailboxId, MailboxStatus
from app.messages import recent
from app.messages.recent import Stored
from app.runs.models import SyncStatus

_DAY = timedelta(hours=24)
_MOST_SERVERS = 50

_SYNCS = SQLModel.metadata.tables["syncs"]
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]
_IS_OPEN = text("syncs.status IN ('queued', 'running')")  # as the index says it


@dataclass(frozen=True, slots=True)
class Overdue:
    """The mailbox that waits for its sync the longest, and since when."""

    mailbox_id: MailboxId
    since: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """``running``: how many syncs run with each of the busiest servers."""

    census: Census
    syncs: Mapping[SyncStatus, int]
    overdue: Overdue | None
    stored: Stored
    running: Sequence[tuple[str, int]]


def overview(db: Session, health: HealthAt, *, reach: Reach) -> Overview:
    """How all that is in reach stands now."""
    return Overview(
        census=finding.census(db, health, reach=reach),
        syncs=_syncs(db, reach),
        overdue=_overdue(db, health.now, reach),
        stored=recent.stored_since(db, health.now - _DAY, reach=reach),
        running=_running(db, reach),
    )


def _syncs(db: Session, reach: Reach) -> dict[SyncStatus, int]:
    active = select_columns(_SYNCS.c.status, func.count()).where(_IS_OPEN, *reach.of(_SYNCS.c.mailbox_id))
    found: dict[str, int] = {row[0]: row[1] for row in db.execute(active.group_by(_SYNCS.c.status))}
    return {status: found.get(status.value, 0) for status in (SyncStatus.QUEUED, SyncStatus.RUNNING)}


def _overdue(db: Session, now: datetime, reach: Reach) -> Overdue | None:
    """Of those that are due and of those that are queued the one that waits the longest."""
    due = (
        select_columns(_MAILBOXES.c.id, _MAILBOXES.c.next_sync_at)
        .where(_MAILBOXES.c.next_sync_at <= now, _MAILBOXES.c.status == MailboxStatus.ACTIVE.value)
        .where(*reach.of(_MAILBOXES.c.id))
        .order_by(_MAILBOXES.c.next_sync_at)
        .limit(1)
    )
    queued = (
        select_columns(_SYNCS.c.mailbox_id, _SYNCS.c.queued_at)
        .where(_IS_OPEN, _SYNCS.c.status == SyncStatus.QUEUED.value, *reach.of(_SYNCS.c.mailbox_id))
        .order_by(_SYNCS.c.queued_at)
        .limit(1)
    )
    waiting = [row for question in (due, queued) for row in db.execute(question)]
    if not waiting:
        return None
    mailbox_id, since = min(waiting, key=lambda row: row[1])
    return Overdue(MailboxId(mailbox_id), since)


def _running(db: Session, reach: Reach) -> list[tuple[str, int]]:
    count = func.count()
    busiest = (
        select_columns(_SYNCS.c.server, count)
        .where(_IS_OPEN, _SYNCS.c.status == SyncStatus.RUNNING.value, *reach.of(_SYNCS.c.mailbox_id))
        .group_by(_SYNCS.c.server)
        .order_by(count.desc(), _SYNCS.c.server)
        .limit(_MOST_SERVERS)
    )
    return [(row[0], row[1]) for row in db.execute(busiest)]
