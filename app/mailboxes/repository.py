"""SQL of the mailboxes."""

from collections.abc import Sequence

from sqlalchemy import delete
from sqlmodel import Session, col, select

from app.mailboxes.models import Mailbox, MailboxId


def add(db: Session, row: Mailbox) -> MailboxId:
    """Store a new mailbox and give it its id."""
    db.add(row)
    db.flush()
    assert row.id is not None
    return MailboxId(row.id)


def get(db: Session, mailbox_id: MailboxId) -> Mailbox | None:
    """The mailbox with this id."""
    return db.get(Mailbox, mailbox_id)


def page(db: Session, *, after: int, limit: int) -> Sequence[Mailbox]:
    """Mailboxes by id, oldest first."""
    return db.exec(
        select(Mailbox).where(col(Mailbox.id) > after).order_by(col(Mailbox.id)).limit(limit)
    ).all()


def remove(db: Session, mailbox_id: MailboxId) -> None:
    """Remove a mailbox; its ledger, syncs, messages and unshared contents go with it (foreign keys)."""
    db.execute(delete(Mailbox).where(col(Mailbox.id) == mailbox_id))
