"""SQL of asking for syncs and of claiming them: who runs which, under a lease."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import CursorResult, Update, and_, bindparam, func, or_, text, update
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col, select

from app.database import UtcDateTime
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus
from app.sync.models import ACTIVE, Sync, SyncId, SyncStatus, Trigger
from app.sync.repository import Claim

# Made once: to make a statement and its cache key costs several times its execution.
_SYNCS = SQLModel.metadata.tables["syncs"]
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]

# SQLite uses a partial index only where the statement says its condition in the same words, without parameters.
_IS_OPEN = text("syncs.status IN ('queued', 'running')")

_IS_DUE = (_MAILBOXES.c.next_sync_at <= bindparam("now")) & (
    _MAILBOXES.c.status == MailboxStatus.ACTIVE.value
)
_IS_CLAIMABLE = and_(
    _IS_OPEN,
    or_(
        _SYNCS.c.status == SyncStatus.QUEUED.value,
        (_SYNCS.c.status == SyncStatus.RUNNING.value) & (_SYNCS.c.lease_expires_at <= bindparam("now")),
    ),
)
_DUE = (
    select_columns(_MAILBOXES.c.id)
    .where(_IS_DUE)
    .order_by(_MAILBOXES.c.next_sync_at)
    .limit(bindparam("most"))
)
_CLAIMABLE = select_columns(_SYNCS.c.id).where(_IS_CLAIMABLE).order_by(_SYNCS.c.id).limit(bindparam("most"))
_DUE_FOR_US = _DUE.with_for_update(skip_locked=True)
_CLAIMABLE_FOR_US = _CLAIMABLE.with_for_update(skip_locked=True)
_CLAIM = (
    update(_SYNCS)
    .where(_SYNCS.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        status=SyncStatus.RUNNING.value,
        started_at=func.coalesce(_SYNCS.c.started_at, bindparam("now", type_=UtcDateTime)),
        worker=bindparam("by"),
        lease_token=_SYNCS.c.lease_token + 1,
        lease_expires_at=bindparam("lease"),
    )
    .returning(_SYNCS.c.id, _SYNCS.c.mailbox_id, _SYNCS.c.lease_token)
)


def request(db: Session, mailbox_id: MailboxId, trigger: Trigger, *, now: datetime) -> Sync:
    """The queued or running sync of the mailbox, made now if there is none."""
    row = _queued(mailbox_id, trigger, now)
    inserted = db.connection().execute(_insert_unless_active(db).returning(_SYNCS.c.id), [row]).first()
    if inserted is not None:
        return Sync(id=inserted[0], **row)
    return db.exec(select(Sync).where(Sync.mailbox_id == mailbox_id, col(Sync.status).in_(ACTIVE))).one()


def request_due(db: Session, *, now: datetime, limit: int) -> int:
    """Ask for a sync of every mailbox that is due, up to ``limit``; how many there were."""
    due = db.connection().execute(_DUE_FOR_US, {"now": now, "most": limit}).scalars().all()
    if not due:
        return 0
    rows = [_queued(MailboxId(mailbox_id), Trigger.SCHEDULE, now) for mailbox_id in due]
    db.connection().execute(_insert_unless_active(db), rows)
    # Not due again until the sync that was asked for ends and says when.
    db.execute(update(Mailbox).where(col(Mailbox.id).in_(due)).values(next_sync_at=None))
    return len(due)


def has_work(db: Session, *, now: datetime) -> bool:
    """Whether a sync is queued, a lease has run out, or a mailbox is due."""
    asked = {"now": now, "most": 1}
    return any(db.connection().execute(question, asked).first() for question in (_CLAIMABLE, _DUE))


def claim(db: Session, *, worker: str, limit: int, now: datetime, lease_expires_at: datetime) -> list[Claim]:
    """Take queued syncs, and running ones whose lease has run out, oldest first; each gets a new token."""
    ids = db.connection().execute(_CLAIMABLE_FOR_US, {"now": now, "most": limit}).scalars().all()
    if not ids:
        return []
    values = {"ids": ids, "now": now, "by": worker, "lease": lease_expires_at}
    claims = [
        Claim(SyncId(row[0]), MailboxId(row[1]), row[2]) for row in db.connection().execute(_CLAIM, values)
    ]
    return sorted(claims, key=lambda claim: claim.sync_id)


def release_worker(db: Session, *, worker: str) -> int:
    """Queue again what this worker held before it was started anew; how many there were."""
    statement = update(Sync).where(col(Sync.worker) == worker, col(Sync.status) == SyncStatus.RUNNING.value)
    return _count(db, statement.values(status=SyncStatus.QUEUED.value, worker=None, lease_expires_at=None))


def renew(db: Session, held: Sequence[Claim], *, until: datetime) -> None:
    """Hold the leases of running syncs for longer, those that are still ours."""
    table = SQLModel.metadata.tables["syncs"]
    statement = (
        update(table)
        .where(table.c.id == bindparam("row"), table.c.lease_token == bindparam("token"))
        .where(table.c.status == SyncStatus.RUNNING.value)
        .values(lease_expires_at=bindparam("until"))
    )
    db.connection().execute(
        statement, [{"row": claim.sync_id, "token": claim.token, "until": until} for claim in held]
    )


def _queued(mailbox_id: MailboxId, trigger: Trigger, now: datetime) -> dict[str, Any]:
    return {
        "mailbox_id": mailbox_id,
        "trigger": trigger.value,
        "status": SyncStatus.QUEUED.value,
        "queued_at": now,
        "report": {},
        "lease_token": 0,
    }


def _insert_unless_active(db: Session) -> Any:
    return _insert_unless_active_on(db.get_bind().dialect.name)


@lru_cache(maxsize=2)
def _insert_unless_active_on(dialect: str) -> Any:
    index = next(ix for ix in _SYNCS.indexes if ix.name == "uq_syncs_active")
    where = index.dialect_options[dialect]["where"]
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(_SYNCS).on_conflict_do_nothing(index_elements=["mailbox_id"], index_where=where)


def _count(db: Session, statement: Update) -> int:
    result = db.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount
