"""SQL of batches of syncs: many mailboxes are asked for, some hundred at a time.

A batch is one row, and one more for each of its syncs that have not ended and been counted: these are bounded, and so
is what waits in the queue for it. Every step is one transaction, which takes up where the one before ended: whoever
dies in between loses nothing, and two who make a step at the same time make one after the other.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, insert, text, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col

from app.access.reach import ALL_MAILBOXES, Reach
from app.errors import AppError
from app.mailboxes import finding
from app.mailboxes.finding import HealthAt, WantedMailboxes
from app.mailboxes.health import HealthState
from app.mailboxes.models import Mailbox
from app.runs.asking import request_many
from app.runs.models import ACTIVE, BatchId, SyncBatch, SyncStatus

MOST_OPEN: Final = 500  # syncs of a batch that have not ended
MOST_OF_A_KEY: Final = 10  # batches that have not ended
REMOVED: Final = "removed"
_PAGE: Final = 100
_KEPT: Final = timedelta(days=30)

_SYNCS = SQLModel.metadata.tables["syncs"]
_MEMBERS = SQLModel.metadata.tables["sync_batch_syncs"]
_BATCHES = SQLModel.metadata.tables["sync_batches"]
_UNENDED = (  # asked for every second
    select_columns(_BATCHES.c.id)
    .where(_BATCHES.c.ended_at.is_(None))
    .order_by(_BATCHES.c.id)
    .limit(bindparam("most"))
)


class BatchStatus(StrEnum):
    """How far a batch is."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Progress:
    """``counts``: how its syncs ended. ``refused``: mailboxes that are not to be synced now, by code. ``open``: how
    many of its syncs are queued and run.
    """

    batch: SyncBatch
    status: BatchStatus
    counts: Mapping[str, int]
    refused: Mapping[str, int]
    open: Mapping[str, int]


def begin(
    db: Session, wanted: WantedMailboxes, *, reach: Reach, by: str, health: HealthAt, traceparent: str | None
) -> SyncBatch:
    """A new batch, its first step made. Raises AppError for a key that has too many."""
    ours = select_columns(func.count()).where(
        col(SyncBatch.created_by) == by, col(SyncBatch.ended_at).is_(None)
    )
    if db.execute(ours).scalar_one() >= MOST_OF_A_KEY:
        detail = f"This API key has {MOST_OF_A_KEY} batches that have not ended."
        raise AppError(429, "too_many_requests", detail, headers={"Retry-After": "10"})
    last = db.execute(select_columns(func.max(Mailbox.id))).scalar_one()
    batch = SyncBatch(
        created_at=health.now,
        created_by=by,
        reach=None if reach.is_all else {"mailbox_ids": [*reach.mailbox_ids], "labels": [*reach.labels]},
        wanted={"mailbox_ids": [*wanted.mailbox_ids], "labels": [*wanted.labels], "health": [*wanted.health]},
        last_mailbox=last or 0,
        mailboxes=finding.count(db, wanted, health, reach=reach),
        counts={},
        refused={},
        traceparent=traceparent,
    )
    db.add(batch)
    db.flush()
    step(db, BatchId(batch.id or 0), health=health)
    return batch


def unended(db: Session, *, limit: int) -> Sequence[BatchId]:
    """Batches that have not ended, the oldest first."""
    return [BatchId(row) for row in db.connection().execute(_UNENDED, {"most": limit}).scalars()]


def get(db: Session, batch_id: BatchId, *, reach: Reach) -> Progress | None:
    """The batch with this id, where all that it may be about is in reach."""
    batch = db.get(SyncBatch, batch_id)
    if batch is None or not reach.includes(batch.reach):
        return None
    statuses = Counter(status or REMOVED for _, status, _ in _members(db, batch_id))
    open_ = {status: statuses.pop(status, 0) for status in ACTIVE}
    status = BatchStatus.RUNNING
    if batch.ended_at is not None:
        status = BatchStatus.CANCELLED if batch.cancel_requested_at is not None else BatchStatus.DONE
    return Progress(batch, status, Counter(batch.counts) + statuses, batch.refused, open_)


def cancel(db: Session, batch_id: BatchId, *, now: datetime) -> None:
    """Ask for no more syncs, and stop those that were asked for; a batch that has ended stays as it is."""
    ours = update(SyncBatch).where(col(SyncBatch.id) == batch_id, col(SyncBatch.ended_at).is_(None))
    db.execute(ours.where(col(SyncBatch.cancel_requested_at).is_(None)).values(cancel_requested_at=now))


