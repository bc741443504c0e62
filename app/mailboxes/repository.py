"""SQL of the mailboxes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast

from sqlalchemy import bindparam, delete, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col, select

from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus


@dataclass(frozen=True, slots=True)
class PollState:
    """Whether and how often a mailbox is polled, and when somebody asked for one of its messages."""

    status: MailboxStatus
    host: str
    poll_interval_seconds: int | None
    poll_interval_max_seconds: int | None
    quiet_syncs: int
    failures: int
    wanted_at: datetime | None


# Made once: to make a statement and its cache key costs several times its execution.
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]
_ONE = select_columns(_MAILBOXES).where(_MAILBOXES.c.id == bindparam("mailbox"))


_POLL_STATE = select_columns(
    *[_MAILBOXES.c[each.name] for each in fields(PollState)],
).where(_MAILBOXES.c.id == bindparam("mailbox"))
_UPDATE = update(_MAILBOXES).where(_MAILBOXES.c.id == bindparam("mailbox"))  # the columns come as parameters


def add(db: Session, row: Mailbox) -> MailboxId:
    """Store a new mailbox and give it its id."""
    db.add(row)
    db.flush()
    assert row.id is not None
    return MailboxId(row.id)


def get(db: Session, mailbox_id: MailboxId) -> Mailbox | None:
    """The mailbox with this id."""
    return db.get(Mailbox, mailbox_id)


def snapshot(db: Session, mailbox_id: MailboxId) -> Mailbox | None:
    """What stands there now, to be read only: a plain row, for to make the object costs as much as to find it."""
    return cast("Mailbox | None", db.connection().execute(_ONE, {"mailbox": mailbox_id}).one_or_none())


def poll_state(db: Session, mailbox_id: MailboxId) -> PollState | None:
    """What decides about the next poll."""
    row = db.connection().execute(_POLL_STATE, {"mailbox": mailbox_id}).one_or_none()
    return None if row is None else PollState(MailboxStatus(row[0]), *row[1:])


def change(db: Session, mailbox_id: MailboxId, **values: Any) -> None:
    """Write some columns of a mailbox."""
    if values:
        db.connection().execute(_UPDATE, {"mailbox": mailbox_id, **values})


def replace_credentials(db: Session, mailbox_id: MailboxId, *, old: bytes, new: bytes) -> bool:
    """Write ``new`` where ``old`` still stands; False: somebody changed them meanwhile."""
    is_old = _MAILBOXES.c.credentials == old
    done = db.connection().execute(_UPDATE.where(is_old).values(credentials=new), {"mailbox": mailbox_id})
    return done.rowcount > 0


def page(db: Session, *, after: int, limit: int) -> Sequence[Mailbox]:
    """Mailboxes by id, oldest first."""
    return db.exec(
        select(Mailbox).where(col(Mailbox.id) > after).order_by(col(Mailbox.id)).limit(limit)
    ).all()


def remove(db: Session, mailbox_id: MailboxId) -> None:
    """Remove a mailbox; its ledger, syncs, messages and unshared contents go with it (foreign keys)."""
    db.execute(delete(Mailbox).where(col(Mailbox.id) == mailbox_id))