def step(db: Session, batch_id: BatchId, *, health: HealthAt) -> bool:
    """Count what has ended, and ask for more. Whether any was asked for."""
    batch = db.get(SyncBatch, batch_id, with_for_update=True, populate_existing=True)
    if batch is None or batch.ended_at is not None:
        return False
    open_ = _count_ended(db, batch)
    has_asked = False
    if batch.cancel_requested_at is not None:
        _stop(db, batch_id, reach=_reach_of(batch), now=health.now)
        open_ = _count_ended(db, batch)
    while batch.cancel_requested_at is None and open_ < MOST_OPEN and batch.done_to < batch.last_mailbox:
        asked = _ask(db, batch, health, most=min(_PAGE, MOST_OPEN - open_))
        open_, has_asked = open_ + asked, has_asked or asked > 0
    is_over = batch.cancel_requested_at is not None or batch.done_to >= batch.last_mailbox
    if is_over and not open_:
        batch.ended_at = health.now
    db.flush()
    return has_asked


def forget_old(db: Session, *, now: datetime) -> None:
    """Forget batches that ended long ago."""
    db.execute(delete(SyncBatch).where(col(SyncBatch.ended_at) < now - _KEPT))


def _members(db: Session, batch_id: BatchId) -> Sequence[tuple[int, str | None, bool]]:
    """Its syncs that are not counted yet, with their status; None: the sync went with its mailbox."""
    joined = _MEMBERS.join(_SYNCS, _SYNCS.c.id == _MEMBERS.c.sync_id, isouter=True)
    columns = (_MEMBERS.c.sync_id, _SYNCS.c.status, _MEMBERS.c.is_own)
    rows = db.execute(select_columns(*columns).select_from(joined).where(_MEMBERS.c.batch_id == batch_id))
    return [(row[0], row[1], row[2]) for row in rows]


def _count_ended(db: Session, batch: SyncBatch) -> int:
    """Count its syncs that have ended; how many have not."""
    members = _members(db, BatchId(batch.id or 0))
    ended = [(sync_id, status) for sync_id, status, _ in members if status not in ACTIVE]
    if ended:
        batch.counts = dict(Counter(batch.counts) + Counter(status or REMOVED for _, status in ended))
        gone = _MEMBERS.c.sync_id.in_([sync_id for sync_id, _ in ended])
        db.execute(delete(_MEMBERS).where(_MEMBERS.c.batch_id == batch.id, gone))
    return len(members) - len(ended)


def _reach_of(batch: SyncBatch) -> Reach:
    """What the key reached that asked for it."""
    if batch.reach is None:
        return ALL_MAILBOXES
    return Reach.bound_to(batch.reach["mailbox_ids"], batch.reach["labels"])


def _ask(db: Session, batch: SyncBatch, health: HealthAt, *, most: int) -> int:
    """Ask for a sync of the next mailboxes; of how many."""
    told, reach = batch.wanted, _reach_of(batch)
    wanted = WantedMailboxes(
        mailbox_ids=tuple(told["mailbox_ids"]),
        labels=tuple(told["labels"]),
        health=tuple(HealthState(each) for each in told["health"]),
    )
    places = (batch.done_to, batch.last_mailbox)
    found = finding.ids(db, wanted, health, reach=reach, between=places, limit=most)
    batch.done_to = found[-1] if len(found) == most else batch.last_mailbox
    asked = request_many(db, found, now=health.now, traceparent=batch.traceparent)
    batch.refused = dict(Counter(batch.refused) + Counter(asked.refused.values()))
    rows = [
        {"batch_id": batch.id, "sync_id": sync_id, "is_own": sync_id in asked.new}
        for sync_id in asked.syncs.values()
    ]
    if rows:
        db.connection().execute(insert(_MEMBERS), rows)
    return len(rows)


def _stop(db: Session, batch_id: BatchId, *, reach: Reach, now: datetime) -> None:
    """End its queued syncs, and have its running ones stop; not those that somebody else had asked for, nor those of
    mailboxes that have left its reach meanwhile.
    """
    own = select_columns(_MEMBERS.c.sync_id).where(
        _MEMBERS.c.batch_id == batch_id, _MEMBERS.c.is_own.is_(True)
    )
    is_own: tuple[Any, ...] = (
        _SYNCS.c.id.in_(own),
        text("syncs.status IN ('queued', 'running')"),
        *reach.of(_SYNCS.c.mailbox_id),
    )
    ended = {"status": SyncStatus.CANCELLED.value, "finished_at": now, "cancel_requested_at": now}
    db.execute(update(_SYNCS).where(*is_own, _SYNCS.c.status == SyncStatus.QUEUED.value).values(ended))
    running = (_SYNCS.c.status == SyncStatus.RUNNING.value, _SYNCS.c.cancel_requested_at.is_(None))
    db.execute(update(_SYNCS).where(*is_own, *running).values(cancel_requested_at=now))
